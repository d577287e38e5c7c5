//! What is known of the cloud: read once as lists, kept up by events.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;
use novella_common::printable::{Lines, printable};
use serde_json::Value;

/// Lines of what has changed that are kept, the latest ones.
const LINES: usize = 1000;

/// Migrations that are kept after they have ended.
const ENDED: usize = 100;

/// A server.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Server {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(super) order: Order,
    pub(crate) status: String,
    vm_state: String,
    pub(crate) task: String,
    /// Where it is, for those who may know.
    pub(crate) host: String,
    has_host: bool,
    pub(crate) address: String,
    pub(crate) fault: String,
    /// The request that what is under way belongs to.
    request: String,
    updated: Option<Timestamp>,
}

impl Server {
    /// From a list or an event: they have the same names, but for the address, the flavor and whether it has a host.
    fn read(value: &Value) -> Self {
        let vm_state = text(&value["OS-EXT-STS:vm_state"]);
        let nowhere = value.get("OS-EXT-SRV-ATTR:host").is_some_and(Value::is_null);
        let addresses = value["addresses"].as_object().into_iter().flatten().flat_map(|(_, all)| all.as_array());
        let address = addresses.flatten().map(|address| text(&address["addr"])).next();
        let name = text(&value["name"]);
        Self {
            id: text(&value["id"]),
            order: natural(&name),
            name,
            status: text(&value["status"]),
            task: text(&value["OS-EXT-STS:task_state"]),
            host: text(&value["OS-EXT-SRV-ATTR:host"]),
            has_host: vm_state != "building" && value["hostId"] != "" && !nowhere,
            address: address.unwrap_or_else(|| text(&value["address"])),
            fault: text(&value["fault"]["message"]),
            request: text(&value["request_id"]),
            updated: value["updated"].as_str().and_then(|time| time.parse().ok()),
            vm_state,
        }
    }
}

/// A compute host, as its event says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    pub(crate) name: String,
    /// The id of its service, by which it is enabled and disabled.
    pub(crate) service: String,
    pub(crate) state: String,
    pub(crate) status: String,
    pub(crate) reason: String,
    /// Used, and how much may be: vCPUs, MiB of memory, GiB of disk.
    pub(crate) vcpus: (i64, i64),
    pub(crate) memory_mib: (i64, i64),
    pub(crate) disk_gib: (i64, i64),
    pub(crate) servers: i64,
}

/// A migration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Migration {
    pub(crate) uuid: String,
    pub(crate) id: i64,
    pub(crate) server: String,
    pub(crate) kind: String,
    pub(crate) status: String,
    pub(crate) from: String,
    pub(crate) to: String,
    /// Bytes of memory: in all, copied so far, still to copy. All 0: nothing is known yet.
    pub(crate) total: i64,
    processed: i64,
    pub(crate) remaining: i64,
    /// Bytes per second: copied, and written anew by the guest meanwhile.
    pub(crate) rate: Option<(i64, i64)>,
    pub(crate) request: String,
    updated: Option<Timestamp>,
}

impl Migration {
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.status.as_str(), "completed" | "cancelled" | "error" | "failed" | "confirmed" | "reverted")
    }

    /// How much of its memory is there, in per cent.
    pub(crate) fn part(&self) -> i64 {
        match self.status.as_str() {
            "post-migrating" | "finished" | "completed" | "confirmed" => 100,
            _ if self.total > 0 => ((self.total - self.remaining).max(0) * 100 / self.total).min(100),
            _ => 0,
        }
    }

    fn read(value: &Value) -> Self {
        let number = |field: &str| value[field].as_i64().unwrap_or(0);
        // A list's times are UTC and do not say so.
        let updated = text(&value["updated_at"]);
        let updated = updated.parse().or_else(|_| format!("{updated}Z").parse()).ok();
        Self {
            uuid: text(&value["uuid"]),
            id: number("id"),
            server: text(&value["instance_uuid"]),
            kind: text(&value["migration_type"]),
            status: text(&value["status"]),
            from: text(&value["source_compute"]),
            to: text(&value["dest_compute"]),
            total: number("memory_total_bytes"),
            processed: number("memory_processed_bytes"),
            remaining: number("memory_remaining_bytes"),
            rate: None,
            request: text(&value["request_id"]),
            updated,
        }
    }

    /// What it has done since it was `before`.
    fn rate_since(&self, before: &Self) -> Option<(i64, i64)> {
        let micros = self.updated?.as_microsecond() - before.updated?.as_microsecond();
        let copied = self.processed - before.processed;
        if micros <= 0 || copied <= 0 {
            return before.rate;
        }
        let written = (copied + self.remaining - before.remaining).max(0);
        Some((copied.saturating_mul(1_000_000) / micros, written.saturating_mul(1_000_000) / micros))
    }
}

