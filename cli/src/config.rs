//! The whole configuration: the sections that services share and each service's own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use etcetera::BaseStrategy;
use figment::{Figment, providers::Serialized};
use novella_api::ApiConfig;
use novella_common::config::{
    self, BusConfig, DatabaseConfig, LogConfig, ManagementConfig, Secret, SecretUrl, ServiceConfig,
};
use novella_compute::ComputeConfig;
use novella_conductor::ConductorConfig;
use novella_scheduler::SchedulerConfig;
use serde::{Deserialize, Serialize};

use crate::GlobalOptions;

/// Every key there is, with its default.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// This service's name among those of its kind; for a compute host, the host's. Default: the machine's host name.
    pub host: Option<String>,
    /// The administrator's password, for `novella up` and `novella db sync`.
    pub admin_password: Option<Secret>,
    pub bus: BusConfig,
    pub database: DatabaseConfig,
    pub service: ServiceConfig,
    pub management: ManagementConfig,
    pub log: LogConfig,
    pub api: ApiConfig,
    pub scheduler: SchedulerConfig,
    pub conductor: ConductorConfig,
    pub compute: ComputeConfig,
}

impl Config {
    /// The configuration in force, with `flags` (pairs of a dotted key and a value) on top of all other sources.
    pub(crate) fn load(global: &GlobalOptions, flags: &Flags) -> Result<(Self, Figment)> {
        let mut figment = config::sources::<Self>(global.config.as_deref());
        for (key, value) in &flags.0 {
            figment = figment.merge(Serialized::global(key, value));
        }
        let mut config: Self = config::extract(&figment)?;
        if config.database.url.is_empty() {
            config.database.url = SecretUrl::new(sqlite_url(&data_folder(global)?)?);
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

/// The folder in which `novella up` keeps its data.
pub(crate) fn data_folder(global: &GlobalOptions) -> Result<PathBuf> {
    if let Some(folder) = &global.data {
        return Ok(folder.clone());
    }
    let strategy = etcetera::choose_base_strategy()
        .context("there is no home directory to keep data in: name a folder with --data DIR")?;
    Ok(strategy.data_dir().join("novella"))
}

/// The URL of the database in the data folder.
pub(crate) fn sqlite_url(data: &Path) -> Result<String> {
    let path = data.join("novella.db");
    let Some(path) = path.to_str().filter(|path| !path.contains(['?', '#', '%'])) else {
        bail!("the data folder {} can't be written as a database URL: choose another with --data DIR", data.display());
    };
    Ok(format!("sqlite://{path}"))
}

/// Whether neither a file nor a variable has set `key`. (Defaults and flags are values of the program's own code.)
pub(crate) fn is_default(figment: &Figment, key: &str) -> bool {
    let source = figment.find_metadata(key).and_then(|metadata| metadata.source.as_ref());
    source.is_none_or(|source| matches!(source, figment::Source::Code(_)))
}
