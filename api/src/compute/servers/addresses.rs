//! The addresses of servers, as Networking has given them.

use std::net::IpAddr;

use novella_common::models::{NetworkInfo, Vif};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// A server's addresses by the name of the network, in the order of its interfaces.
#[derive(Clone, Debug, ToSchema)]
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
        let mut networks: Vec<(&str, Vec<Address<'i>>)> = Vec::new();
        // One without a hardware address is on its way here: Networking has not said what it is.
        for vif in info.0.iter().filter(|vif| !vif.mac_address.is_empty()) {
            let addresses = addresses_of(vif, extended);
            match networks.iter_mut().find(|(name, _)| *name == vif.network_name) {
                Some((_, known)) => known.extend(addresses),
                None => networks.push((&vif.network_name, addresses.collect())),
            }
        }
        Self(networks)
    }

    /// Those on the network of this name; `None`: the server is not on it.
    pub(super) fn on(&self, network: &str) -> Option<&[Address<'i>]> {
        self.0.iter().find(|(name, _)| *name == network).map(|(_, addresses)| addresses.as_slice())
    }
}

/// An interface's addresses, each with the floating ones that lead to it behind it.
fn addresses_of(vif: &Vif, extended: bool) -> impl Iterator<Item = Address<'_>> {
    let all = vif.fixed_ips.iter().flat_map(|fixed| {
        let floating = fixed.floating_ips.iter().map(|floating| (&**floating, "floating"));
        std::iter::once((&*fixed.address, "fixed")).chain(floating)
    });
    all.map(move |(addr, kind)| Address {
        version: if addr.parse::<IpAddr>().is_ok_and(|addr| addr.is_ipv6()) { 6 } else { 4 },
        addr,
        kind: extended.then_some(kind),
        mac: extended.then_some(&*vif.mac_address),
    })
}

impl Serialize for Addresses<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, addresses)| (name, addresses)))
    }
}
