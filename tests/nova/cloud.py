"""A cloud as the sweep asks it, and the things in it that paths and bodies name."""
import http.client
import json
import time
import urllib.parse
import uuid

from rules import Exchange

# The host that is disabled, forced down, put into zones.
HOST = 'host-3'
NOTHING = str(uuid.UUID(int=13))


class Client:
    def __init__(self, url, password):
        self.address = urllib.parse.urlsplit(url).netloc
        self.connection = http.client.HTTPConnection(self.address, timeout=120)
        domain = {'id': 'default'}
        user = {'name': 'admin', 'domain': domain, 'password': password}
        self.token = None
        status, headers, body = self.send('POST', '/identity/v3/auth/tokens', {'auth': {
            'identity': {'methods': ['password'], 'password': {'user': user}},
            'scope': {'project': {'name': 'admin', 'domain': domain}}}}, {})
        assert status == 201, body
        self.token = headers['x-subject-token']
        self.project, self.user = body['token']['project']['id'], body['token']['user']['id']

    def send(self, method, path, body, headers):
        headers = dict(headers)
        if self.token:
            headers['X-Auth-Token'] = self.token
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers['Content-Type'] = 'application/json'
        self.connection.request(method, path, data, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        kind = answer.getheader('Content-Type') or ''
        parsed = json.loads(text) if text and 'json' in kind else text.decode(errors='replace') if text else None
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, parsed

    def ask(self, method, path, at, query=None, body=None):
        """One request to Compute, as an Exchange; the path as it comes after /compute/v2.1."""
        text = urllib.parse.urlencode([(name, value) for name, values in (query or {}).items() for value in values])
        url = '/compute/v2.1' + urllib.parse.quote(path, safe="/:~") + (f'?{text}' if text else '')
        asked = '%d.%d' % at
        status, headers, answer = self.send(method, url, body, {'OpenStack-API-Version': f'compute {asked}'})
        return Exchange(method, path, query or {}, asked, body, status, answer, headers)

    def wait_for(self, what, holds):
        begun = time.monotonic()
        while True:
            found = holds()
            if found:
                return found
            assert time.monotonic() - begun < 90, f'waited too long for {what}'
            time.sleep(0.02)


# What has to be done before an action: bodies; what stands for an empty text is the id of a project.
FIRST = {
    'os-start': [{'os-stop': None}], 'unpause': [{'pause': None}], 'resume': [{'suspend': None}],
    'confirmResize': [{'migrate': None}], 'revertResize': [{'migrate': None}],
    'removeTenantAccess': [{'addTenantAccess': {'tenant': ''}}], 'remove_host': [{'add_host': {'host': HOST}}],
}


class Things:
    """What one worker asks about: its own server, flavor, key pair and so on, made again when they are gone."""

    def __init__(self, client, worker):
        self.client, self.worker, self.count = client, worker, 0
        _, _, images = client.send('GET', '/image/v2/images?name=cirros', None, {})
        self.image = images['images'][0]['id']
        status, _, made = client.send('POST', '/identity/v3/projects', {'project': {'name': f'sweep-{worker}'}}, {})
        assert status == 201, made
        self.project = made['project']['id']
        self.server = self.flavor = self.keypair = self.group = self.aggregate = self.migration = None
        services = client.ask('GET', '/os-services', (2, 53), {'binary': ['nova-compute']}).answer['services']
        self.service = next(one['id'] for one in services if one['host'] == HOST)
        hypervisors = client.ask('GET', '/os-hypervisors', (2, 53)).answer['hypervisors']
        self.hypervisor = next(one['id'] for one in hypervisors if one['hypervisor_hostname'] == HOST)
        hypervisors = client.ask('GET', '/os-hypervisors', (2, 1)).answer['hypervisors']
        self.hypervisor_number = next(one['id'] for one in hypervisors if one['hypervisor_hostname'] == HOST)

    def name(self):
        self.count += 1
        return f'w{self.worker}-{self.count}'

    def make(self, path, key, body, at=(2, 90)):
        made = self.client.ask('POST', path, at, body={key: body})
        assert made.status < 300, made
        return made.answer[key]

    def renew(self, operation):
        """Sees to it that what an operation is about is there, at rest, and as the operation needs it."""
        path = operation.path
        if path.startswith(('/servers/', '/os-volumes_boot/')):
            self.renew_server(path)
        elif path.startswith('/flavors/') and not self.there('/flavors', self.flavor):
            self.flavor = self.make('/flavors', 'flavor', {
                'name': self.name(), 'ram': 64, 'vcpus': 1, 'disk': 1, 'os-flavor-access:is_public': False})['id']
            self.client.ask('POST', f'/flavors/{self.flavor}/os-extra_specs', (2, 1), body={'extra_specs': {'key': 'v'}})
        elif path.startswith('/os-keypairs/') and not self.there('/os-keypairs', self.keypair):
            self.keypair = self.make('/os-keypairs', 'keypair', {'name': self.name()}, (2, 1))['name']
        elif path.startswith('/os-server-groups/') and not self.there('/os-server-groups', self.group):
            self.group = self.make('/os-server-groups', 'server_group', {'name': self.name(), 'policy': 'affinity'})['id']
        elif path.startswith('/os-aggregates/') and not self.there('/os-aggregates', self.aggregate):
            self.aggregate = self.make('/os-aggregates', 'aggregate', {'name': self.name()})['id']
        for body in FIRST.get(operation.action, []):
            self.client.ask('POST', self.fill(operation, (2, 1)), (2, 1), body={
                key: {name: value or self.project for name, value in given.items()} if given else None
                for key, given in body.items()})
            if path.startswith('/servers/'):
                self.settle()

    def there(self, path, id):
        return id is not None and self.client.ask('GET', f'{path}/{id}', (2, 90)).status == 200

    def renew_server(self, path):
        shown = self.server and self.settle()
        if not shown or shown['status'] != 'ACTIVE' or shown['locked']:
            if self.server:
                self.client.ask('POST', f'/servers/{self.server}/action', (2, 1), body={'unlock': None})
                self.client.ask('DELETE', f'/servers/{self.server}', (2, 1))
            self.server = self.make('/servers', 'server', {
                'name': self.name(), 'flavorRef': '1', 'imageRef': self.image, 'networks': 'none',
                'metadata': {'key': 'value'}, 'tags': ['tag']})['id']
            self.settle()
            self.migration = None
        if '/metadata/' in path:
            self.client.ask('PUT', f'/servers/{self.server}/metadata/key', (2, 1), body={'meta': {'key': 'value'}})
        if '/tags/' in path:
            self.client.ask('PUT', f'/servers/{self.server}/tags/tag', (2, 26))
        if '/migrations' in path and self.migration is None:
            body = {'os-migrateLive': {'host': None, 'block_migration': 'auto'}}
            self.client.ask('POST', f'/servers/{self.server}/action', (2, 30), body=body)
            self.migration = self.client.ask('GET', '/os-migrations', (2, 90), {
                'instance_uuid': [self.server]}).answer['migrations'][0]['id']

    def settle(self):
        def settled():
            shown = self.client.ask('GET', f'/servers/{self.server}', (2, 90))
            if shown.status == 404:
                return {'status': 'DELETED', 'locked': False}
            server = shown.answer['server']
            return server['OS-EXT-STS:task_state'] is None and server['status'] != 'BUILD' and server
        return self.client.wait_for('a server to settle', settled)

    def request(self):
        return self.client.ask('GET', f'/servers/{self.server}/os-instance-actions', (2, 1)).answer[
            'instanceActions'][0]['request_id']

    def fill(self, operation, at):
        """The path with what is there."""
        path = operation.path
        ids = {
            '/os-volumes_boot/{id}': lambda: self.server, '/servers/{id}': lambda: self.server, '/servers/{server_id}': lambda: self.server,
            '/flavors/{id}': lambda: self.flavor, '/flavors/{flavor_id}': lambda: self.flavor,
            '/os-keypairs/{id}': lambda: self.keypair, '/os-server-groups/{id}': lambda: self.group,
            '/os-aggregates/{id}': lambda: self.aggregate, '/os-hosts/{id}': lambda: HOST,
            '/os-quota-sets/{id}': lambda: self.project, '/os-quota-class-sets/{id}': lambda: 'sweep',
            '/os-simple-tenant-usage/{id}': lambda: self.client.project,
            '/os-instance_usage_audit_log/{id}': lambda: '2026-01-31 00:00:00',
            '/versions/{id}': lambda: 'v2.1', '/extensions/{id}': lambda: 'os-keypairs',
            '/os-hypervisors/{id}': lambda: HOST if operation.path.endswith(('search', 'servers')) else
            self.hypervisor if at >= (2, 53) else self.hypervisor_number,
            '/os-services/{id}': lambda: self.service if at >= (2, 53) else
            'enable' if operation.method == 'PUT' else NOTHING,
        }
        for start, fill in ids.items():
            if path == start or path.startswith(start + '/'):
                path = start[:start.index('{')] + str(fill()) + path[len(start):]
                break
        parts = {'/os-extra_specs/{id}': 'key', '/metadata/{id}': 'key', '/tags/{id}': 'tag',
                 '/os-instance-actions/{id}': self.request, '/migrations/{id}': lambda: self.migration}
        for part, value in parts.items():
            if part in path:
                path = path.replace(part, part[:part.index('{')] + str(value() if callable(value) else value))
        while '{' in path:
            path = path[:path.index('{')] + NOTHING + path[path.index('}') + 1:]
        return path

    def tidy(self, operation, exchange, path):
        """Takes away what a request has made, and gives back what it has taken."""
        if exchange.status >= 300:
            return
        route = f'{operation.method} {operation.path}'
        made = exchange.answer if isinstance(exchange.answer, dict) else {}
        first = next(iter(made.values()), None)
        id = first.get('id', first.get('name')) if isinstance(first, dict) else None
        if route in ('POST /servers', 'POST /os-volumes_boot'):
            query = {'reservation_id': [made['reservation_id']]} if 'reservation_id' in made else None
            ids = [id] if id else [one['id'] for one in self.client.ask('GET', '/servers', (2, 1), query).answer['servers']]
            for id in ids:
                if id != self.server:
                    self.client.ask('DELETE', f'/servers/{id}', (2, 1))
        elif route in ('POST /flavors', 'POST /os-aggregates', 'POST /os-server-groups'):
            self.client.ask('DELETE', f'{operation.path}/{id}', (2, 1))
        elif route == 'POST /os-keypairs':
            self.client.ask('DELETE', f'/os-keypairs/{first["name"]}', (2, 10), {'user_id': [first['user_id']]})
        elif operation.path.startswith(('/os-services', '/os-hosts')):
            self.client.ask('PUT', f'/os-services/{self.service}', (2, 53), body={'status': 'enabled', 'forced_down': False})
        elif operation.path.startswith('/os-aggregates/') and operation.action == 'add_host':
            self.client.ask('POST', f'{path}', (2, 1), body={'remove_host': {'host': HOST}})

    def known(self):
        """Values by the names of fields, tried before others."""
        return {
            'flavorRef': ['1'], 'imageRef': [self.image], 'image_id': [self.image], 'host': [HOST],
            'hypervisor_hostname': [HOST], 'availability_zone': ['nova'], 'binary': ['nova-compute'],
            'networks': ['none', 'auto', []], 'volumeId': [NOTHING], 'server_uuid': [self.server or NOTHING],
            'user_id': [self.client.user], 'project_id': [self.client.project], 'tenant_id': [self.client.project],
            'tenant': [self.project], 'block_device_mapping_v2': [[{
                'uuid': self.image, 'source_type': 'image', 'destination_type': 'local', 'boot_index': 0}]],
            'public_key': [KEY], 'key_name': [], 'adminPass': ['a password'], 'policy': ['affinity', 'soft-affinity'],
            'policies': [['affinity']], 'instance_uuid': [self.server or NOTHING], 'all_tenants': ['1'],
            'sort_key': ['created_at', 'uuid'], 'sort_dir': ['asc', 'desc'], 'marker': [self.server or NOTHING],
            'hypervisor_hostname_pattern': ['host'], 'status': ['ACTIVE'], 'state': ['active', 'error'],
        }


KEY = ('ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl a@example.org')
