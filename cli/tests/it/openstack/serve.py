"""Serves the real Keystone or the real Glance on SQLite, under waitress, one request at a time.

    python serve.py keystone FOLDER PORT PASSWORD
    python serve.py glance FOLDER PORT PASSWORD IDENTITY_URL
"""
import os
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


def glance():
    identity = sys.argv[5]
    stores = {name: f'{FOLDER}/{name}' for name in ('file', 'os_glance_staging_store', 'os_glance_tasks_store')}
    for folder in stores.values():
        os.makedirs(folder)
    write(CONFIGURATION, {
        'DEFAULT': {'log_file': f'{FOLDER}/glance.log', 'enabled_backends': 'file:file'},
        'database': {'connection': f'sqlite:///{FOLDER}/glance.db'},
        'glance_store': {'default_backend': 'file'},
        **{name: {'filesystem_store_datadir': folder} for name, folder in stores.items()},
        'keystone_authtoken': {
            'www_authenticate_uri': identity, 'auth_url': identity, 'auth_type': 'password', 'username': 'glance',
            'password': PASSWORD, 'project_name': 'service', 'user_domain_id': 'default',
            'project_domain_id': 'default', 'service_token_roles_required': 'true', 'token_cache_time': '-1'},
        'paste_deploy': {'flavor': 'keystone', 'config_file': f'{ENVIRONMENT}/etc/glance/glance-api-paste.ini'},
    })
    run('glance-manage', 'db', 'sync')
    sys.argv = ['glance']
    from glance.common import wsgi_app
    return wsgi_app.init_app()


CONFIGURATION = f'{FOLDER}/{SERVICE}-api.conf' if SERVICE == 'glance' else f'{FOLDER}/{SERVICE}.conf'
os.environ[f'OS_{SERVICE.upper()}_CONFIG_DIR'] = FOLDER
application = {'keystone': keystone, 'glance': glance}[SERVICE]()

import waitress  # noqa: E402

waitress.serve(application, host='127.0.0.1', port=int(PORT), threads=1)
