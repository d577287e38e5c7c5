//! A client in Rust, typed or not, and a server in Python.

use std::time::{Duration, Instant};

use novella_messaging::trace;
use novella_messaging::{CallError, Failure, MessagingError, RpcClient, Target, Version};
use serde_json::{Map, Value, json};

use crate::interop::Bus;
use crate::interop::peer::Peer;
use crate::interop::work::*;

/// A contract of which the server has only the beginning.
#[novella_messaging::contract(topic = "work", version = "1.9")]
pub trait LaterWork {
    /// Said to be there from the first, and is not.
    #[rpc(call)]
    async fn missing(&self, ctx: Value) -> Result<(), WorkError>;
    #[rpc(call, since = "1.9")]
    async fn echo(&self, ctx: Value, value: Value) -> Result<Value, WorkError>;
}

/// A server in Python.
async fn serve(bus: &Bus) -> Peer {
    let python = bus.python().await;
    python.ask("serve", json!({ "topic": "work", "server": "host-1" })).await.unwrap();
    python
}

async fn clients(bus: &Bus) -> (WorkClient, RpcClient) {
    let transport = bus.connect().await;
    (WorkClient::new(&transport), RpcClient::new(&transport, Target::new("work")))
}

fn args(args: Value) -> Map<String, Value> {
    let Value::Object(args) = args else { panic!("arguments are an object, not {args}") };
    args
}

/// The exception that a call failed with.
fn exception<T: std::fmt::Debug>(outcome: Result<T, MessagingError>) -> Failure {
    match outcome {
        Err(MessagingError::Remote(failure)) => *failure,
        other => panic!("{other:?}"),
    }
}

pub async fn a_rust_client_gets_a_python_servers_answer(bus: &Bus) {
    let (_python, (typed, untyped)) = (serve(bus).await, clients(bus).await);
    assert_eq!(typed.add(&context(), 40, 2).await.unwrap(), 42);
    typed.nothing(&context()).await.unwrap();
    let calls = (0..20).map(|number| {
        let typed = &typed;
        async move { typed.add(&context(), number, 100).await.unwrap() }
    });
    assert_eq!(futures_util::future::join_all(calls).await, (100..120).collect::<Vec<_>>());

    assert_eq!(untyped.call(context(), "add", args(json!({ "a": 40, "b": 2 }))).await.unwrap(), 42);
    assert_eq!(untyped.call(Value::Null, "nothing", Map::new()).await.unwrap(), Value::Null);
}

pub async fn values_of_every_kind_survive_the_way_from_rust_and_back(bus: &Bus) {
    let (_python, (typed, _)) = (serve(bus).await, clients(bus).await);
    assert_eq!(typed.echo(&context(), every_kind()).await.unwrap()["value"], every_kind());
}

/// What the server in Python got as context is all that there was on the wire.
pub async fn the_context_arrives_from_rust_without_the_token(bus: &Bus) {
    let (mut python, (typed, untyped)) = (serve(bus).await, clients(bus).await);
    let value = args(json!({ "value": 1 }));
    for answer in [
        typed.echo(&context_with_token(), 1.into()).await.unwrap(),
        untyped.call(context_with_token(), "echo", value).await.unwrap(),
    ] {
        assert_eq!(answer["context"], context());
    }
    typed.note(&context_with_token(), "a".into()).await.unwrap();
    assert_eq!(python.event().await["context"], context());
}

