//! A client in Python, a server in Rust.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::interop::Bus;
use crate::interop::peer::{Peer, Raised};
use crate::interop::work::*;

/// Calls any server of the topic.
async fn call(python: &Peer, method: &str, args: Value) -> Result<Value, Raised> {
    let fields = json!({ "target": { "topic": "work" }, "method": method, "args": args, "context": context() });
    python.ask("call", fields).await
}

async fn cast(python: &Peer, target: Value, method: &str, text: &str) {
    let fields = json!({ "target": target, "method": method, "args": { "text": text }, "context": context() });
    python.ask("cast", fields).await.unwrap();
}

/// Publishes a message's text as it is.
async fn publish(python: &Peer, bus: &Bus, body: &str) {
    let exchange = bus.options().control_exchange;
    python.ask("raw", json!({ "exchange": exchange, "routing_key": "work", "body": body })).await.unwrap();
}

pub async fn a_python_client_gets_a_rust_servers_answer(bus: &Bus) {
    let (_rust, python) = (Served::start(bus, "host-1").await, bus.python().await);
    assert_eq!(call(&python, "add", json!({ "a": 40, "b": 2 })).await.unwrap(), 42);
    assert_eq!(call(&python, "nothing", json!({})).await.unwrap(), Value::Null);
    let calls = (0..20).map(|number| call(&python, "add", json!({ "a": number, "b": 100 })));
    let answers = futures_util::future::join_all(calls).await;
    assert_eq!(answers.into_iter().map(Result::unwrap).collect::<Vec<_>>(), (100..120).collect::<Vec<_>>());

    let at_least_once = |topic: &str| {
        let target = json!({ "topic": topic, "server": "host-1" });
        json!({ "target": target, "method": "add", "args": { "a": 1, "b": 2 }, "at_least_once": true })
    };
    assert_eq!(python.ask("call", at_least_once("work")).await.unwrap(), 3);
    assert_eq!(python.ask("call", at_least_once("nobody")).await.unwrap_err().class, "MessageUndeliverable");
}

pub async fn values_of_every_kind_survive_the_way_from_python_and_back(bus: &Bus) {
    let (_rust, python) = (Served::start(bus, "host-1").await, bus.python().await);
    let answer = call(&python, "echo", json!({ "value": every_kind() })).await.unwrap();
    assert_eq!(answer["value"], every_kind());
}

pub async fn the_context_arrives_from_python_without_the_token(bus: &Bus) {
    let (mut rust, python) = (Served::start(bus, "host-1").await, bus.python().await);
    let command = |method: &str, args: Value| json!({ "target": { "topic": "work" }, "method": method, "args": args, "context": context_with_token() });
    let answer = python.ask("call", command("echo", json!({ "value": 1 }))).await.unwrap();
    assert_eq!(answer["context"], context());
    python.ask("cast", command("note", json!({ "text": "a" }))).await.unwrap();
    assert_eq!(rust.event().await["context"], context());
}

pub async fn a_python_client_reaches_a_topic_a_server_or_all_servers_in_rust(bus: &Bus) {
    let (mut one, mut two) = (Served::start(bus, "host-1").await, Served::start(bus, "host-2").await);
    let python = bus.python().await;
    let event = |event: &str, server: &str, text: &str| json!({ "event": event, "topic": "work", "server": server, "text": text, "context": context() });

    cast(&python, json!({ "topic": "work" }), "note", "to any").await;
    let by_any = tokio::select! { event = one.event() => event, event = two.event() => event };
    assert!([event("note", "host-1", "to any"), event("note", "host-2", "to any")].contains(&by_any), "{by_any}");

    cast(&python, json!({ "topic": "work", "server": "host-2" }), "note", "to one").await;
    assert_eq!(two.event().await, event("note", "host-2", "to one"));
    let add = json!({ "target": { "topic": "work", "server": "host-1" }, "method": "add", "args": { "a": 1, "b": 2 } });
    assert_eq!(python.ask("call", add).await.unwrap(), 3);

    cast(&python, json!({ "topic": "work", "fanout": true }), "ring", "to all").await;
    assert_eq!(one.event().await, event("ring", "host-1", "to all"));
    assert_eq!(two.event().await, event("ring", "host-2", "to all"));
}

