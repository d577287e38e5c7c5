"""What the provider has of Networking, a class for each `resource_openstack_networking_..._v2.go`."""

from provider import Resource, given, wait


class NetworkingResource(Resource):
    """Of Networking: its collection and the name of one, its tags, and its deletion."""
    service = 'network'
    tagged = True
    # The deletion is asked again as long as it is refused by 409.
    persistent = False

    def path(self, suffix=''):
        return f'/{self.collection}/{self.id}{suffix}'

    def show(self):
        return self.ask('GET', self.path())[self.one]

    def status(self):
        answer = self.ask('GET', self.path(), taken=(404,))
        return 'DELETED' if answer.status == 404 else answer[self.one].get('status', 'ACTIVE')

    def post(self, targets, pending=(), **body):
        self.id = self.ask('POST', f'/{self.collection}', {self.one: given(**body)})[self.one]['id']
        if targets:
            wait(self.label, self.status, targets, pending)
        if self.get('tags'):
            self.replace_tags()

    def replace_tags(self):
        self.ask('PUT', self.path('/tags'), {'tags': self.asked['tags']})

    def put(self, changed, names, always=False):
        body = {theirs: self.asked[ours] for ours, theirs in names.items() if ours in changed}
        if body or always:
            self.ask('PUT', self.path(), {self.one: body})

    def delete(self):
        if self.persistent:
            wait(self.label, self.try_to_delete, ['DELETED'], ['ACTIVE'])
        else:
            self.ask('DELETE', self.path())
            wait(self.label, self.status, ['DELETED'], self.pending_deletion)

    pending_deletion = ('ACTIVE',)

    def try_to_delete(self):
        answer = self.ask('DELETE', self.path(), taken=(404, 409))
        if answer.status == 404:
            return 'DELETED'
        if answer.status == 409:
            return 'ACTIVE'
        return 'DELETED' if self.ask('GET', self.path(), taken=(404,)).status == 404 else 'ACTIVE'


class Network(NetworkingResource):
    collection, one = 'networks', 'network'

    def create(self):
        self.post(['ACTIVE', 'DOWN'], ['BUILD'], name=self.get('name'), description=self.get('description'),
                  admin_state_up=self.get('admin_state_up'))

    def read(self):
        n = self.show()
        return {name: n[name] for name in (
            'name', 'description', 'admin_state_up', 'shared', 'tenant_id', 'port_security_enabled', 'mtu',
            'dns_domain', 'qos_policy_id', 'availability_zone_hints')} | {
                'external': n['router:external'], 'tags': sorted(n['tags'])}

    def update(self, changed, before):
        if 'tags' in changed:
            self.replace_tags()
        # Asked even if nothing but the tags has changed.
        names = ('name', 'description', 'admin_state_up')
        self.put(changed, {name: name for name in names}, always=True)


class Subnet(NetworkingResource):
    collection, one, persistent = 'subnets', 'subnet', True

    def create(self):
        self.post(['ACTIVE'], network_id=self.get('network_id'), name=self.get('name'), cidr=self.get('cidr'),
                  ip_version=4, enable_dhcp=True, dns_nameservers=self.get('dns_nameservers'))

    def read(self):
        s = self.show()
        return {name: s[name] for name in (
            'network_id', 'cidr', 'ip_version', 'name', 'description', 'tenant_id', 'dns_nameservers', 'service_types',
            'enable_dhcp', 'ipv6_address_mode', 'ipv6_ra_mode', 'subnetpool_id', 'gateway_ip', 'allocation_pools')} | {
                'tags': sorted(s['tags'])}

    def update(self, changed, before):
        self.put(changed, {'name': 'name', 'dns_nameservers': 'dns_nameservers'})
        if 'tags' in changed:
            self.replace_tags()


class Router(NetworkingResource):
    collection, one = 'routers', 'router'

    def create(self):
        self.post(['ACTIVE'], ['BUILD', 'PENDING_CREATE', 'PENDING_UPDATE'], name=self.get('name'),
                  external_gateway_info=given(network_id=self.get('external_network_id')))

    def read(self):
        r = self.show()
        gateway = r['external_gateway_info'] or {}
        return {name: r[name] for name in (
            'name', 'description', 'admin_state_up', 'tenant_id', 'flavor_id', 'availability_zone_hints')} | {
                'external_network_id': gateway.get('network_id'), 'enable_snat': gateway.get('enable_snat'),
                'external_fixed_ip': gateway.get('external_fixed_ips'), 'tags': sorted(r['tags'])}

    def update(self, changed, before):
        self.put(changed, {'name': 'name', 'description': 'description'})
        if 'tags' in changed:
            self.replace_tags()