pub async fn what_rust_tells_of_its_trace_is_in_headers_that_python_ignores(bus: &Bus) {
    let (_python, (typed, _)) = (serve(bus).await, clients(bus).await);
    // A queue that gets a copy of all that is sent to the topic.
    let connection = lapin::Connection::connect(bus.vhost.url(), Default::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let copies = channel.queue_declare("copies".into(), Default::default(), Default::default()).await.unwrap();
    let (name, exchange) = (copies.name().clone(), bus.options().control_exchange);
    channel
        .queue_bind(name, exchange.as_str().into(), "work".into(), Default::default(), Default::default())
        .await
        .unwrap();

    let context = trace::TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
    let current = trace::Current { context, service: "tests".into(), host: None };
    let ctx = self::context();
    let answer = trace::within(Some(current), typed.echo(&ctx, 1.into())).await.unwrap();
    // What Python knows of the request is what it always knew.
    assert_eq!(answer, json!({ "value": 1, "context": ctx }));

    let copy = channel.basic_get("copies".into(), Default::default()).await.unwrap().unwrap();
    let headers = copy.delivery.properties.headers().clone().unwrap();
    let header = |name: &str| match headers.inner().get(name) {
        Some(lapin::types::AMQPValue::LongString(text)) => text.to_string(),
        other => panic!("{name}: {other:?}"),
    };
    let sent = trace::TraceContext::parse(&header("traceparent")).unwrap();
    assert_eq!((sent.trace_id, sent.sampled), (context.trace_id, true));
    assert_ne!(sent.span_id, context.span_id);
    assert!(header("tracestate").starts_with("novella="));
}

pub async fn a_rust_client_reaches_a_topic_a_server_or_all_servers_in_python(bus: &Bus) {
    let (mut python, (typed, untyped)) = (serve(bus).await, clients(bus).await);
    python.ask("serve", json!({ "topic": "work", "server": "host-2" })).await.unwrap();
    let event = |event: &str, server: &str, text: &str| json!({ "event": event, "topic": "work", "server": server, "text": text, "context": context() });

    typed.note(&context(), "to any".into()).await.unwrap();
    let by_any = python.event().await;
    assert!([event("note", "host-1", "to any"), event("note", "host-2", "to any")].contains(&by_any), "{by_any}");

    for host in ["host-1", "host-2"] {
        typed.server(host).note(&context(), "typed".into()).await.unwrap();
        assert_eq!(python.event().await, event("note", host, "typed"));
        let to_one = untyped.prepare().server(host);
        to_one.cast(context(), "note", args(json!({ "text": "untyped" }))).await.unwrap();
        assert_eq!(python.event().await, event("note", host, "untyped"));
        assert_eq!(typed.server(host).add(&context(), 1, 2).await.unwrap(), 3);
    }

    typed.ring(&context(), "typed".into()).await.unwrap();
    let mut servers = [python.event().await, python.event().await];
    servers.sort_by_key(|event| event["server"].to_string());
    assert_eq!(servers, [event("ring", "host-1", "typed"), event("ring", "host-2", "typed")]);
    untyped.prepare().everybody().cast(context(), "ring", args(json!({ "text": "untyped" }))).await.unwrap();
    let mut servers = [python.event().await, python.event().await];
    servers.sort_by_key(|event| event["server"].to_string());
    assert_eq!(servers, [event("ring", "host-1", "untyped"), event("ring", "host-2", "untyped")]);
}

pub async fn a_rust_client_chooses_between_namespaces_and_versions_in_python(bus: &Bus) {
    let (_python, transport) = (serve(bus).await, bus.connect().await);
    assert_eq!(AdminWorkClient::new(&transport).whoami(&context()).await.unwrap(), "admin");
    let first = WorkClient::new(&transport).echo(&json!({}), "v".into()).await.unwrap();
    assert_eq!(first, json!({ "value": "v", "context": {} }));
    let second = NextWorkClient::new(&transport).echo(&json!({}), "v".into()).await.unwrap();
    assert_eq!(second, json!({ "value": "v", "major": 2 }));

    let untyped = RpcClient::new(&transport, Target::new("work").version(Version::new(2, 0)));
    assert_eq!(untyped.call(context(), "echo", args(json!({ "value": "v" }))).await.unwrap(), second);
    let admin = untyped.prepare().namespace("admin").version(Version::new(2, 1));
    assert_eq!(admin.call(context(), "whoami", Map::new()).await.unwrap(), "admin");
}

pub async fn a_python_exception_reaches_a_rust_client_with_all_that_is_known_of_it(bus: &Bus) {
    let (_python, (typed, untyped)) = (serve(bus).await, clients(bus).await);
    let Err(CallError::Messaging(by_typed)) = typed.fail(&context()).await else { panic!("it fails otherwise") };
    let by_untyped = untyped.call(context(), "fail", Map::new()).await;
    for failure in [exception::<()>(Err(by_typed)), exception(by_untyped)] {
        assert_eq!((failure.module.as_str(), failure.class.as_str()), ("builtins", "ValueError"));
        assert_eq!(failure.message, "('a bad value', 42)");
        assert_eq!(failure.args, [json!("a bad value"), json!(42)]);
        assert_eq!(failure.to_string(), "builtins.ValueError: ('a bad value', 42)");
        let traceback = failure.traceback.concat();
        assert!(
            traceback.contains("Traceback (most recent call last)") && traceback.contains("in fail"),
            "{traceback}"
        );
    }

    let wrong = untyped.call(context(), "add", args(json!({ "a": 1 }))).await;
    let failure = exception(wrong);
    assert_eq!((failure.module.as_str(), failure.class.as_str()), ("builtins", "TypeError"));
    assert!(failure.message.contains("'b'"), "{}", failure.message);
}

pub async fn a_python_exception_of_the_contracts_module_is_the_rust_clients_own_error(bus: &Bus) {
    let (_python, (typed, untyped)) = (serve(bus).await, clients(bus).await);
    let refused = typed.fail_custom(&context(), 404).await;
    assert_eq!(refused, Err(CallError::Remote(WorkError::NotThere { code: 404 })));

    // Without a contract there is no type to make of it.
    let failure =
        exception(untyped.call(context(), "fail_custom", args(json!({ "message": "gone", "code": 410 }))).await);
    assert_eq!((failure.module.as_str(), failure.class.as_str()), ("cloud.exception", "NotThere"));
    assert_eq!((failure.message.as_str(), Value::from(failure.kwargs)), ("gone", json!({ "code": 410 })));
}

pub async fn what_a_python_server_does_not_serve_is_an_error_of_its_own_in_rust(bus: &Bus) {
    let (_python, transport) = (serve(bus).await, bus.connect().await);
    let later = LaterWorkClient::new(&transport);
    let missing = later.missing(&context()).await;
    assert!(
        matches!(&missing, Err(CallError::Messaging(MessagingError::NoSuchMethod { method, .. })) if method == "missing"),
        "{missing:?}"
    );
    let newer = later.echo(&context(), 1.into()).await;
    assert!(
        matches!(
            &newer,
            Err(CallError::Messaging(MessagingError::UnsupportedVersion { method, requested, .. }))
                if method == "echo" && *requested == Version::new(1, 9)
        ),
        "{newer:?}"
    );

    let untyped = RpcClient::new(&transport, Target::new("work"));
    let missing = untyped.call(context(), "missing", Map::new()).await;
    assert!(matches!(missing, Err(MessagingError::NoSuchMethod { .. })), "{missing:?}");
    for newer in [untyped.prepare().version(Version::new(3, 0)), untyped.prepare().namespace("other")] {
        let refused = newer.call(context(), "echo", Map::new()).await;
        assert!(matches!(refused, Err(MessagingError::UnsupportedVersion { .. })), "{refused:?}");
    }
}

pub async fn a_python_server_gives_a_rust_client_signs_of_life(bus: &Bus) {
    let (_python, (typed, untyped)) = (serve(bus).await, clients(bus).await);
    let silence = Duration::from_secs(4);
    let typed = typed.call_monitor_timeout(silence);
    let untyped = untyped.call_monitor_timeout(silence);
    let context = context();
    let (by_typed, by_untyped) = tokio::join!(
        typed.take_time(&context, 8.0),
        untyped.call(context.clone(), "take_time", args(json!({ "seconds": 8 })))
    );
    assert_eq!(by_typed.unwrap(), "done");
    assert_eq!(by_untyped.unwrap(), "done");
}

pub async fn a_rust_client_notices_that_a_python_server_died(bus: &Bus) {
    let (mut python, (typed, _)) = (serve(bus).await, clients(bus).await);
    let (context, patient) = (context(), typed.call_monitor_timeout(Duration::from_secs(2)));
    let death = async {
        // What came later is being done, so what came before is too.
        typed.note(&context, "after the call".into()).await.unwrap();
        python.event().await;
        python.kill().await;
        Instant::now()
    };
    let (outcome, died) = tokio::join!(patient.take_time(&context, 60.0), death);
    assert!(matches!(outcome, Err(CallError::Messaging(MessagingError::Timeout { .. }))), "{outcome:?}");
    assert!(died.elapsed() < Duration::from_secs(20), "{:?}", died.elapsed());
}

pub async fn a_python_server_answers_pings_from_rust_if_it_is_told_to(bus: &Bus) {
    let (_mute, (_, client)) = (serve(bus).await, clients(bus).await);
    let refused = client.ping().await;
    assert!(matches!(refused, Err(MessagingError::NoSuchMethod { .. })), "{refused:?}");

    let python = bus.python_with(&["--ping"]).await;
    python.ask("serve", json!({ "topic": "work", "server": "pinged" })).await.unwrap();
    client.prepare().server("pinged").ping().await.unwrap();
}

pub async fn a_call_to_a_topic_that_no_python_server_has_is_unroutable_at_once(bus: &Bus) {
    let (python, (typed, _)) = (serve(bus).await, clients(bus).await);
    let nobody = typed.server("host-2");
    for _ in 0..2 {
        let started = Instant::now();
        let refused = nobody.add(&context(), 1, 2).await;
        assert!(matches!(refused, Err(CallError::Messaging(MessagingError::Unroutable { .. }))), "{refused:?}");
        let refused = nobody.note(&context(), "a".into()).await;
        assert!(matches!(refused, Err(MessagingError::Unroutable { .. })), "{refused:?}");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
    python.ask("serve", json!({ "topic": "work", "server": "host-2" })).await.unwrap();
    assert_eq!(nobody.add(&context(), 1, 2).await.unwrap(), 3);
}

pub async fn a_rust_client_waits_for_a_python_server_no_longer_than_it_said(bus: &Bus) {
    let (python, (typed, _)) = (serve(bus).await, clients(bus).await);
    let late = typed.timeout(Duration::from_secs(1)).take_time(&context(), 2.0).await;
    assert!(matches!(late, Err(CallError::Messaging(MessagingError::Timeout { .. }))), "{late:?}");
    // The late answer, which comes while this one is waited for, disturbs nobody.
    assert_eq!(typed.take_time(&context(), 2.0).await.unwrap(), "done");

    // The queue of a server that has stopped is still there.
    python.ask("stop_server", json!({ "topic": "work", "server": "host-1" })).await.unwrap();
    let unheard = typed.timeout(Duration::from_secs(1)).add(&context(), 1, 2).await;
    assert!(matches!(unheard, Err(CallError::Messaging(MessagingError::Timeout { .. }))), "{unheard:?}");
}
