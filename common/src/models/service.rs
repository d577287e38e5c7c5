//! A service: one process, or one host's worth of one, that sends heartbeats.

use std::{fmt, str::FromStr, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::Incarnation;

/// What kind of service it is, under the names that `openstack compute service list` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Binary {
    /// The REST API.
    #[serde(rename = "nova-api")]
    Api,
    /// Chooses hosts.
    #[serde(rename = "nova-scheduler")]
    Scheduler,
    /// Drives long tasks.
    #[serde(rename = "nova-conductor")]
    Conductor,
    /// Runs instances.
    #[serde(rename = "nova-compute")]
    Compute,
}

impl Binary {
    /// The name in the API and in the database. Clients look for `nova-compute`, so these names are Nova's.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "nova-api",
            Self::Scheduler => "nova-scheduler",
            Self::Conductor => "nova-conductor",
            Self::Compute => "nova-compute",
        }
    }

    /// The zone that services other than compute hosts are shown in (`internal_service_availability_zone`).
    pub const INTERNAL_ZONE: &'static str = "internal";
}

impl fmt::Display for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Binary {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Api, Self::Scheduler, Self::Conductor, Self::Compute]
            .into_iter()
            .find(|binary| binary.as_str() == text)
            .ok_or_else(|| format!("unknown service binary '{text}'"))
    }
}

/// A service as the database knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The id that the API shows from microversion 2.53.
    pub uuid: String,
    /// The number that the API shows before.
    pub id: i64,
    /// What it is.
    pub binary: Binary,
    /// Where it runs.
    pub host: String,
    /// Its availability zone.
    pub zone: String,
    /// Its present, or last, run.
    pub incarnation: Incarnation,
    /// Whether an operator has taken it out of scheduling.
    pub disabled: bool,
    /// In the operator's words.
    pub disabled_reason: Option<String>,
    /// Whether an operator has declared it down (microversion 2.11).
    pub forced_down: bool,
    /// When the receiver of its heartbeats last heard it, by the receiver's clock.
    pub last_seen: Timestamp,
    /// When it was first seen.
    pub created_at: Timestamp,
}

impl Service {
    /// Whether the service counts as up at `now`: heard within `service_down_time` and not forced down.
    #[must_use]
    pub fn is_up(&self, now: Timestamp, service_down_time: Duration) -> bool {
        let silent = now.duration_since(self.last_seen);
        !self.forced_down && silent.unsigned_abs() <= service_down_time
    }
}
