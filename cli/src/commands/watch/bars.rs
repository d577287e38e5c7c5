//! What `novella watch --lines` shows: on a terminal a bar for each thing under way, at most a screen of them; and a line for
//! each change that stays.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use anyhow::Result;
use console::{Term, style, truncate_str};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde_json::Value;

use super::{has_ended, text};
use crate::output;

/// So many servers are listed at the start; of more, only what is not at rest, and how many there are.
const LISTED_AT_START: usize = 20;

/// Lines that the bars leave to what stays.
const LINES_LEFT: usize = 4;

/// How wide a name is shown.
const NAME_WIDTH: usize = 24;

/// The task states of a build, in their order.
const BUILD: [&str; 4] = ["scheduling", "networking", "block_device_mapping", "spawning"];

pub(super) struct Bars {
    bars: MultiProgress,
    /// Those of servers and migrations, under their ids.
    under_way: HashMap<String, ProgressBar>,
    /// How many more are under way than there is room for.
    more: Option<ProgressBar>,
    hidden: HashSet<String>,
    names: HashMap<String, String>,
    /// The last state shown of each server, so that a line is printed for a change only.
    shown: HashMap<String, String>,
    /// Migrations whose end was shown.
    ended: HashSet<String>,
    /// Servers that are moved live: their migration has the bar.
    moving: HashSet<String>,
    failed: BTreeMap<String, String>,
    /// Whether one server is watched, whose state at the start counts too.
    one_server: bool,
    begun: bool,
}

impl Bars {
    pub(super) fn new(one_server: bool) -> Self {
        Self {
            bars: MultiProgress::new(),
            under_way: HashMap::new(),
            more: None,
            hidden: HashSet::new(),
            names: HashMap::new(),
            shown: HashMap::new(),
            ended: HashSet::new(),
            moving: HashSet::new(),
            failed: BTreeMap::new(),
            one_server,
            begun: false,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_empty() && self.hidden.is_empty()
    }

    /// What has ended in an error since the start, a sentence each.
    pub(super) fn into_failed(self) -> Vec<String> {
        self.failed.into_values().collect()
    }

    /// A line about the watching itself.
    pub(super) fn note(&self, note: &str) -> Result<()> {
        self.line(&style(output::printable(note)).dim().to_string())
    }

    /// Shows what is new in these. From here on all their texts can be printed.
    pub(super) fn show(&mut self, servers: &[Value], migrations: &[Value]) -> Result<()> {
        let printable = |all: &[Value]| all.iter().map(output::printable_value).collect::<Vec<_>>();
        let (servers, migrations) = (&printable(servers), &printable(migrations));
        for server in servers {
            self.names.insert(text(&server["id"]).to_owned(), text(&server["name"]).to_owned());
        }
        for migration in migrations {
            self.migration(migration)?;
        }
        let brief = !self.begun && servers.len() > LISTED_AT_START;
        if brief {
            self.summary(servers)?;
        }
        for server in servers {
            self.server(server, brief)?;
        }
        self.begun = true;
        self.show_more();
        Ok(())
    }

    fn summary(&self, servers: &[Value]) -> Result<()> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for server in servers {
            *counts.entry(text(&server["status"])).or_default() += 1;
        }
        let counts: Vec<_> = counts.into_iter().map(|(status, count)| format!("{count} {status}")).collect();
        self.line(&format!("{}  {} servers: {}", now(), servers.len(), counts.join(", ")))
    }

    fn server(&mut self, server: &Value, brief: bool) -> Result<()> {
        let id = text(&server["id"]).to_owned();
        let status = text(&server["status"]);
        let task = text(&server["OS-EXT-STS:task_state"]);
        let host = text(&server["OS-EXT-SRV-ATTR:host"]);
        let fault = if status == "ERROR" { text(&server["fault"]["message"]) } else { "" };
        let state = format!("{status} {task} {host} {fault}");
        let is_new = self.shown.get(&id) != Some(&state);
        if is_new {
            let known = self.shown.insert(id.clone(), state).is_some();
            if status == "ERROR" {
                if known || self.one_server || self.begun {
                    let name = self.name(&id);
                    self.failed.insert(id.clone(), format!("server {name} ({id}) is in ERROR: {fault}"));
                }
            } else {
                self.failed.remove(&id);
            }
            if !brief {
                let parts = [&*coloured(status), task, host, fault];
                let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
                self.line(&format!("{}  {}  {}  {id}", now(), self.padded_name(&id), parts.join("  ")))?;
            }
        }
        if task.is_empty() || status == "DELETED" || self.moving.contains(&id) {
            self.ended(&id);
            return Ok(());
        }
        let name = self.padded_name(&id);
        let Some(bar) = self.bar(&id, "{spinner} {prefix} [{bar:24}] {msg} {elapsed}", BUILD.len() as u64) else {
            return Ok(());
        };
        bar.set_prefix(name);
        bar.set_message(task.to_owned());
        bar.set_position(BUILD.iter().position(|step| *step == task).unwrap_or_default() as u64);
        Ok(())
    }

