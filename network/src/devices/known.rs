//! What is there when devices ask for ports: read once for all of them, and unchanged until the transaction ends.

use std::collections::{BTreeMap, BTreeSet};

use novella_common::db::table::select;
use novella_rest::ApiError;

use super::{DevicePorts, PortWanted, describe::ports_of};
use crate::{
    addresses::allocations::{self, FixedIp},
    resource::{Work, grouped, held_many},
    resources::{
        networks::Network,
        ports::Port,
        security_groups::{self, SecurityGroup},
        subnets::{self, Subnet},
    },
};

/// See the module's head.
#[derive(Default)]
pub(super) struct Known {
    /// What the devices have, in the order in which it was made, and what they bring.
    pub(super) ports: Vec<Port>,
    /// By port.
    pub(super) addresses: BTreeMap<String, Vec<FixedIp>>,
    /// By id.
    pub(super) networks: BTreeMap<String, Network>,
    /// By network, in the order in which they were made.
    pub(super) subnets: BTreeMap<String, Vec<Subnet>>,
    /// Of the groups that are asked for, those that are there.
    pub(super) groups: BTreeSet<String>,
    /// Default groups, by project.
    pub(super) defaults: BTreeMap<String, String>,
}

impl Known {
    /// For these.
    pub(super) async fn read(work: &mut Work<'_>, wanted: &[impl AsRef<DevicePorts>]) -> Result<Self, ApiError> {
        let wanted = || wanted.iter().map(AsRef::<DevicePorts>::as_ref);
        let devices: Vec<&str> = wanted().map(|wanted| wanted.device.as_str()).collect();
        let mut ports = ports_of(&mut work.transaction, &devices, true).await?;
        let brought = wanted().flat_map(|wanted| &wanted.ports).filter_map(|asked| asked.port.as_deref());
        let brought: BTreeSet<&str> = brought.filter(|id| !ports.iter().any(|port| port.id == *id)).collect();
        if !brought.is_empty() {
            let mut sql = select::<Port>();
            sql.push(" WHERE id").is_in(brought).push(" ORDER BY id").push_for("", " FOR UPDATE");
            ports.extend(sql.fetch_all::<Port>(&mut work.transaction).await?);
        }
        let ids: Vec<&str> = ports.iter().map(|port| port.id.as_str()).collect();
        let addresses = match ids.is_empty() {
            true => BTreeMap::new(),
            false => grouped(allocations::of_ports(&mut work.transaction, &ids).await?),
        };
        let new = wanted().flat_map(|wanted| &wanted.ports).filter(|asked| asked.port.is_none());
        let new: BTreeSet<&str> = new.map(|asked| asked.network.as_str()).collect();
        let of_ports = ports.iter().map(|port| port.network_id.as_str());
        let networks: BTreeSet<&str> = new.iter().copied().chain(of_ports).collect();
        let mut known = Self { addresses, ..Self::default() };
        if !networks.is_empty() {
            let networks: Vec<Network> = held_many(&mut work.transaction, networks).await?;
            known.networks = networks.into_iter().map(|network| (network.id.clone(), network)).collect();
        }
        known.ports = ports;
        if new.is_empty() {
            return Ok(known);
        }
        let new: Vec<&str> = new.into_iter().collect();
        let subnets = subnets::of_networks(&mut work.transaction, &new).await?;
        known.subnets = grouped(subnets.into_iter().map(|subnet| (subnet.network_id.clone(), subnet)));
        let named: BTreeSet<&String> = wanted().flat_map(|wanted| &wanted.security_groups).collect();
        if !named.is_empty() {
            let groups: Vec<SecurityGroup> = held_many(&mut work.transaction, named).await?;
            known.groups = groups.into_iter().map(|group| group.id).collect();
        }
        let unnamed = wanted().filter(|wanted| wanted.security_groups.is_empty());
        known.defaults = defaults(work, unnamed.map(|wanted| wanted.project.as_str()).collect()).await?;
        Ok(known)
    }

    /// The port of this id.
    pub(super) fn port(&self, id: &str) -> Option<&Port> {
        self.ports.iter().find(|port| port.id == id)
    }

    /// Whether a port is what is asked for.
    pub(super) fn fits(&self, port: &Port, asked: &PortWanted) -> bool {
        let mut addresses = self.addresses.get(&port.id).into_iter().flatten();
        port.network_id == asked.network
            && asked.address.as_ref().is_none_or(|address| addresses.any(|fixed| fixed.ip_address == *address))
    }
}

/// The default groups of these projects, made where they are missing.
async fn defaults(work: &mut Work<'_>, projects: BTreeSet<&str>) -> Result<BTreeMap<String, String>, ApiError> {
    let mut found = BTreeMap::new();
    for made in [false, true] {
        let missing: Vec<&str> = projects.iter().copied().filter(|project| !found.contains_key(*project)).collect();
        if missing.is_empty() {
            break;
        }
        if made {
            for project in &missing {
                security_groups::ensure_default(work, project).await?;
            }
        }
        let groups = security_groups::defaults_of(&mut work.transaction, &missing).await?;
        found.extend(groups.into_iter().map(|group| (group.project_id, group.id)));
    }
    Ok(found)
}
