//! What has to be true of a cloud that a storm has passed over and that nobody asks anything of any more.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use novella_common::{
    db::allocations,
    ids::InstanceUuid,
    lifecycle::{TaskState, VmState},
    models::MigrationStatus,
    sql,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::record::Record;
use crate::support::{
    client::Client,
    cloud::{Cloud, HOSTS},
    ports::wrong_ports,
    process::novella,
};

/// How long it may take until all is settled: far more than the longest period after which something lost is found.
const QUIET_LIMIT: Duration = Duration::from_secs(120);

/// Waits until all is settled, and looks at everything; then deletes every server, and looks whether anything is left.
pub async fn of(cloud: &Cloud, record: &Record) {
    let audit = Audit { cloud, client: cloud.client().await, record };
    audit
        .wait_for("settled servers", async || {
            audit.complete_what_does_not_converge().await;
            audit.unsettled().await
        })
        .await;
    audit.wait_for("the end of every migration", async || audit.migrations_under_way().await).await;
    audit.wait_for("the end of every action", async || audit.open_actions().await).await;
    audit.wait_for("guests that are those of the rows", async || audit.wrong_guests().await).await;
    audit.servers().await;
    audit.wait_for("claims that are those of the servers", async || audit.wrong_claims().await).await;
    audit.wait_for("ports that are those of the servers", async || audit.wrong_ports().await).await;
    audit.dead_letters().await;
    if record.findings().is_empty() {
        audit.everything_can_be_deleted().await;
    }
}

struct Audit<'c> {
    cloud: &'c Cloud,
    client: Client,
    record: &'c Record,
}

/// A server as its row says.
struct Row {
    id: String,
    host: Option<String>,
    /// Where it was before a cold migration that waits for a person.
    old_host: Option<String>,
    is_error: bool,
}

