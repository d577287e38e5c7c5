//! Where the soft policies of server groups would rather have an instance.

use novella_common::models::GroupPolicy;

use super::Weigher;
use crate::{HostState, Wanted};

/// Policy `soft-affinity`: the more of the group's other servers, the better.
#[derive(Debug)]
pub struct ServerGroupSoftAffinityWeigher;

impl Weigher for ServerGroupSoftAffinityWeigher {
    fn value(&self, host: &HostState, wanted: &Wanted) -> f64 {
        others_on(host, wanted)
    }

    fn matters(&self, wanted: &Wanted) -> bool {
        has_policy(wanted, GroupPolicy::SoftAffinity)
    }
}

/// Policy `soft-anti-affinity`: the fewer of the group's other servers, the better.
#[derive(Debug)]
pub struct ServerGroupSoftAntiAffinityWeigher;

impl Weigher for ServerGroupSoftAntiAffinityWeigher {
    fn value(&self, host: &HostState, wanted: &Wanted) -> f64 {
        -others_on(host, wanted)
    }

    fn matters(&self, wanted: &Wanted) -> bool {
        has_policy(wanted, GroupPolicy::SoftAntiAffinity)
    }
}

fn has_policy(wanted: &Wanted, policy: GroupPolicy) -> bool {
    wanted.group.as_ref().is_some_and(|group| group.policy == policy)
}

#[allow(clippy::cast_precision_loss, reason = "no host has so many servers that it matters")]
fn others_on(host: &HostState, wanted: &Wanted) -> f64 {
    wanted.group.as_ref().map_or(0.0, |group| group.others_on(&host.host) as f64)
}
