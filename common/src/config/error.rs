//! What is said of a configuration that does not fit.

use std::path::Path;

use figment::{Metadata, Source, error::Kind};
use toml::de::{DeTable, DeValue};

use super::{RUST_LOG, variable};

/// How like a key a word must be (from 0 to 1, by Jaro and Winkler) for it to be meant.
const LIKE: f64 = 0.9;

/// A configuration that does not fit: the text names the key, where its value is from and what would be right.
#[derive(Debug, thiserror::Error)]
#[error("configuration: {0}")]
pub struct ConfigError(String);

impl ConfigError {
    /// `keys` are those that there are.
    pub(super) fn new(error: &figment::Error, keys: &[String]) -> Self {
        let key = error.path.join(".");
        let found = error.metadata.as_ref().map(|metadata| place(metadata, &error.path)).unwrap_or_default();
        Self(match &error.kind {
            Kind::UnknownField(..) => {
                let meant = nearest(&key, keys).map(|near| format!("; did you mean {near}?"));
                let meant = meant.unwrap_or_else(|| "; `novella config` lists those there are".to_owned());
                format!("there is no key {key}{found}{meant}")
            }
            // Of the whole file: figment's own text names it.
            _ if key.is_empty() => error.to_string(),
            Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
                format!("{key}{found} is {actual}, but must be {expected}")
            }
            Kind::UnknownVariant(actual, expected) => {
                format!("{key}{found} is '{actual}', but must be one of: {}", expected.join(", "))
            }
            kind => format!("{key}{found}: {kind}"),
        })
    }
}

/// The key that was probably meant by this one.
pub(super) fn nearest<'k>(key: &str, keys: &'k [String]) -> Option<&'k str> {
    let key = key.to_lowercase();
    let ranked = keys.iter().map(|candidate| (strsim::jaro_winkler(&key, candidate), candidate));
    let best = ranked.filter(|(likeness, _)| *likeness >= LIKE).max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.map(|(_, key)| key.as_str())
}

/// In brackets, after a space.
fn place(metadata: &Metadata, path: &[String]) -> String {
    match &metadata.source {
        Some(Source::File(file)) => match line(file, path) {
            Some(line) => format!(" (line {line} of {})", file.display()),
            None => format!(" (in {})", file.display()),
        },
        Some(Source::Code(_)) => String::new(),
        _ if metadata.name == RUST_LOG => format!(" (variable {RUST_LOG})"),
        _ => format!(" (variable {})", variable(&path.join("."))),
    }
}

/// The line of a TOML file on which a key is.
fn line(file: &Path, path: &[String]) -> Option<usize> {
    let text = std::fs::read_to_string(file).ok()?;
    let document = DeTable::parse(&text).ok()?;
    let mut table = document.get_ref();
    let mut begin = None;
    for name in path {
        let (key, value) = table.get_key_value(name.as_str())?;
        begin = Some(key.span().start);
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => break,
        }
    }
    Some(text.get(..begin?)?.matches('\n').count() + 1)
}
