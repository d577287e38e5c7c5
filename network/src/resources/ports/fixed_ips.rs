//! The addresses of ports: what can be asked for, and what is given.

use std::net::IpAddr;

use novella_common::{
    db::{Sql, list::Condition},
    sql,
};
use novella_rest::ApiError;
use serde_json::{Value, json};

use super::Port;
use crate::{
    addresses::{
        allocations::{self, FixedIp},
        eui64,
    },
    attributes::checks::{self, Checked, Refusal, plain},
    errors::{conflict, invalid_input, refused},
    resource::{Given, Resource as _, Work, held, look_up},
    resources::{
        subnet_layout::is_usable,
        subnets::{self, Subnet},
    },
};

/// One address that is asked for: of this subnet, this one, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestedIp {
    pub(crate) subnet: Option<String>,
    pub(crate) address: Option<IpAddr>,
}

/// The address that a port has, to be had again.
impl From<&FixedIp> for RequestedIp {
    fn from(fixed: &FixedIp) -> Self {
        Self { subnet: Some(fixed.subnet_id.clone()), address: fixed.ip_address.parse().ok() }
    }
}

/// `[{"subnet_id", "ip_address"}]`, either or both.
pub(in crate::resources) fn check(value: &Value) -> Checked {
    let bad = |value: &Value| Refusal::Reason(format!("Invalid data format for fixed IP: '{}'", plain(value)));
    let items = value.as_array().ok_or_else(|| bad(value))?;
    let mut found: Vec<Value> = Vec::new();
    for item in items {
        let item = item.as_object().ok_or_else(|| bad(item))?;
        let mut fixed = json!({});
        if let Some(given) = item.get("ip_address") {
            let address = checks::address(given)?;
            if found.iter().any(|other| other.get("ip_address") == Some(&address)) {
                return Err(Refusal::Reason(format!("Duplicate IP address '{}'", plain(given))));
            }
            fixed["ip_address"] = address;
        }
        if let Some(subnet) = item.get("subnet_id") {
            fixed["subnet_id"] = checks::uuid(subnet)?;
        }
        found.push(fixed);
    }
    Ok(Value::Array(found))
}

/// What a request asks for; `None`: nothing in particular.
pub(super) fn requested_ips(given: &Given) -> Result<Option<Vec<RequestedIp>>, ApiError> {
    let Some(items) = given.get("fixed_ips").and_then(Value::as_array) else { return Ok(None) };
    requested_ips_in(items).map(Some)
}

/// The addresses that a list asks for. It was checked.
pub(in crate::resources) fn requested_ips_in(items: &[Value]) -> Result<Vec<RequestedIp>, ApiError> {
    let requested_ip = |item: &Value| RequestedIp {
        subnet: item.get("subnet_id").and_then(Value::as_str).map(ToOwned::to_owned),
        address: item.get("ip_address").and_then(Value::as_str).and_then(|text| text.parse().ok()),
    };
    let requested_ips: Vec<RequestedIp> = items.iter().map(requested_ip).collect();
    if requested_ips.contains(&RequestedIp::default()) {
        return Err(invalid_input("IP allocation requires subnet_id or ip_address"));
    }
    Ok(requested_ips)
}

