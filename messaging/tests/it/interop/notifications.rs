//! Notifications from Python to Rust, and from Rust to Python.

use std::collections::BTreeSet;

use novella_messaging::{Batch, Notification, NotificationListener, Notifier, Priority};
use novella_testing::within;
use serde_json::{Value, json};

use crate::interop::Bus;
use crate::interop::peer::Peer;
use crate::interop::work::{context, context_with_token, every_kind};

const PRIORITIES: [Priority; 7] = [
    Priority::Audit,
    Priority::Debug,
    Priority::Info,
    Priority::Warn,
    Priority::Error,
    Priority::Critical,
    Priority::Sample,
];

/// Hears every priority.
async fn listen(bus: &Bus, pool: Option<&str>) -> NotificationListener {
    let transport = bus.connect().await;
    let builder = PRIORITIES
        .into_iter()
        .fold(NotificationListener::builder(&transport, "reports"), |builder, priority| builder.priority(priority));
    let builder = match pool {
        Some(pool) => builder.pool(pool),
        None => builder,
    };
    builder.start().await.unwrap()
}

async fn notifier(bus: &Bus) -> Notifier {
    Notifier::new(&bus.connect().await, "reports", "compute.host-1")
}

async fn next(listener: &mut NotificationListener) -> Batch {
    within(listener.next_batch(1)).await.unwrap()
}

fn only(batch: &Batch) -> Notification {
    let [notification] = batch.notifications() else { panic!("{batch:?}") };
    notification.clone()
}

async fn take(listener: &mut NotificationListener) -> Notification {
    let batch = next(listener).await;
    let notification = only(&batch);
    batch.ack().await;
    notification
}

async fn notify(python: &Peer, priority: &str, driver: &str, payload: Value) {
    let fields = json!({
        "topic": "reports", "event_type": "host.on_fire", "payload": payload, "publisher_id": "compute.host-1",
        "priority": priority, "driver": driver, "context": context_with_token(),
    });
    python.ask("notify", fields).await.unwrap();
}

/// `2026-11-20 17:26:49.340149`.
fn is_timestamp(text: &str) -> bool {
    let digits = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c });
    digits.collect::<String>() == "0000-00-00 00:00:00.000000"
}

pub async fn a_rust_listener_hears_what_python_notifies(bus: &Bus) {
    let (mut listener, python) = (listen(bus, None).await, bus.python().await);
    notify(&python, "error", "messagingv2", every_kind()).await;
    let heard = take(&mut listener).await;
    assert_eq!((heard.publisher_id.as_str(), heard.event_type.as_str()), ("compute.host-1", "host.on_fire"));
    assert_eq!((heard.priority, &heard.payload), (Priority::Error, &every_kind()));
    assert_eq!(heard.message_id.len(), 36);
    assert!(is_timestamp(&heard.timestamp), "{}", heard.timestamp);
    let sent = context();
    for field in ["user_id", "request_id", "roles"] {
        assert_eq!(heard.context[field], sent[field], "{:?}", heard.context);
    }
    assert!(!Value::from(heard.context).to_string().contains("secret"));
}

/// Before the envelope 2.0, whose driver is `messagingv2`, there was none.
pub async fn a_rust_listener_hears_every_priority_and_either_format_from_python(bus: &Bus) {
    let (mut listener, python) = (listen(bus, None).await, bus.python().await);
    for driver in ["messagingv2", "messaging"] {
        for priority in PRIORITIES {
            notify(&python, priority.as_str(), driver, json!({ "driver": driver })).await;
            let heard = take(&mut listener).await;
            assert_eq!((heard.priority, heard.payload), (priority, json!({ "driver": driver })));
        }
    }
}

pub async fn a_rust_listener_gives_back_what_python_notified_and_hears_it_again(bus: &Bus) {
    let python = bus.python().await;
    let mut listener = listen(bus, None).await;
    notify(&python, "info", "messagingv2", json!({ "number": 1 })).await;
    let batch = next(&mut listener).await;
    let first = only(&batch);
    batch.requeue().await;
    notify(&python, "info", "messagingv2", json!({ "number": 2 })).await;
    let batch = next(&mut listener).await;
    assert_eq!(only(&batch), first);
    // Not acknowledged when its listener goes.
    drop(batch);
    drop(listener);
    let mut other = listen(bus, None).await;
    let mut heard = [take(&mut other).await, take(&mut other).await];
    heard.sort_by_key(|notification| notification.payload["number"].as_u64());
    assert_eq!(heard[0], first);
    assert_eq!(heard[1].payload, json!({ "number": 2 }));
}

