//! Serializers and middleware, on both sides.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use novella_messaging::{
    MessagingError, NotificationListener, Notifier, Outgoing, Request, RpcClient, RpcServer, Serializer, Target,
};
use serde_json::{Map, Value, json};
use tower::limit::ConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::timeout::TimeoutLayer;
use tower::util::MapRequestLayer;

use crate::conformance::support::*;

/// Wraps each entity with the request it belongs to.
#[derive(Debug)]
struct RequestTaggingSerializer;

impl Serializer for RequestTaggingSerializer {
    fn serialize_entity(&self, context: &Map<String, Value>, entity: Value) -> Result<Value, MessagingError> {
        Ok(json!({ "sealed": entity, "for": context["request_id"] }))
    }

    fn deserialize_entity(&self, context: &Map<String, Value>, mut entity: Value) -> Result<Value, MessagingError> {
        if entity["for"] != context["request_id"] {
            return Err(MessagingError::Malformed { what: format!("no seal on {entity}") });
        }
        Ok(entity["sealed"].take())
    }

    fn serialize_context(&self, mut context: Map<String, Value>) -> Map<String, Value> {
        context.insert("sealed".into(), true.into());
        context
    }

    fn deserialize_context(&self, mut context: Map<String, Value>) -> Map<String, Value> {
        context.remove("sealed");
        context
    }
}

pub async fn a_serializer_shapes_what_is_sent_and_read(bus: &impl Bus) {
    let (transport, mut workers) = (bus.connect().await, Workers::new());
    let server = RpcServer::builder(&transport, Target::new("work").server("host-1"))
        .endpoint(WorkEndpoint::new(workers.manager("host-1")))
        .serializer(Arc::new(RequestTaggingSerializer));
    let _server = server.start().await.unwrap();
    let sealing = WorkClient::new(&transport).serializer(Arc::new(RequestTaggingSerializer));
    assert_eq!(sealing.echo(&context(), "hello".into()).await.unwrap(), (context(), "hello".into()));
    sealing.perform(&context(), "dig".into()).await.unwrap();
    assert_eq!(workers.next_text().await, "dig");
    let plain = WorkClient::new(&transport).echo(&context(), "hello".into()).await.unwrap_err();
    assert!(plain.to_string().contains("no seal on \"hello\""), "{plain}");

    let notifier = Notifier::new(&transport, "reports", "p").serializer(Arc::new(RequestTaggingSerializer));
    notifier.info(&context(), "test.event", &json!(5)).await.unwrap();
    let mut listener = NotificationListener::builder(&transport, "reports")
        .serializer(Arc::new(RequestTaggingSerializer))
        .start()
        .await
        .unwrap();
    let batch = within(listener.next_batch(1)).await.unwrap();
    assert_eq!(batch.notifications()[0].payload, json!(5));
    assert_eq!(Value::from(batch.notifications()[0].context.clone()), json!(context()));
    batch.ack().await;
}

pub async fn middleware_sees_requests_on_both_sides(bus: &impl Bus) {
    let (transport, workers) = (bus.connect().await, Workers::new());
    let seen = Arc::new(AtomicUsize::new(0));
    let counting = {
        let seen = Arc::clone(&seen);
        MapRequestLayer::new(move |request: Request| {
            assert_eq!(request.context_fields()["trace"], "t-1");
            seen.fetch_add(1, Ordering::SeqCst);
            request
        })
    };
    let server = RpcServer::builder(&transport, Target::new("work").server("host-1"))
        .endpoint(WorkEndpoint::new(workers.manager("host-1")))
        .layer(ConcurrencyLimitLayer::new(4))
        .layer(counting);
    let _server = server.start().await.unwrap();
    let client = WorkClient::new(&transport).layer(MapRequestLayer::new(|mut request: Outgoing| {
        request.context_mut().insert("trace".into(), "t-1".into());
        request
    }));
    assert_eq!(client.echo(&context(), "hello".into()).await.unwrap().1, "hello");
    // A typed error passes through all of it.
    let refused = client.refuse(&context(), "dig".into(), 1).await.unwrap_err();
    assert_eq!(refused.remote(), Some(&WorkError::NoSuchJob { job: "dig".into(), tried: 1 }));
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}

pub async fn middleware_may_refuse(bus: &impl Bus) {
    let (transport, mut workers) = (bus.connect().await, Workers::new());
    let server = RpcServer::builder(&transport, Target::new("work").server("host-1"))
        .endpoint(WorkEndpoint::new(workers.manager("host-1")))
        .layer(TimeoutLayer::new(Duration::from_secs(2)));
    let _server = server.start().await.unwrap();
    let client = RpcClient::new(&transport, Target::new("work"));
    let late = client.call(json!(context()), "wait", Map::new()).await;
    let Err(MessagingError::Remote(failure)) = &late else { panic!("{late:?}") };
    assert!(failure.message.contains("refused by the server: request timed out"), "{late:?}");
    assert_eq!(workers.next_text().await, "wait");

    let shedding = client.layer(ConcurrencyLimitLayer::new(1)).layer(LoadShedLayer::new());
    let first = tokio::spawn({
        let shedding = shedding.clone();
        async move { shedding.call(json!(context()), "wait", Map::new()).await }
    });
    assert_eq!(workers.next_text().await, "wait");
    let second = shedding.call(json!(context()), "wait", Map::new()).await;
    assert!(matches!(second, Err(MessagingError::Middleware { .. })), "{second:?}");
    assert!(within(first).await.unwrap().is_err());
}