/// Whether something is well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    #[default]
    Plain,
    Good,
    Busy,
    Bad,
}

impl Tone {
    /// Of a status of a server, a migration, a host or a service.
    pub(crate) fn of(status: &str) -> Self {
        match status {
            "ACTIVE" | "completed" | "confirmed" | "up" => Self::Good,
            "ERROR" | "error" | "failed" | "down" => Self::Bad,
            "BUILD" | "MIGRATING" | "RESIZE" | "VERIFY_RESIZE" | "finished" | "disabled" | "running" => Self::Busy,
            _ => Self::Plain,
        }
    }
}

/// Something that has changed.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// Counts up.
    pub(crate) number: u64,
    /// Hours, minutes and seconds of the day, UTC.
    pub(crate) time: String,
    pub(crate) what: String,
    pub(crate) text: String,
    pub(crate) tone: Tone,
    /// The request that it belongs to, or else the server that it is about.
    pub(crate) request: Option<String>,
    pub(crate) server: Option<String>,
}

/// What whoever watches may do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rights {
    rules: BTreeSet<String>,
    actions: Vec<Value>,
}

impl Rights {
    /// From `GET /cloud/v1/rights`.
    pub(crate) fn read(value: &Value) -> Self {
        let rules = value["rights"]["rules"].as_array().into_iter().flatten().map(text).collect();
        Self { rules, actions: value["rights"]["actions"].as_array().cloned().unwrap_or_default() }
    }

    pub(crate) fn may(&self, rule: &str) -> bool {
        self.rules.contains(rule)
    }

    /// Whether the table of states and the policy allow this of a server now.
    pub(crate) fn offers(&self, action: &str, server: &Server) -> bool {
        let has = |list: &Value, wanted: &str| list.as_array().is_some_and(|list| list.iter().any(|it| it == wanted));
        self.actions.iter().any(|right| {
            right["action"] == action
                && has(&right["vm_states"], &server.vm_state)
                && (server.task.is_empty()
                    || right["task_states"].is_null()
                    || has(&right["task_states"], &server.task))
                && (right["needs_host"] != true || server.has_host)
        })
    }
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) servers: BTreeMap<String, Server>,
    pub(crate) hosts: BTreeMap<String, Host>,
    pub(crate) migrations: BTreeMap<String, Migration>,
    pub(crate) changes: VecDeque<Change>,
    pub(crate) rights: Rights,
    /// Whether it is of every project, with hosts.
    pub(crate) all_projects: bool,
    services: BTreeMap<String, String>,
    counted: u64,
}

impl Model {
    /// What the lists say. What is not in them is not there any more.
    pub(crate) fn take_lists(&mut self, servers: &[Value], migrations: &[Value]) {
        self.servers = servers.iter().map(Server::read).map(|server| (server.id.clone(), server)).collect();
        for migration in migrations.iter().map(Migration::read) {
            // Of the same state an event knows more than a list.
            let known = self.migrations.get(&migration.uuid);
            if known.is_none_or(|it| it.updated <= migration.updated && it.status != migration.status) {
                self.migrations.insert(migration.uuid.clone(), migration);
            }
        }
        self.forget_ended();
    }

    /// What an event says.
    pub(crate) fn take_event(&mut self, kind: &str, data: &Value) {
        match kind {
            "server" => self.take_server(Server::read(data)),
            "migration" => self.take_migration(Migration::read(data)),
            "host" => self.take_host(data),
            "service" => self.take_service(data),
            _ => {}
        }
    }

    fn take_server(&mut self, server: Server) {
        let known = self.servers.get(&server.id);
        if known.is_some_and(|known| known.updated > server.updated) {
            return;
        }
        let state = |it: &Server| (it.status.clone(), it.task.clone(), it.host.clone());
        if known.map(state) != Some(state(&server)) && !(known.is_none() && server.status == "DELETED") {
            let parts = [&server.status, &server.task, &server.host, &server.fault];
            let parts: Vec<&str> = parts.into_iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
            let request = Some(server.request.clone()).filter(|request| !request.is_empty());
            self.tell(&server.name, &parts.join("  "), Tone::of(&server.status), request, Some(server.id.clone()));
        }
        if server.status == "DELETED" {
            self.servers.remove(&server.id);
        } else {
            self.servers.insert(server.id.clone(), server);
        }
    }

