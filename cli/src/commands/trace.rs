//! `novella trace`: the story of a request as a waterfall, as the page draws it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use clap::Args;
use console::{Alignment, Term, pad_str, style};
use serde_json::Value;

use crate::{
    GlobalOptions,
    client::{Client, Credentials},
    output::{self, Format},
};

/// How wide names are shown, and the bars where there is no terminal.
const NAME_WIDTH: usize = 52;
const BARS_WIDTH: usize = 48;
/// What stands behind a bar.
const TIME_WIDTH: usize = 12;

#[derive(Debug, Args)]
pub(crate) struct TraceOptions {
    /// The request: from the header x-openstack-request-id of an answer, or from a server's history
    request_id: String,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(global: &GlobalOptions, options: TraceOptions) -> Result<()> {
    let client = Client::connect(&Credentials::find(global)?).await?;
    let story = client.get_of("cloud", &format!("/requests/{}", options.request_id)).await?;
    if options.json {
        return output::print_value(Format::Json, &story);
    }
    let story = output::printable_value(&story["request"]);
    let width = Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
    let bars = width.map_or(BARS_WIDTH, |width| width.saturating_sub(NAME_WIDTH + TIME_WIDTH + 2).max(10));
    for server in story["servers"].as_array().into_iter().flatten() {
        output::print_exactly(&format!(
            "{}  {}  {}",
            text(&server["name"]),
            text(&server["status"]),
            text(&server["id"])
        ))?;
    }
    for line in waterfall(story["spans"].as_array().map_or(&[], Vec::as_slice), bars) {
        output::print_exactly(&line)?;
    }
    for silent in story["silent"].as_array().into_iter().flatten() {
        output::print_exactly(
            &style(format!("{} does not answer; what it has done is missing", text(silent))).dim().to_string(),
        )?;
    }
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Each span beneath the one that it is a part of, both in the order of their beginnings.
fn in_order(spans: &[Value]) -> Vec<(&Value, usize)> {
    let known: BTreeSet<&str> = spans.iter().map(|span| text(&span["id"])).collect();
    let mut parts: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for span in spans {
        let parent = span["parent"].as_str().filter(|parent| known.contains(parent) && *parent != text(&span["id"]));
        parts.entry(parent.unwrap_or_default()).or_default().push(span);
    }
    let mut rows = Vec::new();
    let mut seen = BTreeSet::new();
    let mut open: Vec<(&Value, usize)> = Vec::new();
    let push = |open: &mut Vec<_>, parent: &str, depth: usize| {
        let mut of = parts.get(parent).cloned().unwrap_or_default();
        of.sort_by_key(|span| span["start"].as_i64());
        open.extend(of.into_iter().rev().map(|span| (span, depth)));
    };
    push(&mut open, "", 0);
    while let Some((span, depth)) = open.pop() {
        if seen.insert(text(&span["id"])) {
            rows.push((span, depth));
            push(&mut open, text(&span["id"]), depth + 1);
        }
    }
    rows
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "places on a screen"
)]
fn waterfall(spans: &[Value], width: usize) -> Vec<String> {
    let begin = spans.iter().filter_map(|span| span["start"].as_i64()).min().unwrap_or(0);
    let ends = spans.iter().filter_map(|span| span["end"].as_i64().or(span["start"].as_i64()));
    let whole = (ends.max().unwrap_or(begin) - begin).max(1) as f64;
    let row = |(span, depth): (&Value, usize)| {
        let start = span["start"].as_i64().unwrap_or(begin);
        let end = span["end"].as_i64();
        let place = |time: i64| ((time - begin) as f64 / whole * width as f64).round() as usize;
        let from = place(start).min(width - 1);
        let to = end.map_or(width, place).clamp(from + 1, width);
        let who = [text(&span["service"]), text(&span["host"])];
        let who = who.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" on ");
        let name = format!("{}{}  {who}", "  ".repeat(depth), text(&span["name"]));
        let bar = format!("{}{}", " ".repeat(from), "█".repeat(to - from));
        let bar = pad_str(&bar, width, Alignment::Left, None).into_owned();
        let bar = match text(&span["kind"]) {
            _ if span["result"] == "Error" => style(bar).red(),
            "queue" => style(bar).yellow(),
            "event" => style(bar).green(),
            "owner" => style(bar).magenta(),
            "action" | "request" => style(bar),
            _ => style(bar).blue(),
        };
        let took = end.map_or_else(|| "goes on".to_owned(), |end| duration(end - start));
        format!("{} {bar} {took:>TIME_WIDTH$}", pad_str(&name, NAME_WIDTH, Alignment::Left, Some("…")))
    };
    in_order(spans).into_iter().map(row).collect()
}

#[allow(clippy::cast_precision_loss, reason = "shown with three digits")]
fn duration(micros: i64) -> String {
    match micros {
        ..1000 => format!("{micros} µs"),
        1000..1_000_000 => format!("{:.2} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_span_is_beneath_the_one_that_it_is_a_part_of() {
        let spans = [
            json!({"id": "c", "parent": "b", "name": "third", "start": 40, "end": 100}),
            json!({"id": "a", "parent": null, "name": "first", "start": 0, "end": 100}),
            json!({"id": "d", "parent": "gone", "name": "other", "start": 90, "end": null}),
            json!({"id": "b", "parent": "a", "name": "second", "start": 20, "end": 60}),
            json!({"id": "e", "parent": "e", "name": "itself", "start": 95, "end": 96}),
        ];
        let names: Vec<_> = in_order(&spans).into_iter().map(|(span, depth)| (text(&span["name"]), depth)).collect();
        assert_eq!(names, [("first", 0), ("second", 1), ("third", 2), ("other", 0), ("itself", 0)]);
        let lines = waterfall(&spans, 10);
        assert!(lines[1].contains(&format!("{}████", " ".repeat(2))), "{}", lines[1]);
        assert!(lines[3].contains("goes on"));
    }
}
