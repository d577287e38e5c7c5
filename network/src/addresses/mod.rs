//! IP addresses: arithmetic on them, and who has which.
//!
//! Every subnet has the ranges of its addresses that are free ([`pool`]) as rows, and every address that is given out is a
//! row ([`allocations`]). To give one out takes it from a range in the same transaction: so none is given twice, none is
//! lost when a process dies, and it costs the same however large the subnet is and however much of it is used.

pub(crate) mod allocations;
pub(crate) mod pool;
pub(crate) mod ranges;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use macaddr::MacAddr6;

/// An address as a number.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// The address of a number, of the family of this network.
pub(crate) fn address_in(network: &IpNet, number: u128) -> IpAddr {
    match network {
        // Numbers of this family come from addresses of it.
        IpNet::V4(_) => IpAddr::V4(Ipv4Addr::from((number & u128::from(u32::MAX)) as u32)),
        IpNet::V6(_) => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

/// A number as text that is in order as the numbers are.
pub(crate) fn key(number: u128) -> String {
    format!("{number:032x}")
}

/// The number that a text of [`key`] stands for.
pub(crate) fn from_key(key: &str) -> Option<u128> {
    u128::from_str_radix(key, 16).ok()
}

/// The address that a device with this MAC makes for itself in a network: modified EUI-64.
pub(crate) fn eui64(network: &IpNet, mac: &str) -> Option<IpAddr> {
    let mac: MacAddr6 = mac.parse().ok()?;
    let [a, b, c, d, e, f] = mac.into_array();
    let host = u64::from_be_bytes([a ^ 0x02, b, c, 0xff, 0xfe, d, e, f]);
    match network {
        IpNet::V6(network) => {
            let prefix = u128::from(network.network()) & !u128::from(u64::MAX);
            Some(IpAddr::V6(Ipv6Addr::from(prefix | u128::from(host))))
        }
        IpNet::V4(_) => None,
    }
}

/// Whether two networks have addresses in common.
pub(crate) fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_makes_its_address_from_its_mac() {
        let network = "fd00:1::/64".parse().unwrap();
        assert_eq!(eui64(&network, "fa:16:3e:08:fb:bc"), Some("fd00:1::f816:3eff:fe08:fbbc".parse().unwrap()));
    }

    #[test]
    fn keys_are_in_the_order_of_addresses() {
        let of = |text: &str| key(number(text.parse().unwrap()));
        assert!(of("10.0.0.9") < of("10.0.0.10"));
        assert!(of("fd00::ff") < of("fd00::100"));
        assert_eq!(from_key(&of("10.0.0.9")), Some(number("10.0.0.9".parse().unwrap())));
    }

    #[test]
    fn networks_overlap_when_one_holds_the_other() {
        let of = |text: &str| -> IpNet { text.parse().unwrap() };
        assert!(overlap(&of("10.0.0.0/24"), &of("10.0.0.128/25")));
        assert!(overlap(&of("10.0.0.128/25"), &of("10.0.0.0/24")));
        assert!(!overlap(&of("10.0.0.0/25"), &of("10.0.0.128/25")));
        assert!(!overlap(&of("10.0.0.0/8"), &of("fd00::/8")));
    }
}
