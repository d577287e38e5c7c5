"""The real Nova with its fake driver, Placement, Keystone and Glance, on RabbitMQ, MariaDB and memcached."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import client
from machine import Process, clean_environment, cpu_seconds, free_port, listens, memory, stop_all, wait_for
from servers import PASSWORD, MariaDB, Memcached, RabbitMQ

HOSTS = 3
HERE = Path(__file__).resolve().parent
PORTS = ("amqp", "mysql", "memcached", "identity", "image", "network", "placement", "compute")
DATABASES = ("keystone", "glance", "placement", "nova_api", "nova_cell0", "nova")
# As many as cores, and so many threads in each, for Nova's API and Placement. The others have one process.
WORKERS, THREADS = 2, 4


class Nova:
    name = "nova"

    def __init__(self, folder):
        self.folder = Path(folder) / "nova"
        self.venv = Path(folder) / "venv"
        self.run = self.folder / "run"
        self.kept = self.folder / "kept"
        self.servers, self.others, self.services = [], [], []
        self.folder.mkdir(parents=True, exist_ok=True)
        ports = self.folder / "ports.json"
        if not ports.exists():
            # They stay: the catalog and the cell's row name them.
            ports.write_text(json.dumps({name: free_port() for name in PORTS}))
        self.ports = json.loads(ports.read_text())
        self.compute = f"{self.url('compute')}/v2.1"

    def url(self, service):
        return f"http://127.0.0.1:{self.ports[service]}"

    # --- Preparation: databases with their schema, users, the catalog, an image, a flavor, three hosts ---

    def prepare(self):
        """Makes all that stays, once; every start begins with a copy of it."""
        shutil.rmtree(self.run, ignore_errors=True)
        shutil.rmtree(self.kept, ignore_errors=True)
        (self.run / "log").mkdir(parents=True)
        self.configure()
        try:
            self.start_servers()
            self.create_databases()
            self.start_others()
            self.fill_identity()
            self.fill_image()
            self.start_services()
            self.wait_for_hosts(discover=True)
            self.fill_compute()
        finally:
            self.stop_services()
            # Nobody shall take the hosts for up before they have said so.
            if self.servers:
                self.mariadb.run("UPDATE nova.services SET last_seen_up = '2020-01-01', updated_at = '2020-01-01';")
            self.stop()
        for log in (self.run / "log").iterdir():
            log.unlink()
        self.run.rename(self.kept)

    def configure(self):
        for service in ("keystone", "glance", "placement", "nova"):
            (self.run / service).mkdir()
        for place in ("images", "staging", "tasks"):
            (self.run / "glance" / place).mkdir()
        memcached = f"127.0.0.1:{self.ports['memcached']}"
        database = {"max_pool_size": 20, "max_overflow": 20}

        def on(name):
            return {"connection": f"mysql+pymysql://beside:{PASSWORD}@127.0.0.1:{self.ports['mysql']}/{name}", **database}

        def sign_in(user):
            return {
                "auth_type": "password", "auth_url": self.url("identity") + "/v3", "username": user, "password": PASSWORD,
                "project_name": "service", "user_domain_id": "default", "project_domain_id": "default",
                "region_name": "RegionOne",
            }  # fmt: skip

        def tokens(user):
            return {**sign_in(user), "memcached_servers": memcached, "service_token_roles_required": "true"}

        def log(name):
            return {"log_file": self.run / "log" / f"{name}.log", "debug": "false"}

        cache = {"enabled": "true", "backend": "dogpile.cache.pymemcache", "memcache_servers": memcached}
        keys = self.run / "keystone"
        write(keys / "keystone.conf", {
            "DEFAULT": log("keystone"), "database": on("keystone"), "cache": cache, "token": {"provider": "fernet"},
            "fernet_tokens": {"key_repository": keys / "fernet"}, "fernet_receipts": {"key_repository": keys / "fernet"},
            "credential": {"key_repository": keys / "credential"},
        })  # fmt: skip
        store = self.run / "glance"
        shutil.copy(self.venv / "etc/glance/glance-api-paste.ini", store)
        write(store / "glance-api.conf", {
            "DEFAULT": {**log("glance"), "enabled_backends": "file:file", "worker_self_reference_url": self.url("image")},
            "database": on("glance"), "keystone_authtoken": tokens("glance"), "glance_store": {"default_backend": "file"},
            "file": {"filesystem_store_datadir": store / "images"},
            "os_glance_staging_store": {"filesystem_store_datadir": store / "staging"},
            "os_glance_tasks_store": {"filesystem_store_datadir": store / "tasks"},
            "oslo_concurrency": {"lock_path": store / "lock"},
            "paste_deploy": {"flavor": "keystone", "config_file": store / "glance-api-paste.ini"},
        })  # fmt: skip
        write(self.run / "placement" / "placement.conf", {
            "DEFAULT": log("placement"), "placement_database": on("placement"), "keystone_authtoken": tokens("placement"),
            "api": {"auth_strategy": "keystone"}, "placement": {"randomize_allocation_candidates": "true"},
        })  # fmt: skip
        nova = self.run / "nova"
        shutil.copy(self.venv / "etc/nova/api-paste.ini", nova)
        write(nova / "nova.conf", {
            "DEFAULT": {
                "debug": "false", "my_ip": "127.0.0.1", "state_path": nova,
                "transport_url": f"rabbit://beside:{PASSWORD}@127.0.0.1:{self.ports['amqp']}/",
                "compute_driver": "fake.FakeDriverWithoutFakeNodes",
                "cpu_allocation_ratio": "16.0", "ram_allocation_ratio": "1.0",
                # Periodic work that a cloud without guests and networks does not need.
                "sync_power_state_interval": "-1", "heal_instance_info_cache_interval": "-1",
                "shelved_poll_interval": "-1",
            },
            "keystone_authtoken": tokens("nova"), "cache": cache,
            "placement": sign_in("placement"), "glance": {"region_name": "RegionOne"}, "service_user": sign_in("nova"),
            "neutron": {**sign_in("nova"), "endpoint_override": self.url("network")},
            "oslo_concurrency": {"lock_path": nova / "lock"}, "oslo_messaging_notifications": {"driver": "noop"},
            "conductor": {"workers": WORKERS}, "scheduler": {"workers": WORKERS},
            # Hosts that are alike take turns, so that schedulers do not claim on one at the same time.
            "filter_scheduler": {
                "track_instance_changes": "false", "host_subset_size": HOSTS, "shuffle_best_same_weighed_hosts": "true",
            },
            "quota": {"driver": "nova.quota.NoopQuotaDriver"}, "vnc": {"enabled": "false"},
            "image_cache": {"manager_interval": "-1"},
        })  # fmt: skip
        # Not for compute hosts, which have no database.
        write(nova / "databases.conf", {"api_database": on("nova_api"), "database": on("nova")})
        for service in ("api", "conductor", "scheduler"):
            write(nova / f"{service}.conf", {"DEFAULT": log(f"nova-{service}")})
        for number in range(1, HOSTS + 1):
            name = f"compute-{number}"
            (nova / name).mkdir()
            write(nova / f"{name}.conf", {"DEFAULT": {**log(f"nova-{name}"), "host": name, "state_path": nova / name}})

    def create_databases(self):
        statements = [f"CREATE USER {user} IDENTIFIED BY '{PASSWORD}';" for user in ("beside@'%'", "beside@localhost")]
        for name in DATABASES:
            statements.append(f"CREATE DATABASE {name}; GRANT ALL ON {name}.* TO beside@'%', beside@localhost;")
        self.mariadb.run("\n".join(statements))
        keystone = ["keystone-manage", "--config-file", self.run / "keystone/keystone.conf"]
        owner = ["--keystone-user", os.getuid(), "--keystone-group", os.getgid()]
        self.tool(*keystone, "db_sync")
        self.tool(*keystone, "fernet_setup", *owner)
        self.tool(*keystone, "credential_setup", *owner)
        identity = self.url("identity") + "/v3"
        self.tool(
            *keystone, "bootstrap", "--bootstrap-password", PASSWORD, "--bootstrap-region-id", "RegionOne",
            "--bootstrap-service-name", "keystone", "--bootstrap-public-url", identity,
            "--bootstrap-internal-url", identity, "--bootstrap-admin-url", identity,
        )  # fmt: skip
        self.tool("glance-manage", "--config-file", self.run / "glance/glance-api.conf", "db_sync")
        self.tool("placement-manage", "--config-file", self.run / "placement/placement.conf", "db", "sync")
        self.manage("api_db", "sync")
        self.manage("cell_v2", "map_cell0", "--database_connection", self.mariadb.url("nova_cell0"))
        self.manage("cell_v2", "create_cell", "--name", "cell1")
        self.manage("db", "sync")

    def manage(self, *words):
        nova = self.run / "nova"
        self.tool("nova-manage", "--config-file", nova / "nova.conf", "--config-file", nova / "databases.conf", *words)

    def tool(self, program, *words):
        with open(self.run / "setup.log", "a") as log:
            command = [str(self.venv / "bin" / program), *map(str, words)]
            print("$", *command, file=log, flush=True)
            environment = {**clean_environment(), "PYTHONWARNINGS": "ignore"}
            if subprocess.run(command, stdout=log, stderr=log, env=environment).returncode:
                raise SystemExit(f"{program} failed: see {self.run / 'setup.log'}")

    def fill_identity(self):
        admin = client.Client(self.url("identity") + "/v3", self.token())
        project = admin.json("POST", "/projects", {"project": {"name": "service", "domain_id": "default"}})["project"]["id"]
        roles = {role["name"]: role["id"] for role in admin.json("GET", "/roles")["roles"]}
        for name in ("nova", "glance", "placement"):
            user = {"name": name, "password": PASSWORD, "domain_id": "default"}
            user = admin.json("POST", "/users", {"user": user})["user"]["id"]
            for role in ("admin", "service"):
                admin.json("PUT", f"/projects/{project}/users/{user}/roles/{roles[role]}", expected=(204,))
        for kind, url in (
            ("image", self.url("image")), ("network", self.url("network")),
            ("placement", self.url("placement")), ("compute", self.compute),
        ):  # fmt: skip
            service = admin.json("POST", "/services", {"service": {"type": kind, "name": kind}})["service"]["id"]
            for interface in ("public", "internal", "admin"):
                endpoint = {"interface": interface, "region_id": "RegionOne", "url": url, "service_id": service}
                admin.json("POST", "/endpoints", {"endpoint": endpoint})

    def fill_image(self):
        images = client.Client(self.url("image"), self.token())
        image = {"name": "small", "disk_format": "raw", "container_format": "bare", "visibility": "public"}
        image = images.json("POST", "/v2/images", image)["id"]
        command = [
            "curl", "--fail", "--silent", "--request", "PUT", "--data-binary", "@/etc/hostname",
            "--header", f"X-Auth-Token: {images.token}", "--header", "Content-Type: application/octet-stream",
            f"{self.url('image')}/v2/images/{image}/file",
        ]  # fmt: skip
        subprocess.run(command, check=True)

    def fill_compute(self):
        flavor = {"name": "m1.tiny", "id": "1", "ram": 512, "vcpus": 1, "disk": 1}
        client.Client(self.compute, self.token()).json("POST", "/flavors", {"flavor": flavor})

    # --- Starting and stopping ---

    def start(self):
        """Everything but Nova and Placement, whose start is measured, from a copy of what was prepared."""
        if not self.kept.exists():
            raise SystemExit("nothing is prepared: run ./measure prepare")
        shutil.rmtree(self.run, ignore_errors=True)
        shutil.copytree(self.kept, self.run)
        self.start_servers()
        self.start_others()

    def start_servers(self):
        self.mariadb = MariaDB(self.run / "mariadb", self.ports["mysql"])
        self.servers = [
            self.mariadb,
            RabbitMQ(self.run / "rabbitmq", self.ports["amqp"]),
            Memcached(self.run, self.ports["memcached"]),
        ]
        for server in self.servers:
            server.wait()

    def start_others(self):
        """Keystone, Glance, and what stands for Neutron."""
        self.others = [
            self.wsgi("keystone", "keystone.wsgi.api:application", "identity"),
            self.wsgi("glance", "glance.wsgi.api:application", "image"),
            self.wsgi("neutron", "no_ports:application", "network", python_path=HERE),
        ]
        for service in ("identity", "image", "network"):
            wait_for(f"{service} answers", lambda service=service: self.answers(service), pause=0.1)

    def start_services(self):
        """Nova and Placement. All at once, but for the hosts: one that starts before a conductor listens waits for ten
        seconds, and then asks again."""
        nova = self.run / "nova"
        self.services = []
        for name in ("conductor", "scheduler"):
            self.daemon(name, nova / "nova.conf", nova / "databases.conf", nova / f"{name}.conf")
        self.services.append(self.wsgi("placement", "placement.wsgi.api:application", "placement"))
        self.services.append(self.wsgi("nova-api", "nova.wsgi.osapi_compute:application", "compute"))
        log = self.run / "log" / "nova-conductor.log"
        wait_for(
            "the conductors have started",
            lambda: log.exists() and log.read_text().count("Starting conductor node") == WORKERS,
        )
        for number in range(1, HOSTS + 1):
            self.daemon(f"compute-{number}", nova / "nova.conf", nova / f"compute-{number}.conf")

    def daemon(self, name, *files):
        command = [self.venv / "bin" / f"nova-{name.split('-')[0]}"]
        for file in files:
            command += ["--config-file", file]
        self.services.append(self.process(f"nova-{name}", command))

    def wsgi(self, name, module, service, python_path=None):
        command = [
            self.venv / "bin/uwsgi", "--master", "--die-on-term", "--lazy-apps", "--need-app", "--thunder-lock",
            "--processes", WORKERS, "--threads", THREADS, "--enable-threads", "--buffer-size", 65535,
            "--http-socket", f"127.0.0.1:{self.ports[service]}", "--add-header", "Connection: close",
            "--disable-logging", "--virtualenv", self.venv, "--module", module,
        ]  # fmt: skip
        if python_path:
            command += ["--pythonpath", python_path]
        return self.process(name, command)

    def process(self, name, command):
        run = self.run
        environment = {
            "PYTHONWARNINGS": "ignore",
            "OS_KEYSTONE_CONFIG_DIR": str(run / "keystone"),
            "OS_GLANCE_CONFIG_DIR": str(run / "glance"),
            "OS_PLACEMENT_CONFIG_DIR": str(run / "placement"),
            "OS_NOVA_CONFIG_DIR": str(run / "nova"),
            "OS_NOVA_CONFIG_FILES": "api-paste.ini;nova.conf;databases.conf;api.conf",
        }
        return Process(name, command, run / "log" / f"{name}.out", environment)

    def answers(self, service):
        if not listens(self.ports[service]):
            return False
        try:
            # 300: Keystone's and Glance's way to say which versions there are.
            return client.Client(self.url(service)).ask("GET", "/")[0] in (200, 300)
        except OSError:
            return False

    def wait_for_api(self):
        wait_for("Nova's API answers", lambda: self.answers("compute"))

    def wait_for_hosts(self, discover=False):
        wait_for("Nova's API answers", lambda: self.answers("compute"))
        wait_for("Placement answers", lambda: self.answers("placement"))
        ask = client.Client(self.compute, self.token())

        def up():
            services = ask.json("GET", "/os-services")["services"]
            kinds = [service["binary"] for service in services if service["state"] == "up"]
            return kinds.count("nova-compute") == HOSTS and {"nova-conductor", "nova-scheduler"} <= set(kinds)

        wait_for("all of Nova's services are up", up, pause=0.1)
        if discover:
            self.manage("cell_v2", "discover_hosts", "--verbose")
            wait_for(
                "all hosts are there",
                lambda: len(ask.json("GET", "/os-hypervisors")["hypervisors"]) == HOSTS or time.sleep(1),
            )

    def stop_services(self):
        stop_all(self.services)
        self.services = []

    def stop(self):
        self.stop_services()
        stop_all(self.others)
        for server in self.servers[::-1]:
            server.stop()
        self.others, self.servers = [], []

    # --- What the load wants to know ---

    def token(self):
        return client.log_in(self.url("identity") + "/v3", PASSWORD)

    def image(self, token):
        return client.Client(self.url("image"), token).json("GET", "/v2/images")["images"][0]["id"]

    def flavor(self, token):
        return "1"

    def memory(self):
        parts = {process.name: memory(process.pids()) for process in self.services}
        parts["(Keystone and Glance)"] = memory([pid for process in self.others[:2] for pid in process.pids()])
        return parts

    def cpu_seconds(self):
        """Of all processes but the servers: Nova's API waits for Keystone, Glance and Neutron."""
        return {process.name: cpu_seconds(process.pids()) for process in self.services + self.others}


def write(path, sections):
    lines = []
    for name, values in sections.items():
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in values.items()), ""]
    path.write_text("\n".join(lines))
