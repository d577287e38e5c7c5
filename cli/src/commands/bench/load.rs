//! The load: what clients do, and how long it takes them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::Client;

/// The smallest of the flavors that a new cloud has.
const FLAVOR: &str = "42";
/// How long anything may take before it counts as stuck, beyond what the number of servers takes.
const TIMEOUT: Duration = Duration::from_secs(300);

/// What servers are booted with.
#[derive(Clone)]
pub(super) struct Template {
    /// An image's id.
    pub(super) image: String,
    /// A flavor's id.
    pub(super) flavor: &'static str,
    /// `none`, or `auto` for one port each.
    pub(super) networks: &'static str,
}

/// A server that was booted.
pub(super) struct Booted {
    pub(super) id: String,
    accepted: Duration,
    /// Until the API showed its host.
    decided: Duration,
    active: Duration,
}

/// Latencies of servers booted one after the other, in microseconds.
pub(super) struct Samples {
    pub(super) ids: Vec<String>,
    pub(super) accepted: Histogram<u64>,
    pub(super) decided: Histogram<u64>,
    pub(super) active: Histogram<u64>,
}

pub(super) fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new(3)?)
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Template {
    /// An image that a new cloud has, the smallest flavor, no network.
    pub(super) async fn find(client: &Client) -> Result<Self> {
        let list = client.get_of("image", "/v2/images?limit=1").await?;
        let image = list["images"][0]["id"].as_str().context("the cloud has no image")?.to_owned();
        Ok(Self { image, flavor: FLAVOR, networks: "none" })
    }

    /// The same with one port each, on the network that a new cloud has.
    pub(super) fn with_port(&self) -> Self {
        Self { networks: "auto", ..self.clone() }
    }

    fn body(&self, name: &str) -> Value {
        let Self { image, flavor, networks } = self;
        json!({ "server": { "name": name, "imageRef": image, "flavorRef": flavor, "networks": networks } })
    }
}

fn id_of(answer: &Value) -> Result<String> {
    Ok(answer["server"]["id"].as_str().context("the answer to POST /servers names no server")?.to_owned())
}

