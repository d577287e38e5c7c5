//! This library, at both ends.

use std::collections::HashMap;
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use novella_messaging::{RpcError, RpcServer, Target, Transport, TransportOptions};
use serde::{Deserialize, Serialize};

use crate::usage::{self, Usage};
use crate::{measure, subjects};

/// Who asks: what a service of OpenStack sends along.
#[derive(Clone, Serialize, Deserialize)]
struct Context {
    user_id: String,
    project_id: String,
    request_id: String,
    roles: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
enum BenchError {
    #[error("it cannot be measured: {reason}")]
    Unmeasurable { reason: String },
}

impl RpcError for BenchError {
    const MODULE: &'static str = "novella.bench";
}

#[novella_messaging::contract(topic = "bench", version = "1.0")]
trait Bench {
    #[rpc(call)]
    async fn echo(&self, ctx: Context, payload: String) -> Result<String, BenchError>;
    #[rpc(cast)]
    async fn note(&self, ctx: Context, payload: String) -> Result<(), BenchError>;
    #[rpc(call)]
    async fn noted(&self, ctx: Context) -> Result<usize, BenchError>;
    #[rpc(fanout)]
    async fn ring(&self, ctx: Context, round: usize) -> Result<(), BenchError>;
    #[rpc(call)]
    async fn rung(&self, ctx: Context, round: usize) -> Result<Option<u64>, BenchError>;
    #[rpc(call)]
    async fn usage(&self, ctx: Context) -> Result<Usage, BenchError>;
}

#[derive(Default)]
struct Manager {
    servers: usize,
    noted: AtomicUsize,
    /// How many servers have heard each round, and when the last one did.
    rung: Mutex<HashMap<usize, (usize, u64)>>,
}

fn unmeasurable(error: anyhow::Error) -> BenchError {
    BenchError::Unmeasurable { reason: error.to_string() }
}

impl Bench for Manager {
    async fn echo(&self, _ctx: Context, payload: String) -> Result<String, BenchError> {
        Ok(payload)
    }

    async fn note(&self, _ctx: Context, _payload: String) -> Result<(), BenchError> {
        self.noted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn noted(&self, _ctx: Context) -> Result<usize, BenchError> {
        Ok(self.noted.load(Ordering::Relaxed))
    }

    async fn ring(&self, _ctx: Context, round: usize) -> Result<(), BenchError> {
        let now = usage::monotonic().map_err(unmeasurable)?;
        let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, last) = rung.entry(round).or_default();
        (*count, *last) = (*count + 1, now);
        Ok(())
    }

    async fn rung(&self, _ctx: Context, round: usize) -> Result<Option<u64>, BenchError> {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(rung.get(&round).filter(|(count, _)| *count >= self.servers).map(|(_, last)| *last))
    }

    async fn usage(&self, _ctx: Context) -> Result<Usage, BenchError> {
        usage::of_this_process().map_err(unmeasurable)
    }
}

/// As a service connects, but the queues of servers that are gone do not hear the next ones' fanouts for half an hour.
async fn transport(url: &str) -> Result<Transport> {
    let options = TransportOptions { rabbit_transient_queues_ttl: subjects::FORGOTTEN, ..TransportOptions::default() };
    Ok(Transport::connect(url, options).await?)
}

async fn start(transport: &Transport, servers: usize) -> Result<Vec<RpcServer>> {
    let manager = Arc::new(Manager { servers, ..Manager::default() });
    let mut running = Vec::new();
    for number in 0..servers {
        let server = RpcServer::builder(transport, Target::new("bench").server(format!("s{number}")))
            .endpoint(BenchEndpoint::new(Arc::clone(&manager)))
            .concurrency(256)
            .start()
            .await?;
        running.push(server);
    }
    Ok(running)
}

pub(crate) async fn serve(url: &str, servers: usize) -> Result<()> {
    let transport = transport(url).await?;
    let _running = start(&transport, servers).await?;
    println!("ready");
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}

#[derive(Clone)]
pub(crate) struct Client {
    client: BenchClient,
    context: Context,
    _servers: Arc<Vec<RpcServer>>,
}

impl Client {
    /// In process it starts the servers, too.
    pub(crate) async fn connect(url: &str, servers: usize) -> Result<Self> {
        let transport = transport(url).await?;
        let servers = if transport.is_in_process() { start(&transport, servers).await? } else { Vec::new() };
        let context = Context {
            user_id: "u".repeat(32),
            project_id: "p".repeat(32),
            request_id: format!("req-{}", "r".repeat(36)),
            roles: vec!["member".into(), "reader".into()],
        };
        Ok(Self { client: BenchClient::new(&transport), context, _servers: Arc::new(servers) })
    }
}

impl measure::Client for Client {
    async fn echo(&self, payload: String) -> Result<()> {
        let came = self.client.echo(&self.context, payload).await?;
        anyhow::ensure!(came.len() == 1024, "another payload came back");
        Ok(())
    }

    async fn note(&self, payload: String) -> Result<()> {
        Ok(self.client.note(&self.context, payload).await?)
    }

    async fn noted(&self) -> Result<usize> {
        Ok(self.client.noted(&self.context).await?)
    }

    async fn ring(&self, round: usize) -> Result<()> {
        Ok(self.client.ring(&self.context, round).await?)
    }

    async fn rung(&self, round: usize) -> Result<Option<u64>> {
        Ok(self.client.rung(&self.context, round).await?)
    }

    async fn usage(&self) -> Result<Usage> {
        Ok(self.client.usage(&self.context).await?)
    }
}
