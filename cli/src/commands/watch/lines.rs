//! A line for each change, for scripts and for one server: and a bar for what is under way, where there is a terminal.

use std::collections::HashSet;

use anyhow::{Result, bail};
use jiff::Timestamp;
use novella_common::config::SecretUrl;
use serde_json::{Value, json};

use super::{WatchOptions, bars::Bars, has_ended, reconnect, text};
use crate::{
    GlobalOptions,
    client::{Client, Credentials, Event},
};

pub(super) async fn watch(global: &GlobalOptions, options: &WatchOptions) -> Result<()> {
    let credentials = Credentials::find(global)?;
    let client = Client::connect(&credentials).await?;
    let only = match &options.server {
        Some(wanted) => Some(resolve(&client, wanted).await?),
        None => None,
    };
    let bars = Bars::new(only.is_some());
    bars.note(&format!("{}, user {}", SecretUrl::new(&credentials.auth_url), credentials.username))?;
    let mut watcher = Watcher { client, only, last_id: None, known: HashSet::new(), begun: Timestamp::now(), bars };
    loop {
        let Err(error) = watcher.follow(options.until_idle).await else { break };
        watcher.bars.note(&format!("no answer: {error:#}; trying again"))?;
        watcher.client = reconnect(global, options.until_idle).await?;
        watcher.bars.note("connected again")?;
    }
    let failed = watcher.bars.into_failed();
    if failed.is_empty() {
        return Ok(());
    }
    bail!("{}", failed.join("\n"));
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
    bars: Bars,
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
            if until_idle && self.bars.is_idle() {
                return Ok(());
            }
            let Event { kind, data } = events.next().await?;
            self.last_id.clone_from(&events.last_id);
            match kind.as_str() {
                "server" => self.show_server(&data)?,
                "migration" => self.show_migration(data)?,
                "lost" => self.look(events.all_projects).await?,
                "stale" => self.bars.note("the cloud can't read what changes; what is shown may be old")?,
                "current" => self.bars.note("what is shown is what there is, again")?,
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
        self.bars.show(&servers, &migrations)
    }

    fn show_server(&mut self, server: &Value) -> Result<()> {
        if self.only.as_ref().is_some_and(|only| text(&server["id"]) != only) {
            return Ok(());
        }
        self.bars.show(std::slice::from_ref(server), &[])
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
        self.bars.show(&[], &[migration])
    }
}
