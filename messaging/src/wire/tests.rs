use proptest::collection::{btree_map, vec};
use proptest::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Any JSON, a few levels deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // JSON knows finite ones only.
        (NORMAL | SUBNORMAL | ZERO | NEGATIVE | POSITIVE).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(any::<String>(), inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_fields() -> impl Strategy<Value = Map<String, Value>> {
    btree_map(any::<String>(), any_json(), 0..4).prop_map(|map| map.into_iter().collect())
}

fn any_id() -> impl Strategy<Value = Arc<str>> {
    any::<String>().prop_map(Arc::from)
}

prop_compose! {
    fn any_reply_to()(
        message_id in any_id(),
        queue in any_id(),
        by_exchange in any::<bool>(),
        monitor in proptest::option::of(0..1_000_000u64),
    ) -> ReplyTo {
        ReplyTo { message_id, queue, by_exchange, monitor: monitor.map(Duration::from_secs) }
    }
}

prop_compose! {
    fn any_request()(
        method in any::<String>(),
        namespace in proptest::option::of(any::<String>()),
        (major, minor) in any::<(u32, u32)>(),
        args in any_fields(),
        context in any_fields(),
        reply_to in proptest::option::of(any_reply_to()),
        unique_id in any_id(),
    ) -> RequestMessage {
        RequestMessage { method, namespace, version: Version::new(major, minor), args, context, reply_to, unique_id }
    }
}

prop_compose! {
    fn any_failure()(
        (class, module, message) in any::<(String, String, String)>(),
        traceback in vec(any::<String>(), 0..3),
        args in vec(any_json(), 0..3),
        kwargs in any_fields(),
    ) -> Box<Failure> {
        Box::new(Failure { class, module, message, traceback, args, kwargs, is_temporary: false })
    }
}

prop_compose! {
    fn any_reply()(
        message_id in any_id(),
        unique_id in any::<String>(),
        outcome in prop_oneof![any_json().prop_map(Ok), any_failure().prop_map(Err)],
        ending in any::<bool>(),
    ) -> ReplyMessage {
        ReplyMessage { message_id, unique_id, outcome, ending }
    }
}

prop_compose! {
    fn any_notification()(
        (message_id, publisher_id, event_type) in any::<(String, String, String)>(),
        (priority, timestamp, unique_id) in any::<(String, String, String)>(),
        payload in any_json(),
        context in any_fields(),
    ) -> NotificationMessage {
        NotificationMessage { message_id, publisher_id, event_type, priority, payload, timestamp, unique_id, context }
    }
}

proptest! {
    #[test]
    fn a_request_is_read_as_it_was_written(request in any_request()) {
        prop_assert_eq!(RequestMessage::decode(&request.encode().unwrap()).unwrap(), request);
    }

    #[test]
    fn a_reply_is_read_as_it_was_written(reply in any_reply()) {
        prop_assert_eq!(ReplyMessage::decode(&reply.encode().unwrap()).unwrap(), reply);
    }

    #[test]
    fn a_notification_is_read_as_it_was_written(notification in any_notification()) {
        prop_assert_eq!(NotificationMessage::decode(&notification.encode().unwrap()).unwrap(), notification);
    }

    #[test]
    fn no_bytes_crash_the_reader(body in vec(any::<u8>(), 0..200)) {
        read_everything(&body);
    }

    #[test]
    fn no_json_crashes_the_reader(body in any_json(), inner in any_fields(), version in any::<String>()) {
        read_everything(body.to_string().as_bytes());
        read_everything(Value::from(inner.clone()).to_string().as_bytes());
        let text = Value::from(inner).to_string();
        read_everything(json!({ "oslo.version": "2.0", "oslo.message": text }).to_string().as_bytes());
        read_everything(json!({ "oslo.version": version, "oslo.message": text }).to_string().as_bytes());
    }

    /// Every field present, but any of them of any type.
    #[test]
    fn no_field_of_another_type_crashes_the_reader(values in vec(any_json(), 13)) {
        let fields = ["method", "args", "version", "namespace", "_msg_id", "_reply_q", "_timeout", "_reply_exchange", "_unique_id",
            "failure", "result", "ending", "event_type"];
        let message: Map<String, Value> = fields.into_iter().map(str::to_owned).zip(values).collect();
        read_everything(Value::from(message).to_string().as_bytes());
    }
}

fn read_everything(body: &[u8]) {
    let _ = (RequestMessage::decode(body), ReplyMessage::decode(body), NotificationMessage::decode(body));
}

/// As captured from oslo.messaging 18.3.1.
#[test]
fn a_call_of_oslo_messaging_is_understood() {
    let inner = r#"{"method": "echo", "args": {"payload": "hello"}, "version": "1.7",
        "_msg_id": "8f468e1dbf9846abbedd60f0ddf15b7b", "_reply_q": "reply_38fddebb252346c6a36613ffe97c1df4", "_timeout": 60,
        "_unique_id": "6503b1f02e4440a59817c740cf5f32c8", "_context_user_id": "u1", "_context_request_id": "req-1"}"#;
    let expected = RequestMessage {
        method: "echo".into(),
        namespace: None,
        version: Version::new(1, 7),
        args: json!({ "payload": "hello" }).as_object().unwrap().clone(),
        context: json!({ "user_id": "u1", "request_id": "req-1" }).as_object().unwrap().clone(),
        reply_to: Some(ReplyTo {
            message_id: "8f468e1dbf9846abbedd60f0ddf15b7b".into(),
            queue: "reply_38fddebb252346c6a36613ffe97c1df4".into(),
            by_exchange: false,
            monitor: Some(Duration::from_secs(60)),
        }),
        unique_id: "6503b1f02e4440a59817c740cf5f32c8".into(),
    };
    let envelope = json!({ "oslo.version": "2.0", "oslo.message": inner }).to_string();
    assert_eq!(RequestMessage::decode(envelope.as_bytes()).unwrap(), expected);
    // The envelope 1.0 is the message itself.
    assert_eq!(RequestMessage::decode(inner.as_bytes()).unwrap(), expected);
}

