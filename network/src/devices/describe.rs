//! What devices have: their ports with all that a guest and its owner must know of them.

use std::collections::BTreeMap;

use novella_common::{
    db::{Connection, table},
    sql,
};
use novella_rest::ApiError;

use crate::{
    addresses::allocations::{self, FixedIp},
    resource::{AT_ONCE, grouped},
    resources::{floating_ips, ports::Port},
};

/// A port, seen from its device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// The port's id.
    pub port: String,
    /// The network that it is on.
    pub network: String,
    /// That network's name.
    pub network_name: String,
    /// Its hardware address.
    pub mac: String,
    /// Its addresses, in their order.
    pub addresses: Vec<InterfaceAddress>,
    /// How it is bound to its host.
    pub vif_type: String,
    /// What it is for the guest.
    pub vnic_type: String,
    /// Whether traffic passes.
    pub active: bool,
}

/// An address of a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The address.
    pub address: String,
    /// Its subnet.
    pub subnet: String,
    /// The floating IPs that lead to it.
    pub floating_ips: Vec<String>,
}

/// What is looked up for several ports together.
pub(super) struct Details {
    /// By port.
    addresses: BTreeMap<String, Vec<FixedIp>>,
    /// By port: address inside, address outside.
    floating: BTreeMap<String, Vec<(String, String)>>,
    /// By network.
    names: BTreeMap<String, String>,
}

impl Details {
    /// Of these ports.
    pub(super) async fn read(connection: &mut Connection, ports: &[&Port]) -> Result<Self, ApiError> {
        let ids: Vec<&str> = ports.iter().map(|port| port.id.as_str()).collect();
        let addresses = grouped(allocations::of_ports(connection, &ids).await?);
        let mut details = Self { addresses, floating: floating(connection, &ids).await?, names: BTreeMap::new() };
        let networks: std::collections::BTreeSet<&str> = ports.iter().map(|port| port.network_id.as_str()).collect();
        let rows: Vec<(String, String)> =
            sql!("SELECT id, name FROM networks WHERE id").is_in(networks).fetch_all(connection).await?;
        details.names.extend(rows);
        Ok(details)
    }

    /// Where addresses and names are known, and only floating IPs are not.
    pub(super) const fn known(
        addresses: BTreeMap<String, Vec<FixedIp>>,
        floating: BTreeMap<String, Vec<(String, String)>>,
        names: BTreeMap<String, String>,
    ) -> Self {
        Self { addresses, floating, names }
    }

    /// One of the ports.
    pub(super) fn interface(&mut self, port: &Port) -> Interface {
        let floating = self.floating.remove(&port.id).unwrap_or_default();
        let addresses = self.addresses.remove(&port.id).unwrap_or_default().into_iter();
        let addresses = addresses.map(|FixedIp { subnet_id, ip_address }| {
            let leads_here = floating.iter().filter(|(inside, _)| *inside == ip_address);
            let floating_ips = leads_here.map(|(_, outside)| outside.clone()).collect();
            InterfaceAddress { address: ip_address, subnet: subnet_id, floating_ips }
        });
        Interface {
            port: port.id.clone(),
            network: port.network_id.clone(),
            network_name: self.names.get(&port.network_id).cloned().unwrap_or_default(),
            mac: port.mac().to_owned(),
            addresses: addresses.collect(),
            vif_type: port.vif_type.clone(),
            vnic_type: port.vnic_type.clone(),
            active: port.status == "ACTIVE",
        }
    }
}

/// The floating IPs that lead to these ports, by port: address inside, address outside.
pub(super) async fn floating(
    connection: &mut Connection,
    ports: &[&str],
) -> Result<BTreeMap<String, Vec<(String, String)>>, ApiError> {
    let found = floating_ips::of_ports(connection, ports).await?;
    Ok(grouped(found.into_iter().map(|(port, inside, outside)| (port, (inside, outside)))))
}

/// The ports of these devices, in the order in which they were made.
pub(super) async fn ports_of(
    connection: &mut Connection,
    devices: &[&str],
    locked: bool,
) -> Result<Vec<Port>, ApiError> {
    let mut ports: Vec<Port> = Vec::new();
    for devices in devices.chunks(AT_ONCE) {
        let mut sql = table::select::<Port>();
        sql.push(" WHERE device_id").is_in(devices).push(" ORDER BY id");
        if locked {
            // SQLite has one writer.
            sql.push_for("", " FOR UPDATE");
        }
        ports.extend(sql.fetch_all::<Port>(connection).await?);
    }
    // No device is called nothing.
    ports.retain(|port| !port.device_id.is_empty());
    ports.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
    Ok(ports)
}

/// See [`super::Devices::describe`].
pub(super) async fn describe(
    connection: &mut Connection,
    devices: &[(String, String)],
) -> Result<Vec<Vec<Interface>>, ApiError> {
    let ids: Vec<&str> = devices.iter().map(|(device, _)| device.as_str()).collect();
    let projects: BTreeMap<&str, &str> = devices.iter().map(|(device, project)| (&**device, &**project)).collect();
    let mut ports = ports_of(connection, &ids, false).await?;
    ports.retain(|port| projects.get(&*port.device_id) == Some(&&*port.project_id));
    let mut by_device: BTreeMap<&str, Vec<Interface>> = BTreeMap::new();
    if !ports.is_empty() {
        let mut details = Details::read(connection, &ports.iter().collect::<Vec<_>>()).await?;
        for port in &ports {
            by_device.entry(&port.device_id).or_default().push(details.interface(port));
        }
    }
    Ok(devices.iter().map(|(device, _)| by_device.remove(device.as_str()).unwrap_or_default()).collect())
}