/// `fixed_ips=ip_address=A`, `=subnet_id=S`, `=ip_address_substr=1.2`.
pub(crate) fn filter(values: &[&str]) -> Result<Condition, ApiError> {
    let mut sql = Sql::new("id IN (SELECT port_id FROM network_allocations WHERE 1 = 1");
    let (mut addresses, mut subnets, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    for value in values {
        match value.split_once('=') {
            Some(("ip_address", address)) => addresses.push(address),
            Some(("subnet_id" | "subnet", subnet)) => subnets.push(subnet),
            Some(("ip_address_substr", part)) => parts.push(part),
            Some(_) => {}
            None => return Err(invalid_input(format!("'{value}' is not of the form <key>=[value]"))),
        }
    }
    if !addresses.is_empty() {
        sql.push(" AND ip_address").is_in(addresses);
    }
    if !subnets.is_empty() {
        sql.push(" AND subnet_id").is_in(subnets);
    }
    for (index, part) in parts.iter().enumerate() {
        sql.push(if index == 0 { " AND (" } else { " OR " });
        sql.push_for("INSTR(ip_address, ", "STRPOS(ip_address, ").bind(*part).push(") > 0");
    }
    if !parts.is_empty() {
        sql.push(")");
    }
    sql.push(")");
    Ok(Condition::raw(sql))
}

/// Whether a port is a router's, for whom other rules hold.
fn is_routers(port: &Port) -> bool {
    port.device_owner.starts_with("network:router")
}

/// Where an address that is asked for is from, and which it is, if that was said.
pub(crate) fn place<'s>(
    port: &Port,
    subnets: &'s [Subnet],
    requested_ip: &RequestedIp,
) -> Result<(&'s Subnet, Option<IpAddr>), ApiError> {
    let Some(id) = &requested_ip.subnet else {
        let address =
            requested_ip.address.ok_or_else(|| invalid_input("IP allocation requires subnet_id or ip_address"))?;
        for subnet in subnets {
            if is_usable(&subnet.network()?, address) {
                check_own(port, subnet, address)?;
                return Ok((subnet, Some(address)));
            }
        }
        return Err(refused(
            "InvalidIpForNetwork",
            format!("IP address {address} is not a valid IP for any of the subnets on the specified network."),
        ));
    };
    let subnet = subnets.iter().find(|subnet| subnet.id == *id);
    let Some(subnet) = subnet else {
        return Err(Subnet::missing(id));
    };
    let Some(address) = requested_ip.address else { return Ok((subnet, None)) };
    if !is_usable(&subnet.network()?, address) {
        return Err(refused(
            "InvalidIpForSubnet",
            format!("IP address {address} is not a valid IP for the specified subnet."),
        ));
    }
    check_own(port, subnet, address)?;
    Ok((subnet, Some(address)))
}

/// In a subnet where devices make their addresses themselves, they have no others.
fn check_own(port: &Port, subnet: &Subnet, address: IpAddr) -> Result<(), ApiError> {
    if is_routers(port) || !subnet.makes_own_addresses() || eui64(&subnet.network()?, port.mac()) == Some(address) {
        return Ok(());
    }
    Err(refused(
        "AllocationOnAutoAddressSubnet",
        format!(
            "IPv6 address {address} cannot be directly assigned to a port on subnet {} as the subnet is configured for \
             automatic addresses",
            subnet.id
        ),
    ))
}

pub(crate) fn none_left(port: &Port) -> ApiError {
    conflict("IpAddressGenerationFailure", format!("No more IP addresses available on network {}.", port.network_id))
}

/// Gives a port what is asked for.
pub(super) async fn give(
    work: &mut Work<'_>,
    port: &Port,
    requested_ips: &[RequestedIp],
) -> Result<Vec<FixedIp>, ApiError> {
    change(work, port, requested_ips).await
}

/// Gives a port one address.
async fn give_one(
    work: &mut Work<'_>,
    port: &Port,
    subnet: &Subnet,
    address: Option<IpAddr>,
    position: usize,
) -> Result<Option<FixedIp>, ApiError> {
    let position = i64::try_from(position).unwrap_or(i64::MAX);
    let connection = &mut work.transaction;
    let own = subnet.makes_own_addresses() && !is_routers(port);
    let address = match address {
        Some(address) => Some(address),
        None if own => eui64(&subnet.network()?, port.mac()),
        None => None,
    };
    match address {
        Some(address) => allocations::give(connection, subnet, &port.id, address, position).await.map(Some),
        None => allocations::give_any(connection, subnet, &port.id, position).await,
    }
}

/// Gives a port the address that its device makes itself in this subnet.
pub(super) async fn give_own(
    work: &mut Work<'_>,
    port: &Port,
    subnet: &Subnet,
    position: usize,
) -> Result<(), ApiError> {
    give_one(work, port, subnet, None, position).await?;
    Ok(())
}

