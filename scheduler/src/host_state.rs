//! What a decision knows of a host, and what it is to find.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use novella_common::{
    ids::InstanceUuid,
    models::{GroupRule, Inventory, Resources},
};

use crate::filters;

/// What a decision knows of one host.
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// How many instances hold a claim.
    pub instances: i64,
    /// How many builds and moves are under way there; 0 where no filter asks.
    pub io_ops: i64,
    /// The metadata of its aggregates.
    pub aggregates: Vec<BTreeMap<String, String>>,
    /// What it has said of itself; `None` where no filter asks.
    pub inventory: Option<Arc<Inventory>>,
}

impl HostState {
    /// What can still be claimed.
    #[must_use]
    pub fn free(&self) -> Resources {
        self.capacity.less(&self.used)
    }

    /// The pairs of metadata of its aggregates. Of values with commas each counts.
    pub(crate) fn metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.aggregates.iter().flatten();
        pairs.flat_map(|(key, values)| values.split(',').map(move |value| (key.as_str(), value.trim())))
    }
}

/// What a host is wanted for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The project that the instance belongs to.
    pub project_id: String,
    /// What its flavor asks of hosts.
    pub extra_specs: BTreeMap<String, String>,
    /// What its image asks of hosts.
    pub image_properties: BTreeMap<String, String>,
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

/// Whether filters may have to know what hosts have said of themselves.
pub(crate) fn asks_of_inventory(
    extra_specs: &BTreeMap<String, String>,
    image_properties: &BTreeMap<String, String>,
) -> bool {
    let of_host = |key: &String| !key.contains(':') || key.starts_with("capabilities:");
    extra_specs.keys().any(of_host) || filters::LOOKED_AT.iter().any(|name| image_properties.contains_key(*name))
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
