"""The other side of oslo_peer.rs: oslo.messaging calls, and is called by, a Rust service."""

import queue
import sys
import threading

import oslo_messaging
from oslo_config import cfg

CONTEXT = {"request_id": "req-python", "user_id": "u1"}
heard = queue.Queue()


class Endpoint:
    target = oslo_messaging.Target(version="1.0")

    def echo(self, ctxt, value):
        return {"value": value, "request_id": ctxt["request_id"]}

    def fail(self, ctxt):
        raise ValueError("a bad value", 42)

    def note(self, ctxt, text):
        heard.put(text)

    def ring(self, ctxt, text):
        heard.put(text)


class Visits:
    def info(self, ctxt, publisher_id, event_type, payload, metadata):
        heard.put((publisher_id, event_type, payload))


def main(url):
    conf = cfg.CONF
    conf([])
    transport = oslo_messaging.get_rpc_transport(conf, url=url)
    conf.rpc_response_timeout = 10
    target = oslo_messaging.Target(topic="python", server="there")
    server = oslo_messaging.get_rpc_server(transport, target, [Endpoint()], executor="threading")
    server.start()
    notifications = oslo_messaging.get_notification_transport(conf, url=url)
    listener = oslo_messaging.get_notification_listener(
        notifications, [oslo_messaging.Target(topic="visits")], [Visits()], executor="threading"
    )
    listener.start()

    def client(**target):
        return oslo_messaging.get_rpc_client(transport, oslo_messaging.Target(topic="rust", **target))

    rust = client(version="1.3")
    value = {"text": "grüße \N{CRAB}", "list": [1, 2.5, None, True]}
    assert rust.call(CONTEXT, "echo", value=value) == {"value": value, "request_id": "req-python"}
    assert rust.prepare(server="here").call(CONTEXT, "echo", value=None)["value"] is None

    def failure(call):
        try:
            call()
        except oslo_messaging.RemoteError as error:
            return error.exc_type, error.value
        raise AssertionError("it should have failed")

    assert failure(lambda: rust.call(CONTEXT, "refuse", guests=7)) == ("NoRoom", "no room for 7 guests")
    assert failure(lambda: rust.call(CONTEXT, "nope"))[0] == "NoSuchMethod"
    assert failure(lambda: client(version="1.4").call(CONTEXT, "echo", value=1))[0] == "UnsupportedVersion"
    try:
        rust.call(CONTEXT, "echo", wrong=1)
    except oslo_messaging.RemoteError as error:
        assert error.exc_type == "TypeError", error
    except TypeError:
        pass
    # Signs of life keep a call alive that takes longer than its monitor timeout.
    patient = rust.prepare(timeout=30, call_monitor_timeout=2)
    assert patient.call(CONTEXT, "take_time", seconds=5) == "done"

    answer = rust.call(CONTEXT, "visit")
    assert answer["echo"] == {"value": {"ünï": [1, None, "\N{CRAB}"]}, "request_id": "req-python"}, answer
    assert "builtins.ValueError" in answer["failure"] and "42" in answer["failure"], answer
    assert answer["missing"] is True, answer
    expected = ["a cast", "a fanout", ("rust.here", "visit.end", {"stars": 5})]
    seen = [heard.get(timeout=10) for _ in expected]
    assert sorted(map(str, seen)) == sorted(map(str, expected)), seen

    notifier = oslo_messaging.Notifier(notifications, "python.there", driver="messagingv2", topics=["goodbyes"])
    notifier.info(CONTEXT, "goodbye", {})
    server.stop()
    listener.stop()
    print("Python and Rust understand each other.")


main(sys.argv[1])
