//! The spans of a story as bars: each beneath the one that it is a part of, and where it lies in the time of the whole.

use std::collections::{BTreeMap, BTreeSet};

use novella_common::printable::{Lines, printable};
use serde_json::Value;

/// A span on its line.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Bar {
    /// How deep it lies beneath others.
    pub(crate) depth: usize,
    pub(crate) name: String,
    /// Which service did it, and where.
    pub(crate) who: String,
    /// `request`, `message`, `queue`, `handler`, `owner`, `action` or `event`.
    pub(crate) kind: String,
    pub(crate) failed: bool,
    /// Microseconds after the beginning of the first.
    pub(crate) begin: i64,
    /// Microseconds that it took; `None`: it goes on.
    pub(crate) took: Option<i64>,
    /// Microseconds of the whole story.
    whole: i64,
    /// What else is known of it.
    pub(crate) fields: Vec<(String, String)>,
}

impl Bar {
    /// From which column to which it lies, in a picture of this width.
    pub(crate) fn place(&self, width: usize) -> (usize, usize) {
        let last = width.saturating_sub(1);
        let from = column(self.begin, self.whole, width).min(last);
        let to = self.took.map_or(width, |took| column(self.begin + took, self.whole, width));
        (from, to.clamp((from + 1).min(width), width))
    }

    /// How long it took, in words.
    pub(crate) fn duration(&self) -> String {
        self.took.map_or_else(|| "goes on".to_owned(), duration)
    }
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "places on a screen"
)]
fn column(time: i64, whole: i64, width: usize) -> usize {
    (time as f64 / whole as f64 * width as f64).round() as usize
}

/// The bars of these spans, as `GET /cloud/v1/requests/{id}` lists them.
pub(crate) fn bars(spans: &[Value]) -> Vec<Bar> {
    let begin = spans.iter().filter_map(|span| span["start"].as_i64()).min().unwrap_or(0);
    let ends = spans.iter().filter_map(|span| span["end"].as_i64().or(span["start"].as_i64()));
    let whole = (ends.max().unwrap_or(begin) - begin).max(1);
    let bar = |(span, depth): (&Value, usize)| {
        let start = span["start"].as_i64().unwrap_or(begin);
        let who = [shown(&span["service"]), shown(&span["host"])];
        let fields = span["fields"].as_object().into_iter().flatten();
        Bar {
            depth,
            name: shown(&span["name"]),
            who: who.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" on "),
            kind: text(&span["kind"]).to_owned(),
            failed: span["result"] == "Error",
            begin: start - begin,
            took: span["end"].as_i64().map(|end| end - start),
            whole,
            fields: fields.map(|(name, value)| (name.clone(), shown(value))).collect(),
        }
    };
    in_order(spans).into_iter().map(bar).collect()
}

/// Each span beneath the one that it is a part of, both in the order of their beginnings.
pub(crate) fn in_order(spans: &[Value]) -> Vec<(&Value, usize)> {
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

/// Microseconds in words.
#[allow(clippy::cast_precision_loss, reason = "shown with three digits")]
pub(crate) fn duration(micros: i64) -> String {
    match micros {
        ..1000 => format!("{micros} µs"),
        1000..1_000_000 => format!("{:.2} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// On one line and without what a terminal obeys.
fn shown(value: &Value) -> String {
    printable(text(value), Lines::Joined)
}
