//! A server group: servers that are to be on the same host, or on different ones.

use std::collections::HashMap;

use uuid::Uuid;

use crate::named;

/// A group of servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerGroup {
    /// The database's number.
    pub id: i64,
    /// The API's id.
    pub uuid: Uuid,
    /// The project it belongs to.
    pub project_id: String,
    /// The user who made it.
    pub user_id: String,
    /// Not unique.
    pub name: String,
    /// Where its servers are to be.
    pub policy: GroupPolicy,
    /// With [`GroupPolicy::AntiAffinity`]: how many of its servers may be on one host. `None`: one.
    pub max_server_per_host: Option<i64>,
}

named! {
    /// Where the servers of a group are to be.
    pub enum GroupPolicy {
        /// All on one host.
        Affinity = "affinity",
        /// Each on another host.
        AntiAffinity = "anti-affinity",
        /// On one host, as far as that is possible.
        SoftAffinity = "soft-affinity",
        /// On different hosts, as far as that is possible.
        SoftAntiAffinity = "soft-anti-affinity",
    }
}

impl GroupPolicy {
    /// Whether a server may be where the policy does not want it, if nothing else is left.
    #[must_use]
    pub fn is_soft(self) -> bool {
        matches!(self, Self::SoftAffinity | Self::SoftAntiAffinity)
    }
}

/// What an instance's group says of hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRule {
    /// Where its servers are to be.
    pub policy: GroupPolicy,
    /// As in [`ServerGroup`].
    pub max_server_per_host: Option<i64>,
    /// How many other servers of the group have a claim on each host; hosts with none are not in it.
    pub others: HashMap<String, i64>,
}

impl GroupRule {
    /// How many other servers of the group have a claim on the host.
    #[must_use]
    pub fn others_on(&self, host: &str) -> i64 {
        self.others.get(host).copied().unwrap_or(0)
    }

    /// Whether the instance may be on the host.
    #[must_use]
    pub fn permits(&self, host: &str) -> bool {
        match self.policy {
            GroupPolicy::Affinity => self.others.is_empty() || self.others.contains_key(host),
            GroupPolicy::AntiAffinity => self.others_on(host) < self.max_server_per_host.unwrap_or(1),
            GroupPolicy::SoftAffinity | GroupPolicy::SoftAntiAffinity => true,
        }
    }
}
