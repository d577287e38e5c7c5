//! `novella trace`: the story of a request as a waterfall, as the page draws it.

use anyhow::Result;
use clap::Args;
use console::{Alignment, Term, measure_text_width, pad_str, style};
use serde_json::Value;

use crate::{
    GlobalOptions,
    client::{Client, Credentials},
    output::{self, Format},
    screen::waterfall::{self, Bar},
};

/// How wide names are shown at most, and the bars, where there is no terminal.
const NAME_WIDTH: usize = 80;
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
    let columns = Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
    for server in story["servers"].as_array().into_iter().flatten() {
        output::print_exactly(&format!(
            "{}  {}  {}",
            text(&server["name"]),
            text(&server["status"]),
            text(&server["id"])
        ))?;
    }
    for line in waterfall(story["spans"].as_array().map_or(&[], Vec::as_slice), columns) {
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

/// Each span on a line, with its bar; `columns`: how wide the terminal is, if there is one.
fn waterfall(spans: &[Value], columns: Option<usize>) -> Vec<String> {
    let bars = waterfall::bars(spans);
    let name = |bar: &Bar| format!("{}{}  {}", "  ".repeat(bar.depth), bar.name, bar.who);
    let longest = bars.iter().map(|bar| measure_text_width(&name(bar))).max().unwrap_or(0);
    let names = longest.min(columns.map_or(NAME_WIDTH, |columns| columns * 55 / 100));
    let width = columns.map_or(BARS_WIDTH, |columns| columns.saturating_sub(names + TIME_WIDTH + 2).max(10));
    let line = |bar: &Bar| {
        let (from, to) = bar.place(width);
        let drawn = format!("{}{}{}", " ".repeat(from), "█".repeat(to - from), " ".repeat(width - to));
        let drawn = match bar.kind.as_str() {
            _ if bar.failed => style(drawn).red(),
            "queue" => style(drawn).yellow(),
            "event" => style(drawn).green(),
            "owner" => style(drawn).magenta(),
            "action" | "request" => style(drawn),
            _ => style(drawn).blue(),
        };
        let took = bar.duration();
        format!("{} {drawn} {took:>TIME_WIDTH$}", pad_str(&name(bar), names, Alignment::Left, Some("…")))
    };
    bars.iter().map(line).collect()
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
        let names: Vec<_> =
            waterfall::in_order(&spans).into_iter().map(|(span, depth)| (text(&span["name"]), depth)).collect();
        assert_eq!(names, [("first", 0), ("second", 1), ("third", 2), ("other", 0), ("itself", 0)]);
        // The longest name, a bar of ten, and the time.
        let lines = waterfall(&spans, Some(11 + 10 + TIME_WIDTH + 2));
        assert!(lines[1].contains(&format!("{}████", " ".repeat(2))), "{}", lines[1]);
        assert!(lines[3].contains("goes on"));
    }
}