class RouterInterface(NetworkingResource):
    """Its id is that of its port."""
    collection, one = 'ports', 'port'

    def router(self, what):
        path = f'/routers/{self.asked["router_id"]}/{what}_router_interface'
        return self.ask('PUT', path, {'subnet_id': self.asked['subnet_id']}, taken=(404, 409))

    def create(self):
        added = self.router('add')
        if added.status != 200:
            raise SystemExit(f'{self.label}: {added.status} {added.text}')
        self.id = added['port_id']
        wait(self.label, self.status, ['ACTIVE', 'DOWN'], ['BUILD', 'PENDING_CREATE', 'PENDING_UPDATE'])

    def read(self):
        p = self.show()
        assert len(p['fixed_ips']) == 1, p
        return {'router_id': p['device_id'], 'port_id': p['id'], 'subnet_id': p['fixed_ips'][0]['subnet_id']}

    def try_to_delete(self):
        removed = self.router('remove')
        if removed.status == 404:
            return 'DELETED'
        if removed.status == 409:
            return 'ACTIVE'
        return 'DELETED' if self.ask('GET', self.path(), taken=(404,)).status == 404 else 'ACTIVE'

    persistent = True


class SecurityGroup(NetworkingResource):
    collection, one, persistent = 'security-groups', 'security_group', True

    def create(self):
        self.post([], name=self.get('name'), description=self.get('description'))
        if self.get('delete_default_rules'):
            for rule in self.show()['security_group_rules']:
                self.ask('DELETE', f'/security-group-rules/{rule["id"]}')

    def read(self):
        g = self.show()
        names = ('name', 'description', 'tenant_id', 'stateful')
        return {name: g[name] for name in names} | {'tags': sorted(g['tags'])}

    def update(self, changed, before):
        self.put(changed, {'name': 'name', 'description': 'description'})


class Rule(NetworkingResource):
    collection, one = 'security-group-rules', 'security_group_rule'

    def create(self):
        self.post([], **self.asked)

    def read(self):
        rule = self.show()
        return {name: rule[name] for name in (
            'description', 'direction', 'ethertype', 'protocol', 'port_range_min', 'port_range_max', 'remote_group_id',
            'remote_ip_prefix', 'remote_address_group_id', 'security_group_id', 'tenant_id')}


class Port(NetworkingResource):
    collection, one = 'ports', 'port'
    sets = ('tags', 'allowed_address_pairs')

    def create(self):
        self.post(['ACTIVE', 'DOWN'], name=self.get('name'), network_id=self.get('network_id'),
                  fixed_ips=self.get('fixed_ip'), security_groups=self.get('security_group_ids'),
                  allowed_address_pairs=self.get('allowed_address_pairs'))

    def read(self):
        p = self.show()
        pairs = [{'ip_address': pair['ip_address']} | (
            {} if pair['mac_address'] == p['mac_address'] else {'mac_address': pair['mac_address']})
            for pair in p['allowed_address_pairs']]
        return {name: p[name] for name in (
            'name', 'description', 'admin_state_up', 'network_id', 'mac_address', 'tenant_id', 'device_owner',
            'device_id', 'extra_dhcp_opts', 'port_security_enabled', 'dns_name', 'dns_assignment',
            'qos_policy_id')} | {
                'all_fixed_ips': [ip['ip_address'] for ip in p['fixed_ips']],
                'all_security_group_ids': sorted(p['security_groups']), 'allowed_address_pairs': pairs,
                'vnic_type': p['binding:vnic_type'], 'tags': sorted(p['tags'])}

    def update(self, changed, before):
        self.put(changed, {'allowed_address_pairs': 'allowed_address_pairs', 'security_group_ids': 'security_groups',
                           'name': 'name', 'description': 'description', 'fixed_ip': 'fixed_ips'})
        if 'tags' in changed:
            self.replace_tags()


class FloatingIP(NetworkingResource):
    collection, one = 'floatingips', 'floatingip'
    pending_deletion = ('ACTIVE', 'DOWN')

    def create(self):
        pools = self.ask('GET', '/networks', params={'name': self.asked['pool']})['networks']
        self.post(['ACTIVE', 'DOWN'], floating_network_id=pools[0]['id'], description=self.get('description'))

    def read(self):
        f = self.show()
        pools = self.ask('GET', '/networks', params={'id': f['floating_network_id']})['networks']
        return {name: f[name] for name in ('description', 'port_id', 'tenant_id', 'dns_name', 'dns_domain')} | {
            'address': f['floating_ip_address'], 'fixed_ip': f['fixed_ip_address'], 'pool': pools[0]['name'],
            'tags': sorted(f['tags'])}

    def update(self, changed, before):
        self.put(changed, {'description': 'description'})


class FloatingIPAssociation(NetworkingResource):
    collection, one = 'floatingips', 'floatingip'

    def create(self):
        query = {'floating_ip_address': self.asked['floating_ip']}
        found = self.ask('GET', '/floatingips', params=query)['floatingips']
        assert len(found) == 1, found
        self.id = found[0]['id']
        self.ask('PUT', self.path(), {'floatingip': given(
            port_id=self.asked['port_id'], fixed_ip_address=self.get('fixed_ip'))})

    def read(self):
        f = self.show()
        return {'floating_ip': f['floating_ip_address'], 'port_id': f['port_id'], 'fixed_ip': f['fixed_ip_address']}

    def delete(self):
        self.ask('PUT', self.path(), {'floatingip': {'port_id': None}})
