"""One HTTP client for both clouds, and the load that it makes."""

import json
import socket
import statistics
import threading
import time

# networks: "none" needs 2.37.
MICROVERSION = "2.79"
CLIENTS = 16


class Client:
    """Requests over one connection, which stays open if the server lets it.

    It reads an answer by hand: Python's http.client takes longer for that than a fast cloud takes for a server.
    """

    def __init__(self, endpoint, token=None):
        self.endpoint, self.token = endpoint, token
        host, _, prefix = endpoint.removeprefix("http://").partition("/")
        name, _, port = host.partition(":")
        self.address, self.prefix = (name, int(port)), "/" + prefix if prefix else ""
        self.headers = (
            f"Host: {host}\r\nAccept: application/json\r\nContent-Type: application/json\r\n"
            f"OpenStack-API-Version: compute {MICROVERSION}\r\n" + (f"X-Auth-Token: {token}\r\n" if token else "")
        )
        self.stream = None

    def ask(self, method, path, body=None):
        """Status, headers (names in lower case), and the body as it came."""
        data = json.dumps(body).encode() if body is not None else b""
        head = f"{method} {self.prefix}{path} HTTP/1.1\r\n{self.headers}Content-Length: {len(data)}\r\n\r\n"
        kept = self.stream is not None
        try:
            if not kept:
                connection = socket.create_connection(self.address, timeout=120)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                # The stream holds the connection.
                self.stream = connection.makefile("rwb")
                connection.close()
            self.stream.write(head.encode() + data)
            self.stream.flush()
            line = self.stream.readline()
            if not line:
                raise ConnectionResetError("closed without an answer")
        except ConnectionError:
            self.close()
            if not kept:
                raise
            # The server closed a connection that waited: nothing of the request was taken.
            return self.ask(method, path, body)
        status, headers = int(line.split()[1]), {}
        while (line := self.stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        content = self.content(status, headers)
        ends = status in (204, 304) or "content-length" in headers or self.chunked(headers)
        if not ends or headers.get("connection", "").lower() == "close":
            self.close()
        return status, headers, content

    def content(self, status, headers):
        if status in (204, 304):
            return b""
        if "content-length" in headers:
            return self.stream.read(int(headers["content-length"]))
        if not self.chunked(headers):
            return self.stream.read()
        parts = []
        while size := int(self.stream.readline().split(b";")[0], 16):
            parts.append(self.stream.read(size))
            self.stream.readline()
        self.stream.readline()
        return b"".join(parts)

    @staticmethod
    def chunked(headers):
        return "chunked" in headers.get("transfer-encoding", "").lower()

    def close(self):
        if self.stream:
            try:
                self.stream.close()
            except OSError:
                pass
        self.stream = None

    def json(self, method, path, body=None, expected=(200, 201, 202)):
        status, _, content = self.ask(method, path, body)
        if status not in expected:
            raise SystemExit(f"{method} {path}: {status} {content[:600]!r}")
        return json.loads(content) if content else None


def log_in(identity, password):
    """A token for the project admin."""
    body = {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"name": "admin", "domain": {"id": "default"}, "password": password}},
            },
            "scope": {"project": {"name": "admin", "domain": {"id": "default"}}},
        }
    }
    status, headers, content = Client(identity).ask("POST", "/auth/tokens", body)
    if status != 201:
        raise SystemExit(f"log-in: {status} {content[:600]!r}")
    return headers["x-subject-token"]


