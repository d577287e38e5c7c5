//! The configuration of Networking.

use serde::{Deserialize, Serialize};

/// Section `network`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// The domain of the names that addresses have, as they are shown by ports.
    pub dns_domain: String,
    /// Networks that a project may have, unless an administrator says otherwise; -1: any number. So for the others.
    pub quota_network: i64,
    /// Subnets.
    pub quota_subnet: i64,
    /// Subnet pools.
    pub quota_subnetpool: i64,
    /// Ports.
    pub quota_port: i64,
    /// Routers.
    pub quota_router: i64,
    /// Floating IPs.
    pub quota_floatingip: i64,
    /// Policies of sharing.
    pub quota_rbac_policy: i64,
    /// Security groups.
    pub quota_security_group: i64,
    /// Rules of security groups.
    pub quota_security_group_rule: i64,
    /// Trunks.
    pub quota_trunk: i64,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            dns_domain: "openstacklocal.".to_owned(),
            quota_network: 100,
            quota_subnet: 100,
            quota_subnetpool: -1,
            quota_port: 500,
            quota_router: 10,
            quota_floatingip: 50,
            quota_rbac_policy: 10,
            quota_security_group: 10,
            quota_security_group_rule: 100,
            quota_trunk: -1,
        }
    }
}

impl NetworkConfig {
    /// The limits that hold where nobody has set others, by what they limit.
    pub(crate) const fn limits(&self) -> [(&'static str, i64); 11] {
        [
            ("network", self.quota_network),
            ("subnet", self.quota_subnet),
            ("subnetpool", self.quota_subnetpool),
            ("port", self.quota_port),
            // A limit of each router, and not of the project.
            ("router_route", 30),
            ("router", self.quota_router),
            ("floatingip", self.quota_floatingip),
            ("rbac_policy", self.quota_rbac_policy),
            ("security_group", self.quota_security_group),
            ("security_group_rule", self.quota_security_group_rule),
            ("trunk", self.quota_trunk),
        ]
    }
}
