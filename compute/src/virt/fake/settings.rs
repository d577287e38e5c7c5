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
    pub(super) dirty_rate_mib: Option<u64>,
    pub(super) bandwidth_mib: Option<u64>,
    pub(super) max_downtime: Option<Duration>,
    pub(super) fail_pre_migration: Where,
    pub(super) fail_migration_at: Option<u64>,
    pub(super) crash_after: Option<Duration>,
    pub(super) shutdown_after: Option<Duration>,
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
            let Some(name) = key.strip_prefix("fake:") else {
                continue;
            };
            match name {
                "build_seconds" => settings.build_time = Some(seconds(key, value)?),
                "fail_build" => settings.fail_build = hosts(value),
                "power_seconds" => settings.power_time = Some(seconds(key, value)?),
                "fail_power" => settings.fail_power = names(value),
                "dirty_rate_mib" => settings.dirty_rate_mib = Some(number(key, value)?),
                "bandwidth_mib" => settings.bandwidth_mib = Some(number(key, value)?),
                "max_downtime_seconds" => settings.max_downtime = Some(seconds(key, value)?),
                "fail_pre_migration" => settings.fail_pre_migration = hosts(value),
                "fail_migration_at" => settings.fail_migration_at = Some(number(key, value)?),
                "crash_after" => settings.crash_after = Some(seconds(key, value)?),
                "shutdown_after" => settings.shutdown_after = Some(seconds(key, value)?),
                _ => {
                    return Err(format!("metadata {key}: the fake driver has no such setting"));
                }
            }
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
