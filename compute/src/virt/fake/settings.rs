//! What a server's own metadata asks of the simulation.

use std::{str::FromStr, time::Duration};

use novella_common::models::InstanceSpec;

/// The `fake:` keys of one server. The table in [the module's head](super) documents them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Settings {
    pub(super) build_time: Option<Duration>,
    pub(super) fail_build: Where,
    pub(super) power_time: Option<Duration>,
    pub(super) fail_power: Vec<String>,
    pub(super) fail_plug: Where,
    pub(super) dirty_rate_mib: Option<u64>,
    pub(super) bandwidth_mib: Option<u64>,
    pub(super) max_downtime: Option<Duration>,
    pub(super) fail_pre_migration: Where,
    pub(super) fail_migration_at: Option<u64>,
    pub(super) crash_after: Option<Duration>,
    pub(super) shutdown_after: Option<Duration>,
}

/// Reads the value of a key.
type Read = fn(&mut Settings, key: &str, value: &str) -> Result<(), String>;

/// The keys, without their prefix. `docs/faults.md` names each.
const KEYS: [(&str, Read); 12] = [
    ("build_seconds", |it, key, value| keep(&mut it.build_time, seconds(key, value)?)),
    ("fail_build", |it, _, value| set(&mut it.fail_build, hosts(value))),
    ("power_seconds", |it, key, value| keep(&mut it.power_time, seconds(key, value)?)),
    ("fail_power", |it, _, value| set(&mut it.fail_power, names(value))),
    ("fail_plug", |it, _, value| set(&mut it.fail_plug, hosts(value))),
    ("dirty_rate_mib", |it, key, value| keep(&mut it.dirty_rate_mib, number(key, value)?)),
    ("bandwidth_mib", |it, key, value| keep(&mut it.bandwidth_mib, number(key, value)?)),
    ("max_downtime_seconds", |it, key, value| keep(&mut it.max_downtime, seconds(key, value)?)),
    ("fail_pre_migration", |it, _, value| set(&mut it.fail_pre_migration, hosts(value))),
    ("fail_migration_at", |it, key, value| keep(&mut it.fail_migration_at, number(key, value)?)),
    ("crash_after", |it, key, value| keep(&mut it.crash_after, seconds(key, value)?)),
    ("shutdown_after", |it, key, value| keep(&mut it.shutdown_after, seconds(key, value)?)),
];

const PREFIX: &str = "fake:";

fn keep<T>(field: &mut Option<T>, value: T) -> Result<(), String> {
    set(field, Some(value))
}

fn set<T>(field: &mut T, value: T) -> Result<(), String> {
    *field = value;
    Ok(())
}

/// On which hosts something is to fail.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Where {
    #[default]
    Nowhere,
    Everywhere,
    On(Vec<String>),
}

impl Where {
    pub(super) fn names(&self, host: &str) -> bool {
        match self {
            Self::Nowhere => false,
            Self::Everywhere => true,
            Self::On(hosts) => hosts.iter().any(|name| name == host),
        }
    }
}

impl Settings {
    /// Reads them; `Err` names the key that is wrong.
    pub(super) fn of(spec: &InstanceSpec) -> Result<Self, String> {
        let mut settings = Self::default();
        for (key, value) in &spec.metadata {
            let Some(name) = key.strip_prefix(PREFIX) else {
                continue;
            };
            let Some((_, read)) = KEYS.iter().find(|(known, _)| *known == name) else {
                return Err(format!("metadata {key}: the fake driver has no such setting"));
            };
            read(&mut settings, key, value)?;
        }
        Ok(settings)
    }

    /// As [`Settings::of`] for a server that was built already: its metadata was sound then.
    pub(super) fn of_built(spec: &InstanceSpec) -> Self {
        Self::of(spec).unwrap_or_default()
    }

    /// Whether a power operation, under the driver's name for it, is to fail.
    pub(super) fn fails(&self, operation: &str) -> bool {
        self.fail_power.iter().any(|name| name == "always" || name == operation)
    }
}

fn names(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn hosts(value: &str) -> Where {
    match value.trim() {
        "always" => Where::Everywhere,
        _ => Where::On(names(value)),
    }
}

fn seconds(key: &str, value: &str) -> Result<Duration, String> {
    f64::from_str(value.trim())
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| format!("metadata {key} is '{value}', expected a number of seconds from 0 on"))
}

fn number(key: &str, value: &str) -> Result<u64, String> {
    value.trim().parse().map_err(|_| format!("metadata {key} is '{value}', expected a whole number from 0 on"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virt::fake::FakeConfig;

    const DOCUMENT: &str = include_str!("../../../../docs/faults.md");

    #[test]
    fn the_document_on_faults_names_every_key_of_metadata_and_configuration() {
        let metadata = KEYS.iter().map(|(name, _)| format!("{PREFIX}{name}"));
        let config = serde_json::to_value(FakeConfig::default()).unwrap();
        let config = config.as_object().unwrap().keys().cloned();
        // A row of a table that begins with it: a mention in passing says nothing of what it does.
        let missing: Vec<_> =
            metadata.chain(config).filter(|key| !DOCUMENT.contains(&format!("\n| `{key}` |"))).collect();
        assert!(missing.is_empty(), "docs/faults.md has no row for {missing:?}");
    }

    #[test]
    fn the_document_on_faults_names_no_key_that_is_not_there() {
        let keys = DOCUMENT.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, ':' | '_')));
        let unknown: Vec<_> = keys
            .filter_map(|word| word.strip_prefix(PREFIX))
            .filter(|name| !name.is_empty() && !KEYS.iter().any(|(known, _)| known == name))
            .collect();
        assert!(unknown.is_empty(), "docs/faults.md names {unknown:?}, which are no keys");
    }
}