    fn migration(&mut self, migration: &Value) -> Result<()> {
        let id = format!("migration {}", migration["id"]);
        let (status, instance) = (text(&migration["status"]), text(&migration["instance_uuid"]).to_owned());
        let from = text(&migration["source_compute"]);
        let to = migration["dest_compute"].as_str().unwrap_or("?");
        let kind = text(&migration["migration_type"]);
        if has_ended(status) {
            self.ended(&id);
            self.moving.remove(&instance);
            if self.ended.insert(format!("{id} {status}")) {
                if matches!(status, "error" | "failed") {
                    let name = self.name(&instance);
                    let failed = format!("{kind} of server {name} ({instance}) from {from} to {to}: {status}");
                    self.failed.insert(id, failed);
                }
                let (name, status) = (self.padded_name(&instance), coloured(status));
                self.line(&format!("{}  {name}  {kind} from {from} to {to}  {status}", now()))?;
            }
            return Ok(());
        }
        self.moving.insert(instance.clone());
        self.ended(&instance);
        let name = self.padded_name(&instance);
        let template = "{spinner} {prefix} [{bar:24}] {percent:>3} %  {binary_bytes_per_sec}  {eta} left  {msg}";
        let progress = &migration["progress"];
        let bytes = |field: &str| progress[field].as_u64().unwrap_or(0);
        let (total, remaining) = (bytes("memory_total_bytes"), bytes("memory_remaining_bytes"));
        let Some(bar) = self.bar(&id, template, 1) else { return Ok(()) };
        bar.set_prefix(name);
        bar.set_length(total.max(1));
        bar.set_position(total.saturating_sub(remaining));
        bar.set_message(format!("{from} to {to}  {status}"));
        Ok(())
    }

    /// The bar of something under way, if there is room for it.
    fn bar(&mut self, id: &str, template: &str, length: u64) -> Option<&ProgressBar> {
        let room = Term::stdout().size_checked().map_or(usize::MAX, |(rows, _)| usize::from(rows));
        if !self.under_way.contains_key(id) && self.under_way.len() + LINES_LEFT >= room {
            self.hidden.insert(id.to_owned());
            return None;
        }
        self.hidden.remove(id);
        let bars = &self.bars;
        let bar = self.under_way.entry(id.to_owned()).or_insert_with(|| {
            let bar = bars.insert(0, ProgressBar::new(length));
            // One that does not parse falls back to the library's own.
            bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Some(bar)
    }

    fn ended(&mut self, id: &str) {
        self.hidden.remove(id);
        if let Some(bar) = self.under_way.remove(id) {
            bar.finish_and_clear();
        }
    }

    fn show_more(&mut self) {
        if self.hidden.is_empty() {
            if let Some(more) = self.more.take() {
                more.finish_and_clear();
            }
            return;
        }
        let bars = &self.bars;
        let more = self.more.get_or_insert_with(|| {
            let bar = bars.add(ProgressBar::no_length());
            bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        more.set_message(format!("… and {} more under way", self.hidden.len()));
    }

    fn name(&self, id: &str) -> String {
        self.names.get(id).cloned().unwrap_or_else(|| id.to_owned())
    }

    fn padded_name(&self, id: &str) -> String {
        console::pad_str(&self.name(id), NAME_WIDTH, console::Alignment::Left, Some("…")).into_owned()
    }

    /// A line that stays, of texts that can be printed: above the bars on a terminal, cut to its width; whole where there is none.
    fn line(&self, line: &str) -> Result<()> {
        let terminal = Term::stdout();
        let width = terminal.size_checked().filter(|_| terminal.is_term()).map(|(_, columns)| usize::from(columns));
        let line = width.map_or_else(|| line.into(), |width| truncate_str(line, width, "…"));
        self.bars.suspend(|| output::print_exactly(&line))
    }
}

/// Without colours where NO_COLOR is set or there is no terminal.
fn coloured(status: &str) -> String {
    let styled = style(status);
    match status {
        "ACTIVE" | "completed" | "confirmed" => styled.green(),
        "ERROR" | "error" | "failed" => styled.red(),
        "BUILD" | "MIGRATING" | "RESIZE" | "VERIFY_RESIZE" | "finished" => styled.yellow(),
        _ => styled,
    }
    .to_string()
}

fn now() -> String {
    Timestamp::now().strftime("%H:%M:%S").to_string()
}
