//! What is measured, the same for every subject written in Rust. The Python peers measure the same and say it in the same
//! form.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::Amounts;
use crate::usage::{self, Usage};

/// How many calls come before those that count.
const WARM_UP: usize = 100;
/// How many senders cast at once.
const SENDERS: usize = 64;

/// The calling side of a subject.
pub(crate) trait Client: Clone + Send + Sync + 'static {
    /// Calls with a payload, which comes back.
    fn echo(&self, payload: String) -> impl Future<Output = Result<()>> + Send;
    /// Casts a payload.
    fn note(&self, payload: String) -> impl Future<Output = Result<()>> + Send;
    /// How many casts were processed.
    fn noted(&self) -> impl Future<Output = Result<usize>> + Send;
    /// Casts to all servers.
    fn ring(&self, round: usize) -> impl Future<Output = Result<()>> + Send;
    /// When the last of them had it.
    fn rung(&self, round: usize) -> impl Future<Output = Result<Option<u64>>> + Send;
    /// What the server process has used.
    fn usage(&self) -> impl Future<Output = Result<Usage>> + Send;
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) sequential: Option<Sequential>,
    #[serde(default)]
    pub(crate) in_flight: BTreeMap<String, f64>,
    pub(crate) casts_per_second: Option<f64>,
    pub(crate) fanout_ms: Option<f64>,
    pub(crate) cpu: Option<Sides<f64>>,
    pub(crate) rss_kib: Option<Sides<f64>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sequential {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) calls_per_second: f64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sides<T> {
    pub(crate) client: T,
    pub(crate) server: T,
}

pub(crate) fn print(figures: &Figures) -> Result<()> {
    println!("{}", serde_json::to_string(figures)?);
    Ok(())
}

pub(crate) fn payload() -> String {
    "x".repeat(1024)
}

pub(crate) async fn all(client: &impl Client, amounts: &Amounts) -> Result<Figures> {
    let mut figures = Figures::default();
    if amounts.calls > 0 {
        one_by_one(client, amounts.calls, &mut figures).await?;
    }
    if amounts.seconds > 0.0 {
        for &callers in &amounts.in_flight {
            let rate = at_once(client, callers, Duration::from_secs_f64(amounts.seconds)).await?;
            figures.in_flight.insert(callers.to_string(), rate);
        }
    }
    if amounts.casts > 0 {
        figures.casts_per_second = Some(casts(client, amounts.casts).await?);
    }
    if amounts.rounds > 0 {
        figures.fanout_ms = Some(fanout(client, amounts.rounds).await?);
    }
    figures.rss_kib =
        Some(Sides { client: usage::of_this_process()?.rss as f64, server: client.usage().await?.rss as f64 });
    Ok(figures)
}

async fn one_by_one(client: &impl Client, calls: usize, figures: &mut Figures) -> Result<()> {
    for _ in 0..WARM_UP {
        client.echo(payload()).await?;
    }
    let (here, there) = (usage::of_this_process()?, client.usage().await?);
    let mut took = Histogram::<u64>::new(3)?;
    let started = Instant::now();
    for _ in 0..calls {
        let started = Instant::now();
        client.echo(payload()).await?;
        took.record(u64::try_from(started.elapsed().as_nanos())?)?;
    }
    let elapsed = started.elapsed().as_secs_f64();
    let per_10_000 = |before: Usage, after: Usage| (after.cpu - before.cpu) * 10_000.0 / calls as f64;
    figures.cpu = Some(Sides {
        client: per_10_000(here, usage::of_this_process()?),
        server: per_10_000(there, client.usage().await?),
    });
    figures.sequential = Some(Sequential {
        p50_us: took.value_at_quantile(0.5) as f64 / 1000.0,
        p99_us: took.value_at_quantile(0.99) as f64 / 1000.0,
        calls_per_second: calls as f64 / elapsed,
    });
    Ok(())
}

async fn at_once(client: &impl Client, callers: usize, time: Duration) -> Result<f64> {
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let client = client.clone();
        tasks.spawn(async move {
            let mut done = 0_usize;
            while started.elapsed() < time {
                client.echo(payload()).await?;
                done += 1;
            }
            anyhow::Ok(done)
        });
    }
    let mut done = 0;
    while let Some(task) = tasks.join_next().await {
        done += task??;
    }
    Ok(done as f64 / started.elapsed().as_secs_f64())
}

async fn casts(client: &impl Client, casts: usize) -> Result<f64> {
    let before = client.noted().await?;
    let each = casts.div_ceil(SENDERS);
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..SENDERS {
        let client = client.clone();
        tasks.spawn(async move {
            for _ in 0..each {
                client.note(payload()).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    while client.noted().await? < before + each * SENDERS {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok((each * SENDERS) as f64 / started.elapsed().as_secs_f64())
}

async fn fanout(client: &impl Client, rounds: usize) -> Result<f64> {
    let mut took = Histogram::<u64>::new(3)?;
    for round in 0..rounds {
        let started = usage::monotonic()?;
        client.ring(round).await?;
        let ended = loop {
            if let Some(ended) = client.rung(round).await? {
                break ended;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        took.record(ended - started)?;
    }
    Ok(took.value_at_quantile(0.5) as f64 / 1e6)
}
