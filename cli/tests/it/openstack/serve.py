"""Serves the real Keystone, Glance or Neutron on SQLite, under waitress, one request at a time.

    python serve.py keystone FOLDER PORT PASSWORD
    python serve.py glance FOLDER PORT PASSWORD IDENTITY_URL
    python serve.py neutron FOLDER PORT PASSWORD IDENTITY_URL
"""
import datetime
import glob
import json
import os
import runpy
import subprocess
import sys

SERVICE, FOLDER, PORT, PASSWORD = sys.argv[1:5]
ENVIRONMENT = os.path.dirname(os.path.dirname(sys.executable))
URL = f'http://127.0.0.1:{PORT}'


def write(path, sections):
    with open(path, 'w') as file:
        for name, options in sections.items():
            file.write(f'[{name}]\n' + ''.join(f'{key} = {value}\n' for key, value in options.items()) + '\n')


def run(program, *arguments):
    subprocess.run([f'{ENVIRONMENT}/bin/{program}', '--config-file', CONFIGURATION, *arguments], check=True)


def keystone():
    keys = {name: f'{FOLDER}/{name}' for name in ('fernet', 'credential')}
    write(CONFIGURATION, {
        'DEFAULT': {'log_file': f'{FOLDER}/keystone.log'},
        'database': {'connection': f'sqlite:///{FOLDER}/keystone.db'},
        'identity': {'password_hash_rounds': '4'},
        'fernet_tokens': {'key_repository': keys['fernet']},
        'fernet_receipts': {'key_repository': keys['fernet']},
        'credential': {'key_repository': keys['credential']},
        # What is revoked is revoked at once.
        'cache': {'enabled': 'false'},
    })
    owner = ['--keystone-user', str(os.getuid()), '--keystone-group', str(os.getgid())]
    run('keystone-manage', 'db_sync')
    run('keystone-manage', 'fernet_setup', *owner)
    run('keystone-manage', 'credential_setup', *owner)
    run('keystone-manage', 'bootstrap', '--bootstrap-password', PASSWORD, '--bootstrap-region-id', 'RegionOne',
        *(f'--bootstrap-{interface}-url={URL}/v3' for interface in ('public', 'internal', 'admin')))
    sys.argv = ['keystone']
    from keystone.wsgi import api
    return api.application


def identity(service):
    url = sys.argv[5]
    return {
        'www_authenticate_uri': url, 'auth_url': url, 'auth_type': 'password', 'username': service, 'password': PASSWORD,
        'project_name': 'service', 'user_domain_id': 'default', 'project_domain_id': 'default',
        'service_token_roles_required': 'true', 'token_cache_time': '-1'}


def glance():
    stores = {name: f'{FOLDER}/{name}' for name in ('file', 'os_glance_staging_store', 'os_glance_tasks_store')}
    for folder in stores.values():
        os.makedirs(folder)
    write(CONFIGURATION, {
        'DEFAULT': {'log_file': f'{FOLDER}/glance.log', 'enabled_backends': 'file:file'},
        'database': {'connection': f'sqlite:///{FOLDER}/glance.db'},
        'glance_store': {'default_backend': 'file'},
        **{name: {'filesystem_store_datadir': folder} for name, folder in stores.items()},
        'keystone_authtoken': identity('glance'),
        'paste_deploy': {'flavor': 'keystone', 'config_file': f'{ENVIRONMENT}/etc/glance/glance-api-paste.ini'},
    })
    run('glance-manage', 'db', 'sync')
    sys.argv = ['glance']
    from glance.common import wsgi_app
    return wsgi_app.init_app()


