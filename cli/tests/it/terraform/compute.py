"""What the provider has of Compute and of Image: `resource_openstack_compute_..._v2.go`, `..._images_image_v2.go`."""

import base64
import hashlib

from provider import Resource, given, wait


class Keypair(Resource):
    service = 'compute'

    def create(self):
        self.id = self.ask('POST', '/os-keypairs', {'keypair': self.asked})['keypair']['name']

    def read(self):
        pair = self.ask('GET', f'/os-keypairs/{self.id}')['keypair']
        return {name: pair[name] for name in ('name', 'public_key', 'fingerprint')}

    def delete(self):
        self.ask('DELETE', f'/os-keypairs/{self.id}')


class Image(Resource):
    service = 'image'
    attributes = (
        'owner', 'status', 'file', 'schema', 'checksum', 'size', 'container_format', 'disk_format', 'min_disk',
        'min_ram', 'name', 'protected', 'os_hidden', 'visibility')
    # What else is no property of the user's.
    read_only = (
        'id', 'tags', 'self', 'created_at', 'updated_at', 'virtual_size', 'os_hash_algo', 'os_hash_value', 'stores')

    def create(self):
        asked = dict(self.asked)
        data, properties = asked.pop('data'), asked.pop('properties')
        self.id = self.ask('POST', '/images', given(**asked) | properties | {
            'protected': False, 'visibility': 'private'})['id']
        self.ask('PUT', f'/images/{self.id}/file', data=data, headers={'Content-Type': 'application/octet-stream'})
        wait(self.label, lambda: self.show()['status'], ['active'], ['queued', 'saving', 'importing'])
        assert self.show()['checksum'] == hashlib.md5(data).hexdigest()

    def show(self):
        return self.ask('GET', f'/images/{self.id}').body

    def read(self):
        i = self.show()
        properties = {name: value for name, value in i.items() if name not in self.attributes + self.read_only}
        return {name: i[name] for name in self.attributes} | {'tags': sorted(i['tags']), 'properties': properties}

    def update(self, changed, before):
        patch = [{'op': 'replace', 'path': f'/{name}', 'value': self.asked[name]}
                 for name in ('min_disk', 'min_ram', 'name', 'tags') if name in changed]
        old, new = before['properties'], self.asked['properties']
        for name, value in new.items():
            if old.get(name) != value:
                patch.append({'op': 'replace' if name in old else 'add', 'path': f'/{name}', 'value': value})
        patch += [{'op': 'remove', 'path': f'/{name}'} for name in old if name not in new]
        self.ask('PATCH', f'/images/{self.id}', patch,
                 headers={'Content-Type': 'application/openstack-images-v2.1-json-patch'})

    def delete(self):
        self.ask('DELETE', f'/images/{self.id}')


