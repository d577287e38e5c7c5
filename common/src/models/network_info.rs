//! What Networking has given an instance.

use serde::{Deserialize, Serialize};

/// An instance's virtual interfaces, in the order in which the guest has them: what Nova calls its network info cache.
/// Networking knows better; this is what it has said last, so that showing a server asks nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NetworkInfo(pub Vec<Vif>);

impl NetworkInfo {
    /// What Networking says now, with what only Compute knows of each interface; those known before first, in their order.
    #[must_use]
    pub fn refreshed(&self, now: Self) -> Self {
        let mut now = now.0;
        let mut vifs = Vec::with_capacity(now.len());
        for known in &self.0 {
            if let Some(index) = now.iter().position(|vif| vif.port_id == known.port_id) {
                let (preserve_on_delete, tag) = (known.preserve_on_delete, known.tag.clone());
                vifs.push(Vif { preserve_on_delete, tag, ..now.remove(index) });
            }
        }
        vifs.append(&mut now);
        Self(vifs)
    }

    /// The interface with this port.
    #[must_use]
    pub fn port(&self, id: &str) -> Option<&Vif> {
        self.0.iter().find(|vif| vif.port_id == id)
    }

    /// The first address of all.
    #[must_use]
    pub fn first_address(&self) -> Option<&str> {
        self.0.iter().flat_map(|vif| &vif.fixed_ips).map(|fixed| &*fixed.address).next()
    }

    /// Ids of the ports that their user keeps.
    #[must_use]
    pub fn preserved(&self) -> Vec<String> {
        self.0.iter().filter(|vif| vif.preserve_on_delete).map(|vif| vif.port_id.clone()).collect()
    }
}

/// One virtual interface: a port, seen from the instance that has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vif {
    /// The port's id.
    pub port_id: String,
    /// The network that it is on.
    pub network_id: String,
    /// That network's name, under which servers show their addresses.
    pub network_name: String,
    /// Its hardware address.
    pub mac_address: String,
    /// Its addresses, in the port's order.
    pub fixed_ips: Vec<VifAddress>,
    /// How it is bound on the instance's host: `ovs`, `unbound`, `binding_failed`.
    pub vif_type: String,
    /// What it is for the guest: `normal`.
    pub vnic_type: String,
    /// Whether Networking says that traffic passes.
    pub active: bool,
    /// Whether its user has made the port and keeps it: then it is not deleted with the server.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preserve_on_delete: bool,
    /// The tag by which the guest knows the device (microversion 2.32).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// An address of a virtual interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VifAddress {
    /// The address.
    pub address: String,
    /// The subnet that it is of.
    pub subnet_id: String,
    /// The floating IPs that lead to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub floating_ips: Vec<String>,
}

/// What a create asks of Networking, resolved and checked: every id is one that the user may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestedNetworks {
    /// The interfaces that are asked for, in the guest's order. None: the server has no network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vifs: Vec<RequestedVif>,
    /// Ids of the security groups of the ports that are made; none: the project's default group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security_groups: Vec<String>,
}

impl RequestedNetworks {
    /// Whether no interface is asked for.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.vifs.is_empty()
    }
}

/// One interface that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestedVif {
    /// The network; of a port that was brought, the one that it is on.
    pub network_id: String,
    /// A port that its user has made and keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_id: Option<String>,
    /// The address that it must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_ip: Option<String>,
    /// The device's tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}