    fn take_migration(&mut self, mut migration: Migration) {
        let known = self.migrations.get(&migration.uuid);
        if known.is_some_and(|known| known.updated > migration.updated) {
            return;
        }
        migration.rate = known.and_then(|known| migration.rate_since(known));
        if known.is_none_or(|known| known.status != migration.status) {
            let to = if migration.to.is_empty() { "?" } else { &migration.to };
            let way = if migration.from.is_empty() { String::new() } else { format!(" {} to {to}", migration.from) };
            let (what, text) = (self.name(&migration.server), format!("{}{way}  {}", migration.kind, migration.status));
            let (request, server) = (Some(migration.request.clone()), Some(migration.server.clone()));
            self.tell(&what, &text, Tone::of(&migration.status), request, server);
        }
        self.migrations.insert(migration.uuid.clone(), migration);
        self.forget_ended();
    }

    fn take_host(&mut self, data: &Value) {
        let pair =
            |used: &str, capacity: &str| (data[used].as_i64().unwrap_or(0), data[capacity].as_i64().unwrap_or(0));
        let host = Host {
            name: text(&data["hypervisor_hostname"]),
            service: text(&data["service_id"]),
            state: text(&data["state"]),
            status: text(&data["status"]),
            reason: text(&data["disabled_reason"]),
            vcpus: pair("vcpus_used", "vcpus_capacity"),
            memory_mib: pair("memory_mb_used", "memory_mb_capacity"),
            disk_gib: pair("local_gb_used", "local_gb_capacity"),
            servers: data["running_vms"].as_i64().unwrap_or(0),
        };
        self.hosts.insert(host.name.clone(), host);
    }

    fn take_service(&mut self, data: &Value) {
        let (state, status) = (text(&data["state"]), text(&data["status"]));
        let (what, now) = (format!("{} {}", text(&data["binary"]), text(&data["host"])), format!("{state}  {status}"));
        let before = self.services.insert(text(&data["id"]), now.clone());
        if before.is_some_and(|before| before != now) {
            let tone = if state == "up" { Tone::of(&status) } else { Tone::Bad };
            self.tell(&what, &now, tone, None, None);
        }
    }

    /// Writes down that something has changed.
    fn tell(&mut self, what: &str, text: &str, tone: Tone, request: Option<String>, server: Option<String>) {
        self.counted += 1;
        let (what, text) = (what.to_owned(), text.to_owned());
        let time = Timestamp::now().strftime("%H:%M:%S").to_string();
        self.changes.push_front(Change { number: self.counted, time, what, text, tone, request, server });
        self.changes.truncate(LINES);
    }

    fn forget_ended(&mut self) {
        let mut ended: Vec<_> =
            self.migrations.values().filter(|it| it.has_ended()).map(|it| (it.id, &it.uuid)).collect();
        if ended.len() <= ENDED {
            return;
        }
        ended.sort_unstable();
        let forgotten: Vec<String> = ended[..ended.len() - ENDED].iter().map(|(_, uuid)| (*uuid).clone()).collect();
        self.migrations.retain(|uuid, _| !forgotten.contains(uuid));
    }

    /// What a server is called.
    pub(crate) fn name(&self, server: &str) -> String {
        self.servers.get(server).map_or_else(|| server.to_owned(), |server| server.name.clone())
    }

    /// The migration of a server that is under way.
    pub(crate) fn migration_of(&self, server: &str) -> Option<&Migration> {
        self.migrations.values().find(|it| it.server == server && !it.has_ended())
    }
}

/// What somebody has said, on one line and without what a terminal obeys.
fn text(value: &Value) -> String {
    printable(value.as_str().unwrap_or_default(), Lines::Joined)
}

/// A name in parts: whether it is a number, how long that is, and the part.
type Order = Vec<(bool, usize, String)>;

/// By what names are sorted, so that `host-10` comes after `host-9`: numbers are compared by their lengths first.
pub(super) fn natural(name: &str) -> Order {
    let mut parts = Order::new();
    for character in name.chars() {
        let digit = character.is_ascii_digit();
        match parts.last_mut() {
            Some((was_digit, length, part)) if *was_digit == digit => {
                part.push(character);
                *length = if digit { part.len() } else { 0 };
            }
            _ => parts.push((digit, usize::from(digit), character.into())),
        }
    }
    parts
}
