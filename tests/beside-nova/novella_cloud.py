"""Novella in its two shapes: one process, and services apart on RabbitMQ and PostgreSQL."""

import shutil
import subprocess
from pathlib import Path

import client
from machine import Process, clean_environment, cpu_seconds, free_port, memory, stop_all, wait_for
from servers import PASSWORD, PostgreSQL, RabbitMQ

HOSTS = 3
# Nova's fake driver builds, moves and powers in no time, and has room for many servers: so does this one then.
SETTINGS = {
    "NOVELLA_ADMIN_PASSWORD": PASSWORD,
    "NOVELLA_COMPUTE__FAKE__VCPUS": "100000",
    "NOVELLA_COMPUTE__FAKE__MEMORY_MB": "100000000",
    "NOVELLA_COMPUTE__FAKE__DISK_GB": "1000000",
    "NOVELLA_COMPUTE__FAKE__BOOT_SECONDS_MIN": "0",
    "NOVELLA_COMPUTE__FAKE__BOOT_SECONDS_MAX": "0",
    "NOVELLA_COMPUTE__FAKE__NETWORK_SECONDS": "0",
    "NOVELLA_COMPUTE__FAKE__DISK_SECONDS": "0",
    "NOVELLA_COMPUTE__FAKE__POWER_SECONDS": "0",
    "NOVELLA_COMPUTE__FAKE__DIRTY_RATE_MIB": "0",
    "NOVELLA_COMPUTE__FAKE__BANDWIDTH_MIB": "0",
}


class Novella:
    def __init__(self, folder, binary, apart):
        self.name = "apart" if apart else "embedded"
        self.folder = Path(folder) / f"novella-{self.name}"
        self.binary, self.apart = binary, apart
        self.servers, self.services, self.environment = [], [], dict(SETTINGS)
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self.endpoint = f"http://{self.address}"
        self.compute = f"{self.endpoint}/compute/v2.1"

    def start(self):
        """What runs before, and the schema of services apart; `up` makes its own."""
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "log").mkdir(parents=True)
        if not self.apart:
            return
        rabbitmq = RabbitMQ(self.folder / "rabbitmq", free_port())
        postgresql = PostgreSQL(self.folder / "postgresql")
        self.servers = [rabbitmq, postgresql]
        for server in self.servers:
            server.wait()
        self.environment |= {"NOVELLA_BUS__URL": rabbitmq.url, "NOVELLA_DATABASE__URL": postgresql.url}
        environment = {**clean_environment(), **self.environment}
        subprocess.run([self.binary, "db", "sync"], env=environment, check=True, stdout=subprocess.DEVNULL)

    def start_services(self):
        if not self.apart:
            environment = {"NOVELLA_DATA": str(self.folder / "data")}
            self.process("novella up", ["up", "--listen", self.address, "--hosts", HOSTS], environment)
            return
        for service in ("scheduler", "conductor"):
            self.process(service, [service, "--host", "beside"])
        for number in range(1, HOSTS + 1):
            state = {"NOVELLA_COMPUTE__STATE_DIR": str(self.folder / f"compute-{number}")}
            self.process(f"compute-{number}", ["compute", "--host", f"compute-{number}"], state)
        self.process("api", ["api", "--host", "beside", "--listen", self.address])

    def process(self, name, arguments, environment=()):
        environment = {**self.environment, **dict(environment)}
        if self.apart:
            arguments = [*arguments, "--management", f"127.0.0.1:{free_port()}"]
        if arguments[0] == "compute":
            # A compute host has no database.
            del environment["NOVELLA_DATABASE__URL"]
        log = self.folder / "log" / f"{name.replace(' ', '-')}.log"
        self.services.append(Process(name, [self.binary, *arguments], log, environment))

    def wait_for_api(self):
        ask = client.Client(self.endpoint)

        def answers():
            try:
                return ask.ask("GET", "/healthz")[0] == 200
            except OSError:
                return False

        wait_for("Novella's API answers", answers, pause=0.002)

    def wait_for_hosts(self):
        ask = client.Client(self.compute, self.token())

        def up():
            services = ask.json("GET", "/os-services?binary=nova-compute")["services"]
            return sum(service["state"] == "up" for service in services) == HOSTS

        wait_for("all hosts are up", up, pause=0.005)

    def stop(self):
        stop_all(self.services)
        for server in self.servers[::-1]:
            server.stop()
        self.services, self.servers = [], []

    def token(self):
        return client.log_in(f"{self.endpoint}/identity/v3", PASSWORD)

    def image(self, token):
        return client.Client(f"{self.endpoint}/image", token).json("GET", "/v2/images")["images"][0]["id"]

    def flavor(self, token):
        return "1"

    def memory(self):
        return {process.name: memory(process.pids()) for process in self.services}

    def cpu_seconds(self):
        return {process.name: cpu_seconds(process.pids()) for process in self.services}
