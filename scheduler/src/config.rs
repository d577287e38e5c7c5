//! `[scheduler]`: how hosts are chosen.

use std::time::Duration;

use novella_common::config::seconds;
use serde::{Deserialize, Serialize};

/// `[scheduler]`: how hosts are chosen. Names and defaults are Nova's (`[scheduler]` and `[filter_scheduler]`) unless
/// said otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SchedulerConfig {
    /// On how many hosts a build is attempted before the server goes to ERROR.
    pub max_attempts: u32,
    /// The filters that a host must pass, in this order. Beside these there are `AggregateInstanceExtraSpecsFilter`,
    /// `AggregateMultiTenancyIsolation`, `AggregateImagePropertiesIsolation`, `NumInstancesFilter`,
    /// `AggregateNumInstancesFilter`, `IoOpsFilter` and `AggregateIoOpsFilter`.
    pub enabled_filters: Vec<String>,
    /// Servers that a host may have, where `NumInstancesFilter` is enabled.
    pub max_instances_per_host: i64,
    /// Builds and moves that may be under way on a host, where `IoOpsFilter` is enabled.
    pub max_io_ops_per_host: i64,
    /// What the keys in the metadata of aggregates begin with, before the separator, that `AggregateImagePropertiesIsolation`
    /// looks at; unset: all.
    pub aggregate_image_properties_isolation_namespace: Option<String>,
    /// What stands between the namespace and the rest of such a key.
    pub aggregate_image_properties_isolation_separator: String,
    /// How much free memory counts. Negative values pack servers onto few hosts instead of spreading them.
    pub ram_weight_multiplier: f64,
    /// How much free vCPUs count.
    pub cpu_weight_multiplier: f64,
    /// How much free disk counts.
    pub disk_weight_multiplier: f64,
    /// How much it counts against a host that builds failed to be handed over to it of late.
    pub build_failure_weight_multiplier: f64,
    /// How much the group's other servers on a host count for a group with the policy `soft-affinity`.
    pub soft_affinity_weight_multiplier: f64,
    /// How much the group's other servers on a host count against it, with the policy `soft-anti-affinity`.
    pub soft_anti_affinity_weight_multiplier: f64,
    /// The host is drawn from this many of the best.
    pub host_subset_size: usize,
    /// Whether hosts of the same weight are taken in random order. Nova's default is false, and all its schedulers
    /// choose the same host out of many equal ones, to meet there; here it is true.
    pub shuffle_best_same_weighed_hosts: bool,
    /// Seconds that a decision's picture of the hosts may be old. Older ones are read again: one query for all hosts.
    #[serde(with = "seconds")]
    pub host_state_max_age: Duration,
    /// Seconds that a build waits for a compute host to come up, while none is up, before the server goes to ERROR.
    #[serde(with = "seconds")]
    pub live_host_timeout: Duration,
    /// How many requests one scheduler works on at once.
    pub concurrency: usize,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            enabled_filters: crate::filters::DEFAULT.iter().map(|filter| filter.name().to_owned()).collect(),
            max_instances_per_host: 50,
            max_io_ops_per_host: 8,
            aggregate_image_properties_isolation_namespace: None,
            aggregate_image_properties_isolation_separator: ".".into(),
            ram_weight_multiplier: 1.0,
            cpu_weight_multiplier: 1.0,
            disk_weight_multiplier: 1.0,
            build_failure_weight_multiplier: 1_000_000.0,
            soft_affinity_weight_multiplier: 1.0,
            soft_anti_affinity_weight_multiplier: 1.0,
            host_subset_size: 1,
            shuffle_best_same_weighed_hosts: true,
            host_state_max_age: Duration::from_millis(200),
            live_host_timeout: Duration::from_secs(60),
            // A build waits for its host's answer while it holds a place; a burst on many hosts needs many.
            concurrency: 256,
        }
    }
}