impl Audit<'_> {
    /// Asks until nothing is wrong any more; what is wrong after the limit is found.
    async fn wait_for(&self, what: &str, wrong: impl AsyncFn() -> Vec<String>) {
        let begun = Instant::now();
        loop {
            let left = wrong().await;
            if left.is_empty() {
                self.record.tell(format!("{what} after {:?}", begun.elapsed()));
                return;
            }
            if begun.elapsed() > QUIET_LIMIT {
                left.iter().for_each(|finding| self.record.find(format!("{what}: {finding}")));
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// What stands at a path. The first requests may meet connections that the storm has cut.
    async fn get(&self, path: &str) -> Value {
        let begun = Instant::now();
        loop {
            let (status, body) = self.client.request(Method::GET, path, None).await;
            if status == StatusCode::OK {
                return body;
            }
            let is_away = status == StatusCode::SERVICE_UNAVAILABLE && begun.elapsed() < QUIET_LIMIT;
            assert!(is_away, "GET {path}: {status} {body}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Some guests dirty their memory faster than it is copied: whoever migrates them says when it is enough.
    async fn complete_what_does_not_converge(&self) {
        for migration in self.migrations().await {
            if migration["migration_type"] == "live-migration" && migration["status"] == "running" {
                let (server, id) = (migration["instance_uuid"].as_str().unwrap(), &migration["id"]);
                let path = format!("/servers/{server}/migrations/{id}/action");
                let asked = json!({"force_complete": null});
                let (status, body) = self.client.request(Method::POST, &path, Some(&asked)).await;
                // It may have ended just now.
                let fits = status.is_success() || status.is_client_error() || status == StatusCode::SERVICE_UNAVAILABLE;
                assert!(fits, "{status} {body}");
            }
        }
    }

    /// By the rows themselves: of some tasks the API shows none.
    async fn unsettled(&self) -> Vec<String> {
        let database = self.cloud.database().await;
        let rows: Vec<(InstanceUuid, VmState, Option<TaskState>)> = sql!(
            "SELECT uuid, vm_state, task_state FROM instances \
             WHERE deleted_at IS NULL AND (task_state IS NOT NULL OR vm_state = " (VmState::Building) ")"
        )
        .fetch_all(&mut database.read().await.unwrap())
        .await
        .unwrap();
        database.close().await;
        rows.iter().map(|(id, vm_state, task)| format!("{id} is {vm_state}, task {task:?}")).collect()
    }

    async fn migrations(&self) -> Vec<Value> {
        self.get("/os-migrations").await["migrations"].as_array().unwrap().clone()
    }

    async fn migrations_under_way(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for migration in self.migrations().await {
            let status: MigrationStatus = migration["status"].as_str().unwrap().parse().unwrap();
            if !status.is_final() && status != MigrationStatus::Finished {
                wrong.push(migration.to_string());
            }
        }
        wrong
    }

    /// Of every server, also of those that are gone.
    async fn open_actions(&self) -> Vec<String> {
        let of_each = stream::iter(self.record.servers().into_keys()).map(|id| self.open_actions_of(id));
        of_each.buffer_unordered(8).collect::<Vec<_>>().await.concat()
    }

    async fn open_actions_of(&self, id: String) -> Vec<String> {
        let path = format!("/servers/{id}/os-instance-actions");
        let mut open = Vec::new();
        for action in self.get(&path).await["instanceActions"].as_array().unwrap() {
            let request = action["request_id"].as_str().unwrap();
            let action = self.get(&format!("{path}/{request}")).await["instanceAction"].clone();
            let events = action["events"].as_array().unwrap();
            let ended = |event: &Value| !event["finish_time"].is_null() && !event["result"].is_null();
            if events.is_empty() || !events.iter().all(ended) {
                open.push(action.to_string());
            }
        }
        open
    }

    async fn rows(&self) -> Vec<Row> {
        let list = self.get("/servers/detail?all_tenants=1").await;
        let migrations = self.migrations().await;
        let row = |server: &Value| {
            let id = server["id"].as_str().unwrap().to_owned();
            let waits = |it: &&Value| it["instance_uuid"] == id.as_str() && it["status"] == "finished";
            let old_host = migrations.iter().find(waits).map(|it| it["source_compute"].as_str().unwrap().to_owned());
            let host = server["OS-EXT-SRV-ATTR:host"].as_str().map(ToOwned::to_owned);
            Row { id, host, old_host, is_error: server["status"] == "ERROR" }
        };
        list["servers"].as_array().unwrap().iter().map(row).collect()
    }

    /// What each host has, against what the rows say; no guest on two hosts, but between a cold migration and its
    /// confirmation.
    async fn wrong_guests(&self) -> Vec<String> {
        let rows: BTreeMap<String, Row> = self.rows().await.into_iter().map(|row| (row.id.clone(), row)).collect();
        let mut wrong = Vec::new();
        let mut seen: BTreeSet<(String, &str)> = BTreeSet::new();
        for host in HOSTS {
            let guests = match self.guests(host).await {
                Ok(guests) => guests,
                Err(error) => {
                    wrong.push(format!("{host} does not tell its guests: {error}"));
                    continue;
                }
            };
            for guest in guests {
                let belongs = rows
                    .get(&guest)
                    .is_some_and(|row| [&row.host, &row.old_host].into_iter().any(|at| at.as_deref() == Some(host)));
                if !belongs {
                    let row = rows.get(&guest).map(|row| &row.host);
                    wrong.push(format!("{host} has the guest {guest}, whose row says {row:?}"));
                }
                seen.insert((guest, host));
            }
        }
        let asked = self.record.servers();
        for row in rows.values().filter(|row| !row.is_error) {
            match &row.host {
                Some(host) if seen.contains(&(row.id.clone(), host.as_str())) => {}
                // A build that found no host, called ACTIVE by somebody.
                None if asked.get(&row.id).is_some_and(|asked| asked.called_active) => {}
                host => wrong.push(format!("{} is not in ERROR, and is no guest of {host:?}", row.id)),
            }
        }
        wrong
    }

    /// `novella`, told where this cloud's bus is.
    fn command(&self) -> Command {
        let mut command = novella();
        if self.cloud.is_embedded() {
            command.env("NOVELLA_DATA", self.cloud.data_folder());
        } else {
            command.env("NOVELLA_BUS__URL", self.cloud.bus_url());
        }
        command
    }

    async fn guests(&self, host: &str) -> Result<Vec<String>, String> {
        let mut command = self.command();
        let target = format!("compute-control.{host}.{}", self.cloud.host_identity(host));
        command.args(["rpc", "call", &target, "list_instances", "--timeout", "10"]);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        if output.status.success() {
            Ok(serde_json::from_slice(&output.stdout).unwrap())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Each that was made and not deleted is there, and each that is in ERROR says why.
    async fn servers(&self) {
        let list = self.get("/servers/detail?all_tenants=1").await;
        let servers: BTreeMap<&str, &Value> =
            list["servers"].as_array().unwrap().iter().map(|server| (server["id"].as_str().unwrap(), server)).collect();
        for (id, asked) in self.record.servers() {
            match servers.get(id.as_str()) {
                Some(server) if asked.delete_accepted => {
                    self.record.find(format!("was deleted, and is there: {server}"))
                }
                Some(server) if server["status"] == "ERROR" && server["fault"].is_null() && !asked.called_error => {
                    self.record.find(format!("is in ERROR without a fault: {server}"));
                }
                None if !asked.delete => self.record.find(format!("{id} is lost")),
                _ => {}
            }
        }
    }

    /// Each server has its claim, one that waits for a person two, and there are no others.
    async fn wrong_claims(&self) -> Vec<String> {
        let database = self.cloud.database().await;
        let mut connection = database.read().await.unwrap();
        let mut wrong = allocations::discrepancies(&mut connection).await.unwrap();
        let held: BTreeSet<_> = allocations::all(&mut connection).await.unwrap().into_iter().collect();
        drop(connection);
        database.close().await;
        let mut wanted = BTreeSet::new();
        for row in self.rows().await {
            for host in [row.host, row.old_host].into_iter().flatten() {
                wanted.insert((row.id.clone(), host));
            }
        }
        wrong.extend(held.difference(&wanted).map(|(id, host)| format!("of {id} on {host}, for nothing")));
        wrong.extend(wanted.difference(&held).map(|(id, host)| format!("none of {id} on {host}")));
        wrong
    }

    async fn wrong_ports(&self) -> Vec<String> {
        let database = self.cloud.database().await;
        let wrong = wrong_ports(&database).await;
        database.close().await;
        wrong
    }

    async fn dead_letters(&self) {
        let mut command = self.command();
        command.args(["bus", "dead-letters", "--format", "json"]);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let letters: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        letters.iter().for_each(|letter| self.record.find(format!("a dead letter: {letter}")));
    }

    async fn everything_can_be_deleted(&self) {
        for row in self.rows().await {
            let (status, body) = self.client.request(Method::DELETE, &format!("/servers/{}", row.id), None).await;
            if status != StatusCode::NO_CONTENT {
                self.record.find(format!("{} can't be deleted: {status} {body}", row.id));
            }
        }
        self.wait_for("no servers", async || self.rows().await.into_iter().map(|row| row.id).collect()).await;
        self.wait_for("no guests", async || self.wrong_guests().await).await;
        self.wait_for("no claims", async || self.wrong_claims().await).await;
        self.wait_for("no ports", async || self.wrong_ports().await).await;
    }
}
