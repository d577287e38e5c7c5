//! The addresses of servers, as Networking has given them.

use std::net::IpAddr;

use novella_common::models::{NetworkInfo, Vif};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// A server's addresses by the name of the network, in the order of its interfaces.
#[derive(Clone, Debug, Default, ToSchema)]
#[schema(value_type = std::collections::BTreeMap<String, Vec<Address>>)]
pub(super) struct Addresses<'i>(Vec<(&'i str, Vec<Address<'i>>)>);

/// One of them.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Address<'i> {
    version: u8,
    addr: &'i str,
    #[serde(rename = "OS-EXT-IPS:type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(rename = "OS-EXT-IPS-MAC:mac_addr", skip_serializing_if = "Option::is_none")]
    mac: Option<&'i str>,
}

impl<'i> Addresses<'i> {
    /// As a server shows them.
    pub(super) fn in_server(info: &'i NetworkInfo) -> Self {
        Self::of(info, true)
    }

    /// As the list of a server's addresses shows them.
    pub(super) fn in_list(info: &'i NetworkInfo) -> Self {
        Self::of(info, false)
    }

    fn of(info: &'i NetworkInfo, extended: bool) -> Self {
        let mut networks: Vec<(&'i str, Vec<&'i Vif>)> = Vec::new();
        // One without a hardware address is on its way here: Networking has not said what it is.
        for vif in info.0.iter().filter(|vif| !vif.mac_address.is_empty()) {
            match networks.iter_mut().find(|(name, _)| *name == vif.network_name) {
                Some((_, vifs)) => vifs.push(vif),
                None => networks.push((&vif.network_name, vec![vif])),
            }
        }
        Self(networks.into_iter().map(|(name, vifs)| (name, addresses_of(&vifs, extended))).collect())
    }

    /// Those on the network of this name; `None`: the server is not on it.
    pub(super) fn on(&self, network: &str) -> Option<&[Address<'i>]> {
        self.0.iter().find(|(name, _)| *name == network).map(|(_, addresses)| addresses.as_slice())
    }
}

/// Those of the interfaces that are on one network: all fixed ones, and behind them all floating ones, as in Nova.
fn addresses_of<'i>(vifs: &[&'i Vif], extended: bool) -> Vec<Address<'i>> {
    let address = |vif: &'i Vif, addr: &'i str, kind: &'static str| Address {
        version: if addr.parse::<IpAddr>().is_ok_and(|addr| addr.is_ipv6()) { 6 } else { 4 },
        addr,
        kind: extended.then_some(kind),
        mac: extended.then_some(&*vif.mac_address),
    };
    let (mut addresses, mut floating) = (Vec::new(), Vec::new());
    for &vif in vifs {
        for fixed in &vif.fixed_ips {
            addresses.push(address(vif, &fixed.address, "fixed"));
            floating.extend(fixed.floating_ips.iter().map(|addr| address(vif, addr, "floating")));
        }
    }
    addresses.append(&mut floating);
    addresses
}

impl Serialize for Addresses<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, addresses)| (name, addresses)))
    }
}
