//! Talks with `oslo_peer.py`, a Python program with oslo.messaging, in both directions:
//!
//! ```sh
//! cargo run --example oslo_peer -- amqp://guest:guest@localhost/ &
//! python oslo_peer.py rabbit://guest:guest@localhost/
//! ```
//!
//! It serves the topic `rust`, and calls, casts to and notifies the topic `python` whenever it is
//! asked to `visit`.

use std::sync::Arc;
use std::time::Duration;

use novella_messaging::{
    CallError, NotificationListener, Notifier, RpcError, RpcServer, Target, Transport, TransportOptions,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Clone, Serialize, Deserialize)]
struct Context {
    request_id: String,
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
enum VisitError {
    #[error("no room for {guests} guests")]
    NoRoom { guests: u32 },
    #[error("the host failed: {reason}")]
    Host { reason: String },
}

impl RpcError for VisitError {
    const MODULE: &'static str = "novella.examples";
}

#[novella_messaging::contract(topic = "rust", version = "1.3")]
trait Rust {
    #[rpc(call)]
    async fn echo(&self, ctx: Context, value: Value) -> Result<Value, VisitError>;
    #[rpc(call)]
    async fn refuse(&self, ctx: Context, guests: u32) -> Result<(), VisitError>;
    /// Takes longer than its caller waits for signs of life.
    #[rpc(call)]
    async fn take_time(&self, ctx: Context, seconds: f64) -> Result<String, VisitError>;
    /// Goes to the other side and says what happened there.
    #[rpc(call)]
    async fn visit(&self, ctx: Context) -> Result<Value, VisitError>;
}

#[novella_messaging::contract(topic = "python", version = "1.0")]
trait Python {
    #[rpc(call)]
    async fn echo(&self, ctx: Context, value: Value) -> Result<Value, VisitError>;
    #[rpc(call)]
    async fn fail(&self, ctx: Context) -> Result<(), VisitError>;
    #[rpc(call)]
    async fn missing(&self, ctx: Context) -> Result<(), VisitError>;
    #[rpc(cast)]
    async fn note(&self, ctx: Context, text: String) -> Result<(), VisitError>;
    #[rpc(fanout)]
    async fn ring(&self, ctx: Context, text: String) -> Result<(), VisitError>;
}

struct Manager {
    python: PythonClient,
    notifier: Notifier,
}

impl Rust for Manager {
    async fn echo(&self, ctx: Context, value: Value) -> Result<Value, VisitError> {
        Ok(json!({ "value": value, "request_id": ctx.request_id }))
    }

    async fn refuse(&self, _ctx: Context, guests: u32) -> Result<(), VisitError> {
        Err(VisitError::NoRoom { guests })
    }

    async fn take_time(&self, _ctx: Context, seconds: f64) -> Result<String, VisitError> {
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        Ok("done".into())
    }

    async fn visit(&self, ctx: Context) -> Result<Value, VisitError> {
        let failed = |error: &dyn std::fmt::Display| VisitError::Host { reason: error.to_string() };
        let echo = self
            .python
            .server("there")
            .echo(&ctx, json!({ "ünï": [1, null, "\u{1F980}"] }))
            .await
            .map_err(|error| failed(&error))?;
        let failure = self.python.fail(&ctx).await.err().map(|error| error.to_string());
        let missing = matches!(
            self.python.missing(&ctx).await,
            Err(CallError::Messaging(novella_messaging::MessagingError::NoSuchMethod { .. }))
        );
        self.python.note(&ctx, "a cast".into()).await.map_err(|error| failed(&error))?;
        self.python.ring(&ctx, "a fanout".into()).await.map_err(|error| failed(&error))?;
        self.notifier.info(&ctx, "visit.end", &json!({ "stars": 5 })).await.map_err(|error| failed(&error))?;
        Ok(json!({ "echo": echo, "failure": failure, "missing": missing }))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url =
        std::env::args().nth(1).ok_or_else(|| anyhow::anyhow!("which broker? amqp://user:password@host/vhost"))?;
    // oslo.messaging declares its queues as transient unless told otherwise, and all peers must
    // agree.
    let options = TransportOptions {
        control_exchange: "openstack".into(),
        amqp_durable_queues: false,
        ..TransportOptions::default()
    };
    let transport = Transport::connect(&url, options).await?;
    let manager =
        Manager { python: PythonClient::new(&transport), notifier: Notifier::new(&transport, "visits", "rust.here") };
    let target = Target::new("rust").server("here");
    let server = RpcServer::builder(&transport, target).endpoint(RustEndpoint::new(Arc::new(manager))).start().await?;

    // The Python side says goodbye by a notification.
    let mut listener = NotificationListener::builder(&transport, "goodbyes").start().await?;
    if let Some(batch) = listener.next_batch(1).await {
        anyhow::ensure!(batch.notifications()[0].event_type == "goodbye", "{batch:?}");
        batch.ack().await;
    }
    server.stop(Duration::from_secs(5)).await;
    transport.close().await;
    Ok(())
}
