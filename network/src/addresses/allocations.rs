//! The addresses that are given out, and to which port.

use std::net::IpAddr;

use ipnet::IpNet;
use novella_common::{db::Connection, sql};
use novella_rest::ApiError;
use serde_json::{Value, json};

use super::{key, number, pool, ranges::Range};
use crate::{errors, resource::AT_ONCE, resources::subnets::Subnet};

/// An address of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FixedIp {
    pub(crate) subnet_id: String,
    pub(crate) ip_address: String,
}

impl FixedIp {
    /// What clients see.
    pub(crate) fn view(&self) -> Value {
        json!({"subnet_id": self.subnet_id, "ip_address": self.ip_address})
    }
}

/// Gives a port any free address of a subnet. `None`: there is none.
pub(crate) async fn give_any(
    connection: &mut Connection,
    subnet: &Subnet,
    port: &str,
    position: i64,
) -> Result<Option<FixedIp>, ApiError> {
    let network = subnet.network()?;
    let Some(number) = pool::take_any(connection, &subnet.id, &subnet.pools()?).await? else { return Ok(None) };
    let address = super::address_in(&network, number);
    insert(connection, subnet, port, address, position).await.map(Some)
}

/// Gives a port this address of a subnet.
///
/// # Errors
/// 409 if somebody has it.
pub(crate) async fn give(
    connection: &mut Connection,
    subnet: &Subnet,
    port: &str,
    address: IpAddr,
    position: i64,
) -> Result<FixedIp, ApiError> {
    pool::take(connection, &subnet.id, number(address)).await?;
    insert(connection, subnet, port, address, position).await
}

async fn insert(
    connection: &mut Connection,
    subnet: &Subnet,
    port: &str,
    address: IpAddr,
    position: i64,
) -> Result<FixedIp, ApiError> {
    let text = address.to_string();
    let inserted = sql!(
        "INSERT INTO network_allocations (subnet_id, address, port_id, network_id, ip_address, position) VALUES ("
        (subnet.id) ", " (key(number(address))) ", " (port) ", " (subnet.network_id) ", " (text) ", " (position)
        ") ON CONFLICT (subnet_id, address) DO NOTHING"
    )
    .execute_one(connection)
    .await?;
    if !inserted {
        return Err(errors::conflict(
            "IpAddressAlreadyAllocated",
            format!("IP address {text} already allocated in subnet {}", subnet.id),
        ));
    }
    Ok(FixedIp { subnet_id: subnet.id.clone(), ip_address: text })
}

/// Takes an address from a port. It is free again if its subnet gives it out.
pub(crate) async fn take_back(connection: &mut Connection, subnet: &Subnet, fixed: &FixedIp) -> Result<(), ApiError> {
    let Ok(address) = fixed.ip_address.parse::<IpAddr>() else { return Ok(()) };
    let number = number(address);
    let had = sql!("DELETE FROM network_allocations WHERE subnet_id = " (subnet.id) " AND address = " (key(number)))
        .execute_one(connection)
        .await?;
    if had && subnet.pools()?.iter().any(|pool| pool.contains(number)) {
        pool::give_back(connection, &subnet.id, number).await?;
    }
    Ok(())
}

/// The addresses of these ports, each with the port's id, in their order.
pub(crate) async fn of_ports(connection: &mut Connection, ports: &[&str]) -> Result<Vec<(String, FixedIp)>, ApiError> {
    let mut rows: Vec<(String, String, String)> = Vec::new();
    for ports in ports.chunks(AT_ONCE) {
        let mut sql = sql!("SELECT port_id, subnet_id, ip_address FROM network_allocations WHERE port_id");
        rows.extend(sql.is_in(ports).push(" ORDER BY port_id, position").fetch_all(connection).await?);
    }
    Ok(rows.into_iter().map(|(port, subnet_id, ip_address)| (port, FixedIp { subnet_id, ip_address })).collect())
}

/// The numbers of the addresses of a subnet that are given out, in order.
pub(crate) async fn of_subnet(connection: &mut Connection, subnet: &str) -> Result<Vec<u128>, ApiError> {
    let keys: Vec<String> =
        sql!("SELECT address FROM network_allocations WHERE subnet_id = " (subnet) " ORDER BY address")
            .fetch_all(connection)
            .await?;
    Ok(keys.iter().filter_map(|key| super::from_key(key)).collect())
}

/// Makes free what of these pools is not given out, and nothing else. Nobody else may give out addresses meanwhile.
pub(crate) async fn reset(connection: &mut Connection, subnet: &str, pools: &[Range]) -> Result<(), ApiError> {
    let taken = of_subnet(connection, subnet).await?;
    pool::empty(connection, subnet).await?;
    pool::fill(connection, subnet, &super::ranges::without(pools, &taken)).await
}

/// The network of a text that was checked.
pub(crate) fn network(text: &str) -> Result<IpNet, ApiError> {
    text.parse().map_err(|_| {
        tracing::error!(cidr = text, "a subnet's CIDR is none");
        ApiError::Broken
    })
}
