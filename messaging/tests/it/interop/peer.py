"""A peer with oslo.messaging in any role: server, client, notifier, listener, and sender of raw messages.

    python peer.py --url rabbit://user:password@host:port/vhost --control-exchange novella

`--help` names the options that change how queues are declared, whether pings are answered, and how long a call waits.

A test drives it by lines of JSON on stdin, and reads lines of JSON from stdout; logs go to stderr. The first line is

    {"event": "ready"}

Each command has an `id` of the test's choice, and one answer with that id. Commands run side by side, so answers come
in any order; who needs an order waits for an answer before the next command.

    {"id": 1, "do": "call", ...}
    {"id": 1, "ok": VALUE}
    {"id": 1, "error": {"type": CLASS, "module": ITS MODULE, "text": str(error), "args": [...], "kwargs": {...},
                        "exc_type": ..., "value": ...}}

`kwargs` is the error's attribute of that name, or {}. `exc_type` and `value` are those of a RemoteError, else null: a
RemoteError is what oslo.messaging makes of a failure whose module it is not allowed to import. `BadCommand` is a
mistake in the command itself. oslo.messaging puts the remote traceback into the text; for a built-in exception, which
comes as itself, into the first of `args` too.

Commands (`?` marks what may be left out):

serve            topic, server, exchange?, endpoints?
                 Starts a server. When it is answered, the server's queues exist. `endpoints` is "all" (default) or a
                 list of:
                   "first"   no namespace, version 1.3: echo(value) -> {"value", "context"}, add(a, b), nothing(),
                             fail() -> ValueError("a bad value", 42), take_time(seconds) -> "done", note(text) and
                             ring(text), which print an event, fail_custom(module?, name?, message?, code?), which
                             raises an exception in Nova's style, by default cloud.exception.NotThere("not there",
                             code=404)
                   "admin"   namespace "admin", version 2.1: whoami() -> "admin"
                   "second"  no namespace, version 2.0: echo(value) -> {"value", "major": 2}
stop_server      topic, server
call             target, method, args?, context?, timeout?, monitor?, version_cap?, at_least_once?,
                 allowed_remote_exmods?
                 `target` has topic, and may have exchange, namespace, version, server, fanout. `monitor` is the
                 call_monitor_timeout. A module in `allowed_remote_exmods` that is not installed is made up: it has
                 every exception class asked for, in Nova's style.
cast             the same
can_send_version target, version_cap, version?
ping             topic, server?, exchange?, timeout?
                 Calls oslo_rpc_server_ping, which servers answer that were started with --ping.
notify           topic, event_type, payload, publisher_id?, priority? ("info"), context?, driver? ("messagingv2")
                 oslo.messaging removes the token from the context, and logs a failure rather than reporting it.
listen           topic, priorities? (all), exchange?, pool?, requeue_first?
                 Prints an event for each notification. With `requeue_first` each is given back once.
stop_listening   topic, pool?
                 Stops the last listener that was started so.
raw              exchange, routing_key, body, properties?
                 Publishes a text as it is. `properties` replace those of oslo.messaging's messages; null omits one.
                 An error if no queue takes it.
exit             Ends the process, as does the end of stdin: servers and listeners are stopped, connections closed.
                 The exit code is 0, or 1 if a served method still ran after five seconds.

Events:

    {"event": "note" | "ring", "topic", "server", "text", "context"}
    {"event": "notification", "topic", "pool", "priority", "publisher_id", "event_type", "payload", "metadata",
     "context", "requeued"}

`topic`, `server` and `pool` say which server or listener it was. A context is what the peer received as such, without
the call's `client_timeout`, which oslo.messaging puts there.
"""

import argparse
import concurrent.futures
import importlib
import inspect
import json
import logging
import os
import sys
import threading
import time
import types

import kombu
import oslo_messaging
from oslo_config import cfg
from oslo_context.context import RequestContext
from oslo_messaging._drivers import amqpdriver
from oslo_messaging.notify.dispatcher import PRIORITIES
from oslo_messaging.opts import list_opts