pub async fn a_python_listener_hears_what_rust_notifies(bus: &Bus) {
    let (mut python, notifier) = (bus.python().await, notifier(bus).await);
    python.ask("listen", json!({ "topic": "reports" })).await.unwrap();
    let mut ids = BTreeSet::new();
    for priority in PRIORITIES {
        notifier.notify(priority, &context_with_token(), "host.on_fire", &json!({ "since": 1 })).await.unwrap();
        let mut heard = python.event().await;
        let metadata = heard["metadata"].take();
        let expected = json!({
            "event": "notification", "topic": "reports", "pool": null, "priority": priority.as_str(),
            "publisher_id": "compute.host-1", "event_type": "host.on_fire", "payload": { "since": 1 },
            "metadata": null, "context": context(), "requeued": false,
        });
        assert_eq!(heard, expected);
        assert!(is_timestamp(metadata["timestamp"].as_str().unwrap()), "{metadata}");
        ids.insert(metadata["message_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), PRIORITIES.len());
}

pub async fn a_python_listener_gives_back_what_rust_notified_and_hears_it_again(bus: &Bus) {
    let (mut python, notifier) = (bus.python().await, notifier(bus).await);
    python.ask("listen", json!({ "topic": "reports", "requeue_first": true })).await.unwrap();
    notifier.info(&context(), "host.on_fire", &json!({ "number": 1 })).await.unwrap();
    let mut first = python.event().await;
    assert_eq!((&first["requeued"], &first["payload"]), (&json!(true), &json!({ "number": 1 })));
    first["requeued"] = false.into();
    assert_eq!(python.event().await, first);
}

pub async fn each_pool_hears_everything_whatever_its_language(bus: &Bus) {
    let mut python = bus.python().await;
    python.ask("listen", json!({ "topic": "reports", "pool": "billing" })).await.unwrap();
    let (mut audit, mut without) = (listen(bus, Some("audit")).await, listen(bus, None).await);
    let notifier = notifier(bus).await;
    for priority in [Priority::Info, Priority::Error] {
        notifier.notify(priority, &context(), "from.rust", &json!({})).await.unwrap();
        notify(&python, priority.as_str(), "messagingv2", json!({})).await;
        let mut by_python = [python.event().await, python.event().await];
        by_python.sort_by_key(|event| event["event_type"].to_string());
        for (event, event_type) in by_python.iter().zip(["from.rust", "host.on_fire"]) {
            assert_eq!((&event["pool"], &event["event_type"]), (&json!("billing"), &json!(event_type)));
            assert_eq!(event["priority"], priority.as_str());
        }
        for listener in [&mut audit, &mut without] {
            let mut by_rust = [take(listener).await, take(listener).await];
            by_rust.sort_by_key(|notification| notification.event_type.clone());
            assert_eq!(by_rust.each_ref().map(|heard| heard.event_type.as_str()), ["from.rust", "host.on_fire"]);
            assert!(by_rust.iter().all(|heard| heard.priority == priority));
        }
    }
}

pub async fn a_rust_and_a_python_listener_share_a_pool(bus: &Bus) {
    let (mut python, notifier) = (bus.python().await, notifier(bus).await);
    python.ask("listen", json!({ "topic": "reports", "pool": "billing" })).await.unwrap();
    let mut rust = listen(bus, Some("billing")).await;
    let (mut by_rust, mut by_python) = (BTreeSet::new(), BTreeSet::new());
    for number in 0..20 {
        notifier.info(&context(), "test.event", &json!({ "number": number })).await.unwrap();
        tokio::select! {
            heard = take(&mut rust) => by_rust.insert(heard.payload["number"].as_u64().unwrap()),
            heard = python.event() => by_python.insert(heard["payload"]["number"].as_u64().unwrap()),
        };
    }
    assert!(!by_rust.is_empty() && !by_python.is_empty(), "Rust heard {by_rust:?}, Python {by_python:?}");
    assert!(by_rust.is_disjoint(&by_python));
    assert_eq!(by_rust.len() + by_python.len(), 20);
}
