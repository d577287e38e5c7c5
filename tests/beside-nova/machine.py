"""Processes of this machine, and how much memory they have."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

MIB = 1024 * 1024


def find_command(name):
    """A program's path: Debian keeps servers' commands in folders that are in nobody's PATH."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[::-1] + [Path("/usr/lib/rabbitmq/bin"), Path("/usr/sbin")]
    for place in places:
        if (place / name).exists():
            return str(place / name)
    found = shutil.which(name)
    if not found:
        raise SystemExit(f"{name} is not installed: run ./setup")
    return found


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(what, answers, timeout=120, pause=0.01):
    """Asks again and again until the answer is true, and returns it."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        answer = answers()
        if answer:
            return answer
        time.sleep(pause)
    raise SystemExit(f"{what} within {timeout} s: no")


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """A process with all its children, in a session of its own. Its output goes to a file."""

    def __init__(self, name, command, log, environment=(), user=None):
        self.name = name
        with open(log, "ab") as output:
            self.child = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd="/",
                env={**clean_environment(), **dict(environment)},
                **user_options(user),
            )

    def pids(self):
        """Its process ids: its own, and those of all descendants."""
        children = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                words = stat.read_text().rsplit(")", 1)[1].split()
            except OSError:  # It has ended.
                continue
            children.setdefault(int(words[1]), []).append(int(stat.parent.name))
        found, queue = [], [self.child.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            queue += children.get(pid, [])
        return found

    def tell(self, sign):
        if self.child.poll() is None:
            self.child.send_signal(sign)

    def wait(self, timeout):
        """Waits until it has ended, and ends what is left of it."""
        try:
            self.child.wait(timeout)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.child.wait()

    def stop(self, sign=signal.SIGTERM, timeout=20):
        self.tell(sign)
        self.wait(timeout)


def stop_all(processes, timeout=20):
    """Asks all at once to end, so that none waits for another."""
    for process in processes:
        process.tell(signal.SIGTERM)
    for process in processes:
        process.wait(timeout)


def clean_environment():
    """The environment without what would tell a service or a client something."""
    foreign = ("OS_", "NOVELLA_", "RABBITMQ_", "PG", "UWSGI_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def user_options(user):
    return {"user": user, "group": user, "extra_groups": []} if user else {}


def memory(pids):
    """Of these processes together, in MiB: resident (pages that several share count in each), proportional (they are
    shared out), and private (USS: pages that no other process has)."""
    sums = {"Rss": 0, "Pss": 0, "Private_Clean": 0, "Private_Dirty": 0}
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except (OSError, ProcessLookupError):
            continue
        for line in lines:
            name = line.split(":")[0]
            if name in sums:
                sums[name] += int(line.split()[1]) * 1024
    private = sums["Private_Clean"] + sums["Private_Dirty"]
    return {
        "processes": len(pids),
        "resident": sums["Rss"] / MIB,
        "proportional": sums["Pss"] / MIB,
        "private": private / MIB,
    }


def cpu_seconds(pids):
    """The processor time that these processes have had until now."""
    ticks = 0
    for pid in pids:
        try:
            words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        ticks += int(words[11]) + int(words[12])
    return ticks / os.sysconf("SC_CLK_TCK")
