//! What is said of a configuration that does not fit.

use std::path::Path;

use figment::{
    Metadata, Source,
    error::{Actual, Kind},
};
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
            _ if key.is_empty() => without_excerpt(&error.to_string()),
            Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
                format!("{key}{found} is {}, but must be {expected}", shown(&key, actual, expected))
            }
            Kind::UnknownVariant(actual, expected) => {
                format!("{key}{found} is '{actual}', but must be one of: {}", expected.join(", "))
            }
            kind => format!("{key}{found}: {kind}"),
        })
    }
}

/// Values of these keys may hold secrets.
const SECRET_NAMES: [&str; 3] = ["password", "url", "secret"];

/// A value that does not fit; only its kind where it may be a secret, or have one in it: a whole section given as a text.
fn shown(key: &str, actual: &Actual, expected: &str) -> String {
    let name = key.rsplit('.').next().unwrap_or(key);
    let is_section = !key.contains('.') && expected.starts_with("struct");
    if !is_section && !SECRET_NAMES.iter().any(|part| name.contains(part)) {
        return actual.to_string();
    }
    match actual {
        Actual::Str(_) | Actual::Char(_) | Actual::Bytes(_) => "a text",
        Actual::Bool(_) => "true or false",
        Actual::Unsigned(_) | Actual::Signed(_) | Actual::Float(_) => {
            "a number (in quotes, also inside of a variable, it is a text)"
        }
        _ => "something else",
    }
    .to_owned()
}

/// TOML's errors quote the line that they are about, which may hold a password.
fn without_excerpt(text: &str) -> String {
    let is_excerpt = |line: &&str| line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').starts_with('|');
    text.lines().filter(|line| !is_excerpt(line)).collect::<Vec<_>>().join("\n")
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
