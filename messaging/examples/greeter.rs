//! A service, its contract and its caller, on a bus within the process. With
//! `amqp://guest:guest@localhost/` in place of `memory://` the two may run on different machines,
//! and either may be written in Python with oslo.messaging.

use std::sync::Arc;
use std::time::Duration;

use novella_messaging::{CallError, RpcError, RpcServer, Target, Transport, TransportOptions};
use serde::{Deserialize, Serialize};

/// Who asks: travels with each message.
#[derive(Clone, Serialize, Deserialize)]
struct Context {
    request_id: String,
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
enum GreetError {
    #[error("nobody is called `{name}`")]
    NoSuchPerson { name: String },
}

impl RpcError for GreetError {
    const MODULE: &'static str = "greeter";
}

/// The contract: what others may ask of a greeter.
#[novella_messaging::contract(topic = "greeter", version = "1.0")]
trait Greeter {
    /// Greets a person.
    #[rpc(call)]
    async fn greet(&self, ctx: Context, name: String) -> Result<String, GreetError>;
}

/// The manager: what does the work.
struct Manager;

impl Greeter for Manager {
    async fn greet(&self, _ctx: Context, name: String) -> Result<String, GreetError> {
        if name.is_empty() { Err(GreetError::NoSuchPerson { name }) } else { Ok(format!("Hello, {name}!")) }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let transport = Transport::connect("memory://", TransportOptions::default()).await?;
    let target = Target::new("greeter").server("host-1");
    let server =
        RpcServer::builder(&transport, target).endpoint(GreeterEndpoint::new(Arc::new(Manager))).start().await?;

    let greeter = GreeterClient::new(&transport);
    let ctx = Context { request_id: "req-1".into() };
    assert_eq!(greeter.greet(&ctx, "Ada".into()).await?, "Hello, Ada!");
    let refused = greeter.server("host-1").greet(&ctx, String::new()).await;
    assert!(matches!(refused, Err(CallError::Remote(GreetError::NoSuchPerson { .. }))));

    server.stop(Duration::from_secs(5)).await;
    transport.close().await;
    Ok(())
}
