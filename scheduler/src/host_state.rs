//! What a decision knows of a host, and what it is to find.

use std::collections::HashSet;

use novella_common::{
    ids::InstanceUuid,
    models::{GroupRule, Resources},
};

/// What a decision knows of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostState {
    /// Its name.
    pub host: String,
    /// Its availability zone.
    pub availability_zone: String,
    /// Whether an operator lets it be scheduled to.
    pub enabled: bool,
    /// Whether it was heard of late and is not forced down.
    pub up: bool,
    /// What may be claimed in all: its inventory with the allocation ratios.
    pub capacity: Resources,
    /// What is claimed.
    pub used: Resources,
    /// How many builds in a row could not be handed over to it, as far as this scheduler has seen.
    pub failures: u32,
}

impl HostState {
    /// What can still be claimed.
    #[must_use]
    pub fn free(&self) -> Resources {
        self.capacity.less(&self.used)
    }
}

/// What a host is wanted for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// What the instance takes.
    pub resources: Resources,
    /// The zone that the request named.
    pub availability_zone: Option<String>,
    /// Hosts that will not do, whatever the filters say.
    pub ignore_hosts: HashSet<String>,
    /// The only host that will do, if one was named; the filters must pass it too.
    pub only_host: Option<String>,
    /// Hint `different_host`: the hosts of the named instances.
    pub different_from: Option<HashSet<String>>,
    /// Hint `same_host`: the hosts of the named instances.
    pub same_as: Option<HashSet<String>>,
    /// What the instance's server group says.
    pub group: Option<GroupRule>,
}

/// The instances that a hint names: one id, or a list of them. What is no id names no instance.
#[must_use]
pub(crate) fn named_instances(hint: &serde_json::Value) -> Vec<InstanceUuid> {
    let texts: Vec<&str> = match hint {
        serde_json::Value::String(text) => vec![text],
        serde_json::Value::Array(list) => list.iter().filter_map(serde_json::Value::as_str).collect(),
        _ => Vec::new(),
    };
    texts.into_iter().filter_map(|text| text.parse().ok()).collect()
}