# How long an idle listener may take to notice that it was stopped. The 5 seconds of oslo.messaging would be most of a
# test's time.
amqpdriver.ACK_REQUEUE_EVERY_SECONDS_MAX = 0.2

# Whatever a library may print must not get between the lines.
lines, sys.stdout = sys.stdout, sys.stderr
lines_lock = threading.Lock()


def say(line):
    text = json.dumps(line, default=str)
    with lines_lock:
        print(text, file=lines, flush=True)


def received(ctxt):
    return {key: value for key, value in ctxt.items() if key != "client_timeout"}


class NovaStyle(Exception):
    """What Nova's exceptions have in common: their kwargs travel with them."""

    def __init__(self, message=None, **kwargs):
        self.kwargs = {"code": 500, **kwargs}
        super().__init__(message)


class MadeUp(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        setattr(self, name, type(name, (NovaStyle,), {"__module__": self.__name__}))
        return getattr(self, name)


def importable(name):
    """Imports a module, or makes it up if there is none."""
    try:
        return importlib.import_module(name)
    except ImportError:
        # An import of a.b imports a as well.
        if "." in name:
            importable(name.rpartition(".")[0])
        return sys.modules.setdefault(name, MadeUp(name))


class Endpoint:
    def __init__(self, topic, server):
        self._where = {"topic": topic, "server": server}


class First(Endpoint):
    target = oslo_messaging.Target(version="1.3")

    def echo(self, ctxt, value):
        return {"value": value, "context": received(ctxt)}

    def add(self, ctxt, a, b):
        return a + b

    def nothing(self, ctxt):
        return None

    def take_time(self, ctxt, seconds):
        time.sleep(seconds)
        return "done"

    def fail(self, ctxt):
        raise ValueError("a bad value", 42)

    def fail_custom(self, ctxt, module="cloud.exception", name="NotThere", message="not there", code=404):
        raise getattr(importable(module), name)(message, code=code)

    def note(self, ctxt, text):
        say({"event": "note", **self._where, "text": text, "context": received(ctxt)})

    def ring(self, ctxt, text):
        say({"event": "ring", **self._where, "text": text, "context": received(ctxt)})


class Admin(Endpoint):
    target = oslo_messaging.Target(namespace="admin", version="2.1")

    def whoami(self, ctxt):
        return "admin"


class Second(Endpoint):
    target = oslo_messaging.Target(version="2.0")

    def echo(self, ctxt, value):
        return {"value": value, "major": 2}


ENDPOINTS = {"first": First, "admin": Admin, "second": Second}


class Listener:
    """An endpoint for notifications. It has a method for each priority, which is how oslo.messaging knows them."""

    def __init__(self, topic, pool, priorities, requeue_first):
        self._where = {"topic": topic, "pool": pool}
        self._requeue_first = requeue_first
        self._requeued = set()
        for priority in priorities:
            setattr(self, priority, self._hear(priority))

    def _hear(self, priority):
        def hear(ctxt, publisher_id, event_type, payload, metadata):
            requeue = self._requeue_first and metadata["message_id"] not in self._requeued
            if requeue:
                self._requeued.add(metadata["message_id"])
            say(
                {
                    "event": "notification",
                    **self._where,
                    "priority": priority,
                    "publisher_id": publisher_id,
                    "event_type": event_type,
                    "payload": payload,
                    "metadata": metadata,
                    "context": received(ctxt),
                    "requeued": requeue,
                }
            )
            return oslo_messaging.NotificationResult.REQUEUE if requeue else oslo_messaging.NotificationResult.HANDLED

        return hear


class Context(RequestContext):
    """A notifier leaves out a context that is a dict. This is one as services have it."""

    def to_dict(self):
        return {**super().to_dict(), "user_id": self.user_id}


class BadCommand(Exception):
    pass


def described(error):
    remote = isinstance(error, oslo_messaging.RemoteError)
    return {
        "type": type(error).__name__,
        "module": type(error).__module__,
        "text": str(error),
        "args": error.args,
        "kwargs": getattr(error, "kwargs", {}),
        "exc_type": error.exc_type if remote else None,
        "value": error.value if remote else None,
    }


class Peer:
    """Each method do_NAME is a command; its parameters are the command's fields."""

    def __init__(self, conf, url):
        self.conf = conf
        self.url = url
        # By modules that may be imported, which are a matter of the transport.
        self.rpc_transports = {}
        self.notification_transport = oslo_messaging.get_notification_transport(conf, url=url)
        self.running = {}
        self.lock = threading.Lock()

    def transport(self, modules=()):
        for name in modules:
            importable(name)
        with self.lock:
            key = tuple(modules)
            if key not in self.rpc_transports:
                self.rpc_transports[key] = oslo_messaging.get_rpc_transport(
                    self.conf, url=self.url, allowed_remote_exmods=list(modules)
                )
            return self.rpc_transports[key]

    def start(self, key, server):
        server.start()
        with self.lock:
            self.running.setdefault(key, []).append(server)

    def stop(self, key):
        with self.lock:
            if not self.running.get(key):
                raise BadCommand(f"not running: {key}")
            server = self.running[key].pop()
        server.stop()
        server.wait()

    def do_serve(self, topic, server, exchange=None, endpoints="all"):
        names = list(ENDPOINTS) if endpoints == "all" else endpoints
        # A list of its own: --ping appends to it.
        served = [ENDPOINTS[name](topic, server) for name in names]
        target = oslo_messaging.Target(topic=topic, server=server, exchange=exchange)
        # It works with threads: oslo.messaging's only other executor needs an interpreter patched by eventlet.
        self.start(("server", topic, server), oslo_messaging.get_rpc_server(self.transport(), target, served))

    def do_stop_server(self, topic, server):
        self.stop(("server", topic, server))

    def client(
        self, target, timeout=None, monitor=None, version_cap=None, at_least_once=False, allowed_remote_exmods=()
    ):
        options = {}
        if at_least_once:
            options["transport_options"] = oslo_messaging.TransportOptions(at_least_once=True)
        return oslo_messaging.get_rpc_client(
            self.transport(allowed_remote_exmods),
            oslo_messaging.Target(**target),
            timeout=timeout,
            call_monitor_timeout=monitor,
            version_cap=version_cap,
            **options,
        )

    def do_call(self, target, method, args=None, context=None, **options):
        return self.client(target, **options).call(context or {}, method, **(args or {}))

    def do_cast(self, target, method, args=None, context=None, **options):
        self.client(target, **options).cast(context or {}, method, **(args or {}))

    def do_can_send_version(self, target, version_cap, **version):
        return self.client(target, version_cap=version_cap).can_send_version(**version)

    def do_ping(self, topic, server=None, exchange=None, timeout=None):
        target = {"topic": topic, "server": server, "exchange": exchange}
        return self.client(target, timeout=timeout).call({}, "oslo_rpc_server_ping")

    def do_notify(
        self, topic, event_type, payload, publisher_id=None, priority="info", context=None, driver="messagingv2"
    ):
        if context is not None:
            context = Context.from_dict({"user": context.get("user_id"), **context}, overwrite=False)
        notifier = oslo_messaging.Notifier(self.notification_transport, publisher_id, driver=driver, topics=[topic])
        getattr(notifier, priority)(context, event_type, payload)

    def do_listen(self, topic, priorities=PRIORITIES, exchange=None, pool=None, requeue_first=False):
        listener = oslo_messaging.get_notification_listener(
            self.notification_transport,
            [oslo_messaging.Target(topic=topic, exchange=exchange)],
            [Listener(topic, pool, priorities, requeue_first)],
            allow_requeue=True,
            pool=pool,
        )
        self.start(("listener", topic, pool), listener)

    def do_stop_listening(self, topic, pool=None):
        self.stop(("listener", topic, pool))

    def do_raw(self, exchange, routing_key, body, properties=None):
        properties = {
            "content_type": "application/json",
            "content_encoding": "utf-8",
            "headers": {},
            "delivery_mode": 2,
            "priority": 0,
            **(properties or {}),
        }
        url = self.url.replace("rabbit://", "amqp://", 1)
        with kombu.Connection(url, transport_options={"confirm_publish": True}) as connection:
            channel = connection.default_channel
            named = {
                name: properties.pop(name) for name in ("content_type", "content_encoding", "headers", "priority")
            }
            message = channel.prepare_message(body.encode(), properties=properties, **named)
            # Mandatory: a message that no queue takes comes back, which py-amqp raises.
            channel.basic_publish(message, exchange=exchange, routing_key=routing_key, mandatory=True)

    def answer(self, command):
        number = command.pop("id", None)
        try:
            handler = getattr(self, f"do_{command.pop('do', None)}", None)
            if handler is None:
                raise BadCommand("there is no such command")
            try:
                inspect.signature(handler).bind(**command)
            except TypeError as error:
                raise BadCommand(str(error)) from None
            say({"id": number, "ok": handler(**command)})
        except Exception as error:
            say({"id": number, "error": described(error)})

    def close(self):
        keys = [key for key, servers in self.running.items() for _ in servers]
        # All at once, because each takes up to a second.
        with concurrent.futures.ThreadPoolExecutor(len(keys) or 1) as threads:
            list(threads.map(self.stop, keys))
        for transport in [*self.rpc_transports.values(), self.notification_transport]:
            transport.cleanup()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--control-exchange", required=True)
    parser.add_argument("--durable", action="store_true", help="amqp_durable_queues")
    parser.add_argument("--quorum", action="store_true", help="rabbit_quorum_queue")
    parser.add_argument("--transient-quorum", action="store_true", help="rabbit_transient_quorum_queue")
    parser.add_argument("--delivery-limit", type=int, default=0, help="rabbit_quorum_delivery_limit")
    parser.add_argument("--auto-delete", action="store_true", help="amqp_auto_delete")
    parser.add_argument("--ping", action="store_true", help="rpc_ping_enabled")
    parser.add_argument("--response-timeout", type=int, default=10, help="rpc_response_timeout, in seconds")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")

    # The global one, because that is where a server looks for rpc_ping_enabled.
    conf = cfg.CONF
    conf([], default_config_files=[], default_config_dirs=[])
    for group, opts in list_opts():
        conf.register_opts(opts, group)
    conf.set_override("control_exchange", options.control_exchange)
    conf.set_override("rpc_response_timeout", options.response_timeout)
    conf.set_override("rpc_ping_enabled", options.ping)
    conf.set_override("amqp_durable_queues", options.durable, "oslo_messaging_rabbit")
    conf.set_override("rabbit_quorum_queue", options.quorum, "oslo_messaging_rabbit")
    conf.set_override("rabbit_transient_quorum_queue", options.transient_quorum, "oslo_messaging_rabbit")
    conf.set_override("rabbit_quorum_delivery_limit", options.delivery_limit, "oslo_messaging_rabbit")
    conf.set_override("amqp_auto_delete", options.auto_delete, "oslo_messaging_rabbit")

    peer = Peer(conf, options.url)
    threads = concurrent.futures.ThreadPoolExecutor(1000)
    commands = []
    say({"event": "ready"})
    for line in sys.stdin:
        try:
            command = dict(json.loads(line))
        except (TypeError, ValueError) as error:
            say({"id": None, "error": described(BadCommand(f"not a command: {error}"))})
            continue
        if command.get("do") == "exit":
            say({"id": command.get("id"), "ok": None})
            break
        commands.append(threads.submit(peer.answer, command))

    # What has just been asked for may get done. A call or a method that takes long is not waited for.
    concurrent.futures.wait(commands, timeout=2)
    overdue = threading.Timer(5, os._exit, [1])
    overdue.daemon = True
    overdue.start()
    peer.close()
    # Without waiting for threads: the one that sends signs of life goes on forever if there was no such method.
    os._exit(0)


if __name__ == "__main__":
    main()
