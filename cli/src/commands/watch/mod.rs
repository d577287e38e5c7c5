//! `novella watch`: servers and long tasks as they happen.
//!
//! Follows the stream of events, as any client could: reads the lists once, and then what changes. A stream that breaks is
//! taken up again from its last event.

mod screen;

use std::{collections::HashSet, time::Duration};

use anyhow::{Context, Result, bail};
use clap::Args;
use jiff::Timestamp;
use novella_common::config::SecretUrl;
use serde_json::{Value, json};
use tokio::time::Instant;

use self::screen::Screen;
use crate::{
    GlobalOptions,
    client::{Client, Credentials, Event},
};

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
    let mut watcher = Watcher { client, only, last_id: None, known: HashSet::new(), begun: Timestamp::now(), screen };
    loop {
        let Err(error) = watcher.follow(options.until_idle).await else { break };
        watcher.screen.note(&format!("no answer: {error:#}; trying again"))?;
        watcher.client = reconnect(global, options.until_idle).await?;
        watcher.screen.note("connected again")?;
    }
    let failed = watcher.screen.into_failed();
    if failed.is_empty() {
        return Ok(());
    }
    bail!("{}", failed.join("\n"));
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
    /// From where on the stream is taken up again.
    last_id: Option<String>,
    /// Migrations that were seen under way: their end is news.
    known: HashSet<String>,
    begun: Timestamp,
    screen: Screen,
}

impl Watcher {
    /// Shows what there is, and what changes, until nothing is under way, if that is waited for. What goes wrong ends it: it
    /// can be called again, and goes on where it was.
    async fn follow(&mut self, until_idle: bool) -> Result<()> {
        // Before the lists are read, so that nothing is missed between the two.
        let mut events = self.client.events(self.last_id.as_deref()).await?;
        if self.last_id.is_none() {
            self.look(events.all_projects).await?;
        }
        loop {
            if until_idle && self.screen.is_idle() {
                return Ok(());
            }
            let Event { kind, data } = events.next().await?;
            self.last_id.clone_from(&events.last_id);
            match kind.as_str() {
                "server" => self.show_server(&data)?,
                "migration" => self.show_migration(data)?,
                "lost" => self.look(events.all_projects).await?,
                "stale" => self.screen.note("the cloud can't read what changes; what is shown may be old")?,
                "current" => self.screen.note("what is shown is what there is, again")?,
                "end" => bail!("the token is not valid any more"),
                _ => {}
            }
        }
    }

    /// Reads the lists.
    async fn look(&mut self, all_projects: bool) -> Result<()> {
        let mut servers = Vec::new();
        match &self.only {
            Some(id) => servers.push(match self.client.find(&format!("/servers/{id}")).await? {
                Some(found) => found["server"].clone(),
                None => json!({ "id": id, "name": id, "status": "DELETED" }),
            }),
            None => {
                let query = if all_projects { "all_tenants=1" } else { "" };
                self.client.each_server(query, &mut |server| servers.push(server.clone())).await?;
            }
        }
        let query = self.only.as_ref().map_or_else(String::new, |id| format!("?instance_uuid={id}"));
        // Not for everybody.
        let listed = self.client.get(&format!("/os-migrations{query}")).await.unwrap_or_default();
        let mut migrations = Vec::new();
        for migration in listed["migrations"].as_array().into_iter().flatten() {
            // What ended before the first look is no news.
            if !has_ended(text(&migration["status"])) {
                self.known.insert(text(&migration["uuid"]).to_owned());
                migrations.push(migration.clone());
            }
        }
        self.screen.show(&servers, &migrations)
    }

    fn show_server(&mut self, server: &Value) -> Result<()> {
        if self.only.as_ref().is_some_and(|only| text(&server["id"]) != only) {
            return Ok(());
        }
        self.screen.show(std::slice::from_ref(server), &[])
    }

    fn show_migration(&mut self, mut migration: Value) -> Result<()> {
        if self.only.as_ref().is_some_and(|only| text(&migration["instance_uuid"]) != only) {
            return Ok(());
        }
        let uuid = text(&migration["uuid"]).to_owned();
        if has_ended(text(&migration["status"])) {
            let began = format!("{}Z", text(&migration["created_at"])).parse::<Timestamp>();
            let is_news = self.known.remove(&uuid) || began.is_ok_and(|began| began >= self.begun);
            if !is_news {
                return Ok(());
            }
        } else {
            self.known.insert(uuid);
        }
        migration["progress"] = migration.clone();
        self.screen.show(&[], &[migration])
    }
}

/// Whether a migration goes on no more by itself. One that is `finished` waits for a person.
fn has_ended(status: &str) -> bool {
    matches!(status, "completed" | "cancelled" | "error" | "failed" | "finished" | "confirmed" | "reverted")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