#[test]
fn a_failure_of_oslo_messaging_is_understood() {
    let failure = r#"{"class": "ValueError", "module": "builtins", "message": "('a bad value', 42)",
        "tb": ["Traceback (most recent call last):\n", "..."], "args": ["a bad value", 42], "kwargs": {}}"#;
    let message = json!({ "result": null, "failure": failure, "ending": true, "_msg_id": "m", "_unique_id": "u" });
    let envelope = json!({ "oslo.version": "2.0", "oslo.message": message.to_string() }).to_string();
    let failure = ReplyMessage::decode(envelope.as_bytes()).unwrap().outcome.unwrap_err();
    assert_eq!((failure.class.as_str(), failure.module.as_str()), ("ValueError", "builtins"));
    assert_eq!(failure.args, [json!("a bad value"), json!(42)]);
    assert_eq!(failure.traceback.len(), 2);
}

#[test]
fn a_message_without_a_version_speaks_1_0_and_gets_an_id() {
    let request = RequestMessage::decode(br#"{"method": "echo"}"#).unwrap();
    assert_eq!(request.version, Version::new(1, 0));
    assert_eq!(request.unique_id.len(), 32);
}

#[test]
fn a_newer_major_of_the_envelope_is_refused() {
    let error = RequestMessage::decode(br#"{"oslo.version": "3.0", "oslo.message": "{}"}"#).unwrap_err();
    assert!(error.to_string().contains("3.0"), "{error}");
}

#[test]
fn ids_have_the_form_of_oslo_messaging() {
    let id = new_id();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_ne!(id, new_id());
}

#[test]
fn a_quote_in_the_message_that_is_not_escaped_ends_it() {
    let torn = br#"{"oslo.version": "2.0", "oslo.message": "{"method": "m"}"}"#;
    assert!(matches!(RequestMessage::decode(torn), Err(MessagingError::Malformed { .. })));
}

#[test]
fn a_line_break_in_the_message_that_is_not_escaped_is_refused() {
    let broken = b"{\"oslo.version\": \"2.0\", \"oslo.message\": \"{\n\\\"method\\\": \\\"m\\\"}\"}";
    assert!(matches!(RequestMessage::decode(broken), Err(MessagingError::Malformed { .. })));
}

#[test]
fn a_field_behind_the_message_is_ignored() {
    let more = br#"{"oslo.version": "2.0", "oslo.message": "{\"method\": \"m\"}", "new": "field"}"#;
    assert_eq!(RequestMessage::decode(more).unwrap().method, "m");
}

#[test]
fn any_way_to_write_the_envelope_is_read() {
    for body in [
        r#"{"oslo.version": "2.0", "oslo.message": "{\u0022method\": \"m\\\\\"}"}"#,
        r#" {"oslo.message":"{\"method\":\"m\\\\\"}","oslo.version":"2.1"}"#,
        r#"{"oslo.version": "2.0", "oslo.message": "{\"method\": \"m\\u005c\"}"}"#,
    ] {
        assert_eq!(RequestMessage::decode(body.as_bytes()).unwrap().method, "m\\", "{body}");
    }
}
