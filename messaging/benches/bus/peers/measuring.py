"""What the Python peers share: the service that is called, what is measured of it, and the command line.

The measures are those of `measure.rs`, in the same order, said in the same form. A peer brings three things: how to
serve a `Service` at a URL, a client with the methods that `measure` calls, and, if it has a broker, `bus=True`.

    PEER serve --url URL [--servers N]    says `ready` and serves until its input ends
    PEER measure --url URL ...            measures the server that runs and prints one JSON object
"""

import argparse
import json
import math
import os
import select
import threading
import time
from concurrent.futures import ThreadPoolExecutor

PAYLOAD = "x" * 1024
# How many calls come before those that count.
WARM_UP = 100
# How many senders cast at once.
SENDERS = 64


def usage():
    """CPU seconds so far and resident memory in KiB, of this process."""
    with open("/proc/self/status") as status:
        rss = next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
    return {"cpu": time.process_time(), "rss": rss}


class Service:
    """What the servers of a process do."""

    def __init__(self, servers):
        self._servers = servers
        self._lock = threading.Lock()
        self._noted = 0
        # How many servers have heard each round, and when the last one did.
        self._rung = {}

    def echo(self, payload):
        return payload

    def note(self, payload):
        with self._lock:
            self._noted += 1

    def noted(self):
        return self._noted

    def ring(self, round):
        # CLOCK_MONOTONIC, which all processes of a machine share.
        now = time.monotonic_ns()
        with self._lock:
            count, _ = self._rung.get(round, (0, 0))
            self._rung[round] = (count + 1, now)

    def rung(self, round):
        count, last = self._rung.get(round, (0, 0))
        return last if count >= self._servers else None

    def usage(self):
        return usage()


def quantile(numbers, part):
    return sorted(numbers)[max(math.ceil(part * len(numbers)), 1) - 1]


def echo(client):
    if len(client.echo(PAYLOAD)) != len(PAYLOAD):
        raise AssertionError("another payload came back")


def at_once(number, work):
    """What `work` returns in each of so many threads."""
    with ThreadPoolExecutor(number) as threads:
        return [running.result() for running in [threads.submit(work) for _ in range(number)]]


def one_by_one(client, calls):
    for _ in range(WARM_UP):
        echo(client)
    took = []
    here, there = usage(), client.usage()
    started = time.perf_counter()
    for _ in range(calls):
        before = time.perf_counter_ns()
        echo(client)
        took.append(time.perf_counter_ns() - before)
    elapsed = time.perf_counter() - started

    def per_10_000(before, after):
        return (after["cpu"] - before["cpu"]) * 10_000 / calls

    cpu = {"client": per_10_000(here, usage()), "server": per_10_000(there, client.usage())}
    sequential = {
        "p50_us": quantile(took, 0.5) / 1000,
        "p99_us": quantile(took, 0.99) / 1000,
        "calls_per_second": calls / elapsed,
    }
    return sequential, cpu


def in_flight(client, callers, seconds):
    started = time.monotonic()

    def call():
        done = 0
        while time.monotonic() - started < seconds:
            echo(client)
            done += 1
        return done

    done = sum(at_once(callers, call))
    return done / (time.monotonic() - started)


def casts(client, number):
    before = client.noted()
    each = math.ceil(number / SENDERS)
    started = time.monotonic()

    def cast():
        for _ in range(each):
            client.note(PAYLOAD)

    at_once(SENDERS, cast)
    while client.noted() < before + each * SENDERS:
        time.sleep(0.001)
    return each * SENDERS / (time.monotonic() - started)


def fanout(client, rounds):
    took = []
    for round in range(rounds):
        started = time.monotonic_ns()
        client.ring(round)
        while (ended := client.rung(round)) is None:
            time.sleep(0.001)
        took.append(ended - started)
    return quantile(took, 0.5) / 1e6


def measure(client, options):
    figures = {"in_flight": {}}
    if options.calls:
        figures["sequential"], figures["cpu"] = one_by_one(client, options.calls)
    if options.seconds:
        for callers in options.in_flight:
            figures["in_flight"][str(callers)] = in_flight(client, callers, options.seconds)
    if options.casts:
        figures["casts_per_second"] = casts(client, options.casts)
    if options.rounds:
        figures["fanout_ms"] = fanout(client, options.rounds)
    figures["rss_kib"] = {"client": usage()["rss"], "server": client.usage()["rss"]}
    return figures


def wait_for_the_end_of_input():
    # Unlike a read, a select lets green threads run.
    while not select.select([0], [], [])[0] or os.read(0, 4096):
        pass


def main(serve, connect, bus=False):
    """`serve(url, service, servers)` starts servers and returns; `connect(url, servers)` returns a client."""
    parser = argparse.ArgumentParser()
    roles = parser.add_subparsers(dest="role", required=True)
    serving, measuring = roles.add_parser("serve"), roles.add_parser("measure")
    for role in serving, measuring:
        role.add_argument("--url", required=True)
        role.add_argument("--servers", type=int, default=1)
    measuring.add_argument("--calls", type=int, default=1000)
    measuring.add_argument("--in-flight", type=lambda text: [int(n) for n in text.split(",")], default=[1, 16, 64, 256])
    measuring.add_argument("--seconds", type=float, default=3)
    if bus:
        measuring.add_argument("--casts", type=int, default=6000)
        measuring.add_argument("--rounds", type=int, default=30)
    else:
        measuring.set_defaults(casts=0, rounds=0)
    options = parser.parse_args()
    if options.role == "serve":
        serve(options.url, Service(options.servers), options.servers)
        print("ready", flush=True)
        wait_for_the_end_of_input()
    else:
        print(json.dumps(measure(connect(options.url, options.servers), options)), flush=True)
    # Threads that still listen, of the libraries' own, hold up nobody.
    os._exit(0)
