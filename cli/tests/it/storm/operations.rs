//! What the clients ask for during a storm: at random, whether it makes sense or not.

use std::{sync::Arc, time::Duration};

use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::record::Record;
use crate::support::{client::Client, cloud::HOSTS};

/// No more than so many servers at a time, so that each gets into many states.
const MOST_SERVERS: usize = 40;

#[derive(Clone, Copy, Debug)]
enum Operation {
    Create,
    Delete,
    Action(&'static str),
    Reboot(&'static str),
    ResetState,
    LiveMigrate,
    ForceComplete,
    Abort,
    Show,
    List,
    History,
}

/// Each with its weight.
const OPERATIONS: &[(Operation, u32)] = &[
    (Operation::Create, 24),
    (Operation::Delete, 10),
    (Operation::Action("os-stop"), 8),
    (Operation::Action("os-start"), 10),
    (Operation::Action("pause"), 5),
    (Operation::Action("unpause"), 7),
    (Operation::Action("suspend"), 5),
    (Operation::Action("resume"), 7),
    (Operation::Reboot("SOFT"), 4),
    (Operation::Reboot("HARD"), 8),
    (Operation::Action("lock"), 2),
    (Operation::Action("unlock"), 3),
    (Operation::LiveMigrate, 16),
    (Operation::Abort, 5),
    (Operation::ForceComplete, 4),
    (Operation::Action("migrate"), 10),
    (Operation::Action("confirmResize"), 6),
    (Operation::Action("revertResize"), 6),
    (Operation::ResetState, 2),
    (Operation::Show, 5),
    (Operation::List, 3),
    (Operation::History, 3),
];

/// One of the clients.
pub struct Worker {
    number: u64,
    client: Client,
    image: String,
    random: StdRng,
    record: Arc<Record>,
}

impl Worker {
    pub fn new(number: u64, client: Client, image: String, random: StdRng, record: Arc<Record>) -> Self {
        Self { number, client, image, random, record }
    }

    pub async fn work_until(mut self, end: Instant) {
        let mut count = 0;
        while Instant::now() < end {
            count += 1;
            let (operation, _) = *OPERATIONS.choose_weighted(&mut self.random, |(_, weight)| *weight).unwrap();
            let alive = self.record.alive();
            match (operation, alive.choose(&mut self.random).cloned()) {
                (Operation::Create, _) if alive.len() < MOST_SERVERS => self.create(count).await,
                (Operation::Create, Some(id)) => self.perform(Operation::Delete, &id).await,
                (operation, Some(id)) => self.perform(operation, &id).await,
                (_, None) => {}
            }
            // It sets how dense the storm is, and waits for nothing.
            tokio::time::sleep(Duration::from_millis(self.random.random_range(10..400))).await;
        }
    }

    async fn create(&mut self, count: u32) {
        let name = format!("storm-{}-{count}", self.number);
        let metadata = self.metadata();
        let body = json!({ "server": {
            "name": name, "flavorRef": "1", "imageRef": self.image, "metadata": metadata } });
        if let Some((status, body)) = self.ask("create", &name, Method::POST, "/servers", Some(&body)).await
            && status.is_success()
        {
            self.record.created(body["server"]["id"].as_str().unwrap());
        }
    }

    /// What the simulated guest does to whoever works with it.
    fn metadata(&mut self) -> Value {
        let host = *HOSTS.choose(&mut self.random).unwrap();
        match self.random.random_range(0..16) {
            0 => json!({ "fake:fail_build": "always" }),
            1 | 2 => json!({ "fake:fail_build": host }),
            3 => json!({ "fake:build_seconds": "4" }),
            4 => json!({ "fake:fail_power": "suspend,power_on" }),
            5 => json!({ "fake:power_seconds": "2" }),
            6 => json!({ "fake:fail_pre_migration": host }),
            7 => json!({ "fake:fail_migration_at": "40" }),
            // Its live migration ends only by force.
            8 | 9 => json!({ "fake:dirty_rate_mib": "4096", "fake:bandwidth_mib": "256" }),
            10 => json!({ "fake:bandwidth_mib": "60" }),
            11 => json!({ "fake:crash_after": "8" }),
            12 => json!({ "fake:shutdown_after": "8" }),
            _ => json!({}),
        }
    }

    async fn perform(&mut self, operation: Operation, id: &str) {
        match operation {
            Operation::Create | Operation::Delete => self.delete(id).await,
            Operation::Action(name) => self.action(name, id, &json!({ name: null })).await,
            Operation::Reboot(kind) => self.action("reboot", id, &json!({ "reboot": { "type": kind } })).await,
            Operation::ResetState => {
                let state = *["active", "error"].choose(&mut self.random).unwrap();
                self.record.asked(id, |asked| {
                    asked.called_error |= state == "error";
                    asked.called_active |= state == "active";
                });
                self.action("os-resetState", id, &json!({ "os-resetState": { "state": state } })).await;
            }
            Operation::LiveMigrate => {
                // Two in five go where the scheduler says.
                let host = HOSTS.get(self.random.random_range(0..5));
                let body = json!({ "os-migrateLive": { "host": host, "block_migration": "auto" } });
                self.action("os-migrateLive", id, &body).await;
            }
            Operation::ForceComplete | Operation::Abort => self.end_a_migration(operation).await,
            Operation::Show => {
                self.ask("show", id, Method::GET, &format!("/servers/{id}"), None).await;
            }
            Operation::List => {
                self.ask("list", "", Method::GET, "/servers/detail?all_tenants=1", None).await;
            }
            Operation::History => {
                self.ask("history", id, Method::GET, &format!("/servers/{id}/os-instance-actions"), None).await;
            }
        }
    }

    async fn delete(&mut self, id: &str) {
        // Beforehand: nobody chooses it any more, and its answer may be lost.
        self.record.asked(id, |asked| asked.delete = true);
        let answer = self.ask("delete", id, Method::DELETE, &format!("/servers/{id}"), None).await;
        match answer {
            Some((StatusCode::NO_CONTENT, _)) => self.record.asked(id, |asked| asked.delete_accepted = true),
            Some((status, _)) if status.is_client_error() => self.record.asked(id, |asked| asked.delete = false),
            _ => {}
        }
    }

    async fn action(&mut self, name: &'static str, id: &str, body: &Value) {
        self.ask(name, id, Method::POST, &format!("/servers/{id}/action"), Some(body)).await;
    }

    /// One of those that copy, if there are any.
    async fn end_a_migration(&mut self, operation: Operation) {
        let path = "/os-migrations?status=running";
        let Some((StatusCode::OK, list)) = self.ask("list migrations", "", Method::GET, path, None).await else {
            return;
        };
        let live: Vec<&Value> = list["migrations"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|migration| migration["migration_type"] == "live-migration")
            .collect();
        let Some(chosen) = live.choose(&mut self.random) else { return };
        let path = format!("/servers/{}/migrations/{}", chosen["instance_uuid"].as_str().unwrap(), chosen["id"]);
        if matches!(operation, Operation::Abort) {
            self.ask("abort", &path, Method::DELETE, &path, None).await;
        } else {
            let body = json!({ "force_complete": null });
            self.ask("force_complete", &path, Method::POST, &format!("{path}/action"), Some(&body)).await;
        }
    }

    async fn ask(
        &self,
        operation: &'static str,
        what: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Option<(StatusCode, Value)> {
        let asked = Instant::now();
        let answer = self.client.try_request(method, path, body).await;
        self.record.answered(operation, what, asked, answer.as_ref().map(|(status, _)| *status));
        if let Ok((status, body)) = &answer
            && *status == StatusCode::INTERNAL_SERVER_ERROR
        {
            self.record.tell(format!("{operation} {what}: {body}"));
        }
        answer.ok()
    }
}
