//! Several contracts, and several versions of one, behind one server; and what travels with a request.

use std::sync::Arc;

use novella_messaging::{MessagingError, RpcClient, RpcServer, Target, TransportOptions, Version};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::conformance::support::*;

/// The next major: `echo` answers otherwise.
#[novella_messaging::contract(topic = "work", version = "2.0")]
pub trait NextWork {
    #[rpc(call)]
    async fn echo(&self, ctx: Context, text: String) -> Result<Vec<String>, WorkError>;
}

struct NextManager;

impl NextWork for NextManager {
    async fn echo(&self, _ctx: Context, text: String) -> Result<Vec<String>, WorkError> {
        Ok(vec!["2".into(), text])
    }
}

/// What only operators ask for.
#[novella_messaging::contract(topic = "work", version = "1.0", namespace = "admin")]
pub trait AdminWork {
    #[rpc(call)]
    async fn echo(&self, ctx: Value, text: String) -> Result<Value, WorkError>;
}

struct AdminManager;

impl AdminWork for AdminManager {
    async fn echo(&self, ctx: Value, text: String) -> Result<Value, WorkError> {
        Ok(json!({ "admin": text, "context": ctx }))
    }
}

/// During a rolling upgrade a server speaks the old major and the new one.
pub async fn two_versions_of_a_contract_are_served_at_once(bus: &impl Bus) {
    let (transport, workers) = (bus.connect().await, Workers::new());
    let new_server = RpcServer::builder(&transport, Target::new("work").server("new"))
        .endpoint(NextWorkEndpoint::new(Arc::new(NextManager)))
        .endpoint(WorkEndpoint::new(workers.manager("new")));
    let _new_server = new_server.start().await.unwrap();
    let old_server = RpcServer::builder(&transport, Target::new("work").server("old"))
        .endpoint(OldWorkEndpoint::new(Arc::new(OldManager)));
    let _old_server = old_server.start().await.unwrap();

    let (old, new) = (OldWorkClient::new(&transport), WorkClient::new(&transport));
    // An old client with the new server; a new client with the old one, pinned to what that has.
    assert_eq!(old.server("new").echo(&context(), "old".into()).await.unwrap().1, "old");
    let pinned = new.server("old").version_cap(OLD);
    assert!(!pinned.can_send_version(Version::new(1, 1)));
    assert_eq!(pinned.echo(&context(), "pinned".into()).await.unwrap().1, "pinned");
    let next = NextWorkClient::new(&transport);
    assert_eq!(next.server("new").echo(&context(), "next".into()).await.unwrap(), ["2", "next"]);
    let refused = next.server("old").echo(&context(), "next".into()).await.unwrap_err();
    assert!(refused.to_string().contains("needs version 2.0"), "{refused}");
}

pub async fn contracts_with_namespaces_stand_behind_one_server(bus: &impl Bus) {
    let (transport, workers) = (bus.connect().await, Workers::new());
    let server = RpcServer::builder(&transport, Target::new("work").server("host-1"))
        .endpoint(WorkEndpoint::new(workers.manager("host-1")))
        .endpoint(AdminWorkEndpoint::new(Arc::new(AdminManager)));
    let _server = server.start().await.unwrap();
    let answer = AdminWorkClient::new(&transport).echo(&json!({}), "hello".into()).await.unwrap();
    assert_eq!(answer["admin"], "hello");
    assert_eq!(WorkClient::new(&transport).echo(&context(), "hello".into()).await.unwrap().1, "hello");
}

/// oslo.messaging sends the user's token with each message; here it stays at home.
pub async fn no_credential_travels(bus: &impl Bus) {
    #[derive(Clone, Serialize, Deserialize)]
    struct WithToken {
        request_id: String,
        auth_token: String,
    }
    let transport = bus.connect().await;
    let server = RpcServer::builder(&transport, Target::new("work").server("host-1"))
        .endpoint(AdminWorkEndpoint::new(Arc::new(AdminManager)));
    let _server = server.start().await.unwrap();
    let ctx = json!(WithToken { request_id: "req-1".into(), auth_token: "secret".into() });
    let answer = AdminWorkClient::new(&transport).echo(&ctx, "hello".into()).await.unwrap();
    assert_eq!(answer["context"], json!({ "request_id": "req-1" }));
    let client = RpcClient::new(&transport, Target::new("work").namespace("admin"));
    let answer = client.call(ctx, "echo", Map::from_iter([("text".to_owned(), json!("hello"))])).await.unwrap();
    assert_eq!(answer["context"], json!({ "request_id": "req-1" }));
}

pub async fn a_server_answers_pings_unless_told_not_to(bus: &impl Bus) {
    let (transport, workers) = (bus.connect().await, Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    let client = RpcClient::new(&transport, Target::new("work"));
    client.ping().await.unwrap();
    client.prepare().server("host-1").namespace("admin").ping().await.unwrap();
    assert!(matches!(client.prepare().server("host-2").ping().await, Err(MessagingError::Unroutable { .. })));

    let options = TransportOptions { rpc_ping_enabled: false, ..bus.options() };
    let mute = novella_messaging::Transport::connect(&bus.url(), options).await.unwrap();
    let _mute = workers.serve(&mute, "mute").await;
    let refused = client.prepare().server("mute").ping().await;
    assert!(matches!(refused, Err(MessagingError::NoSuchMethod { .. })), "{refused:?}");
}

/// A server's topic need not be the contract's own, nor its exchange the transport's.
pub async fn a_contract_is_served_by_another_topic_and_exchange(bus: &impl Bus) {
    let (transport, workers) = (bus.connect().await, Workers::new());
    let target = Target::new("work-alt").server("host-1").exchange("elsewhere");
    let _server = RpcServer::builder(&transport, target)
        .endpoint(WorkEndpoint::new(workers.manager("host-1")))
        .start()
        .await
        .unwrap();
    let client = WorkClient::new(&transport);
    let alternative = client.topic("work-alt").exchange("elsewhere");
    assert_eq!(alternative.echo(&context(), "here".into()).await.unwrap().1, "here");
    assert_eq!(alternative.server("host-1").echo(&context(), "here".into()).await.unwrap().1, "here");
    assert!(client.echo(&context(), "nobody".into()).await.is_err());
    assert!(client.topic("work-alt").echo(&context(), "wrong exchange".into()).await.is_err());
}