/// Where one address of a port comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source<'s> {
    /// The first of these subnets that has one left.
    Any(Vec<&'s Subnet>),
    /// This one, of this subnet.
    This(&'s Subnet, IpAddr),
}

/// The subnets of a port's network in which its device makes an address itself.
fn own_subnets<'s>(port: &Port, all: &'s [Subnet]) -> impl Iterator<Item = &'s Subnet> {
    let routers = is_routers(port);
    all.iter()
        .filter(move |subnet| !routers && subnet.makes_own_addresses())
        .filter(move |subnet| subnet.service_types.is_empty() || subnet.service_types.contains(&port.device_owner))
}

/// Gives a port that has another hardware address the addresses that follow from it.
pub(super) async fn follow_mac(work: &mut Work<'_>, port: &Port) -> Result<(), ApiError> {
    let subnets = subnets::of_network(&mut work.transaction, &port.network_id).await?;
    let own: Vec<&str> = own_subnets(port, &subnets).map(|subnet| subnet.id.as_str()).collect();
    let (own, others): (Vec<FixedIp>, Vec<FixedIp>) = super::addresses_of(&mut work.transaction, &port.id)
        .await?
        .into_iter()
        .partition(|fixed| own.contains(&fixed.subnet_id.as_str()));
    if own.is_empty() {
        return Ok(());
    }
    let requested_ips: Vec<RequestedIp> = others.iter().map(RequestedIp::from).collect();
    change(work, port, &requested_ips).await?;
    Ok(())
}

/// What a port gets that asks for one address: that one, and those that its device makes itself.
pub(crate) fn sources_with<'s>(
    port: &Port,
    all: &'s [Subnet],
    (subnet, address): (&'s Subnet, IpAddr),
) -> Result<Vec<Source<'s>>, ApiError> {
    let mut sources = vec![Source::This(subnet, address)];
    for own in own_subnets(port, all).filter(|own| own.id != subnet.id) {
        if let Some(address) = eui64(&own.network()?, port.mac()) {
            sources.push(Source::This(own, address));
        }
    }
    Ok(sources)
}

/// 400 for a subnet of another network.
async fn check_subnets(
    work: &mut Work<'_>,
    port: &Port,
    own: &[Subnet],
    requested_ips: &[RequestedIp],
) -> Result<(), ApiError> {
    for id in requested_ips.iter().filter_map(|requested_ip| requested_ip.subnet.as_ref()) {
        if own.iter().all(|subnet| subnet.id != *id) && look_up::<Subnet>(&mut work.transaction, id).await?.is_some() {
            return Err(invalid_input(format!(
                "Failed to create port on network {}, because fixed_ips included invalid subnet {id}",
                port.network_id
            )));
        }
    }
    Ok(())
}

/// What a port gets that asks for nothing in particular: an address of IPv4, one of IPv6, and one in each subnet where
/// devices make theirs themselves. `all` are the subnets of its network.
pub(crate) fn default_sources<'s>(port: &Port, all: &'s [Subnet]) -> Result<Vec<Source<'s>>, ApiError> {
    let fits = |subnet: &&Subnet| subnet.service_types.is_empty() || subnet.service_types.contains(&port.device_owner);
    let usable: Vec<&Subnet> = all.iter().filter(fits).collect();
    if usable.is_empty() && !all.is_empty() {
        return Err(none_left(port));
    }
    let (own, others): (Vec<&Subnet>, Vec<&Subnet>) =
        usable.into_iter().partition(|subnet| subnet.makes_own_addresses());
    let of_version =
        |version: i64| others.iter().filter(|subnet| subnet.ip_version == version).copied().collect::<Vec<_>>();
    let mut sources = vec![Source::Any(of_version(4))];
    if !is_routers(port) {
        for subnet in own {
            sources.push(match eui64(&subnet.network()?, port.mac()) {
                Some(address) => Source::This(subnet, address),
                None => Source::Any(vec![subnet]),
            });
        }
    }
    sources.push(Source::Any(of_version(6)));
    sources.retain(|source| !matches!(source, Source::Any(subnets) if subnets.is_empty()));
    Ok(sources)
}

