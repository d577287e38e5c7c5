//! The table that is printed: Markdown, as `docs/benchmarks.md` holds it.

use std::{fmt::Write, time::Duration};

use anyhow::Result;
use hdrhistogram::Histogram;

use super::memory::Memory;

/// What was measured of one shape of cloud.
pub(super) struct Column {
    name: &'static str,
    rows: Vec<(String, String)>,
}

impl Column {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, rows: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn duration(&mut self, what: &str, took: Duration) {
        self.rows.push((what.to_owned(), milliseconds(took.as_secs_f64() * 1e3)));
    }

    pub(super) fn microseconds(&mut self, what: &str, took: Duration) {
        self.rows.push((what.to_owned(), format!("{:.2} µs", took.as_secs_f64() * 1e6)));
    }

    /// A histogram in microseconds.
    pub(super) fn percentiles(&mut self, what: &str, histogram: &Histogram<u64>) {
        #[allow(clippy::cast_precision_loss, reason = "microseconds of a benchmark")]
        let at = |quantile| milliseconds(histogram.value_at_quantile(quantile) as f64 / 1e3);
        self.rows.push((format!("{what}, p50 / p99"), format!("{} / {}", at(0.5), at(0.99))));
    }

    pub(super) fn rate(&mut self, what: &str, count: usize, took: Duration) {
        #[allow(clippy::cast_precision_loss, reason = "a count of a benchmark")]
        let rate = count as f64 / took.as_secs_f64();
        self.rows.push((what.to_owned(), format!("{rate:.0} ({count} in {:.2} s)", took.as_secs_f64())));
    }

    /// How much of one rate another is.
    pub(super) fn share(&mut self, what: &str, took: Duration, of: Duration) {
        self.rows.push((what.to_owned(), format!("{:.2}", of.as_secs_f64() / took.as_secs_f64())));
    }

    /// How much memory has grown, from KiB to KiB.
    pub(super) fn growth(&mut self, what: &str, from: u64, to: u64) {
        let mib = |kib: u64| kib / 1024;
        self.rows
            .push((what.to_owned(), format!("{} MiB ({} to {})", mib(to.saturating_sub(from)), mib(from), mib(to))));
    }

    /// How many of all.
    pub(super) fn count(&mut self, what: &str, count: usize, all: usize) {
        self.rows.push((what.to_owned(), format!("{count} of {all}")));
    }

    /// The private and the resident memory of all processes together, and of each.
    pub(super) fn memory(&mut self, what: &str, processes: &[Memory]) {
        #[allow(clippy::cast_precision_loss, reason = "KiB of a process")]
        let mib = |kib: u64| kib as f64 / 1024.0;
        let both = |private: u64, rss: u64| format!("{:.1} / {:.1}", mib(private), mib(rss));
        let total = |kib: fn(&Memory) -> u64| processes.iter().map(kib).sum();
        let mut text = format!("{} MiB", both(total(|memory| memory.private), total(|memory| memory.rss)));
        if processes.len() > 1 {
            let each = |memory: &Memory| format!("{} {}", memory.process, both(memory.private, memory.rss));
            let parts: Vec<_> = processes.iter().map(each).collect();
            let _ = write!(text, " ({})", parts.join(", "));
        }
        self.rows.push((what.to_owned(), text));
    }
}

fn milliseconds(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.2} ms"),
        10_000.0.. => format!("{:.1} s", value / 1e3),
        _ => format!("{value:.0} ms"),
    }
}

/// The machine, in a line.
pub(super) fn machine() -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, model)| model.trim().to_owned()))
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    Ok(format!("{cores} cores ({model}), novella {}\n", env!("CARGO_PKG_VERSION")))
}

/// All that was measured, a column for each shape.
pub(super) fn table(columns: &[Column]) -> String {
    let mut table = String::from("| |");
    for column in columns {
        let _ = write!(table, " {} |", column.name);
    }
    table.push_str("\n|---|");
    table.push_str(&"---|".repeat(columns.len()));
    table.push('\n');
    // The rows of all columns, in the order in which they first occur.
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in columns.iter().flat_map(|column| &column.rows) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    for name in names {
        let _ = write!(table, "| {name} |");
        for column in columns {
            let cell = column.rows.iter().find(|(row, _)| row == name).map_or("", |(_, value)| value.as_str());
            let _ = write!(table, " {cell} |");
        }
        table.push('\n');
    }
    table
}
