"""The servers under a cloud, made new for each round: RabbitMQ, MariaDB, PostgreSQL, memcached.

All flush what is committed: their data is on the disk where the folder is, as is the data of an embedded Novella.
"""

import base64
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from machine import Process, clean_environment, find_command, free_port, listens, user_options, wait_for

PASSWORD = "beside"


class RabbitMQ:
    """As `./test` starts it: two schedulers that do not wait busily."""

    def __init__(self, folder, port):
        folder = Path(folder)
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "log").mkdir(parents=True)
        self.port = port
        management, epmd, distribution = (free_port() for _ in range(3))
        (folder / "plugins").write_text("[rabbitmq_management].\n")
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {management}\n"
            f"default_user = beside\ndefault_pass = {PASSWORD}\nloopback_users.beside = false\n"
            "log.file.level = warning\nvm_memory_high_watermark.absolute = 2GiB\ndisk_free_limit.absolute = 50MB\n"
        )
        self.epmd = Process(
            "epmd", [find_command("epmd"), "-port", epmd, "-address", "127.0.0.1"], folder / "epmd.log"
        )
        environment = {
            "HOME": folder,
            "ERL_EPMD_PORT": epmd,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": folder / "rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": folder / "none",
            "RABBITMQ_ENABLED_PLUGINS_FILE": folder / "plugins",
            "RABBITMQ_GENERATED_CONFIG_DIR": folder / "generated",
            "RABBITMQ_MNESIA_BASE": folder / "data",
            "RABBITMQ_LOG_BASE": folder / "log",
            "RABBITMQ_PID_FILE": folder / "pid",
            "RABBITMQ_NODENAME": f"beside-{epmd}@localhost",
            "RABBITMQ_DIST_PORT": distribution,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
            "RABBITMQ_ALLOW_INPUT": 1,
        }
        self.process = Process(
            "rabbitmq",
            [find_command("rabbitmq-server"), "-noinput"],
            folder / "rabbitmq.log",
            {name: str(value) for name, value in environment.items()},
        )
        self.url = f"amqp://beside:{PASSWORD}@127.0.0.1:{self.port}/"
        self.check = f"http://127.0.0.1:{management}/api/health/checks/port-listener/{self.port}"

    def wait(self):
        sign = base64.b64encode(f"beside:{PASSWORD}".encode()).decode()
        request = urllib.request.Request(self.check, headers={"Authorization": f"Basic {sign}"})

        def answers():
            try:
                return urllib.request.urlopen(request, timeout=5).status == 200
            except OSError:
                return False

        wait_for("RabbitMQ answers", answers, pause=0.1)

    def stop(self):
        # Nothing of it is worth a farewell.
        self.process.stop(signal.SIGKILL)
        self.epmd.stop(signal.SIGKILL)


class MariaDB:
    """Debian's, with its defaults (each commit is flushed) but for a larger buffer pool and more connections."""

    def __init__(self, folder, port):
        folder = Path(folder)
        self.port, self.socket = port, f"/tmp/beside-nova-{os.getpid()}.sock"
        user = ["--user=root"] if os.getuid() == 0 else []
        if not (folder / "mysql").exists():
            folder.mkdir(parents=True, exist_ok=True)
            subprocess.run(
                ["mariadb-install-db", "--no-defaults", f"--datadir={folder}", "--auth-root-authentication-method=normal", *user],
                check=True,
                stdout=subprocess.DEVNULL,
            )
        self.process = Process(
            "mariadb",
            [
                find_command("mariadbd"), "--no-defaults", f"--datadir={folder}", f"--socket={self.socket}",
                f"--port={self.port}", "--bind-address=127.0.0.1", "--max-connections=500",
                "--innodb-buffer-pool-size=512M", "--character-set-server=utf8mb3", *user,
            ],
            folder.parent / "mariadb.log",
        )  # fmt: skip

    def wait(self):
        wait_for("MariaDB answers", lambda: listens(self.port), pause=0.05)

    def run(self, statements):
        subprocess.run(
            ["mariadb", "--no-defaults", f"--socket={self.socket}", "--user=root"],
            input=statements, text=True, check=True,
        )  # fmt: skip

    def url(self, database):
        return f"mysql+pymysql://beside:{PASSWORD}@127.0.0.1:{self.port}/{database}?charset=utf8"

    def stop(self):
        self.process.stop()


class PostgreSQL:
    """Debian's, with its defaults (each commit is flushed) but for more connections and a larger buffer."""

    def __init__(self, folder):
        folder = Path(folder)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        # It refuses to run as root. Its package made this user.
        self.user = "postgres" if os.getuid() == 0 else None
        if self.user:
            shutil.chown(folder, self.user, self.user)
        self.port = free_port()
        (folder.parent / "password").write_text(PASSWORD)
        os.chmod(folder.parent / "password", 0o644)
        subprocess.run(
            [
                find_command("initdb"), "--pgdata", folder / "data", "--username", "beside",
                "--pwfile", folder.parent / "password", "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C",
            ],
            check=True, stdout=subprocess.DEVNULL, cwd="/", env=clean_environment(), **user_options(self.user),
        )  # fmt: skip
        self.process = Process(
            "postgresql",
            [
                find_command("postgres"), "-D", folder / "data", "-k", folder, "-h", "127.0.0.1", "-p", self.port,
                "-c", "max_connections=500", "-c", "shared_buffers=512MB",
            ],
            folder.parent / "postgresql.log",
            user=self.user,
        )  # fmt: skip
        self.url = f"postgres://beside:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def wait(self):
        ready = [find_command("pg_isready"), "--quiet", "--host", "127.0.0.1", "--port", str(self.port)]
        wait_for("PostgreSQL answers", lambda: subprocess.run(ready).returncode == 0, pause=0.05)

    def stop(self):
        self.process.stop(signal.SIGINT)


class Memcached:
    def __init__(self, folder, port):
        self.port = port
        user = ["-u", "root"] if os.getuid() == 0 else []
        self.process = Process(
            "memcached",
            [find_command("memcached"), "-l", "127.0.0.1", "-p", self.port, *user],
            Path(folder) / "memcached.log",
        )

    def wait(self):
        wait_for("memcached answers", lambda: listens(self.port))

    def stop(self):
        self.process.stop()
