//! What the tests ask for, in either direction: the contracts have what `peer.py` serves, and here is a server in Rust
//! that does the same.

use std::sync::Arc;
use std::time::Duration;

use novella_messaging::{RpcError, RpcServer, Target, Transport};
use novella_testing::within;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::interop::Bus;

/// In Python: exceptions of Nova's style in a module that the peer makes up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub enum WorkError {
    #[error("not there (code {code})")]
    NotThere { code: u32 },
}

impl RpcError for WorkError {
    const MODULE: &'static str = "cloud.exception";
}

/// The peer's endpoint `first`.
#[novella_messaging::contract(topic = "work", version = "1.3")]
pub trait Work {
    /// Answers what was asked in which context.
    #[rpc(call)]
    async fn echo(&self, ctx: Value, value: Value) -> Result<Value, WorkError>;
    #[rpc(call)]
    async fn add(&self, ctx: Value, a: i64, b: i64) -> Result<i64, WorkError>;
    #[rpc(call)]
    async fn nothing(&self, ctx: Value) -> Result<(), WorkError>;
    /// In Python a `ValueError`, in Rust a panic.
    #[rpc(call)]
    async fn fail(&self, ctx: Value) -> Result<(), WorkError>;
    #[rpc(call)]
    async fn fail_custom(&self, ctx: Value, code: u32) -> Result<(), WorkError>;
    #[rpc(call)]
    async fn take_time(&self, ctx: Value, seconds: f64) -> Result<String, WorkError>;
    #[rpc(cast)]
    async fn note(&self, ctx: Value, text: String) -> Result<(), WorkError>;
    #[rpc(fanout)]
    async fn ring(&self, ctx: Value, text: String) -> Result<(), WorkError>;
}

/// The peer's endpoint `second`.
#[novella_messaging::contract(topic = "work", version = "2.0")]
pub trait NextWork {
    #[rpc(call)]
    async fn echo(&self, ctx: Value, value: Value) -> Result<Value, WorkError>;
}

/// The peer's endpoint `admin`.
#[novella_messaging::contract(topic = "work", version = "2.1", namespace = "admin")]
pub trait AdminWork {
    #[rpc(call)]
    async fn whoami(&self, ctx: Value) -> Result<String, WorkError>;
}

struct Manager {
    server: String,
    events: mpsc::UnboundedSender<Value>,
}

impl Manager {
    fn tell(&self, event: &str, text: &str, context: &Value) {
        let event = json!({ "event": event, "topic": "work", "server": self.server, "text": text, "context": context });
        // A test that has heard enough does not listen any more.
        let _ = self.events.send(event);
    }
}

impl Work for Manager {
    async fn echo(&self, ctx: Value, value: Value) -> Result<Value, WorkError> {
        Ok(json!({ "value": value, "context": ctx }))
    }

    async fn add(&self, _ctx: Value, a: i64, b: i64) -> Result<i64, WorkError> {
        Ok(a + b)
    }

    async fn nothing(&self, _ctx: Value) -> Result<(), WorkError> {
        Ok(())
    }

    async fn fail(&self, _ctx: Value) -> Result<(), WorkError> {
        panic!("as asked");
    }

    async fn fail_custom(&self, _ctx: Value, code: u32) -> Result<(), WorkError> {
        Err(WorkError::NotThere { code })
    }

    async fn take_time(&self, ctx: Value, seconds: f64) -> Result<String, WorkError> {
        self.tell("take_time", "", &ctx);
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        Ok("done".into())
    }

    async fn note(&self, ctx: Value, text: String) -> Result<(), WorkError> {
        self.tell("note", &text, &ctx);
        Ok(())
    }

    async fn ring(&self, ctx: Value, text: String) -> Result<(), WorkError> {
        self.tell("ring", &text, &ctx);
        Ok(())
    }
}

impl NextWork for Manager {
    async fn echo(&self, _ctx: Value, value: Value) -> Result<Value, WorkError> {
        Ok(json!({ "value": value, "major": 2 }))
    }
}

impl AdminWork for Manager {
    async fn whoami(&self, _ctx: Value) -> Result<String, WorkError> {
        Ok("admin".into())
    }
}

/// A server in Rust, with a connection of its own, that does what `peer.py` does when it is asked to serve "all".
pub struct Served {
    pub transport: Transport,
    server: RpcServer,
    events: mpsc::UnboundedReceiver<Value>,
}

impl Served {
    pub async fn start(bus: &Bus, name: &str) -> Self {
        let transport = bus.connect().await;
        let (sender, events) = mpsc::unbounded_channel();
        let manager = Arc::new(Manager { server: name.into(), events: sender });
        let server = RpcServer::builder(&transport, Target::new("work").server(name))
            .endpoint(WorkEndpoint::new(Arc::clone(&manager)))
            .endpoint(AdminWorkEndpoint::new(Arc::clone(&manager)))
            .endpoint(NextWorkEndpoint::new(manager))
            .start()
            .await
            .unwrap();
        Self { transport, server, events }
    }

    /// What it tells next, as `peer.py` would.
    pub async fn event(&mut self) -> Value {
        within(self.events.recv()).await.unwrap()
    }

    /// Ends it as a crash would: nothing of it is on the bus any more.
    pub async fn kill(self) {
        drop(self.server);
        self.transport.close().await;
    }
}

/// A value of every kind, in a message of many frames.
pub fn every_kind() -> Value {
    json!({
        "null": null,
        "truth": [true, false],
        "numbers": [0, -1, i64::MAX, u64::MAX, 0.1, -2.5e-300],
        "text": "ünï \u{1F980} \" \\ \n \u{0}",
        "nested": { "": [[], {}, [{ "a": { "b": ["c"] } }]] },
        "long": "x".repeat(1 << 20),
    })
}

pub fn context() -> Value {
    json!({ "user_id": "u1", "request_id": "req-1", "roles": ["member"], "is_admin": false })
}

/// The same with what must not travel.
pub fn context_with_token() -> Value {
    let mut context = context();
    context["auth_token"] = "secret".into();
    context
}