pub async fn a_python_client_chooses_between_namespaces_and_versions_in_rust(bus: &Bus) {
    let (_rust, python) = (Served::start(bus, "host-1").await, bus.python().await);
    let call = async |target: Value, method: &str, args: Value| {
        python.ask("call", json!({ "target": target, "method": method, "args": args })).await.unwrap()
    };
    let admin = json!({ "topic": "work", "namespace": "admin", "version": "2.0" });
    assert_eq!(call(admin, "whoami", json!({})).await, "admin");
    let first = json!({ "topic": "work", "version": "1.3" });
    assert_eq!(call(first, "echo", json!({ "value": "v" })).await, json!({ "value": "v", "context": {} }));
    let second = json!({ "topic": "work", "version": "2.0" });
    assert_eq!(call(second, "echo", json!({ "value": "v" })).await, json!({ "value": "v", "major": 2 }));
}

pub async fn a_rust_error_is_a_remote_error_in_python(bus: &Bus) {
    let (_rust, python) = (Served::start(bus, "host-1").await, bus.python().await);
    let error = call(&python, "fail_custom", json!({ "code": 404 })).await.unwrap_err();
    assert_eq!(error.class, "RemoteError");
    assert_eq!(error.exc_type.as_deref(), Some("NotThere"));
    assert_eq!(error.value.as_deref(), Some("not there (code 404)"));
    // The traceback, which Rust has none of, is the chain of causes.
    assert!(error.text.contains("['not there (code 404)\\n']"), "{}", error.text);
}

pub async fn a_rust_error_is_the_python_clients_own_exception_if_it_allows_the_module(bus: &Bus) {
    let (_rust, python) = (Served::start(bus, "host-1").await, bus.python().await);
    let fields = json!({
        "target": { "topic": "work" }, "method": "fail_custom", "args": { "code": 404 },
        "allowed_remote_exmods": ["cloud.exception"],
    });
    let error = python.ask("call", fields).await.unwrap_err();
    // oslo.messaging makes a class of this name that is derived from the exception's.
    assert_eq!((error.class.as_str(), error.module.as_str()), ("NotThere_Remote", "cloud.exception_Remote"));
    assert!(error.text.starts_with("not there (code 404)\n"), "{}", error.text);
    assert_eq!(error.args, ["not there (code 404)"]);
    assert_eq!(Value::from(error.kwargs), json!({ "code": 404 }));
}

pub async fn a_rust_panic_is_a_runtime_error_in_python(bus: &Bus) {
    let (_rust, python) = (Served::start(bus, "host-1").await, bus.python().await);
    let error = call(&python, "fail", json!({})).await.unwrap_err();
    assert_eq!((error.class.as_str(), error.module.as_str()), ("RuntimeError", "builtins"));
    assert!(error.text.contains("the handler of fail panicked: as asked"), "{}", error.text);
    assert_eq!(call(&python, "add", json!({ "a": 1, "b": 2 })).await.unwrap(), 3);
}

pub async fn what_a_rust_server_does_not_serve_is_an_error_in_python_that_says_so(bus: &Bus) {
    let (_rust, python) = (Served::start(bus, "host-1").await, bus.python().await);
    let error = call(&python, "missing", json!({})).await.unwrap_err();
    assert_eq!((error.class.as_str(), error.exc_type.as_deref()), ("RemoteError", Some("NoSuchMethod")));
    assert_eq!(error.value.as_deref(), Some("Endpoint does not support RPC method missing"));

    for target in [
        json!({ "topic": "work", "version": "1.4" }),
        json!({ "topic": "work", "version": "3.0" }),
        json!({ "topic": "work", "namespace": "other" }),
    ] {
        let fields = json!({ "target": target, "method": "echo", "args": { "value": 1 } });
        let error = python.ask("call", fields).await.unwrap_err();
        assert_eq!((error.class.as_str(), error.exc_type.as_deref()), ("RemoteError", Some("UnsupportedVersion")));
    }

    for args in [json!({ "a": 1 }), json!({ "a": 1, "b": "two" })] {
        let error = call(&python, "add", args).await.unwrap_err();
        assert_eq!((error.class.as_str(), error.module.as_str()), ("TypeError", "builtins"));
        assert!(error.text.contains("add(): the argument `b` is"), "{}", error.text);
    }
}

pub async fn a_rust_server_gives_a_python_client_signs_of_life(bus: &Bus) {
    let (_rust, python) = (Served::start(bus, "host-1").await, bus.python().await);
    let fields = json!({
        "target": { "topic": "work" }, "method": "take_time", "args": { "seconds": 8 }, "timeout": 60, "monitor": 4,
    });
    assert_eq!(python.ask("call", fields).await.unwrap(), "done");
}

