//! The whole configuration: the sections that services share and each service's own.

use std::path::PathBuf;

use anyhow::{Result, bail};
use figment::{Figment, providers::Serialized};
use novella_api::{ApiConfig, QuotaConfig};
use novella_common::{
    config::{self, BusConfig, DatabaseConfig, LogConfig, ManagementConfig, Secret, SecretUrl, ServiceConfig},
    faults::FaultsConfig,
    traces::TelemetryConfig,
};
use novella_compute::ComputeConfig;
use novella_conductor::ConductorConfig;
use novella_identity::{IdentityConfig, SecurityComplianceConfig};
use novella_image::ImageConfig;
use novella_network::NetworkConfig;
use novella_scheduler::SchedulerConfig;
use serde::{Deserialize, Serialize};

use crate::{GlobalOptions, clouds::CloudFolder, output};

/// Every key there is, with its default.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// This service's name among those of its kind; for a compute host, the host's. Default: the machine's host name.
    pub host: Option<String>,
    /// The administrator's password, for `novella up` and `novella db sync`.
    pub admin_password: Option<Secret>,
    /// The password of the user `demo`, likewise. `novella up` makes one; without one, there is no such user elsewhere.
    pub demo_password: Option<Secret>,
    pub bus: BusConfig,
    pub database: DatabaseConfig,
    pub service: ServiceConfig,
    pub management: ManagementConfig,
    pub log: LogConfig,
    pub telemetry: TelemetryConfig,
    pub api: ApiConfig,
    pub quota: QuotaConfig,
    pub security_compliance: SecurityComplianceConfig,
    pub identity: IdentityConfig,
    pub image: ImageConfig,
    pub network: NetworkConfig,
    pub policy: PolicyConfig,
    pub scheduler: SchedulerConfig,
    pub conductor: ConductorConfig,
    pub compute: ComputeConfig,
    pub faults: FaultsConfig,
}

/// `[policy]`: files in the form of oslo.policy's `policy.yaml`, each with rules of one service that are to be other than by
/// default (`novella policy list`). Read at the start, which a rule that is not understood stops.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PolicyConfig {
    /// That of Compute, with Nova's rules, and of the Cloud API.
    pub compute: Option<PathBuf>,
    /// That of Identity, with Keystone's.
    pub identity: Option<PathBuf>,
    /// That of Image, with Glance's.
    pub image: Option<PathBuf>,
    /// That of Networking, with Neutron's.
    pub network: Option<PathBuf>,
}

impl Config {
    /// The configuration in force, with `flags` (pairs of a dotted key and a value) on top of all other sources.
    pub(crate) fn load(global: &GlobalOptions, flags: &Flags) -> Result<(Self, Figment)> {
        let mut figment = config::sources::<Self>(global.config.as_deref());
        for (key, value) in &flags.0 {
            figment = figment.merge(Serialized::global(key, value));
        }
        let mut config: Self = config::extract(&figment)?;
        warn_of_misspelt_variables();
        if config.database.url.is_empty() {
            config.database.url = SecretUrl::new(sqlite_url(&CloudFolder::find(global)?)?);
        }
        Ok((config, figment))
    }

    /// The name that this service goes by.
    pub(crate) fn host(&self) -> Result<String> {
        let host = match &self.host {
            Some(host) => host.clone(),
            None => gethostname::gethostname().to_string_lossy().into_owned(),
        };
        // The name is part of a queue's name, a routing key and a path of the API.
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        if host.is_empty() || host.len() > 200 || !host.chars().all(fits) {
            bail!(
                "host '{host}' is not of 1 to 200 letters, digits, '-', '_', '.' and ':'; set NOVELLA_HOST or --host"
            );
        }
        Ok(host)
    }
}

/// On standard error, since a log may not be set up yet, or be somewhere else.
fn warn_of_misspelt_variables() {
    for (name, meant) in config::misspelt_variables::<Config>() {
        output::say_aside(&format!("novella: warning: the variable {name} sets nothing; was {meant} meant?"));
    }
}

/// Flags that were given, as configuration keys.
#[derive(Debug, Default)]
pub(crate) struct Flags(Vec<(&'static str, serde_json::Value)>);

impl Flags {
    /// Sets `key` if the flag was given.
    pub(crate) fn set<T: Serialize>(mut self, key: &'static str, value: Option<T>) -> Result<Self> {
        if let Some(value) = value {
            self.0.push((key, serde_json::to_value(value)?));
        }
        Ok(self)
    }
}

/// The URL of the database in a cloud's folder.
pub(crate) fn sqlite_url(cloud: &CloudFolder) -> Result<String> {
    let path = cloud.database();
    let Some(path) = path.to_str().filter(|path| !path.contains(['?', '#', '%'])) else {
        bail!(
            "the data folder {} can't be written as a database URL: choose another with --data DIR",
            cloud.path().display()
        );
    };
    Ok(format!("sqlite://{path}"))
}

/// Whether neither a file nor a variable has set `key`. (Defaults and flags are values of the program's own code.)
pub(crate) fn is_default(figment: &Figment, key: &str) -> bool {
    let source = figment.find_metadata(key).and_then(|metadata| metadata.source.as_ref());
    matches!(source, Some(figment::Source::Code(_)))
}

/// Where the value of `key` comes from: a file's path, a variable, or `default`.
pub(crate) fn source(figment: &Figment, key: &str) -> String {
    let Some(metadata) = figment.find_metadata(key) else { return DEFAULT.to_owned() };
    match &metadata.source {
        Some(figment::Source::File(path)) => path.display().to_string(),
        Some(figment::Source::Code(_)) => DEFAULT.to_owned(),
        _ if metadata.name == config::RUST_LOG => format!("environment {}", config::RUST_LOG),
        _ if metadata.name.contains("environment") => format!("environment {}", config::variable(key)),
        Some(other) => other.to_string(),
        None => metadata.name.to_string(),
    }
}

/// The source of what nobody has set.
pub(crate) const DEFAULT: &str = "default";
