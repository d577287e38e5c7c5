//! `[compute.fake]`: what the simulated hypervisor has and how it behaves.

use std::time::Duration;

use novella_common::config::seconds;
use serde::{Deserialize, Serialize};

/// How the simulated hypervisor behaves. A duration of 0 takes no time at all, a bandwidth of 0 is without limit.
///
/// Most of it can be set for one server by its metadata, as the document on faults says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FakeConfig {
    /// Makes chance repeatable: the same seed, host name and order of operations give the same delays and failures.
    pub seed: Option<u64>,
    /// Physical CPUs.
    pub vcpus: i64,
    /// Physical memory in MiB.
    pub memory_mb: i64,
    /// Disk in GiB.
    pub disk_gb: i64,
    /// The least seconds that a guest takes to start for the first time.
    #[serde(with = "seconds")]
    pub boot_seconds_min: Duration,
    /// The most seconds that a guest takes to start for the first time.
    #[serde(with = "seconds")]
    pub boot_seconds_max: Duration,
    /// Seconds that plugging a guest's interfaces takes, and taking one out.
    #[serde(with = "seconds")]
    pub network_seconds: Duration,
    /// Seconds that attaching a guest's disks takes.
    #[serde(with = "seconds")]
    pub disk_seconds: Duration,
    /// Seconds that a power operation takes: on, off, reboot, pause, unpause, suspend, resume.
    #[serde(with = "seconds")]
    pub power_seconds: Duration,
    /// How much memory a running guest dirties, in MiB/s.
    pub dirty_rate_mib: u64,
    /// How fast a live migration copies, in MiB/s.
    pub bandwidth_mib: u64,
    /// How long a guest may stand still for the switch; a copy ends when what remains fits into it.
    #[serde(with = "seconds")]
    pub max_downtime: Duration,
    /// Seconds between two progress values of a live migration; 0.01 at least and 0.5 at most are used.
    #[serde(with = "seconds")]
    pub progress_interval: Duration,
    /// Whether the hosts share storage, so that a migration which leaves it open copies no disks.
    pub shared_storage: bool,
    /// How much of its disks a guest has written, in MiB: what a block migration copies (the flavor's size at most).
    pub disk_used_mib: u64,
    /// Seconds that the two ends of a migration wait for each other before they take the other for dead.
    #[serde(with = "seconds")]
    pub peer_timeout: Duration,
    /// How probable it is, from 0 to 1, that a build fails.
    pub build_failure: f64,
    /// How probable it is that a power operation fails.
    pub power_failure: f64,
    /// How probable it is that an interface can't be plugged.
    pub plug_failure: f64,
    /// How probable it is that a destination can't prepare for a migration.
    pub pre_migration_failure: f64,
    /// How probable it is that a migration fails while it copies.
    pub migration_failure: f64,
    /// How far, in percent of memory and disk, a migration that is to fail gets.
    pub migration_failure_at: u64,
}

impl Default for FakeConfig {
    fn default() -> Self {
        Self {
            seed: None,
            vcpus: 64,
            memory_mb: 262_144,
            disk_gb: 4096,
            boot_seconds_min: Duration::from_millis(100),
            boot_seconds_max: Duration::from_millis(300),
            network_seconds: Duration::ZERO,
            disk_seconds: Duration::ZERO,
            power_seconds: Duration::from_millis(50),
            dirty_rate_mib: 64,
            bandwidth_mib: 1024,
            max_downtime: Duration::from_millis(300),
            progress_interval: Duration::from_millis(250),
            shared_storage: true,
            disk_used_mib: 512,
            peer_timeout: Duration::from_secs(10),
            build_failure: 0.0,
            power_failure: 0.0,
            plug_failure: 0.0,
            pre_migration_failure: 0.0,
            migration_failure: 0.0,
            migration_failure_at: 50,
        }
    }
}

impl FakeConfig {
    /// The same without any delay: what remains is the work of the service itself.
    #[must_use]
    pub fn instant() -> Self {
        Self {
            boot_seconds_min: Duration::ZERO,
            boot_seconds_max: Duration::ZERO,
            power_seconds: Duration::ZERO,
            bandwidth_mib: 0,
            ..Self::default()
        }
    }

    /// What is wrong with it, if anything.
    pub(crate) fn problem(&self) -> Option<String> {
        if self.boot_seconds_min > self.boot_seconds_max {
            return Some(format!(
                "fake.boot_seconds_min ({}) is more than fake.boot_seconds_max ({})",
                self.boot_seconds_min.as_secs_f64(),
                self.boot_seconds_max.as_secs_f64()
            ));
        }
        if self.peer_timeout.is_zero() {
            return Some(
                "fake.peer_timeout is 0; the two ends of a migration must be able to wait for each other".into(),
            );
        }
        let probabilities = [
            ("build_failure", self.build_failure),
            ("power_failure", self.power_failure),
            ("plug_failure", self.plug_failure),
            ("pre_migration_failure", self.pre_migration_failure),
            ("migration_failure", self.migration_failure),
        ];
        for (name, value) in probabilities {
            if !(0.0..=1.0).contains(&value) {
                return Some(format!("fake.{name} is {value}; a probability is from 0 to 1"));
            }
        }
        let sizes = [("vcpus", self.vcpus), ("memory_mb", self.memory_mb), ("disk_gb", self.disk_gb)];
        sizes
            .iter()
            .find(|(_, value)| *value < 0)
            .map(|(name, value)| format!("fake.{name} is {value}; it can't be negative"))
    }
}
