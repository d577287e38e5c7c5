//! A compute host's resources: what it has, what of it may be given out, what is claimed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Amounts of what a host gives and an instance takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Virtual CPUs.
    pub vcpus: i64,
    /// Memory in MiB.
    pub memory_mb: i64,
    /// Disk in GiB.
    pub disk_gb: i64,
}

impl Resources {
    /// Whether `self` is enough for `wanted`, in each of the three.
    #[must_use]
    pub fn covers(&self, wanted: &Resources) -> bool {
        self.vcpus >= wanted.vcpus && self.memory_mb >= wanted.memory_mb && self.disk_gb >= wanted.disk_gb
    }

    /// What is left of `self` after `taken`; may be negative where an operator made the host smaller.
    #[must_use]
    pub fn less(&self, taken: &Resources) -> Resources {
        Resources {
            vcpus: self.vcpus - taken.vcpus,
            memory_mb: self.memory_mb - taken.memory_mb,
            disk_gb: self.disk_gb - taken.disk_gb,
        }
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(&self, other: &Resources) -> Resources {
        Resources {
            vcpus: self.vcpus + other.vcpus,
            memory_mb: self.memory_mb + other.memory_mb,
            disk_gb: self.disk_gb + other.disk_gb,
        }
    }
}

/// How far a host's resources may be given out beyond what is there (placement's `allocation_ratio`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AllocationRatios {
    /// vCPUs for each physical one.
    pub cpu: f64,
    /// MiB for each physical one.
    pub ram: f64,
    /// GiB for each physical one.
    pub disk: f64,
}

/// Nova's defaults: 4.0 / 1.0 / 1.0.
impl Default for AllocationRatios {
    fn default() -> Self {
        Self { cpu: 4.0, ram: 1.0, disk: 1.0 }
    }
}

/// What a host says of itself when it says hello.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    /// What is physically there.
    pub total: Resources,
    /// What the host keeps for itself.
    pub reserved: Resources,
    /// How far it may be overcommitted.
    pub ratios: AllocationRatios,
    /// The driver's name for the hypervisor, such as `fake` or `QEMU`.
    pub hypervisor_type: String,
    /// The hypervisor's version as one integer, as in Nova: 7002000 is 7.2.0.
    pub hypervisor_version: i64,
    /// The name under which the hypervisor is known; one per host here.
    pub hypervisor_hostname: String,
    /// Address of the host, for people.
    pub host_ip: String,
    /// CPU model and features, as the hypervisor API shows them.
    pub cpu_info: serde_json::Value,
    /// The availability zone the host is configured to be in.
    pub availability_zone: String,
}

impl Inventory {
    /// What may be claimed in all: `(total - reserved) x ratio`, rounded down, never below zero.
    #[must_use]
    pub fn capacity(&self) -> Resources {
        let scaled = |total: i64, reserved: i64, ratio: f64| {
            // Exact for all sizes that occur: an f64 holds integers up to 2^53.
            #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
            let scaled = ((total - reserved).max(0) as f64 * ratio.max(0.0)).floor() as i64;
            scaled
        };
        Resources {
            vcpus: scaled(self.total.vcpus, self.reserved.vcpus, self.ratios.cpu),
            memory_mb: scaled(self.total.memory_mb, self.reserved.memory_mb, self.ratios.ram),
            disk_gb: scaled(self.total.disk_gb, self.reserved.disk_gb, self.ratios.disk),
        }
    }
}

/// A compute host as the database knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct ComputeNode {
    /// The host's name: the `server` of its RPC target.
    pub host: String,
    /// The id that the API shows from microversion 2.53.
    pub uuid: String,
    /// The number that the API shows before.
    pub id: i64,
    /// What the host last said of itself.
    pub inventory: Inventory,
    /// What may be claimed in all.
    pub capacity: Resources,
    /// What is claimed.
    pub used: Resources,
    /// How many instances hold a claim.
    pub instances: i64,
    /// Grows with each change of the claims.
    pub generation: i64,
    /// When the host last said hello.
    pub updated_at: Timestamp,
}

impl ComputeNode {
    /// What can still be claimed.
    #[must_use]
    pub fn free(&self) -> Resources {
        self.capacity.less(&self.used)
    }
}
