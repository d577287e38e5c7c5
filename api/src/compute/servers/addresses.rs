//! The addresses of servers. There is no network service yet: every server that does not ask for none gets an address on
//! one network, so that clients which wait for one get it. No guest is reached by it.

use std::{
    collections::VecDeque,
    net::Ipv4Addr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use novella_common::db::{Database, DbError, fixed_ips};
use serde::Serialize;
use utoipa::ToSchema;

/// The network's name: openstacksdk looks for a floating IP for a server that has no address on one of this name.
pub(crate) const NETWORK: &str = "public";

/// The network's first address: of 10.0.0.0/8. The first is the network's own, the second its gateway's.
const FIRST: u32 = u32::from_be_bytes([10, 0, 0, 2]);

/// How many addresses servers can have: all but these two and the broadcast address.
const COUNT: i64 = (1 << 24) - 3;

/// How many numbers are taken from the database at once, at least. Those that a process has taken and not given are given to nobody.
const BLOCK: i64 = 256;

/// Gives addresses, each once until all have been given.
#[derive(Debug, Default)]
pub(crate) struct AddressPool {
    /// Numbers that were taken and not given yet.
    taken: Mutex<VecDeque<i64>>,
}

impl AddressPool {
    /// As many addresses.
    pub(crate) async fn give(&self, database: &Database, count: u32) -> Result<Vec<String>, DbError> {
        loop {
            if let Some(given) = self.give_of_taken(count) {
                return Ok(given);
            }
            let size = i64::from(count).max(BLOCK);
            let first = fixed_ips::take_numbers(&mut *database.write().await?, size).await?;
            self.taken().extend(first..first + size);
        }
    }

    fn give_of_taken(&self, count: u32) -> Option<Vec<String>> {
        let mut taken = self.taken();
        let count = usize::try_from(count).ok().filter(|count| *count <= taken.len())?;
        Some(taken.drain(..count).map(|number| address(number).to_string()).collect())
    }

    fn taken(&self) -> MutexGuard<'_, VecDeque<i64>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn address(number: i64) -> Ipv4Addr {
    Ipv4Addr::from(FIRST + u32::try_from(number.rem_euclid(COUNT)).unwrap_or_default())
}

/// A server's addresses by network.
#[derive(Clone, Serialize, ToSchema)]
pub(super) struct Addresses<'i> {
    #[serde(skip_serializing_if = "Option::is_none")]
    public: Option<[Address<'i>; 1]>,
}

/// One of them.
#[derive(Clone, Serialize, ToSchema)]
pub(super) struct Address<'i> {
    version: u8,
    addr: &'i str,
    #[serde(rename = "OS-EXT-IPS:type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(rename = "OS-EXT-IPS-MAC:mac_addr", skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
}

impl<'i> Addresses<'i> {
    /// As a server shows them.
    pub(super) fn in_server(fixed_ip: Option<&'i str>) -> Self {
        let extended = |addr| [Address { kind: Some("fixed"), mac: mac(addr), ..plain(addr) }];
        Self { public: fixed_ip.map(extended) }
    }

    /// As the list of a server's addresses shows them.
    pub(super) fn in_list(fixed_ip: Option<&'i str>) -> Self {
        Self { public: fixed_ip.map(|addr| [plain(addr)]) }
    }
}

/// An address without what only servers show.
pub(super) fn plain(addr: &str) -> Address<'_> {
    Address { version: 4, addr, kind: None, mac: None }
}

/// The hardware address: OpenStack's prefix, and what tells the address from others of its network.
fn mac(address: &str) -> Option<String> {
    let [_, a, b, c] = address.parse::<Ipv4Addr>().ok()?.octets();
    Some(format!("fa:16:3e:{a:02x}:{b:02x}:{c:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_of_the_network_are_given_before_one_comes_again() {
        let given = [0, 1, 253, 254, COUNT - 1, COUNT, COUNT + 1].map(|number| address(number).to_string());
        assert_eq!(given, ["10.0.0.2", "10.0.0.3", "10.0.0.255", "10.0.1.0", "10.255.255.254", "10.0.0.2", "10.0.0.3"]);
    }

    #[test]
    fn the_hardware_address_is_as_unique() {
        assert_eq!(mac("10.1.2.255").as_deref(), Some("fa:16:3e:01:02:ff"));
    }
}
