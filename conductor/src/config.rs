//! `[conductor]`: long tasks, and what is looked after periodically.

use std::time::Duration;

use novella_common::config::seconds;
use serde::{Deserialize, Serialize};

/// `[conductor]`: long tasks, and what is looked after periodically.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConductorConfig {
    /// How many live migrations may leave one host at once; the others wait as `queued`. Nova's default.
    pub max_concurrent_live_migrations: u32,
    /// Seconds after which a migrated server is confirmed by itself; 0: only a person does that. Nova's default.
    #[serde(with = "seconds")]
    pub resize_confirm_window: Duration,
    /// On how many destinations a live migration that named none is tried before it is given up.
    pub max_migration_destinations: u32,
    /// Seconds in which each host is reconciled once: told what it should hold. Longer with more than 1,500 hosts for each
    /// conductor, which reconciles 25 in a second.
    #[serde(with = "seconds")]
    pub reconcile_interval: Duration,
    /// How many hosts one conductor reconciles at once.
    pub reconcile_concurrency: usize,
    /// Seconds between two searches for work that nobody does any more.
    #[serde(with = "seconds")]
    pub takeover_interval: Duration,
    /// Seconds after which a build that waits for a scheduler is cast again.
    #[serde(with = "seconds")]
    pub reschedule_after: Duration,
    /// Seconds between two looks at what Networking says of servers, of which each is for as many as
    /// `network_refresh_batch`, one after the other through all: so what was not told, or was lost on its way, shows in the
    /// end. 0: never.
    #[serde(with = "seconds")]
    pub network_refresh_interval: Duration,
    /// How many servers Networking is asked for at once then.
    pub network_refresh_batch: usize,
    /// Seconds between two readings of the gauges of the whole cloud at `/metrics`.
    #[serde(with = "seconds")]
    pub gauges_interval: Duration,
    /// Whether a compute host that was never heard of gets work without an operator's `novella host approve`, and one that
    /// has more than before gets more. `novella up` approves its own hosts.
    pub auto_approve: bool,
    /// How many reports are written in one transaction.
    pub report_batch: usize,
    /// The most bytes of a report; a larger one is set aside unread.
    pub max_report_bytes: usize,
    /// How often a call to a host is tried before a step of a migration counts as failed.
    pub call_attempts: u32,
    /// Seconds between two such tries.
    #[serde(with = "seconds")]
    pub call_retry_interval: Duration,
    /// How many requests one conductor works on at once.
    pub concurrency: usize,
}

impl Default for ConductorConfig {
    fn default() -> Self {
        Self {
            max_concurrent_live_migrations: 1,
            resize_confirm_window: Duration::ZERO,
            max_migration_destinations: 3,
            reconcile_interval: Duration::from_secs(60),
            reconcile_concurrency: 16,
            takeover_interval: Duration::from_secs(5),
            reschedule_after: Duration::from_secs(30),
            network_refresh_interval: Duration::from_secs(60),
            network_refresh_batch: 100,
            gauges_interval: Duration::from_secs(15),
            auto_approve: false,
            report_batch: 500,
            max_report_bytes: 256 * 1024,
            call_attempts: 3,
            call_retry_interval: Duration::from_secs(2),
            concurrency: 64,
        }
    }
}