def neutron():
    write(CONFIGURATION, {
        'DEFAULT': {
            'log_file': f'{FOLDER}/neutron.log', 'state_path': FOLDER, 'core_plugin': 'ml2',
            'service_plugins': 'router,trunk,qos,metering,auto_allocate,network_ip_availability,port_forwarding,'
                               'segments,timestamp,revisions,tag', 'transport_url': 'fake://',
            'dns_domain': 'example.org.', 'api_paste_config': f'{ENVIRONMENT}/etc/neutron/api-paste.ini',
            'rpc_response_timeout': '3', 'notify_nova_on_port_status_changes': 'false',
            'notify_nova_on_port_data_changes': 'false'},
        'database': {'connection': f'sqlite:///{FOLDER}/neutron.db?timeout=60'},
        'oslo_concurrency': {'lock_path': f'{FOLDER}/lock'},
        'keystone_authtoken': identity('neutron'),
        'ml2': {'type_drivers': 'flat,vxlan', 'project_network_types': 'vxlan', 'mechanism_drivers': 'openvswitch',
                'extension_drivers': 'port_security,qos,dns'},
        'ml2_type_vxlan': {'vni_ranges': '1:1000'},
    })
    # In a process of its own: what makes the tables must not be what serves.
    subprocess.run([sys.executable, __file__, 'neutron-tables', *sys.argv[2:]], check=True)
    queue_writers()
    sys.argv = ['neutron', '--config-file', CONFIGURATION]
    from neutron.wsgi import api
    return api.application


def neutron_tables():
    """Neutron's migrations do not run on SQLite: its tables come from its models. Agents that are always alive bind ports."""
    import sqlalchemy
    from neutron.db.migration.models import head
    engine = sqlalchemy.create_engine(f'sqlite:///{FOLDER}/neutron.db')
    tables = head.get_metadata()
    tables.create_all(engine)
    versions = os.path.dirname(os.path.dirname(head.__file__)) + '/alembic_migrations/versions'
    rules, = glob.glob(versions + '/*/expand/*_security_group_default_rules.py')
    now, never = datetime.datetime(2026, 1, 1), datetime.datetime(2099, 1, 1)
    with engine.begin() as connection:
        attributes, templates = tables.tables['standardattributes'], tables.tables['securitygroupdefaultrules']
        for rule in runpy.run_path(rules)['default_template_rules']:
            rule = dict(rule)
            made = connection.execute(attributes.insert().values(
                resource_type='securitygroupdefaultrules', description=rule.pop('description')))
            connection.execute(templates.insert().values(standard_attr_id=made.inserted_primary_key[0], **rule))
        for number in (1, 2, 3):
            connection.execute(tables.tables['agents'].insert().values(
                id=f'00000000-0000-4000-8000-00000000000{number}', agent_type='Open vSwitch agent',
                binary='neutron-openvswitch-agent', topic='N/A', host=f'host-{number}', admin_state_up=True,
                created_at=now, started_at=now, heartbeat_timestamp=never, load=0, resource_versions='{}',
                configurations=json.dumps({
                    'bridge_mappings': {}, 'tunnel_types': ['vxlan'], 'tunneling_ip': f'127.0.0.{number}',
                    'integration_bridge': 'br-int', 'datapath_type': 'system', 'devices': 0,
                    'ovs_capabilities': {'datapath_types': ['system'], 'iface_types': []}})))


def queue_writers():
    """SQLite refuses a reader that turns writer after another wrote: so let a transaction be a writer's from its beginning."""
    import threading
    from sqlalchemy import engine, event
    mine = threading.local()

    @event.listens_for(engine.Engine, 'connect')
    def connected(connection, _):
        connection.execute('PRAGMA journal_mode = WAL')
        connection.execute('PRAGMA foreign_keys = ON')

    @event.listens_for(engine.Engine, 'begin')
    def begun(connection):
        # With this mark oslo.db begins nothing itself.
        if 'in_transaction' not in connection.info:
            depth = getattr(mine, 'depth', 0)
            connection.exec_driver_sql('BEGIN' if depth else 'BEGIN IMMEDIATE')
            connection.info['in_transaction'], mine.depth = True, depth + 1

    @event.listens_for(engine.Engine, 'commit')
    @event.listens_for(engine.Engine, 'rollback')
    def ended(connection):
        if connection.info.pop('in_transaction', None):
            mine.depth = max(0, getattr(mine, 'depth', 0) - 1)


CONFIGURATION = f'{FOLDER}/{SERVICE}-api.conf' if SERVICE == 'glance' else f'{FOLDER}/{SERVICE}.conf'
os.environ[f'OS_{SERVICE.upper()}_CONFIG_DIR'] = FOLDER
if SERVICE == 'neutron-tables':
    sys.exit(neutron_tables())
application = {'keystone': keystone, 'glance': glance, 'neutron': neutron}[SERVICE]()

import waitress  # noqa: E402

waitress.serve(application, host='127.0.0.1', port=int(PORT), threads=1)