/// Gives a port that asks for nothing in particular what it gets.
pub(super) async fn give_default(work: &mut Work<'_>, port: &Port) -> Result<Vec<FixedIp>, ApiError> {
    let all = subnets::of_network(&mut work.transaction, &port.network_id).await?;
    let mut given: Vec<FixedIp> = Vec::new();
    for source in default_sources(port, &all)? {
        let position = given.len();
        given.extend(match source {
            Source::Any(subnets) => give_first(work, port, &subnets, position).await?,
            Source::This(subnet, address) => give_one(work, port, subnet, Some(address), position).await?,
        });
    }
    Ok(given)
}

/// An address of the first of these subnets that has one left.
async fn give_first(
    work: &mut Work<'_>,
    port: &Port,
    subnets: &[&Subnet],
    position: usize,
) -> Result<Option<FixedIp>, ApiError> {
    for subnet in subnets {
        if let Some(fixed) = give_one(work, port, subnet, None, position).await? {
            return Ok(Some(fixed));
        }
    }
    Err(none_left(port))
}

/// Gives a port what is asked for, and keeps of what it has what fits.
pub(super) async fn change(
    work: &mut Work<'_>,
    port: &Port,
    requested_ips: &[RequestedIp],
) -> Result<Vec<FixedIp>, ApiError> {
    let subnets = subnets::of_network(&mut work.transaction, &port.network_id).await?;
    let mut had = super::addresses_of(&mut work.transaction, &port.id).await?;
    check_subnets(work, port, &subnets, requested_ips).await?;
    let mut places: Vec<(&Subnet, Option<IpAddr>)> =
        requested_ips.iter().map(|requested_ip| place(port, &subnets, requested_ip)).collect::<Result<_, _>>()?;
    // Where devices make their addresses themselves they do so, whatever else is asked for.
    for subnet in own_subnets(port, &subnets) {
        if places.iter().all(|(other, _)| other.id != subnet.id) {
            places.push((subnet, eui64(&subnet.network()?, port.mac())));
        }
    }
    let mut kept: Vec<Option<FixedIp>> = vec![None; places.len()];
    // First those that are named, then any of their subnet.
    for named in [true, false] {
        for (index, (subnet, address)) in places.iter().enumerate() {
            if address.is_some() != named || kept[index].is_some() {
                continue;
            }
            let same = |fixed: &FixedIp| {
                fixed.subnet_id == subnet.id && address.is_none_or(|address| fixed.ip_address.parse() == Ok(address))
            };
            if let Some(at) = had.iter().position(same) {
                kept[index] = Some(had.remove(at));
            }
        }
    }
    take_back(work, &had).await?;
    let mut now = Vec::new();
    for (index, ((subnet, address), kept)) in places.into_iter().zip(kept).enumerate() {
        let fixed = match kept {
            Some(fixed) => {
                let position = i64::try_from(index).unwrap_or(i64::MAX);
                sql!(
                    "UPDATE network_allocations SET position = " (position) " WHERE subnet_id = " (fixed.subnet_id)
                    " AND port_id = " (port.id) " AND ip_address = " (fixed.ip_address)
                )
                .execute(&mut work.transaction)
                .await?;
                fixed
            }
            None => give_one(work, port, subnet, address, index).await?.ok_or_else(|| none_left(port))?,
        };
        now.push(fixed);
    }
    Ok(now)
}

/// Gives addresses back.
pub(super) async fn take_back(work: &mut Work<'_>, addresses: &[FixedIp]) -> Result<(), ApiError> {
    for fixed in addresses {
        if let Some(subnet) = held::<Subnet>(&mut work.transaction, &fixed.subnet_id).await? {
            allocations::take_back(&mut work.transaction, &subnet, fixed).await?;
        }
    }
    Ok(())
}
