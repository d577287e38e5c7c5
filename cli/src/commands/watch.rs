//! `novella watch`: servers and long tasks as they happen.
//!
//! Asks the API, as any client would: first for all servers, then only for what has changed since. A bar for each
//! thing under way; a line for each thing that has ended.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use anyhow::{Result, bail};
use clap::Args;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::{Timestamp, ToSpan};
use serde_json::Value;

use crate::{
    GlobalOptions,
    client::{Client, Credentials},
    output,
};

/// How often the API is asked.
const INTERVAL: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
pub(crate) struct WatchOptions {
    /// A server's id or name; without it, all servers
    server: Option<String>,
    /// End when nothing is under way
    #[arg(long)]
    until_idle: bool,
}

pub(crate) async fn run(global: &GlobalOptions, options: WatchOptions) -> Result<()> {
    let client = Client::connect(&Credentials::find(global)?).await?;
    let only = match &options.server {
        Some(wanted) => Some(resolve(&client, wanted).await?),
        None => None,
    };
    let mut screen = Screen::new();
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    // The first look takes everything; each next one what has changed since shortly before the last. Rows that were
    // already shown are shown again without harm.
    let mut since: Option<Timestamp> = None;
    loop {
        let asked_at = Timestamp::now();
        for server in changed_servers(&client, only.as_deref(), since).await? {
            screen.server(&server)?;
        }
        for migration in changed_migrations(&client, only.as_deref(), since).await? {
            screen.migration(&migration)?;
        }
        since = asked_at.checked_sub(5.seconds()).ok();
        if options.until_idle && screen.is_idle() {
            return Ok(());
        }
        tokio::select! {
            _ = &mut interrupted => return Ok(()),
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

async fn resolve(client: &Client, wanted: &str) -> Result<String> {
    if let Some(found) = client.find(&format!("/servers/{wanted}")).await? {
        return Ok(text(&found["server"]["id"]).to_owned());
    }
    let found = client.get(&format!("/servers?all_tenants=1&name=^{wanted}$")).await?;
    match found["servers"].as_array().map(Vec::as_slice) {
        Some([one]) => Ok(text(&one["id"]).to_owned()),
        Some([]) | None => bail!("there is no server with the id or name '{wanted}'"),
        Some(many) => bail!("{} servers are named '{wanted}': name one by its id", many.len()),
    }
}

async fn changed_servers(client: &Client, only: Option<&str>, since: Option<Timestamp>) -> Result<Vec<Value>> {
    if let Some(id) = only {
        let gone = || serde_json::json!({ "id": id, "name": id, "status": "DELETED" });
        return Ok(match client.find(&format!("/servers/{id}")).await? {
            Some(found) => vec![found["server"].clone()],
            None => vec![gone()],
        });
    }
    let query = match since {
        Some(since) => format!("all_tenants=1&changes-since={since}"),
        None => "all_tenants=1".to_owned(),
    };
    let mut servers = Vec::new();
    client.each_server(&query, &mut |server| servers.push(server.clone())).await?;
    Ok(servers)
}

async fn changed_migrations(client: &Client, only: Option<&str>, since: Option<Timestamp>) -> Result<Vec<Value>> {
    let mut query = Vec::new();
    query.extend(only.map(|id| format!("instance_uuid={id}")));
    query.extend(since.map(|since| format!("changes-since={since}")));
    let list = client.get(&format!("/os-migrations?{}", query.join("&"))).await?;
    let mut changed = Vec::new();
    for migration in list["migrations"].as_array().into_iter().flatten() {
        let ended = is_final(text(&migration["status"]));
        // What ended before the first look is no news.
        if ended && since.is_none() {
            continue;
        }
        let mut migration = migration.clone();
        if !ended {
            // The progress is in the server's own list.
            let id = text(&migration["instance_uuid"]).to_owned();
            if let Some(detail) = client.find(&format!("/servers/{id}/migrations/{}", migration["id"])).await? {
                migration["progress"] = detail["migration"].clone();
            }
        }
        changed.push(migration);
    }
    Ok(changed)
}

fn is_final(status: &str) -> bool {
    matches!(status, "completed" | "cancelled" | "error" | "failed")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What is on the screen.
struct Screen {
    bars: MultiProgress,
    servers: HashMap<String, ProgressBar>,
    migrations: HashMap<String, ProgressBar>,
    /// The last state shown of each server, so that a line is printed for a change only.
    shown: HashMap<String, String>,
    ended: HashSet<String>,
}

impl Screen {
    fn new() -> Self {
        Self {
            bars: MultiProgress::new(),
            servers: HashMap::new(),
            migrations: HashMap::new(),
            shown: HashMap::new(),
            ended: HashSet::new(),
        }
    }

    fn is_idle(&self) -> bool {
        self.servers.is_empty() && self.migrations.is_empty()
    }

    /// A line that stays: above the bars on a terminal, plain where there is none.
    fn line(&self, line: &str) -> Result<()> {
        self.bars.suspend(|| output::print(line))
    }

    fn server(&mut self, server: &Value) -> Result<()> {
        let id = text(&server["id"]).to_owned();
        let status = text(&server["status"]);
        let task = text(&server["OS-EXT-STS:task_state"]);
        let host = text(&server["OS-EXT-SRV-ATTR:host"]);
        let name = text(&server["name"]);
        let state = if task.is_empty() { format!("{status} {host}") } else { format!("{status} {task} {host}") };
        if self.shown.get(&id) != Some(&state) {
            self.line(&format!("{}  server     {id}  {name}  {state}", now()))?;
            self.shown.insert(id.clone(), state);
        }
        if task.is_empty() || status == "DELETED" {
            if let Some(bar) = self.servers.remove(&id) {
                bar.finish_and_clear();
            }
            return Ok(());
        }
        let bar = self.servers.entry(id).or_insert_with(|| {
            let bar = self.bars.add(ProgressBar::new(4));
            bar.set_style(style("{spinner} {prefix:24!} [{bar:30}] {msg}"));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        bar.set_prefix(name.to_owned());
        bar.set_message(task.to_owned());
        bar.set_position(match task {
            "networking" => 1,
            "block_device_mapping" => 2,
            "spawning" => 3,
            _ => 0,
        });
        Ok(())
    }

    fn migration(&mut self, migration: &Value) -> Result<()> {
        let id = migration["id"].to_string();
        let status = text(&migration["status"]);
        let instance = text(&migration["instance_uuid"]);
        let from = text(&migration["source_compute"]);
        let to = migration["dest_compute"].as_str().unwrap_or("?");
        if is_final(status) {
            if let Some(bar) = self.migrations.remove(&id) {
                bar.finish_and_clear();
            }
            if self.ended.insert(id.clone()) {
                self.line(&format!("{}  migration  {id} of {instance}  {from} to {to}  {status}", now()))?;
            }
            return Ok(());
        }
        let bar = self.migrations.entry(id.clone()).or_insert_with(|| {
            let bar = self.bars.add(ProgressBar::new(1));
            bar.set_style(style("{spinner} {prefix:24!} [{bar:30}] {binary_bytes} of {binary_total_bytes} {msg}"));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        let progress = &migration["progress"];
        let bytes = |field: &str| progress[field].as_u64().unwrap_or(0);
        bar.set_prefix(format!("{from} to {to}"));
        bar.set_length(bytes("memory_total_bytes").max(1));
        bar.set_position(bytes("memory_total_bytes").saturating_sub(bytes("memory_remaining_bytes")));
        bar.set_message(format!("{status}  {}", instance.get(..8).unwrap_or(instance)));
        Ok(())
    }
}

fn now() -> String {
    Timestamp::now().strftime("%H:%M:%S").to_string()
}

/// A template of this file; one that does not parse falls back to the library's own bar.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
