"""oslo.messaging over RabbitMQ, with the options it has by default.

It works with threads, which is the better of its two executors and the only one that is not deprecated. Green threads
are had with EXECUTOR=eventlet in the environment of both sides. On a machine of two cores that had other work too, one
server answered 59 calls per second one after the other with them and 68 with threads, 54 and 206 with 64 in flight, and
processed 164 and 419 casts per second.
"""

import logging
import os

# Before everything else: it replaces the standard library's threads and sockets. oslo.messaging sees it and follows.
if os.environ.get("EXECUTOR") == "eventlet":
    import eventlet

    eventlet.monkey_patch()

import oslo_messaging
from oslo_config import cfg

import measuring

TOPIC = "bench_oslo"

# What a service of OpenStack sends along; the same as the library's client.
CONTEXT = {
    "user_id": "u" * 32,
    "project_id": "p" * 32,
    "request_id": "req-" + "r" * 36,
    "roles": ["member", "reader"],
}


def transport(url):
    # The global one, because some of oslo.messaging's options are registered there only.
    conf = cfg.CONF
    conf([], project="bench", default_config_files=[])
    transport = oslo_messaging.get_rpc_transport(conf, url=url)
    # The queues of servers that are gone do not hear the next ones' fanouts for half an hour. See FORGOTTEN in
    # subjects.rs, which waits so long.
    conf.set_override("rabbit_transient_queues_ttl", 10, "oslo_messaging_rabbit")
    return transport


class Endpoint:
    target = oslo_messaging.Target(version="1.0")

    def __init__(self, service):
        self._service = service

    def echo(self, ctxt, payload):
        return self._service.echo(payload)

    def note(self, ctxt, payload):
        self._service.note(payload)

    def noted(self, ctxt):
        return self._service.noted()

    def ring(self, ctxt, round):
        self._service.ring(round)

    def rung(self, ctxt, round):
        return self._service.rung(round)

    def usage(self, ctxt):
        return self._service.usage()


def serve(url, service, servers):
    shared = transport(url)
    for number in range(servers):
        target = oslo_messaging.Target(topic=TOPIC, server=f"s{number}")
        oslo_messaging.get_rpc_server(shared, target, [Endpoint(service)]).start()


class Client:
    def __init__(self, url, servers):
        target = oslo_messaging.Target(topic=TOPIC, version="1.0")
        self._client = oslo_messaging.get_rpc_client(transport(url), target)
        self._all = self._client.prepare(fanout=True)

    def echo(self, payload):
        return self._client.call(CONTEXT, "echo", payload=payload)

    def note(self, payload):
        self._client.cast(CONTEXT, "note", payload=payload)

    def noted(self):
        return self._client.call(CONTEXT, "noted")

    def ring(self, round):
        self._all.cast(CONTEXT, "ring", round=round)

    def rung(self, round):
        return self._client.call(CONTEXT, "rung", round=round)

    def usage(self):
        return self._client.call(CONTEXT, "usage")


if __name__ == "__main__":
    # With more calls in flight than connections in its pool, it warns of each.
    # oslo.log puts a dot into the name.
    logging.getLogger("oslo.messaging").setLevel(logging.ERROR)
    measuring.main(serve, Client, bus=True)
