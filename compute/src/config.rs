//! `[compute]`: how a compute host is configured.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use novella_common::{config::seconds, models::AllocationRatios};
use serde::{Deserialize, Serialize};

use crate::virt::fake::FakeConfig;

/// `[compute]`: a compute host.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ComputeConfig {
    /// Which hypervisor: `fake`.
    pub driver: String,
    /// Where the host keeps its journal, and the fake hypervisor its guests. Unset: in memory, gone with the process.
    pub state_dir: Option<PathBuf>,
    /// How many builds run on one host at once; further ones wait.
    pub max_concurrent_builds: usize,
    /// How far the host may be overcommitted.
    pub ratios: AllocationRatios,
    /// vCPUs that the host keeps for itself.
    pub reserved_vcpus: i64,
    /// Memory in MiB that the host keeps for itself.
    pub reserved_memory_mb: i64,
    /// Disk in GiB that the host keeps for itself.
    pub reserved_disk_gb: i64,
    /// The zone that the host is in.
    pub availability_zone: String,
    /// The host's address, as the hypervisor API shows it.
    pub host_ip: String,
    /// Where the host listens for incoming live migrations. Port 0 takes any free one.
    pub migration_address: SocketAddr,
    /// The name or address that other hosts reach `migration_address` under, if it is not that itself.
    pub migration_advertised: Option<String>,
    /// TLS between hosts, for live and cold migrations.
    pub migration_tls: MigrationTlsConfig,
    /// Seconds that the row of a build may name this host before the host says that it never got it. Longer than the
    /// scheduler waits for the host's answer.
    #[serde(with = "seconds")]
    pub lost_build_after: Duration,
    /// The simulated hypervisor.
    pub fake: FakeConfig,
}

/// `[compute.migration_tls]`: TLS between hosts, in which each shows its certificate to the other. All three, or none for
/// plain TCP; all hosts of a cloud alike. The files are read for each migration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MigrationTlsConfig {
    /// This host's certificate (PEM file), for the name in `migration_advertised`, with its chain.
    pub certificate: Option<PathBuf>,
    /// The private key (PEM file) of the certificate.
    pub key: Option<PathBuf>,
    /// Who signs the hosts' certificates (PEM file): nobody else is a host.
    pub authority: Option<PathBuf>,
}

impl Default for ComputeConfig {
    fn default() -> Self {
        Self {
            driver: "fake".into(),
            state_dir: None,
            max_concurrent_builds: 10,
            ratios: AllocationRatios::default(),
            reserved_vcpus: 0,
            reserved_memory_mb: 512,
            reserved_disk_gb: 0,
            availability_zone: "nova".into(),
            host_ip: "127.0.0.1".into(),
            migration_address: SocketAddr::from(([127, 0, 0, 1], 0)),
            migration_advertised: None,
            migration_tls: MigrationTlsConfig::default(),
            lost_build_after: Duration::from_secs(15),
            fake: FakeConfig::default(),
        }
    }
}