pub async fn a_python_client_notices_that_a_rust_server_died(bus: &Bus) {
    let (mut rust, python) = (Served::start(bus, "host-1").await, bus.python().await);
    let fields = json!({
        "target": { "topic": "work" }, "method": "take_time", "args": { "seconds": 60 }, "timeout": 60, "monitor": 2,
    });
    let call = python.ask("call", fields);
    let death = async {
        assert_eq!(rust.event().await["event"], "take_time");
        rust.kill().await;
        Instant::now()
    };
    let (outcome, died) = tokio::join!(call, death);
    assert_eq!(outcome.unwrap_err().class, "MessagingTimeout");
    assert!(died.elapsed() < Duration::from_secs(20), "{:?}", died.elapsed());
}

pub async fn a_rust_server_answers_pings_from_python(bus: &Bus) {
    let (_rust, python) = (Served::start(bus, "host-1").await, bus.python().await);
    assert_eq!(python.ask("ping", json!({ "topic": "work" })).await.unwrap(), "pong");
    assert_eq!(python.ask("ping", json!({ "topic": "work", "server": "host-1" })).await.unwrap(), "pong");
}

pub async fn a_rust_server_understands_old_envelopes_and_unknown_fields(bus: &Bus) {
    let (mut rust, python) = (Served::start(bus, "host-1").await, bus.python().await);
    // The envelope 1.0 is none: the body is the message.
    let old = json!({ "method": "note", "args": { "text": "old" }, "_context_user_id": "u1" });
    publish(&python, bus, &old.to_string()).await;
    let event = rust.event().await;
    assert_eq!((&event["text"], &event["context"]), (&json!("old"), &json!({ "user_id": "u1" })));

    let new = json!({
        "method": "note", "args": { "text": "new", "volume": 11 }, "version": "1.0", "namespace": null,
        "_unique_id": "1", "_from_the_future": { "a": [1] }, "priority": "high",
    });
    let envelope = json!({ "oslo.version": "2.7", "oslo.message": new.to_string(), "oslo.signature": "none" });
    publish(&python, bus, &envelope.to_string()).await;
    let event = rust.event().await;
    assert_eq!((&event["text"], &event["context"]), (&json!("new"), &json!({})));
}

pub async fn a_rust_server_sets_aside_what_it_cannot_read_and_goes_on(bus: &Bus) {
    let (rust, python) = (Served::start(bus, "host-1").await, bus.python().await);
    let bodies = ["no JSON", "[]", r#"{"oslo.version": "3.0", "oslo.message": "{}"}"#, r#"{"args": {}}"#];
    for body in bodies {
        publish(&python, bus, body).await;
    }
    assert_eq!(call(&python, "add", json!({ "a": 1, "b": 2 })).await.unwrap(), 3);
    bus.vhost.wait_for_messages("dead_letters", 4).await;
    let letters = rust.transport.dead_letters(10).await.unwrap();
    let mut set_aside: Vec<_> = letters.iter().map(|letter| letter.body.as_str()).collect();
    set_aside.sort_unstable();
    let mut sent = bodies;
    sent.sort_unstable();
    assert_eq!(set_aside, sent);
    assert!(letters.iter().all(|letter| letter.queue == "work" && letter.reason.starts_with("malformed message")));
}

pub async fn a_rust_and_a_python_server_share_a_topic(bus: &Bus) {
    let (mut rust, mut python) = (Served::start(bus, "rust").await, bus.python().await);
    python.ask("serve", json!({ "topic": "work", "server": "python" })).await.unwrap();
    let client = WorkClient::new(&rust.transport);
    let (mut by_rust, mut by_python) = (0, 0);
    for number in 0..20 {
        let text = format!("note {number}");
        // Now the one client, now the other.
        if number % 2 == 0 {
            client.note(&context(), text.clone()).await.unwrap();
        } else {
            cast(&python, json!({ "topic": "work" }), "note", &text).await;
        }
        let event = tokio::select! {
            event = rust.event() => { by_rust += 1; event }
            event = python.event() => { by_python += 1; event }
        };
        assert_eq!((&event["text"], &event["context"]), (&json!(text), &context()));
    }
    assert!(by_rust > 0 && by_python > 0, "Rust took {by_rust}, Python {by_python}");

    client.ring(&context(), "from Rust".into()).await.unwrap();
    for event in [rust.event().await, python.event().await] {
        assert_eq!((&event["event"], &event["text"]), (&json!("ring"), &json!("from Rust")));
    }
    cast(&python, json!({ "topic": "work", "fanout": true }), "ring", "from Python").await;
    for event in [rust.event().await, python.event().await] {
        assert_eq!((&event["event"], &event["text"]), (&json!("ring"), &json!("from Python")));
    }
}
