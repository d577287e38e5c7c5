//! Where the policy of the instance's server group permits it to be.

use novella_common::models::GroupPolicy;

use super::Filter;
use crate::{HostState, SchedulerConfig, Wanted};

/// Policy `affinity`: only the host that the group's other servers are on.
#[derive(Debug)]
pub struct ServerGroupAffinityFilter;

impl Filter for ServerGroupAffinityFilter {
    fn name(&self) -> &'static str {
        "ServerGroupAffinityFilter"
    }

    fn passes(&self, host: &HostState, wanted: &Wanted, _: &SchedulerConfig) -> bool {
        permits(GroupPolicy::Affinity, host, wanted)
    }
}

/// Policy `anti-affinity`: only hosts with fewer of the group's other servers than its `max_server_per_host`.
#[derive(Debug)]
pub struct ServerGroupAntiAffinityFilter;

impl Filter for ServerGroupAntiAffinityFilter {
    fn name(&self) -> &'static str {
        "ServerGroupAntiAffinityFilter"
    }

    fn passes(&self, host: &HostState, wanted: &Wanted, _: &SchedulerConfig) -> bool {
        permits(GroupPolicy::AntiAffinity, host, wanted)
    }
}

fn permits(policy: GroupPolicy, host: &HostState, wanted: &Wanted) -> bool {
    wanted.group.as_ref().is_none_or(|group| group.policy != policy || group.permits(&host.host))
}
