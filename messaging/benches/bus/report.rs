//! The tables: what was measured, and how it compares.

use std::collections::BTreeMap;

use crate::measure::Figures;

/// What the others are compared to.
pub(crate) const FLOOR: &str = "bare lapin (floor)";
pub(crate) const OSLO: &str = "oslo.messaging";

/// One subject's figures, run by run; nothing for a run that failed.
pub(crate) struct Column {
    pub(crate) title: String,
    pub(crate) runs: Vec<Option<Run>>,
}

pub(crate) struct Run {
    pub(crate) figures: Figures,
    /// Milliseconds by the number of servers.
    pub(crate) fanout_ms: BTreeMap<usize, f64>,
}

impl Column {
    fn median(&self, row: &Row) -> Option<f64> {
        median(self.runs.iter().flatten().filter_map(&row.value))
    }
}

fn median(figures: impl Iterator<Item = f64>) -> Option<f64> {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

/// Reads a figure, if its subject has it.
type Read = Box<dyn Fn(&Run) -> Option<f64>>;

/// One figure of each subject.
struct Row {
    title: String,
    value: Read,
    decimals: usize,
    more_is_better: bool,
}

fn cost(title: impl Into<String>, decimals: usize, value: impl Fn(&Run) -> Option<f64> + 'static) -> Row {
    Row { title: title.into(), value: Box::new(value), decimals, more_is_better: false }
}

fn rate(title: impl Into<String>, value: impl Fn(&Run) -> Option<f64> + 'static) -> Row {
    Row { title: title.into(), value: Box::new(value), decimals: 0, more_is_better: true }
}

fn rows(columns: &[Column]) -> Vec<Row> {
    let runs = || columns.iter().flat_map(|column| column.runs.iter().flatten());
    let mut rows = vec![
        cost("sequential call, p50 (µs)", 0, |run| Some(run.figures.sequential.as_ref()?.p50_us)),
        cost("sequential call, p99 (µs)", 0, |run| Some(run.figures.sequential.as_ref()?.p99_us)),
        rate("sequential calls per second", |run| Some(run.figures.sequential.as_ref()?.calls_per_second)),
    ];
    let mut in_flight: Vec<usize> =
        runs().flat_map(|run| run.figures.in_flight.keys()).filter_map(|key| key.parse().ok()).collect();
    in_flight.sort_unstable();
    in_flight.dedup();
    for number in in_flight {
        rows.push(rate(format!("calls per second, {number} in flight"), move |run| {
            run.figures.in_flight.get(&number.to_string()).copied()
        }));
    }
    rows.push(rate("casts per second, to the last processed", |run| run.figures.casts_per_second));
    let mut servers: Vec<usize> = runs().flat_map(|run| run.fanout_ms.keys()).copied().collect();
    servers.sort_unstable();
    servers.dedup();
    for number in servers {
        rows.push(cost(format!("fanout to {number} servers, to the last (ms)"), 2, move |run| {
            run.fanout_ms.get(&number).copied()
        }));
    }
    rows.extend([
        cost("CPU seconds per 10,000 calls, client", 2, |run| Some(run.figures.cpu.as_ref()?.client)),
        cost("CPU seconds per 10,000 calls, server", 2, |run| Some(run.figures.cpu.as_ref()?.server)),
        cost("resident MiB, client", 1, |run| Some(run.figures.rss_kib.as_ref()?.client / 1024.0)),
        cost("resident MiB, server", 1, |run| Some(run.figures.rss_kib.as_ref()?.server / 1024.0)),
    ]);
    rows
}

/// With a comma between the thousands.
fn grouped(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    let whole = text.split('.').next().map_or(0, str::len);
    let mut grouped = String::new();
    for (place, digit) in text.chars().enumerate() {
        if place > 0 && place < whole && (whole - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// How many times as good as another subject: 2 is twice as fast, or half the time, CPU or memory. Compared run by run,
/// since a machine that is shared is slower in one than in the next.
fn times_as_good(row: &Row, column: &Column, other: Option<&Column>) -> Option<String> {
    let times = median(column.runs.iter().zip(&other?.runs).filter_map(|(this, other)| {
        let (this, other) = ((row.value)(this.as_ref()?)?, (row.value)(other.as_ref()?)?);
        Some(if row.more_is_better { this / other } else { other / this })
    }))?;
    times.is_finite().then(|| if times < 10.0 { format!("{times:.2}") } else { grouped(times, 0) })
}

/// Prints the figures, then how they compare, each as a table of Markdown.
pub(crate) fn print(head: &[String], columns: &[Column], missing: &[String]) {
    for line in head {
        println!("{line}  ");
    }
    println!();
    let rows = rows(columns);
    let or_none = |cell: Option<String>| cell.unwrap_or_else(|| "-".into());
    table("", columns, &rows, |row, column| or_none(column.median(row).map(|value| grouped(value, row.decimals))));
    let find = |title: &str| columns.iter().find(|column| column.title == title);
    let (floor, oslo) = (find(FLOOR), find(OSLO));
    println!();
    table("times as good as the floor / as oslo.messaging", columns, &rows, |row, column| {
        let [floor, oslo] = [floor, oslo].map(|other| or_none(times_as_good(row, column, other)));
        format!("{floor} / {oslo}")
    });
    for line in missing {
        println!("\nNot measured: {line}");
    }
}

fn table(corner: &str, columns: &[Column], rows: &[Row], cell: impl Fn(&Row, &Column) -> String) {
    let mut lines =
        vec![std::iter::once(corner.to_owned()).chain(columns.iter().map(|column| column.title.clone())).collect()];
    for row in rows {
        let cells: Vec<_> = columns.iter().map(|column| cell(row, column)).collect();
        lines.push([vec![row.title.clone()], cells].concat());
    }
    let widths: Vec<usize> = (0..=columns.len())
        .map(|place| lines.iter().map(|line: &Vec<String>| line[place].chars().count()).max().unwrap_or(0))
        .collect();
    for (number, line) in lines.iter().enumerate() {
        print!("|");
        for (place, (text, &width)) in line.iter().zip(&widths).enumerate() {
            // The titles to the left, the figures to the right.
            if place == 0 { print!(" {text:<width$} |") } else { print!(" {text:>width$} |") }
        }
        println!();
        if number == 0 {
            let rules = widths.iter().enumerate().map(|(place, width)| match place {
                0 => "-".repeat(width + 2),
                _ => format!("{}:", "-".repeat(width + 1)),
            });
            println!("|{}|", rules.collect::<Vec<_>>().join("|"));
        }
    }
}
