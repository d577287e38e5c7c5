//! How fast a bus is: `cargo run --release --example bus_speed -- [URL]`, by default the one in
//! process.
#![allow(clippy::print_stdout, reason = "a command-line program")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use novella_messaging::{RpcError, RpcServer, Target, Transport, TransportOptions};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const CALLS: usize = 20_000;
const CASTS: usize = 400_000;
const SENDERS: usize = 64;

#[derive(Clone, Serialize, Deserialize)]
struct Context {
    user_id: String,
    project_id: String,
    request_id: String,
    roles: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("it failed")]
enum SpeedError {
    Failed,
}

impl RpcError for SpeedError {
    const MODULE: &'static str = "novella.examples";
}

#[novella_messaging::contract(topic = "speed", version = "1.0")]
trait Speed {
    #[rpc(call)]
    async fn echo(&self, ctx: Context, text: String) -> Result<String, SpeedError>;
    #[rpc(cast)]
    async fn count(&self, ctx: Context, text: String) -> Result<(), SpeedError>;
}

/// Adds a permit for each cast.
struct Counter(Semaphore);

impl Speed for Counter {
    async fn echo(&self, _ctx: Context, text: String) -> Result<String, SpeedError> {
        Ok(text)
    }

    async fn count(&self, _ctx: Context, _text: String) -> Result<(), SpeedError> {
        self.0.add_permits(1);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory://".into());
    let transport = Transport::connect(&url, TransportOptions::default()).await?;
    let counter = Arc::new(Counter(Semaphore::new(0)));
    let endpoint = SpeedEndpoint::new(Arc::clone(&counter));
    let server = RpcServer::builder(&transport, Target::new("speed").server("here"))
        .endpoint(endpoint)
        .concurrency(256)
        .start()
        .await?;
    let client = SpeedClient::new(&transport);
    let ctx = Context {
        user_id: "u".repeat(32),
        project_id: "p".repeat(32),
        request_id: "req-1".into(),
        roles: vec!["member".into(), "reader".into()],
    };
    let fraction = if transport.is_in_process() { 1 } else { 10 };

    let mut took = Vec::with_capacity(CALLS);
    for _ in 0..CALLS / fraction {
        let started = Instant::now();
        client.echo(&ctx, "hello".into()).await?;
        took.push(started.elapsed());
    }
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    println!("calls, one after the other: p50 {:?}, p99 {:?}", at(50), at(99));

    let casts = CASTS / fraction;
    let started = Instant::now();
    let mut senders = JoinSet::new();
    for _ in 0..SENDERS {
        let (client, ctx) = (client.clone(), ctx.clone());
        senders.spawn(async move {
            for _ in 0..casts / SENDERS {
                client.count(&ctx, "hello".into()).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(sender) = senders.join_next().await {
        sender??;
    }
    let sent = started.elapsed();
    counter.0.acquire_many(u32::try_from(casts / SENDERS * SENDERS)?).await?.forget();
    let rate = |took: Duration| (casts as f64 / took.as_secs_f64()).round();
    println!("casts, {SENDERS} senders: {} sent, {} handled per second", rate(sent), rate(started.elapsed()));

    server.stop(Duration::from_secs(5)).await;
    transport.close().await;
    Ok(())
}