class Instance(Resource):
    service = 'compute'
    sets = ('tags', 'security_groups')

    def network(self, entry):
        """A block `network` of the text, with the id and the name of its network."""
        if entry.get('port'):
            ports = self.provider.ask('network', 'GET', '/ports', params={'id': entry['port']})['ports']
            assert len(ports) == 1, ports
            query = {'id': ports[0]['network_id']}
        elif entry.get('uuid'):
            query = {'id': entry['uuid']}
        else:
            query = {'name': entry['name']}
        found = self.provider.ask('network', 'GET', '/networks', params=query | {'status': 'ACTIVE'})['networks']
        assert len(found) == 1, found
        return {'uuid': found[0]['id'], 'name': found[0]['name'], 'port': entry.get('port', '')}

    def create(self):
        flavors = self.ask('GET', '/flavors/detail')['flavors']
        flavor = next(flavor['id'] for flavor in flavors if flavor['name'] == self.asked['flavor_name'])
        networks = [self.network(entry) for entry in self.asked['network']]
        server = given(
            name=self.get('name'), imageRef=self.get('image_id'), flavorRef=flavor, key_name=self.get('key_pair'),
            security_groups=[{'name': name} for name in self.asked['security_groups']], metadata=self.get('metadata'),
            # A port is named together with its network.
            networks=[given(uuid=one['uuid'], port=one['port']) for one in networks], tags=self.get('tags'))
        # Sent even if they are empty.
        server |= {'config_drive': False, 'user_data': base64.b64encode(self.get('user_data') or b'').decode()}
        microversion = '2.52' if self.get('tags') else None
        self.id = self.ask('POST', '/servers', {'server': server}, microversion=microversion)['server']['id']
        wait(self.label, lambda: self.status(microversion), ['ACTIVE'], ['BUILD'])

    def status(self, microversion=None):
        answer = self.ask('GET', f'/servers/{self.id}', microversion=microversion, taken=(404,))
        return 'DELETED' if answer.status == 404 else answer['server']['status']

    def interfaces(self, addresses):
        """By the name of a network: the interfaces, told apart by their MAC addresses."""
        interfaces = {}
        for name, entries in addresses.items():
            by_mac = interfaces.setdefault(name, {})
            for entry in entries:
                one = by_mac.setdefault(entry['OS-EXT-IPS-MAC:mac_addr'], {'mac': entry['OS-EXT-IPS-MAC:mac_addr']})
                if entry['OS-EXT-IPS:type'] == 'fixed':
                    one[f'fixed_ip_v{entry["version"]}'] = entry['addr']
        return {name: list(by_mac.values()) for name, by_mac in interfaces.items()}

    def read(self):
        s = self.ask('GET', f'/servers/{self.id}')['server']
        left = self.interfaces(s['addresses'])
        networks = []
        for entry in self.asked['network']:
            network = self.network(entry)
            # The next one on that network, as several blocks may name it.
            networks.append(network | left[network['name']].pop(0))
        flavor = self.ask('GET', f'/flavors/{s["flavor"]["id"]}')['flavor']
        image = self.provider.ask('image', 'GET', f'/images/{s["image"]["id"]}')
        return {
            'name': s['name'], 'interfaces': networks, 'access_ip_v4': networks[0]['fixed_ip_v4'],
            'metadata': s['metadata'], 'security_groups': sorted({group['name'] for group in s['security_groups']}),
            'key_pair': s['key_name'], 'flavor_id': flavor['id'], 'flavor_name': flavor['name'],
            'image_id': s['image']['id'], 'image_name': image['name'], 'power_state': s['status'].lower(),
            'availability_zone': s['OS-EXT-AZ:availability_zone'], 'created': s['created'],
            'tags': sorted(self.ask('GET', f'/servers/{self.id}/tags', microversion='2.26')['tags'])}

    def act(self, action, taken=()):
        self.ask('POST', f'/servers/{self.id}/action', action, taken=taken)

    def update(self, changed, before):
        if 'name' in changed:
            self.ask('PUT', f'/servers/{self.id}', {'server': {'name': self.asked['name']}})
        if 'power_state' in changed:
            self.act({'os-start' if self.asked['power_state'] == 'active' else 'os-stop': None})
            wait(self.label, self.status, [self.asked['power_state'].upper()])
        if 'metadata' in changed:
            for key in set(before['metadata']) - set(self.asked['metadata']):
                self.ask('DELETE', f'/servers/{self.id}/metadata/{key}', taken=(404,))
            self.ask('POST', f'/servers/{self.id}/metadata', {'metadata': self.asked['metadata']})
        if 'security_groups' in changed:
            old, new = set(before['security_groups']), set(self.asked['security_groups'])
            for name in sorted(old - new):
                self.act({'removeSecurityGroup': {'name': name}}, taken=(404,))
            for name in sorted(new - old):
                self.act({'addSecurityGroup': {'name': name}})
        if 'tags' in changed:
            self.ask('PUT', f'/servers/{self.id}/tags', {'tags': self.asked['tags']}, microversion='2.26')

    def delete(self):
        self.ask('DELETE', f'/servers/{self.id}')
        wait(self.label, self.status, ['DELETED', 'SOFT_DELETED'], ['ACTIVE', 'SHUTOFF'])


class InterfaceAttachment(Resource):
    service = 'compute'

    def path(self):
        return f'/servers/{self.asked["instance_id"]}/os-interface/{self.id}'

    def look(self):
        return self.ask('GET', self.path(), taken=(404,))

    def create(self):
        path = f'/servers/{self.asked["instance_id"]}/os-interface'
        attached = self.ask('POST', path, {'interfaceAttachment': given(
            port_id=self.get('port_id'), net_id=self.get('network_id'))})
        self.id = attached['interfaceAttachment']['port_id']
        wait(self.label, lambda: 'ATTACHING' if self.look().status == 404 else 'ATTACHED', ['ATTACHED'], ['ATTACHING'])

    def read(self):
        attachment = self.ask('GET', self.path())['interfaceAttachment']
        return {'port_id': attachment['port_id'], 'network_id': attachment['net_id'],
                'fixed_ip': attachment['fixed_ips'][0]['ip_address']}

    def delete(self):
        wait(self.label, self.try_to_detach, ['DETACHED'])

    def try_to_detach(self):
        if self.look().status == 404:
            return 'DETACHED'
        return 'DETACHED' if self.ask('DELETE', self.path(), taken=(400, 404)).status == 404 else ''
