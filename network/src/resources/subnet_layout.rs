//! What a subnet's parts may be beside each other: block, gateway, pools, name servers, routes, and the modes of IPv6.

use std::net::IpAddr;

use ipnet::IpNet;
use novella_rest::ApiError;
use serde_json::Value;

use super::subnets::{AllocationPool, Subnet};
use crate::{
    addresses::{address_in, number, ranges::Range},
    attributes::checks::{Checked, Refusal, list_of, one_of, text},
    errors::{conflict, invalid_input, refused},
    resource::Given,
};

/// How devices come to addresses in IPv6; null: somebody else tells them.
pub(super) fn ipv6_mode(value: &Value) -> Checked {
    if value.is_null() {
        return Ok(Value::Null);
    }
    one_of(value, &["dhcpv6-stateful", "dhcpv6-stateless", "slaac"])
}

/// Owners of ports that get addresses from it alone.
pub(super) fn service_types(value: &Value) -> Checked {
    if !value.is_array() {
        return Err(Refusal::Convert("Subnet service types must be a list".to_owned()));
    }
    list_of(value, text::<255>)
}

/// The modes of IPv6 beside each other and the version.
pub(super) fn check_modes(subnet: &Subnet) -> Result<(), ApiError> {
    let modes = [("ipv6_ra_mode", &subnet.ipv6_ra_mode), ("ipv6_address_mode", &subnet.ipv6_address_mode)];
    if subnet.ip_version == 4 {
        return match modes.iter().find(|(_, mode)| mode.is_some()) {
            Some((name, _)) => Err(invalid_input(format!("{name} is not valid when ip_version is 4"))),
            None => Ok(()),
        };
    }
    if !subnet.enable_dhcp && modes.iter().any(|(_, mode)| mode.is_some()) {
        return Err(invalid_input("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False"));
    }
    match (&subnet.ipv6_ra_mode, &subnet.ipv6_address_mode) {
        (Some(ra), Some(address)) if ra != address => Err(invalid_input(format!(
            "ipv6_ra_mode set to '{ra}' with ipv6_address_mode set to '{address}' is not valid. If both attributes are \
             set, they must be the same value"
        ))),
        _ => Ok(()),
    }
}

/// Fills in what a new subnet has not said, and checks what it has.
pub(super) fn complete(subnet: &mut Subnet, given: &Given) -> Result<(), ApiError> {
    let network = subnet.network()?;
    check_block(subnet, &network)?;
    // Host bits are cut off.
    let network = network.trunc();
    subnet.cidr = network.to_string();
    if !given.has("gateway_ip") {
        subnet.gateway_ip = Some(default_gateway(&network, subnet.subnetpool_id.is_some()).to_string());
    }
    check_gateway(subnet, &network, given.has("gateway_ip"))?;
    if subnet.allocation_pools.is_empty() {
        subnet.allocation_pools = default_pools(&network, subnet.gateway());
    } else {
        check_pools(subnet, &network)?;
    }
    check_lists(subnet)
}

/// Checks what a change asks for.
pub(super) fn check_change(subnet: &mut Subnet, given: &Given) -> Result<(), ApiError> {
    let network = subnet.network()?;
    check_modes(subnet)?;
    if given.has("gateway_ip") {
        check_gateway(subnet, &network, true)?;
    }
    if given.has("allocation_pools") {
        check_pools_in(subnet, &network)?;
    }
    if given.has("gateway_ip") || given.has("allocation_pools") {
        check_gateway_outside(subnet)?;
    }
    check_lists(subnet)
}

/// Whether a block can be one at all.
fn check_block(subnet: &Subnet, network: &IpNet) -> Result<(), ApiError> {
    let version = subnet.ip_version;
    if (version == 4) != matches!(network, IpNet::V4(_)) {
        return Err(invalid_input(format!("cidr '{network}' does not match the ip_version '{version}'")));
    }
    let auto = subnet.makes_own_addresses() || subnet.ipv6_ra_mode.is_some() || subnet.ipv6_address_mode.is_some();
    if version == 6 && auto && subnet.makes_own_addresses() && network.prefix_len() != 64 {
        return Err(invalid_input(format!(
            "Invalid CIDR {network} for IPv6 address mode. OpenStack uses the EUI-64 address format, which requires the \
             prefix to be /64"
        )));
    }
    if !subnet.enable_dhcp {
        return Ok(());
    }
    if network.addr().is_multicast() {
        return Err(invalid_input("Multicast IP subnet is not supported if enable_dhcp is True"));
    }
    if network.addr().is_loopback() {
        return Err(invalid_input("Loopback IP subnet is not supported if enable_dhcp is True"));
    }
    if network.network().is_unspecified() {
        let first = network.network();
        return Err(invalid_input(format!("First IP '{first}' of network is not supported if enable_dhcp is True.")));
    }
    let shortest = if version == 4 { 30 } else { 126 };
    if network.prefix_len() > shortest {
        return Err(invalid_input("Subnet has a prefix length that is incompatible with DHCP service enabled"));
    }
    Ok(())
}

