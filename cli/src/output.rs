//! Standard output of the commands: what was asked for, and nothing else. And what goes to standard error beside it.
//!
//! Nothing that a user, a host or the bus has said reaches a terminal as it is (see [`novella_common::printable`]): all that
//! is printed passes through here.

use std::io::{ErrorKind, Write, stderr, stdout};

use anyhow::{Context, Result};
use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use novella_common::printable::{self, Lines};
use serde_json::Value;
use yaml_rust2::{Yaml, YamlEmitter};

/// How a command prints what it has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people: as wide as the terminal
    #[default]
    Table,
    /// For programs
    Json,
    /// For programs and people
    Yaml,
}

/// A column of a table: its title, and the key of the rows' values.
pub(crate) type Column = (&'static str, &'static str);

/// Prints lines.
pub(crate) fn print(text: &str) -> Result<()> {
    print_exactly(&printable(text))
}

/// Prints lines as they are: what a shell is to read, and what has colours. Nobody else's text may be in it, or it must be
/// [`printable()`] already. A reader that has gone (`novella config | head`) has had enough: that is no error.
pub(crate) fn print_exactly(text: &str) -> Result<()> {
    let mut out = stdout().lock();
    match writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("writing to standard output"),
    }
}

/// Says something beside what was asked for, on standard error. If that is closed there is nobody to tell.
pub(crate) fn say_aside(text: &str) {
    let _ = writeln!(stderr().lock(), "{}", printable(text));
}

/// Prints rows: as a table of these columns, or for programs with all that is in them.
pub(crate) fn print_list(format: Format, columns: &[Column], rows: &[Value]) -> Result<()> {
    match format {
        Format::Table => print(&table(
            columns.iter().map(|(title, _)| *title),
            rows.iter().map(|row| columns.iter().map(|(_, key)| text_of(&row[*key])).collect()),
        )),
        Format::Json | Format::Yaml => print_value(format, &Value::from(rows.to_vec())),
    }
}

/// Prints one thing: each key of these columns on a line, or for programs with all that is in it.
pub(crate) fn print_one(format: Format, columns: &[Column], thing: &Value) -> Result<()> {
    match format {
        Format::Table => {
            let width = columns.iter().map(|(title, _)| title.len()).max().unwrap_or(0);
            let lines = columns.iter().filter(|(_, key)| !thing[*key].is_null());
            let lines = lines.map(|(title, key)| format!("{title:width$}  {}\n", printable(&text_of(&thing[*key]))));
            print(&lines.collect::<String>())
        }
        Format::Json | Format::Yaml => print_value(format, thing),
    }
}

/// Prints a value as JSON or YAML.
pub(crate) fn print_value(format: Format, value: &Value) -> Result<()> {
    if format == Format::Yaml {
        let mut text = String::new();
        YamlEmitter::new(&mut text).dump(&yaml(value)).context("writing YAML")?;
        return print(text.trim_start_matches("---\n"));
    }
    print(&serde_json::to_string_pretty(value)?)
}

/// A table without lines, no wider than the terminal if there is one.
pub(crate) fn table<'a>(titles: impl Iterator<Item = &'a str>, rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(titles);
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)));
    }
    let terminal = console::Term::stdout();
    if terminal.is_term()
        && let Some((_, width)) = terminal.size_checked()
    {
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(width);
    }
    table.trim_fmt()
}

/// Without characters that a terminal would obey; the lines are kept.
pub(crate) fn printable(text: &str) -> String {
    printable::printable(text, Lines::Kept)
}

/// The same of all texts in a value, each on one line.
pub(crate) fn printable_value(value: &Value) -> Value {
    match value {
        Value::String(text) => printable::printable(text, Lines::Joined).into(),
        Value::Array(items) => items.iter().map(printable_value).collect(),
        Value::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| (key.clone(), printable_value(value)));
            Value::Object(entries.collect())
        }
        other => other.clone(),
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What YAML says, in JSON's words. A key that is no text is written as one.
pub(crate) fn json(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Null | Yaml::BadValue | Yaml::Alias(_) => Value::Null,
        Yaml::Boolean(flag) => Value::from(*flag),
        Yaml::Integer(number) => Value::from(*number),
        Yaml::Real(text) => text.parse::<f64>().map_or_else(|_| Value::from(text.as_str()), Value::from),
        Yaml::String(text) => Value::from(text.as_str()),
        Yaml::Array(items) => items.iter().map(json).collect(),
        Yaml::Hash(entries) => {
            let entries = entries.iter().map(|(key, value)| match key {
                Yaml::String(key) => (key.clone(), json(value)),
                other => (json(other).to_string(), json(value)),
            });
            Value::Object(entries.collect())
        }
    }
}

fn yaml(value: &Value) -> Yaml {
    match value {
        Value::Null => Yaml::Null,
        Value::Bool(flag) => Yaml::Boolean(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => Yaml::Integer(integer),
            None => Yaml::Real(number.to_string()),
        },
        Value::String(text) => Yaml::String(text.clone()),
        Value::Array(items) => Yaml::Array(items.iter().map(yaml).collect()),
        Value::Object(entries) => {
            Yaml::Hash(entries.iter().map(|(key, value)| (Yaml::String(key.clone()), yaml(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use yaml_rust2::YamlLoader;

    use super::*;

    #[test]
    fn yaml_says_the_same_as_json() {
        let value = json!({ "a": [1, 2.5, null, true, "no", "1"], "b": { "c: d": "x\ny" }, "e": [] });
        let mut text = String::new();
        YamlEmitter::new(&mut text).dump(&yaml(&value)).unwrap();
        assert_eq!(YamlLoader::load_from_str(&text).unwrap(), [yaml(&value)]);
        assert_eq!(json(&yaml(&value)), value);
    }

    #[test]
    fn a_table_shows_no_character_that_a_terminal_obeys() {
        let shown = table(["Name"].into_iter(), [vec!["\u{1b}[2Jgone".to_owned()]].into_iter());
        assert!(shown.contains(r"\u001b[2Jgone"), "{shown}");
    }
}
