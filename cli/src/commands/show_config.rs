//! `novella config`: what is in force, and where from.

use std::fmt::Write;

use anyhow::Result;
use clap::{Args, ValueEnum};
use figment::{
    Figment,
    value::{Num, Value},
};
use novella_common::config::SecretUrl;
use serde_json::json;

use crate::{
    GlobalOptions,
    config::{Config, DEFAULT, Flags, source},
    output,
};

#[derive(Debug, Args)]
pub(crate) struct ConfigOptions {
    /// How to print
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Key, value and source, a line each
    Table,
    /// A file that `--config` takes, secrets masked
    Toml,
    /// For programs
    Json,
    /// For programs and people
    Yaml,
}

/// Keys whose values are never shown.
const SECRETS: [&str; 5] =
    ["admin_password", "demo_password", "api.identity_password", "image.s3_access_key", "image.s3_secret_key"];
/// Keys of URLs, which are shown without their passwords.
const URLS: [&str; 3] = ["bus.url", "bus.management_url", "database.url"];

pub(crate) fn run(global: &GlobalOptions, options: &ConfigOptions) -> Result<()> {
    let (config, figment) = Config::load(global, &Flags::default())?;
    let mut lines = Vec::new();
    flatten(&figment, "", &figment.extract::<Value>()?, &mut lines);
    for (key, value, source) in &mut lines {
        // The default of this one depends on the data folder.
        if key == "database.url" && source == DEFAULT {
            *value = format!("{:?}", config.database.url.to_string());
        }
    }
    match options.format {
        Format::Table => {
            let rows = lines.into_iter().map(|(key, value, source)| vec![key, value, source]);
            output::print(&output::table(["Key", "Value", "Source"].into_iter(), rows))
        }
        Format::Json | Format::Yaml => {
            let rows = lines.iter().map(|(key, value, source)| {
                // The values are written as TOML, which is JSON for all that there is but what is not set.
                let value = match value.as_str() {
                    UNSET => serde_json::Value::Null,
                    text => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
                };
                json!({ "key": key, "value": value, "source": source })
            });
            let format = if options.format == Format::Json { output::Format::Json } else { output::Format::Yaml };
            output::print_value(format, &rows.collect())
        }
        Format::Toml => {
            let mut file = String::new();
            let mut section = String::new();
            // Keys of no section come first: a TOML table ends only where the next begins.
            lines.sort_by_key(|(key, ..)| (key.contains('.'), key.clone()));
            for (key, value, source) in &lines {
                let (this, name) = key.rsplit_once('.').unwrap_or(("", key));
                if this != section {
                    let _ = writeln!(file, "\n[{this}]");
                    this.clone_into(&mut section);
                }
                let _ = match value.as_str() {
                    UNSET => writeln!(file, "# {name} is not set"),
                    value => writeln!(file, "{name} = {value}  # {source}"),
                };
            }
            output::print(&file)
        }
    }
}

const UNSET: &str = "(not set)";

fn flatten(figment: &Figment, prefix: &str, value: &Value, lines: &mut Vec<(String, String, String)>) {
    if let Value::Dict(_, entries) = value
        && (prefix.is_empty() || !entries.is_empty())
    {
        for (name, value) in entries {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            flatten(figment, &key, value, lines);
        }
        return;
    }
    let shown = if SECRETS.contains(&prefix) && !matches!(value, Value::Empty(..)) {
        "\"***\"".to_owned()
    } else if let (true, Some(url)) = (URLS.contains(&prefix), value.as_str()) {
        format!("{:?}", SecretUrl::new(url).to_string())
    } else {
        show(value)
    };
    lines.push((prefix.to_owned(), shown, source(figment, prefix)));
}

fn show(value: &Value) -> String {
    match value {
        Value::Empty(..) => UNSET.to_owned(),
        Value::String(_, text) => format!("{text:?}"),
        Value::Char(_, c) => format!("{:?}", c.to_string()),
        Value::Bool(_, flag) => flag.to_string(),
        Value::Num(_, number) => show_number(number),
        Value::Array(_, items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
        Value::Dict(_, entries) => {
            let shown = |key: &str, value: &Value| match value {
                Value::String(..) if SECRETS.iter().any(|secret| secret.ends_with(&format!(".{key}"))) => {
                    "\"***\"".to_owned()
                }
                other => show(other),
            };
            let entries: Vec<_> = entries.iter().map(|(key, value)| format!("{key} = {}", shown(key, value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

fn show_number(number: &Num) -> String {
    match (number.to_i128(), number.to_u128(), number.to_f64()) {
        (Some(number), ..) => number.to_string(),
        (_, Some(number), _) => number.to_string(),
        (.., Some(number)) => number.to_string(),
        _ => format!("{number:?}"),
    }
}