/// The first address in IPv4; the address of the network itself in IPv6, unless it is cut from a pool.
fn default_gateway(network: &IpNet, of_pool: bool) -> IpAddr {
    match network {
        IpNet::V6(_) if !of_pool => network.network(),
        _ => address_in(network, number(network.network()).wrapping_add(1)),
    }
}

/// The addresses of a block that devices can have.
fn usable(network: &IpNet) -> Range {
    let (first, last) = (number(network.network()), number(network.broadcast()));
    match network {
        IpNet::V4(v4) if v4.prefix_len() < 31 => Range { first: first + 1, last: last - 1 },
        IpNet::V6(v6) if v6.prefix_len() < 127 => Range { first: first + 1, last },
        _ => Range { first, last },
    }
}

/// Whether a device in a block can have an address.
pub(super) fn is_usable(network: &IpNet, address: IpAddr) -> bool {
    if !network.contains(&address) {
        return false;
    }
    match network {
        // The network's own is that of its routers together.
        IpNet::V6(_) => true,
        IpNet::V4(_) => usable(network).contains(number(address)),
    }
}

fn check_gateway(subnet: &Subnet, network: &IpNet, given: bool) -> Result<(), ApiError> {
    let Some(gateway) = subnet.gateway() else { return Ok(()) };
    if gateway.is_ipv4() != (subnet.ip_version == 4) {
        return Err(invalid_input(format!(
            "gateway_ip '{gateway}' does not match the ip_version '{}'",
            subnet.ip_version
        )));
    }
    if given && network.contains(&gateway) && !is_usable(network, gateway) {
        return Err(invalid_input("Gateway is not valid on subnet"));
    }
    if !given && network.prefix_len() == 31 {
        return Err(conflict(
            "IpamValueInvalid",
            format!("Gateway IP {gateway} cannot be the network or broadcast IP address {network}"),
        ));
    }
    Ok(())
}

/// All usable addresses but the gateway.
fn default_pools(network: &IpNet, gateway: Option<IpAddr>) -> Vec<AllocationPool> {
    let all = usable(network);
    let ranges: Vec<Range> = match gateway.map(number).filter(|gateway| all.contains(*gateway)) {
        Some(gateway) => all.without(Range::only(gateway)).collect(),
        None => vec![all],
    };
    ranges
        .into_iter()
        .map(|range| AllocationPool { start: address_in(network, range.first), end: address_in(network, range.last) })
        .collect()
}

fn check_pools(subnet: &Subnet, network: &IpNet) -> Result<(), ApiError> {
    check_pools_in(subnet, network)?;
    check_gateway_outside(subnet)
}

/// Pools that are none, reach beyond the block, or into each other.
fn check_pools_in(subnet: &Subnet, network: &IpNet) -> Result<(), ApiError> {
    let all = usable(network);
    let mut before: Vec<(Range, String)> = Vec::new();
    for pool in &subnet.allocation_pools {
        let (start, end) = (pool.start, pool.end);
        let text = format!("{start}-{end}");
        if start.is_ipv4() != end.is_ipv4() || number(start) > number(end) {
            return Err(refused(
                "InvalidAllocationPool",
                format!("The allocation pool {{'start': '{start}', 'end': '{end}'}} is not valid."),
            ));
        }
        if start.is_ipv4() != (subnet.ip_version == 4) {
            return Err(refused(
                "InvalidAllocationPool",
                format!("The allocation pool {{'start': '{start}', 'end': '{end}'}} is not valid."),
            ));
        }
        let range = Range { first: number(start), last: number(end) };
        if !all.contains(range.first) || !all.contains(range.last) {
            return Err(refused(
                "OutOfBoundsAllocationPool",
                format!("The allocation pool {text} spans beyond the subnet cidr {network}."),
            ));
        }
        if let Some((_, other)) =
            before.iter().find(|(other, _)| other.first <= range.last && range.first <= other.last)
        {
            return Err(conflict(
                "OverlappingAllocationPools",
                format!("Found overlapping allocation pools: {other} {text} for subnet {network}."),
            ));
        }
        before.push((range, text));
    }
    Ok(())
}