class Load:
    """What is done to a cloud."""

    def __init__(self, cloud):
        self.token = cloud.token()
        self.endpoint = cloud.compute
        self.image, self.flavor = cloud.image(self.token), cloud.flavor(self.token)
        self.client = self.new_client()

    def new_client(self):
        return Client(self.endpoint, self.token)

    def create(self, client, name):
        server = {"name": name, "imageRef": self.image, "flavorRef": self.flavor, "networks": "none"}
        return client.json("POST", "/servers", {"server": server}, (202,))["server"]["id"]

    def one_after_the_other(self, count):
        """Seconds until the answer, and until ACTIVE, of each.

        The server is asked for again after a tenth of the time that has passed (at least a millisecond), by the same rule
        on both clouds: so a figure is at most a tenth too large, and a slow cloud is not kept busy with questions.
        """
        answered, active = [], []
        for number in range(count):
            start = time.perf_counter()
            server = self.create(self.client, f"one-{number}")
            answered.append(time.perf_counter() - start)
            while True:
                status = self.client.json("GET", f"/servers/{server}")["server"]["status"]
                passed = time.perf_counter() - start
                if status == "ACTIVE":
                    break
                if status == "ERROR":
                    raise SystemExit(f"a server in ERROR: {server}")
                time.sleep(max(0.001, passed / 10))
            active.append(passed)
        return answered, active

    def at_once(self, count, work):
        """Calls work(client, number) `count` times by 16 clients, each of which takes the next when it is done."""
        numbers, failures = iter(range(count)), []
        lock = threading.Lock()

        def run():
            client = self.new_client()
            while not failures:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                try:
                    work(client, number)
                except BaseException as failure:
                    failures.append(failure)

        threads = [threading.Thread(target=run) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise SystemExit(f"a client failed: {failures[0]}")

    def wait_until_none_is(self, status, pause=0.02):
        while self.client.json("GET", f"/servers?status={status}&limit=1")["servers"]:
            time.sleep(pause)

    def boots(self, count, name="boot"):
        """Seconds from the first create until none is in BUILD any more; all must be ACTIVE."""
        before = self.count("ACTIVE")
        start = time.perf_counter()
        self.at_once(count, lambda client, number: self.create(client, f"{name}-{number}"))
        posted = time.perf_counter() - start
        self.wait_until_none_is("BUILD")
        passed = time.perf_counter() - start
        made = self.count("ACTIVE") - before
        if made != count:
            raise SystemExit(f"{made} of {count} servers are ACTIVE")
        return passed, posted

    def count(self, status):
        counted, marker = 0, ""
        while True:
            page = self.client.json("GET", f"/servers?status={status}&limit=1000{marker}")["servers"]
            counted += len(page)
            if len(page) < 1000:
                return counted
            marker = f"&marker={page[-1]['id']}"

    def lists(self, servers, samples):
        """Seconds of one GET /servers/detail after the other, until the body is read."""
        taken = []
        for _ in range(samples):
            start = time.perf_counter()
            status, _, content = self.client.ask("GET", f"/servers/detail?limit={servers}")
            taken.append(time.perf_counter() - start)
            found = len(json.loads(content)["servers"]) if status == 200 else f"status {status}"
            if found != servers:
                raise SystemExit(f"a list of {servers} servers has {found}")
        return taken, len(content)

    def live_migrations(self, count):
        """Seconds from the first request until no server is MIGRATING any more; all must have moved."""
        servers = self.client.json("GET", f"/servers/detail?limit={count}")["servers"]
        hosts = {server["id"]: server["OS-EXT-SRV-ATTR:host"] for server in servers}
        ids = list(hosts)
        action = {"os-migrateLive": {"host": None, "block_migration": "auto"}}
        start = time.perf_counter()
        self.at_once(count, lambda client, number: client.json("POST", f"/servers/{ids[number]}/action", action))
        self.wait_until_none_is("MIGRATING")
        passed = time.perf_counter() - start
        after = self.client.json("GET", f"/servers/detail?limit={count}")["servers"]
        stayed = [server["id"] for server in after if server["OS-EXT-SRV-ATTR:host"] == hosts[server["id"]]]
        wrong = [server["status"] for server in after if server["status"] != "ACTIVE"]
        if stayed or wrong:
            raise SystemExit(f"of {count} live migrations {len(stayed)} did not move their server; not ACTIVE: {wrong}")
        return passed


def percentiles(seconds):
    """p50 and the largest, in milliseconds."""
    return {"p50": 1000 * statistics.median(seconds), "max": 1000 * max(seconds), "samples": len(seconds)}
