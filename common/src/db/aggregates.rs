//! Host aggregates, and the availability zones that they make.
//!
//! The zone of a host is in its row in `services`: that of its aggregates, if one has a zone, or else the one that the host
//! itself is configured to be in. Who changes aggregates locks them all first ([`lock`]), and writes the zones of the hosts
//! anew in the same transaction ([`write_zones`]).

use std::collections::{BTreeMap, HashMap};

use super::{Connection, DbError, Json, quotas};
use crate::{
    models::{Aggregate, Binary},
    sql, table,
};

/// Metadata as they are kept.
type Metadata = Json<BTreeMap<String, String>>;

table! {
    Aggregate in "aggregates", key int "id";
    generated id;
    uuid, name, metadata as Json, created_at, updated_at,
}

/// Waits until nobody else changes aggregates, and keeps others from it until the transaction ends.
pub async fn lock(connection: &mut Connection) -> Result<(), DbError> {
    quotas::lock(connection, "host aggregates").await
}

/// The hosts of these aggregates, by name.
pub async fn hosts(
    connection: &mut Connection,
    aggregates: impl IntoIterator<Item = i64>,
) -> Result<HashMap<i64, Vec<String>>, DbError> {
    let rows: Vec<(i64, String)> = sql!("SELECT aggregate_id, host FROM aggregate_hosts WHERE aggregate_id")
        .is_in(aggregates)
        .push(" ORDER BY host")
        .fetch_all(connection)
        .await?;
    let mut hosts = HashMap::<_, Vec<_>>::new();
    for (aggregate, host) in rows {
        hosts.entry(aggregate).or_default().push(host);
    }
    Ok(hosts)
}

/// Puts a host into an aggregate.
///
/// # Errors
/// It is in it already (see [`DbError::is_unique_violation`]).
pub async fn add_host(connection: &mut Connection, aggregate: i64, host: &str) -> Result<(), DbError> {
    sql!("INSERT INTO aggregate_hosts (aggregate_id, host) VALUES (" (aggregate) ", " (host) ")")
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes a host out of an aggregate. Says whether it was in it.
pub async fn remove_host(connection: &mut Connection, aggregate: i64, host: &str) -> Result<bool, DbError> {
    sql!("DELETE FROM aggregate_hosts WHERE aggregate_id = " (aggregate) " AND host = " (host))
        .execute_one(connection)
        .await
}

/// Takes a host that is no more out of all aggregates.
pub(super) async fn forget_host(connection: &mut Connection, host: &str) -> Result<(), DbError> {
    sql!("DELETE FROM aggregate_hosts WHERE host = "(host)).execute(connection).await?;
    Ok(())
}

/// The zones that aggregates make of these hosts: host, aggregate, zone.
pub async fn zones_of(connection: &mut Connection, hosts: &[String]) -> Result<Vec<(String, i64, String)>, DbError> {
    let rows: Vec<(String, i64, Metadata)> = sql!(
        "SELECT h.host, a.id, a.metadata FROM aggregate_hosts h JOIN aggregates a ON a.id = h.aggregate_id WHERE h.host"
    )
    .is_in(hosts)
    .fetch_all(connection)
    .await?;
    let zone =
        |(host, id, Json(mut metadata)): (String, i64, Metadata)| Some((host, id, metadata.remove(Aggregate::ZONE)?));
    Ok(rows.into_iter().filter_map(zone).collect())
}

/// Writes the zones of these hosts anew, after their aggregates were changed.
pub async fn write_zones(connection: &mut Connection, hosts: &[String]) -> Result<(), DbError> {
    if hosts.is_empty() {
        return Ok(());
    }
    sql!(
        "UPDATE services SET aggregate_zone = (SELECT MIN(a.metadata ->> 'availability_zone') FROM aggregate_hosts h \
         JOIN aggregates a ON a.id = h.aggregate_id WHERE h.host = services.host) WHERE binary_name = "
        (Binary::Compute) " AND host"
    )
    .is_in(hosts)
    .execute(connection)
    .await?;
    sql!(
        "UPDATE services SET zone = COALESCE(aggregate_zone, \
         (SELECT n.inventory ->> 'availability_zone' FROM compute_nodes n WHERE n.host = services.host), zone) \
         WHERE binary_name = " (Binary::Compute) " AND host"
    )
    .is_in(hosts)
    .execute(connection)
    .await?;
    Ok(())
}

/// The metadata of each host's aggregates, host by host. Hosts in no aggregate are left out.
pub async fn metadata_by_host(
    connection: &mut Connection,
) -> Result<HashMap<String, Vec<BTreeMap<String, String>>>, DbError> {
    let rows: Vec<(String, Metadata)> =
        sql!("SELECT h.host, a.metadata FROM aggregates a JOIN aggregate_hosts h ON h.aggregate_id = a.id")
            .fetch_all(connection)
            .await?;
    let mut metadata = HashMap::<_, Vec<_>>::new();
    for (host, Json(of_one)) in rows {
        metadata.entry(host).or_default().push(of_one);
    }
    Ok(metadata)
}

/// How many instances, deleted ones aside, are on these hosts.
pub async fn instances_on(connection: &mut Connection, hosts: &[String]) -> Result<i64, DbError> {
    sql!("SELECT COUNT(*) FROM instances WHERE deleted_at IS NULL AND host").is_in(hosts).fetch_one(connection).await
}
