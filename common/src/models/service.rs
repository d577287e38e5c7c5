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
    /// Whether it takes work: a host does not before it is ready, and nobody does who has said that they stop.
    pub serving: bool,
    /// When the receiver of its heartbeats last heard it, by the receiver's clock.
    pub last_seen: Timestamp,
    /// When it was first seen.
    pub created_at: Timestamp,
}

impl Service {
    /// Whether the service is given work: it says that it takes some, has been heard since this moment, and nobody has
    /// declared it down.
    #[must_use]
    pub fn is_up(&self, fresh_since: &FreshSince) -> bool {
        self.serving && !self.is_lost(fresh_since)
    }

    /// Whether nobody waits any more for what the service has under way. One that stops in good order may be back in a
    /// moment, and goes on.
    #[must_use]
    pub fn is_lost(&self, fresh_since: &FreshSince) -> bool {
        self.forced_down || self.last_seen < fresh_since.of(self.binary)
    }
}

/// Since when a service must have been heard to count as up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreshSince {
    /// A compute host, whose heartbeats are reports, and whoever owns work.
    pub reported: Timestamp,
    /// A service that writes its heartbeats itself.
    pub written: Timestamp,
}

impl FreshSince {
    /// The moment for a service of this kind.
    #[must_use]
    pub fn of(&self, binary: Binary) -> Timestamp {
        match binary {
            Binary::Compute => self.reported,
            Binary::Api | Binary::Scheduler | Binary::Conductor => self.written,
        }
    }

    /// Where reports came through without a break from `since` until `until`, and a service may be silent for
    /// `service_down_time`.
    #[must_use]
    pub fn new(since: Timestamp, until: Timestamp, now: Timestamp, service_down_time: Duration) -> Self {
        let heard_for_long = until - service_down_time;
        Self {
            // Who has not listened for so long judges nobody.
            reported: if since <= heard_for_long { heard_for_long } else { Timestamp::UNIX_EPOCH },
            written: now - service_down_time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_judged_by_a_silence_in_which_nobody_listened() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let reported =
            |since, until, now| FreshSince::new(at(since), at(until), at(now), Duration::from_secs(60)).reported;
        // Heard without a break for long: who was silent for 60 seconds is down.
        assert_eq!(reported(0, 1000, 1001), at(940));
        // The bus has been away since 1000: no time passes.
        assert_eq!(reported(0, 1000, 5000), at(940));
        // It is back since 5000: nobody is judged before 5060.
        assert_eq!(reported(5000, 5059, 5059), Timestamp::UNIX_EPOCH);
        assert_eq!(reported(5000, 5060, 5060), at(5000));
    }
}
