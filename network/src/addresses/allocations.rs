//! The addresses that are given out, and to which port.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use novella_common::{
    db::{Connection, Sql},
    sql,
};
use novella_rest::ApiError;

use super::{key, number, pool, ranges::Range};
use crate::{
    errors,
    resource::{AT_ONCE, View, held_many},
    resources::subnets::Subnet,
};

/// Rows in one `INSERT`: SQLite binds some 30,000 values in a statement.
const ROWS_PER_STATEMENT: usize = 4_000;

/// An address of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FixedIp {
    pub(crate) subnet_id: String,
    pub(crate) ip_address: String,
}

impl FixedIp {
    /// The address as a number.
    pub(crate) fn number(&self) -> Option<u128> {
        self.ip_address.parse().ok().map(number)
    }
}

impl From<FixedIp> for View<'_> {
    fn from(fixed: FixedIp) -> Self {
        Self::from([("ip_address", fixed.ip_address), ("subnet_id", fixed.subnet_id)])
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

/// An address that is written down for a port.
#[derive(Clone, Debug)]
pub(crate) struct Given<'g> {
    pub(crate) port: &'g str,
    pub(crate) network: &'g str,
    pub(crate) fixed: &'g FixedIp,
    pub(crate) position: i64,
}

/// Writes down addresses that were taken from their pools, all in one statement.
///
/// # Errors
/// If somebody has one of them: tried again that is seen.
pub(crate) async fn insert_many(connection: &mut Connection, given: &[Given<'_>]) -> Result<(), ApiError> {
    for given in given.chunks(ROWS_PER_STATEMENT) {
        let mut sql = Sql::new(
            "INSERT INTO network_allocations (subnet_id, address, port_id, network_id, ip_address, position) ",
        );
        sql.rows(given, |given, cells| {
            let address = given.fixed.number().map(key).unwrap_or_default();
            cells.bind(&given.fixed.subnet_id).bind(&address).bind(given.port).bind(given.network);
            cells.bind(&given.fixed.ip_address).bind(&given.position);
        });
        sql.push(" ON CONFLICT (subnet_id, address) DO NOTHING");
        if sql.execute(connection).await? != given.len() as u64 {
            return Err(ApiError::TransactionLost);
        }
    }
    Ok(())
}

/// Takes all addresses of these ports from them. Those that their subnets give out are free again.
pub(crate) async fn take_back_all(connection: &mut Connection, ports: &[&str]) -> Result<(), ApiError> {
    let mut by_subnet: BTreeMap<String, Vec<u128>> = BTreeMap::new();
    for (_, fixed) in of_ports(connection, ports).await? {
        let numbers = by_subnet.entry(fixed.subnet_id.clone()).or_default();
        numbers.extend(fixed.number());
    }
    if by_subnet.is_empty() {
        return Ok(());
    }
    let subnets: Vec<Subnet> = held_many(connection, by_subnet.keys()).await?;
    for ports in ports.chunks(AT_ONCE) {
        sql!("DELETE FROM network_allocations WHERE port_id").is_in(ports).execute(connection).await?;
    }
    for subnet in subnets {
        let (pools, mut numbers) = (subnet.pools()?, by_subnet.remove(&subnet.id).unwrap_or_default());
        numbers.retain(|number| pools.iter().any(|pool| pool.contains(*number)));
        pool::give_back_many(connection, &subnet.id, numbers).await?;
    }
    Ok(())
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
