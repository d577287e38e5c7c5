//! `cloud.json`: how to reach a cloud that runs.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a running cloud says of itself to the other commands of its user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Its entry in the `clouds.yaml`.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// Such as `http://127.0.0.1:8774`.
    pub endpoint: String,
    /// With TLS: who has signed its certificate, if clients don't know that.
    #[serde(default)]
    pub cacert: Option<PathBuf>,
    /// Where `/healthz`, `/readyz` and `/metrics` are.
    pub management: String,
    /// Its compute hosts.
    pub hosts: u16,
    /// Since when it is ready.
    pub started_at: Timestamp,
    /// This program's version.
    pub version: String,
    /// Whether its data goes when it stops.
    pub ephemeral: bool,
    /// Where its log goes, if not to a terminal.
    pub log: Option<PathBuf>,
    /// The user's own `clouds.yaml` that it has put itself into.
    pub merged_into: Option<PathBuf>,
}
