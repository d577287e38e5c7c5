//! A flavor: the size of a server.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Resources;

/// The size of a server. An instance keeps a copy of the flavor it was built with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flavor {
    /// The id that the API shows: a free string.
    pub id: String,
    /// Unique name, such as `m1.tiny`.
    pub name: String,
    /// Virtual CPUs.
    pub vcpus: i64,
    /// Memory in MiB.
    pub memory_mb: i64,
    /// Root disk in GiB.
    pub disk_gb: i64,
    /// Ephemeral disk in GiB.
    #[serde(default)]
    pub ephemeral_gb: i64,
    /// Swap disk in MiB.
    #[serde(default)]
    pub swap_mb: i64,
    /// Whether every project may use it.
    pub is_public: bool,
    /// Free text (microversion 2.55).
    #[serde(default)]
    pub description: Option<String>,
    /// Requirements on hosts and settings for drivers.
    #[serde(default)]
    pub extra_specs: BTreeMap<String, String>,
    /// How the bandwidth of its servers is to that of others; nothing here divides any.
    #[serde(default)]
    pub rxtx_factor: RxtxFactor,
}

/// A positive number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RxtxFactor(f32);

/// It is never NaN.
impl Eq for RxtxFactor {}

impl Default for RxtxFactor {
    fn default() -> Self {
        Self(1.0)
    }
}

impl RxtxFactor {
    /// This factor, if it can be one: positive, and not infinite.
    #[must_use]
    pub fn new(factor: f32) -> Option<Self> {
        (factor.is_finite() && factor > 0.0).then_some(Self(factor))
    }
}

impl Flavor {
    /// What a server of this flavor takes from its host. Swap counts as disk, rounded up to whole GiB, as in Nova.
    #[must_use]
    pub fn resources(&self) -> Resources {
        Resources {
            vcpus: self.vcpus,
            memory_mb: self.memory_mb,
            disk_gb: self.disk_gb + self.ephemeral_gb + (self.swap_mb + 1023) / 1024,
        }
    }
}