/// Boots one server and waits until it is ACTIVE.
pub(super) async fn boot_one(client: &Client, template: &Template) -> Result<Booted> {
    let begun = Instant::now();
    let id = id_of(&client.post("/servers", &template.body("bench")).await?)?;
    let accepted = begun.elapsed();
    let path = format!("/servers/{id}");
    let mut decided = None;
    while begun.elapsed() < TIMEOUT {
        let server = client.get(&path).await?;
        if decided.is_none() && server["server"]["OS-EXT-SRV-ATTR:host"].is_string() {
            decided = Some(begun.elapsed());
        }
        match server["server"]["status"].as_str() {
            Some("ACTIVE") => {
                let active = begun.elapsed();
                return Ok(Booted { id, accepted, decided: decided.unwrap_or(active), active });
            }
            Some("ERROR") => bail!("server {id} is in ERROR: {}", server["server"]["fault"]["message"]),
            _ => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
    bail!("server {id} is not ACTIVE after {} s", TIMEOUT.as_secs())
}

/// Boots `count` servers, one after the other.
pub(super) async fn boot_sequentially(client: &Client, template: &Template, count: usize) -> Result<Samples> {
    let mut samples = Samples { ids: Vec::new(), accepted: histogram()?, decided: histogram()?, active: histogram()? };
    for _ in 0..count {
        let booted = boot_one(client, template).await?;
        samples.accepted.record(micros(booted.accepted))?;
        samples.decided.record(micros(booted.decided))?;
        samples.active.record(micros(booted.active))?;
        samples.ids.push(booted.id);
    }
    Ok(samples)
}

/// Boots `count` servers with `clients` clients at once; the time is that until the last one is ACTIVE.
pub(super) async fn boot_many(
    client: &Client,
    template: &Template,
    count: usize,
    clients: usize,
) -> Result<(Vec<String>, Duration)> {
    let begun = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..clients {
        let (client, next) = (client.clone(), Arc::clone(&next));
        let body = template.body("bench-many");
        workers.spawn(async move {
            let mut ids = Vec::new();
            while next.fetch_add(1, Ordering::Relaxed) < count {
                ids.push(id_of(&client.post("/servers", &body).await?)?);
            }
            anyhow::Ok(ids)
        });
    }
    let mut ids = Vec::with_capacity(count);
    while let Some(worker) = workers.join_next().await {
        ids.extend(worker??);
    }
    let posted = Instant::now();
    // A hundred a second would be few.
    let timeout = TIMEOUT.max(Duration::from_millis(10) * u32::try_from(count).unwrap_or(u32::MAX));
    while posted.elapsed() < timeout {
        if is_empty(client, "BUILD").await? {
            if !is_empty(client, "ERROR").await? {
                bail!("servers have gone into ERROR");
            }
            return Ok((ids, begun.elapsed()));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bail!("servers are still in BUILD after {} s", timeout.as_secs())
}

async fn is_empty(client: &Client, status: &str) -> Result<bool> {
    let list = client.get(&format!("/servers?status={status}&limit=1")).await?;
    Ok(list["servers"].as_array().is_none_or(Vec::is_empty))
}

/// Times `GET /servers/detail` of `servers` servers, `times` times, in microseconds.
pub(super) async fn time_list(client: &Client, servers: usize, times: usize) -> Result<Histogram<u64>> {
    let path = format!("/servers/detail?limit={servers}");
    let mut histogram = histogram()?;
    for _ in 0..times {
        let begun = Instant::now();
        client.read_of("compute", &path).await?;
        histogram.record(micros(begun.elapsed()))?;
    }
    Ok(histogram)
}

/// Times `GET /v2.0/ports` of `ports` ports, `times` times, in microseconds.
pub(super) async fn time_ports(client: &Client, ports: usize, times: usize) -> Result<Histogram<u64>> {
    let path = format!("/v2.0/ports?limit={ports}");
    let list = client.get_of("network", &path).await?;
    if list["ports"].as_array().map_or(0, Vec::len) < ports {
        bail!("there are fewer than {ports} ports");
    }
    let mut histogram = histogram()?;
    for _ in 0..times {
        let begun = Instant::now();
        client.read_of("network", &path).await?;
        histogram.record(micros(begun.elapsed()))?;
    }
    Ok(histogram)
}

/// How many times `clients` clients can list `servers` servers within `period`.
pub(super) async fn list_rate(
    client: &Client,
    servers: usize,
    clients: usize,
    period: Duration,
) -> Result<(usize, Duration)> {
    let begun = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..clients {
        let client = client.clone();
        let path = format!("/servers/detail?limit={servers}");
        workers.spawn(async move {
            let mut requests = 0;
            while begun.elapsed() < period {
                client.read_of("compute", &path).await?;
                requests += 1;
            }
            anyhow::Ok(requests)
        });
    }
    let mut requests = 0;
    while let Some(worker) = workers.join_next().await {
        requests += worker??;
    }
    Ok((requests, begun.elapsed()))
}

/// Live-migrates all of these at once; the time is that until the last one is ACTIVE elsewhere.
pub(super) async fn migrate_all(client: &Client, ids: &[String]) -> Result<Duration> {
    let begun = Instant::now();
    let action = json!({ "os-migrateLive": { "host": null, "block_migration": "auto" } });
    let mut workers = JoinSet::new();
    for id in ids {
        let (client, action, path) = (client.clone(), action.clone(), format!("/servers/{id}/action"));
        workers.spawn(async move { client.post(&path, &action).await });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    while begun.elapsed() < TIMEOUT {
        if is_empty(client, "MIGRATING").await? {
            let took = begun.elapsed();
            check_migrations(client, ids.len()).await?;
            return Ok(took);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bail!("servers are still MIGRATING after {} s", TIMEOUT.as_secs())
}

async fn check_migrations(client: &Client, wanted: usize) -> Result<()> {
    let list = client.get("/os-migrations").await?;
    let completed =
        |migration: &&Value| matches!(migration["status"].as_str(), Some("completed" | "finished" | "done"));
    let done = list["migrations"].as_array().into_iter().flatten().filter(completed).count();
    if done < wanted {
        bail!("only {done} of {wanted} live migrations are completed");
    }
    Ok(())
}

/// Deletes all of these, 16 at a time, and waits until they are gone.
pub(super) async fn delete_all(client: &Client, ids: &[String]) -> Result<()> {
    for part in ids.chunks(16) {
        let mut workers = JoinSet::new();
        for id in part {
            let (client, path) = (client.clone(), format!("/servers/{id}"));
            workers.spawn(async move { client.delete(&path).await });
        }
        while let Some(worker) = workers.join_next().await {
            worker??;
        }
    }
    let begun = Instant::now();
    while begun.elapsed() < TIMEOUT {
        let list = client.get("/servers?limit=1").await?;
        if list["servers"].as_array().is_none_or(Vec::is_empty) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bail!("servers are still being deleted after {} s", TIMEOUT.as_secs())
}