fn check_gateway_outside(subnet: &Subnet) -> Result<(), ApiError> {
    let Some(gateway) = subnet.gateway() else { return Ok(()) };
    let inside = |pool: &&AllocationPool| {
        pool.start.is_ipv4() == gateway.is_ipv4()
            && Range { first: number(pool.start), last: number(pool.end) }.contains(number(gateway))
    };
    match subnet.allocation_pools.iter().find(inside) {
        None => Ok(()),
        Some(pool) => Err(conflict(
            "GatewayConflictWithAllocationPools",
            format!("Gateway ip {gateway} conflicts with allocation pool {}-{}.", pool.start, pool.end),
        )),
    }
}

/// Name servers and routes: not too many, and of the subnet's version.
fn check_lists(subnet: &Subnet) -> Result<(), ApiError> {
    const SERVERS: usize = 5;
    const ROUTES: usize = 20;
    let version = subnet.ip_version;
    if subnet.dns_nameservers.len() > SERVERS {
        return Err(refused(
            "DNSNameServersExhausted",
            format!(
                "Unable to complete operation for new subnet. The number of DNS nameservers exceeds the limit {SERVERS}."
            ),
        ));
    }
    if let Some(server) = subnet.dns_nameservers.iter().find(|server| server.is_ipv4() != (version == 4)) {
        return Err(invalid_input(format!("dns_nameserver '{server}' does not match the ip_version '{version}'")));
    }
    if subnet.host_routes.len() > ROUTES {
        return Err(refused(
            "HostRoutesExhausted",
            format!(
                "Unable to complete operation for new subnet. The number of host routes exceeds the limit {ROUTES}."
            ),
        ));
    }
    for route in &subnet.host_routes {
        if route.destination.addr().is_ipv4() != (version == 4) {
            let destination = route.destination;
            return Err(invalid_input(format!(
                "destination '{destination}' does not match the ip_version '{version}'"
            )));
        }
        if route.nexthop.is_ipv4() != (version == 4) {
            return Err(invalid_input(format!(
                "nexthop '{}' does not match the ip_version '{version}'",
                route.nexthop
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pools(cidr: &str, gateway: Option<&str>) -> Vec<(String, String)> {
        let pools = default_pools(&cidr.parse().unwrap(), gateway.map(|gateway| gateway.parse().unwrap()));
        pools.into_iter().map(|pool| (pool.start.to_string(), pool.end.to_string())).collect()
    }

    #[test]
    fn everything_but_gateway_network_and_broadcast_is_given_out() {
        let pool = |start: &str, end: &str| (start.to_owned(), end.to_owned());
        assert_eq!(pools("10.1.0.0/24", Some("10.1.0.1")), [pool("10.1.0.2", "10.1.0.254")]);
        assert_eq!(
            pools("10.6.0.0/24", Some("10.6.0.5")),
            [pool("10.6.0.1", "10.6.0.4"), pool("10.6.0.6", "10.6.0.254")]
        );
        assert_eq!(pools("10.5.0.0/24", None), [pool("10.5.0.1", "10.5.0.254")]);
        assert_eq!(pools("10.2.0.0/32", Some("10.2.0.1")), [pool("10.2.0.0", "10.2.0.0")]);
        assert_eq!(pools("fd00::/64", Some("fd00::")), [pool("fd00::1", "fd00::ffff:ffff:ffff:ffff")]);
        assert_eq!(pools("fd00:5::/126", Some("fd00:5::")), [pool("fd00:5::1", "fd00:5::3")]);
    }

    proptest! {
        /// What is given out by default can be had by devices, and is never the gateway.
        #[test]
        fn default_pools_hold_what_devices_can_have(address in any::<u32>(), length in 8u8..=30, at in any::<u32>()) {
            let network: IpNet = format!("{}/{length}", std::net::Ipv4Addr::from(address)).parse().unwrap();
            let network = network.trunc();
            let size = 1u128 << (32 - length);
            let gateway = address_in(&network, number(network.network()) + u128::from(at) % size);
            for pool in default_pools(&network, Some(gateway)) {
                let range = Range { first: number(pool.start), last: number(pool.end) };
                prop_assert!(is_usable(&network, pool.start) && is_usable(&network, pool.end));
                prop_assert!(!range.contains(number(gateway)));
            }
        }
    }
}
