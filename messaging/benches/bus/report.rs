//! The table.

use crate::measure::Figures;

/// One subject's figures.
pub(crate) struct Column {
    pub(crate) title: String,
    pub(crate) figures: Figures,
    pub(crate) fanout_many: Option<f64>,
}

type Row = (String, Box<dyn Fn(&Column) -> Option<String>>);

fn row(title: impl Into<String>, cell: impl Fn(&Column) -> Option<String> + 'static) -> Row {
    (title.into(), Box::new(cell))
}

fn whole(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Prints the columns as a table of Markdown.
pub(crate) fn print(columns: &[Column]) {
    let mut rows = vec![
        row("sequential call, p50 / p99 (µs)", |column| {
            let figures = column.figures.sequential.as_ref()?;
            Some(format!("{:.1} / {:.1}", figures.p50_us, figures.p99_us))
        }),
        row("sequential calls per second", |column| Some(whole(column.figures.sequential.as_ref()?.calls_per_second))),
    ];
    let mut numbers: Vec<usize> =
        columns.iter().flat_map(|column| column.figures.in_flight.keys()).filter_map(|key| key.parse().ok()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    for number in numbers {
        rows.push(row(format!("calls per second, {number} in flight"), move |column| {
            column.figures.in_flight.get(&number.to_string()).map(|rate| whole(*rate))
        }));
    }
    rows.extend([
        row("casts per second, to the last processed", |column| column.figures.casts_per_second.map(whole)),
        row("fanout to 10 servers, to the last (ms)", |column| {
            column.figures.fanout_ms.map(|time| format!("{time:.2}"))
        }),
        row("fanout to 100 servers, to the last (ms)", |column| column.fanout_many.map(|time| format!("{time:.2}"))),
        row("CPU seconds per 10,000 calls, client / server", |column| {
            let cpu = column.figures.cpu.as_ref()?;
            Some(format!("{:.2} / {:.2}", cpu.client, cpu.server))
        }),
        row("resident MiB, client / server", |column| {
            let rss = column.figures.rss_kib.as_ref()?;
            Some(format!("{:.1} / {:.1}", rss.client / 1024.0, rss.server / 1024.0))
        }),
    ]);
    let titles: Vec<_> = columns.iter().map(|column| column.title.as_str()).collect();
    println!("| | {} |", titles.join(" | "));
    println!("|---|{}", "---|".repeat(columns.len()));
    for (title, cell) in rows {
        let cells: Vec<_> = columns.iter().map(|column| cell(column).unwrap_or_else(|| "-".into())).collect();
        println!("| {title} | {} |", cells.join(" | "));
    }
}
