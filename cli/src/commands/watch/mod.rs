//! `novella watch`: servers and long tasks as they happen.
//!
//! Asks the API, as any client would: first for all servers, then only for what has changed since.

mod screen;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use jiff::{Timestamp, ToSpan};
use novella_common::config::SecretUrl;
use serde_json::Value;
use tokio::time::Instant;

use self::screen::Screen;
use crate::{
    GlobalOptions,
    client::{Client, Credentials},
};

/// How often the API is asked.
const INTERVAL: Duration = Duration::from_millis(250);

/// How often an API that does not answer is asked again.
const RECONNECT_INTERVAL: Duration = Duration::from_secs(1);

/// How long a script waits for an API that does not answer any more. A person waits for as long as they like.
const RECONNECT_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(crate) struct WatchOptions {
    /// A server's id or name; without it, all servers
    server: Option<String>,
    /// End when nothing is under way: with exit status 1 if a server or a migration has ended in ERROR
    #[arg(long)]
    until_idle: bool,
}

pub(crate) async fn run(global: &GlobalOptions, options: WatchOptions) -> Result<()> {
    let interrupted = tokio::signal::ctrl_c();
    tokio::select! {
        _ = interrupted => Ok(()),
        ended = watch(global, &options) => ended,
    }
}

async fn watch(global: &GlobalOptions, options: &WatchOptions) -> Result<()> {
    let credentials = Credentials::find(global)?;
    let client = Client::connect(&credentials).await?;
    let only = match &options.server {
        Some(wanted) => Some(resolve(&client, wanted).await?),
        None => None,
    };
    let screen = Screen::new(only.is_some());
    screen.note(&format!("{}, user {}", SecretUrl::new(&credentials.auth_url), credentials.username))?;
    let mut watcher = Watcher { client, only, since: None, screen };
    loop {
        if let Err(error) = watcher.look().await {
            watcher.screen.note(&format!("no answer: {error:#}; trying again"))?;
            watcher.client = reconnect(global, options.until_idle).await?;
            // What fails with a new token and a connection that has just worked is no outage.
            watcher.look().await?;
            watcher.screen.note("connected again")?;
        }
        if options.until_idle && watcher.screen.is_idle() {
            let failed = watcher.screen.into_failed();
            if failed.is_empty() {
                return Ok(());
            }
            bail!("{}", failed.join("\n"));
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Signs in again: the token may have expired, or the cloud was started anew, maybe under another password.
async fn reconnect(global: &GlobalOptions, bounded: bool) -> Result<Client> {
    let begun = Instant::now();
    loop {
        let credentials = Credentials::find(global);
        let attempt = async { Client::connect(&credentials?).await };
        match attempt.await {
            Ok(client) => return Ok(client),
            Err(error) if bounded && begun.elapsed() > RECONNECT_TIMEOUT => {
                return Err(error).context(format!("no answer for {} s", RECONNECT_TIMEOUT.as_secs()));
            }
            Err(_) => tokio::time::sleep(RECONNECT_INTERVAL).await,
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

struct Watcher {
    client: Client,
    /// The one server that is watched.
    only: Option<String>,
    /// The first look takes everything; each next one what has changed since shortly before the last. Rows that were
    /// already shown are shown again without harm.
    since: Option<Timestamp>,
    screen: Screen,
}

impl Watcher {
    /// Asks once, and shows what has changed.
    async fn look(&mut self) -> Result<()> {
        let asked_at = Timestamp::now();
        let servers = self.changed_servers().await?;
        let migrations = self.changed_migrations().await?;
        self.screen.show(&servers, &migrations)?;
        self.since = asked_at.checked_sub(5.seconds()).ok();
        Ok(())
    }

    async fn changed_servers(&self) -> Result<Vec<Value>> {
        if let Some(id) = &self.only {
            return Ok(match self.client.find(&format!("/servers/{id}")).await? {
                Some(found) => vec![found["server"].clone()],
                None => vec![serde_json::json!({ "id": id, "name": id, "status": "DELETED" })],
            });
        }
        let query = match self.since {
            Some(since) => format!("all_tenants=1&changes-since={since}"),
            None => "all_tenants=1".to_owned(),
        };
        let mut servers = Vec::new();
        self.client.each_server(&query, &mut |server| servers.push(server.clone())).await?;
        Ok(servers)
    }

    async fn changed_migrations(&self) -> Result<Vec<Value>> {
        let mut query = Vec::new();
        query.extend(self.only.as_ref().map(|id| format!("instance_uuid={id}")));
        query.extend(self.since.map(|since| format!("changes-since={since}")));
        let list = self.client.get(&format!("/os-migrations?{}", query.join("&"))).await?;
        let mut changed = Vec::new();
        for migration in list["migrations"].as_array().into_iter().flatten() {
            let ended = has_ended(text(&migration["status"]));
            // What ended before the first look is no news.
            if ended && self.since.is_none() {
                continue;
            }
            let mut migration = migration.clone();
            if !ended {
                // The progress is in the server's own list.
                let id = text(&migration["instance_uuid"]).to_owned();
                let detail = self.client.find(&format!("/servers/{id}/migrations/{}", migration["id"])).await?;
                if let Some(detail) = detail {
                    migration["progress"] = detail["migration"].clone();
                }
            }
            changed.push(migration);
        }
        Ok(changed)
    }
}

/// Whether a migration goes on no more by itself. One that is `finished` waits for a person.
fn has_ended(status: &str) -> bool {
    matches!(status, "completed" | "cancelled" | "error" | "failed" | "finished" | "confirmed" | "reverted")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
