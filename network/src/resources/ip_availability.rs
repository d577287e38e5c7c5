//! `/network-ip-availabilities`: how many addresses networks have, and how many are given out.

use axum::Json;
use novella_common::{
    db::{
        Connection,
        list::{Condition, List},
    },
    sql,
};
use novella_rest::{ApiError, Operation, Path, get};
use serde_json::{Value, json};

use super::{networks::Network, subnets::Subnet};
use crate::{
    Networking, Request,
    errors::missing,
    policy,
    resource::{grouped, rows_by},
};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Networking>> {
    vec![
        get("/network-ip-availabilities", policy::GET_NETWORK_IP_AVAILABILITY, index).takes([
            "network_id",
            "network_name",
            "ip_version",
            "project_id",
            "tenant_id",
        ]),
        get("/network-ip-availabilities/{network_id}", policy::GET_NETWORK_IP_AVAILABILITY, show),
    ]
}

async fn of_networks(
    connection: &mut Connection,
    networks: &[Network],
    version: Option<i64>,
) -> Result<Vec<Value>, ApiError> {
    let ids: Vec<&str> = networks.iter().map(|network| network.id.as_str()).collect();
    let subnets: Vec<Subnet> = rows_by(connection, "network_id", &ids).await?;
    let mut used: Vec<(String, i64)> = Vec::new();
    if !ids.is_empty() {
        let mut sql = sql!("SELECT subnet_id, COUNT(*) FROM network_allocations WHERE network_id");
        used = sql.is_in(&ids).push(" GROUP BY subnet_id").fetch_all(connection).await?;
    }
    let subnets = subnets.into_iter().filter(|subnet| version.is_none_or(|version| subnet.ip_version == version));
    let mut subnets = grouped(subnets.map(|subnet| (subnet.network_id.clone(), subnet)));
    let mut views = Vec::new();
    for network in networks {
        let (mut total, mut sum, mut each) = (0u128, 0, Vec::new());
        let own = subnets.remove(&network.id);
        if version.is_some() && own.is_none() {
            continue;
        }
        for subnet in own.unwrap_or_default() {
            let size = subnet.pools()?.iter().fold(0u128, |sum, pool| sum.saturating_add(pool.size()));
            let given = used.iter().find(|(id, _)| *id == subnet.id).map_or(0, |(_, given)| *given);
            total = total.saturating_add(size);
            sum += given;
            each.push(json!({
                "subnet_id": subnet.id, "subnet_name": subnet.name, "cidr": subnet.cidr,
                "ip_version": subnet.ip_version, "total_ips": number(size), "used_ips": given,
            }));
        }
        views.push(json!({
            "network_id": network.id, "network_name": network.name, "project_id": network.project_id,
            "tenant_id": network.project_id, "total_ips": number(total), "used_ips": sum, "subnet_ip_availability": each,
        }));
    }
    Ok(views)
}

/// A number of JSON; of IPv6, where there are more than any has, without the last digits.
fn number(count: u128) -> Value {
    u64::try_from(count).map_or_else(|_| json!(count as f64), Value::from)
}

async fn index(request: Request) -> Result<Json<Value>, ApiError> {
    let mut list = List::<Network>::all();
    for (name, column) in
        [("network_id", "id"), ("network_name", "name"), ("project_id", "project_id"), ("tenant_id", "project_id")]
    {
        let values: Vec<&str> = request.query.all(name).collect();
        if !values.is_empty() {
            list = list.filter(Condition::is_in(column, values));
        }
    }
    let mut connection = request.state.database.read().await?;
    let networks = list.page(&mut connection).await?.unwrap_or_default();
    let version = request.query.get("ip_version").and_then(|version| version.parse().ok());
    let views = of_networks(&mut connection, &networks, version).await?;
    Ok(Json(json!({"network_ip_availabilities": views})))
}

async fn show(request: Request, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let mut connection = request.state.database.read().await?;
    let networks: Vec<Network> = rows_by(&mut connection, "id", [&id]).await?;
    let view = of_networks(&mut connection, &networks, None).await?.pop();
    let view = view.ok_or_else(|| missing("NetworkNotFound", format!("Network {id} could not be found.")))?;
    Ok(Json(json!({"network_ip_availability": view})))
}
