//! Calls: somebody waits for the answer.

use std::time::Duration;

use novella_messaging::{
    CallError, MessagingError, NotificationListener, RpcClient, RpcServer, Target, Transport, TransportOptions, Version,
};
use serde_json::{Map, Value, json};

use crate::conformance::support::*;

pub async fn a_call_returns_the_managers_answer(bus: &impl Bus) {
    let (transport, workers) = (bus.connect().await, Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    let other = bus.connect().await;
    let client = WorkClient::new(&other);
    assert_eq!(client.echo(&context(), "hello".into()).await.unwrap(), (context(), "hello".into()));
    assert_eq!(client.server("host-1").echo(&context(), "du, ü\n\"".into()).await.unwrap().1, "du, ü\n\"");
}

pub async fn many_calls_at_once_each_get_their_own_answer(bus: &impl Bus) {
    let (transport, workers) = (bus.connect().await, Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    let client = WorkClient::new(&transport);
    let calls = (0..200).map(|number| {
        let client = client.clone();
        tokio::spawn(async move { (number.to_string(), client.echo(&context(), number.to_string()).await.unwrap().1) })
    });
    for call in calls.collect::<Vec<_>>() {
        let (asked, answered) = within(call).await.unwrap();
        assert_eq!(asked, answered);
    }
}

pub async fn a_typed_error_reaches_the_caller_as_its_own_type(bus: &impl Bus) {
    let (transport, workers) = (bus.connect().await, Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    let error = WorkClient::new(&transport).refuse(&context(), "dig".into(), 3).await.unwrap_err();
    assert_eq!(error, CallError::Remote(WorkError::NoSuchJob { job: "dig".into(), tried: 3 }));
    assert_eq!(error.to_string(), "no such job: dig");
}

pub async fn an_error_of_another_kind_says_what_it_was(bus: &impl Bus) {
    let (transport, workers) = (bus.connect().await, Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    let client = RpcClient::new(&transport, Target::new("work"));
    let error =
        client.call(json!(context()), "refuse", arguments(json!({ "job": "dig", "tried": 1 }))).await.unwrap_err();
    let MessagingError::Remote(failure) = error else { panic!("{error:?}") };
    assert_eq!((failure.class.as_str(), failure.module.as_str()), ("NoSuchJob", "novella.tests"));
    assert_eq!(failure.message, "no such job: dig");
}

pub async fn an_unknown_method_is_its_own_error(bus: &impl Bus) {
    let (transport, workers) = (bus.connect().await, Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    let error =
        RpcClient::new(&transport, Target::new("work")).call(json!(context()), "nope", Map::new()).await.unwrap_err();
    assert_eq!(error, MessagingError::NoSuchMethod { method: "nope".into(), target: "`work`".into() });
}

pub async fn an_unsupported_version_is_its_own_error(bus: &impl Bus) {
    let transport = bus.connect().await;
    let server = RpcServer::builder(&transport, Target::new("work").server("old"))
        .endpoint(OldWorkEndpoint::new(std::sync::Arc::new(OldManager)));
    let _server = server.start().await.unwrap();
    let client = WorkClient::new(&transport);
    assert_eq!(client.echo(&context(), "still".into()).await.unwrap().1, "still");
    let error = client.newer(&context(), None).await.unwrap_err();
    let CallError::Messaging(MessagingError::UnsupportedVersion { method, requested, .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!((method.as_str(), requested), ("newer", Version::new(1, 1)));
}

pub async fn a_capped_client_sends_nothing_newer(bus: &impl Bus) {
    let (transport, workers) = (bus.connect().await, Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    let client = WorkClient::new(&transport).version_cap(OLD);
    assert!(client.can_send_version(OLD) && !client.can_send_version(Version::new(1, 1)));
    let refused = client.newer(&context(), None).await;
    assert!(matches!(refused, Err(CallError::Messaging(MessagingError::UnsupportedVersion { .. }))), "{refused:?}");
    assert_eq!(client.echo(&context(), "old".into()).await.unwrap().1, "old");
}

pub async fn a_namespace_is_a_place_of_its_own(bus: &impl Bus) {
    let (transport, workers) = (bus.connect().await, Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    let client = RpcClient::new(&transport, Target::new("work").namespace("elsewhere"));
    let error = client.call(json!(context()), "echo", arguments(json!({ "text": "" }))).await.unwrap_err();
    assert!(matches!(error, MessagingError::UnsupportedVersion { .. }), "{error:?}");
}

pub async fn a_wrong_argument_is_an_error_that_names_it(bus: &impl Bus) {
    let (transport, workers) = (bus.connect().await, Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    let client = RpcClient::new(&transport, Target::new("work"));
    for (args, culprit) in [(json!({}), "`text` is missing"), (json!({ "text": 1 }), "`text` is not valid")] {
        let error = client.call(json!(context()), "echo", arguments(args)).await.unwrap_err().to_string();
        assert!(error.contains("TypeError") && error.contains(culprit), "{error}");
    }
    let error = client
        .call(json!({ "user_id": "u1" }), "echo", arguments(json!({ "text": "" })))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("request_id"), "{error}");
}

pub async fn unknown_arguments_and_missing_optional_ones_are_tolerated(bus: &impl Bus) {
    let (transport, workers) = (bus.connect().await, Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    let client = RpcClient::new(&transport, Target::new("work").version(Version::new(1, 1)));
    let mut ctx = json!(context());
    ctx["from_the_future"] = json!([1]);
    assert_eq!(
        client.call(ctx.clone(), "newer", arguments(json!({ "from_the_future": true }))).await.unwrap(),
        json!(7)
    );
    assert_eq!(client.call(ctx, "newer", arguments(json!({ "optional": 8 }))).await.unwrap(), json!(8));
}

pub async fn a_handler_that_panics_fails_its_call_and_the_server_lives(bus: &impl Bus) {
    let (transport, workers) = (bus.connect().await, Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    let client = WorkClient::new(&transport);
    let error = client.explode(&context()).await.unwrap_err();
    assert!(error.to_string().contains("panicked: as asked"), "{error}");
    client.echo(&context(), "alive".into()).await.unwrap();
}

pub async fn a_call_times_out_with_a_clear_error(bus: &impl Bus) {
    let (transport, workers) = (bus.connect().await, Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    let client = WorkClient::new(&transport).server("host-1").timeout(Duration::from_millis(300));
    let CallError::Messaging(error) = client.wait(&context()).await.unwrap_err() else { panic!() };
    assert!(matches!(error, MessagingError::Timeout { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("`wait`") && text.contains("`work.host-1`") && text.contains("0.3 s"), "{text}");
}

pub async fn a_late_answer_disturbs_nobody(bus: &impl Bus) {
    let (transport, mut workers) = (bus.connect().await, Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    let client = WorkClient::new(&transport);
    // The first call makes the queue for answers.
    client.echo(&context(), "first".into()).await.unwrap();
    let early = client.timeout(Duration::from_secs(1)).wait(&context()).await;
    assert!(matches!(early, Err(CallError::Messaging(MessagingError::Timeout { .. }))), "{early:?}");
    workers.gate.add_permits(1);
    while workers.next_text().await != "waited" {}
    assert_eq!(client.echo(&context(), "next".into()).await.unwrap().1, "next");
}

/// A timeout above the usual has the server send signs of life, so that the caller notices a server
/// that is gone.
pub async fn a_long_call_outlives_the_usual_timeout_while_its_server_lives(bus: &impl Bus) {
    let mut workers = Workers::new();
    let transport = bus.connect().await;
    let server = workers.serve(&transport, "host-1").await;
    let usual = Duration::from_secs(4);
    let caller = Transport::connect(&bus.url(), TransportOptions { rpc_response_timeout: usual, ..bus.options() })
        .await
        .unwrap();
    let client = WorkClient::new(&caller).timeout(TEST_TIMEOUT);
    let call = tokio::spawn(async move { client.wait(&context()).await });
    assert_eq!(workers.next_text().await, "wait");
    tokio::time::sleep(2 * usual).await;
    assert!(!call.is_finished());
    drop(server);
    let error = within(call).await.unwrap().unwrap_err();
    assert!(
        matches!(error, CallError::Messaging(MessagingError::Timeout { after, .. }) if after == usual),
        "{error:?}"
    );
}

pub async fn a_call_to_a_topic_nobody_ever_listened_on_is_unroutable_at_once(bus: &impl Bus) {
    let transport = bus.connect().await;
    let error = WorkClient::new(&transport).echo(&context(), "anybody?".into()).await.unwrap_err();
    assert!(matches!(error, CallError::Messaging(MessagingError::Unroutable { .. })), "{error:?}");
}

pub async fn a_closed_transport_says_so(bus: &impl Bus) {
    let (transport, mut workers) = (bus.connect().await, Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    let caller = bus.connect().await;
    let client = WorkClient::new(&caller);
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.wait(&context()).await }
    });
    assert_eq!(workers.next_text().await, "wait");
    within(caller.close()).await;
    let closed = CallError::Messaging(MessagingError::Closed);
    assert_eq!(within(waiting).await.unwrap().unwrap_err(), closed);
    assert_eq!(client.echo(&context(), "after".into()).await.unwrap_err(), closed);
    assert_eq!(client.perform(&context(), "after".into()).await.unwrap_err(), MessagingError::Closed);
}

pub async fn a_closed_transport_ends_its_servers_and_listeners(bus: &impl Bus) {
    let mut workers = Workers::new();
    let closing = bus.connect().await;
    let server = workers.serve(&closing, "host-1").await;
    let mut listener = NotificationListener::builder(&closing, "reports").start().await.unwrap();
    let other = bus.connect().await;
    let client = WorkClient::new(&other);
    client.perform(&context(), "wait".into()).await.unwrap();
    assert_eq!(workers.next().await, ("host-1".into(), "wait".into()));
    within(closing.close()).await;
    assert!(within(listener.next_batch(1)).await.is_none());
    within(server.stop(Duration::ZERO)).await;
    // What it had not finished is done by another.
    let _other = workers.serve(&other, "host-2").await;
    assert_eq!(workers.next().await, ("host-2".into(), "wait".into()));
}

pub async fn a_call_on_everybody_is_refused(bus: &impl Bus) {
    let (transport, mut workers) = (bus.connect().await, Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    let everybody = RpcClient::new(&transport, Target { fanout: true, ..Target::new("work") });
    let refused = everybody.call(json!(context()), "echo", Map::new()).await;
    assert!(matches!(refused, Err(MessagingError::Malformed { .. })), "{refused:?}");
    everybody.cast(json!(context()), "ring", arguments(json!({ "bell": "ding" }))).await.unwrap();
    assert_eq!(workers.next_text().await, "ding");
}

fn arguments(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// Longer than a broker lets a message live.
pub async fn a_call_may_wait_for_ever(bus: &impl Bus) {
    let (transport, workers) = (bus.connect().await, Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    let client = WorkClient::new(&transport).timeout(Duration::MAX);
    assert_eq!(within(client.echo(&context(), "at last".into())).await.unwrap().1, "at last");
}
