//! Hosts that have not too much to do.

use super::Filter;
use crate::{HostState, SchedulerConfig, Wanted};

/// Only hosts with fewer servers than `scheduler.max_instances_per_host`.
#[derive(Debug)]
pub struct NumInstancesFilter;

/// The same, where an aggregate of the host can say another number (`max_instances_per_host`); of several the least.
#[derive(Debug)]
pub struct AggregateNumInstancesFilter;

/// Only hosts on which fewer builds and moves are under way than `scheduler.max_io_ops_per_host`.
#[derive(Debug)]
pub struct IoOpsFilter;

/// The same, where an aggregate of the host can say another number (`max_io_ops_per_host`); of several the least.
#[derive(Debug)]
pub struct AggregateIoOpsFilter;

/// The least number that the host's aggregates say for `key`; `default` where they say none, or something else.
fn least(host: &HostState, key: &str, default: i64) -> i64 {
    let said: Option<Vec<i64>> = host
        .aggregates
        .iter()
        .filter_map(|metadata| metadata.get(key))
        .map(|number| number.trim().parse().ok())
        .collect();
    said.and_then(|numbers| numbers.into_iter().min()).unwrap_or(default)
}

impl Filter for NumInstancesFilter {
    fn name(&self) -> &'static str {
        "NumInstancesFilter"
    }

    fn passes(&self, host: &HostState, _: &Wanted, config: &SchedulerConfig) -> bool {
        host.instances < config.max_instances_per_host
    }
}

impl Filter for AggregateNumInstancesFilter {
    fn name(&self) -> &'static str {
        "AggregateNumInstancesFilter"
    }

    fn passes(&self, host: &HostState, _: &Wanted, config: &SchedulerConfig) -> bool {
        host.instances < least(host, "max_instances_per_host", config.max_instances_per_host)
    }
}

impl Filter for IoOpsFilter {
    fn name(&self) -> &'static str {
        "IoOpsFilter"
    }

    fn passes(&self, host: &HostState, _: &Wanted, config: &SchedulerConfig) -> bool {
        host.io_ops < config.max_io_ops_per_host
    }
}

impl Filter for AggregateIoOpsFilter {
    fn name(&self) -> &'static str {
        "AggregateIoOpsFilter"
    }

    fn passes(&self, host: &HostState, _: &Wanted, config: &SchedulerConfig) -> bool {
        host.io_ops < least(host, "max_io_ops_per_host", config.max_io_ops_per_host)
    }
}
