//! Claims on a host's resources.
//!
//! A claim is one conditional `UPDATE` of the host's sums and one row that says for whom. Both happen in the caller's
//! transaction, together with whatever the claim is for, so that no number of schedulers at once takes a host past its
//! capacity, and the sums are at every moment those of the rows.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Connection, DbError, FromRow, Row};
use crate::{ids::InstanceUuid, models::Resources, sql};

/// Three columns beside each other: vCPUs, memory, disk.
impl FromRow for Resources {
    fn from_row(row: &mut Row<'_>) -> Result<Self, DbError> {
        Ok(Self { vcpus: row.read()?, memory_mb: row.read()?, disk_gb: row.read()? })
    }
}

/// Claims `resources` on `host` for `instance`. Says whether there was room; if not, nothing is changed. A claim that is
/// already there counts as made.
pub async fn claim(
    connection: &mut Connection,
    instance: InstanceUuid,
    host: &str,
    resources: Resources,
) -> Result<bool, DbError> {
    let Resources { vcpus, memory_mb, disk_gb } = resources;
    let inserted = sql!(
        "INSERT INTO allocations (instance_uuid, host, vcpus, memory_mb, disk_gb, created_at) VALUES ("
        (instance) ", " (host) ", " (vcpus) ", " (memory_mb) ", " (disk_gb) ", " (Timestamp::now())
        ") ON CONFLICT (instance_uuid, host) DO NOTHING"
    )
    .execute_one(connection)
    .await?;
    if !inserted {
        return Ok(true);
    }
    let taken = sql!(
        "UPDATE compute_nodes SET vcpus_used = vcpus_used + " (vcpus) ", memory_mb_used = memory_mb_used + " (memory_mb)
        ", disk_gb_used = disk_gb_used + " (disk_gb)
        ", allocation_count = allocation_count + 1, generation = generation + 1 WHERE host = " (host)
        " AND vcpus_used + " (vcpus) " <= vcpus_capacity AND memory_mb_used + " (memory_mb)
        " <= memory_mb_capacity AND disk_gb_used + " (disk_gb) " <= disk_gb_capacity"
    )
    .execute_one(connection)
    .await?;
    if !taken {
        // No room: the row that was just written goes again, whatever else the caller's transaction does.
        sql!("DELETE FROM allocations WHERE instance_uuid = " (instance) " AND host = " (host))
            .execute(connection)
            .await?;
    }
    Ok(taken)
}

/// Gives back what `instance` has claimed on `host`; nothing, if it has no claim there, or if its row says that it is there:
/// a long task that ends late must not take a claim that is the server's again.
pub async fn release(connection: &mut Connection, instance: InstanceUuid, host: &str) -> Result<(), DbError> {
    let claimed: Option<Resources> = sql!(
        "DELETE FROM allocations WHERE instance_uuid = " (instance) " AND host = " (host)
        " AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.uuid = allocations.instance_uuid \
         AND i.host = allocations.host AND i.deleted_at IS NULL) RETURNING vcpus, memory_mb, disk_gb"
    )
    .fetch_optional(connection)
    .await?;
    match claimed {
        Some(resources) => give_back(connection, host, resources, 1).await,
        None => Ok(()),
    }
}

/// Gives back every claim of these instances, on whatever hosts.
pub async fn release_all(connection: &mut Connection, instances: &[InstanceUuid]) -> Result<(), DbError> {
    if instances.is_empty() {
        return Ok(());
    }
    let released: Vec<(String, Resources)> = sql!("DELETE FROM allocations WHERE instance_uuid")
        .is_in(instances)
        .push(" RETURNING host, vcpus, memory_mb, disk_gb")
        .fetch_all(connection)
        .await?;
    // One update a host, in the order of the names: two transactions that touch the same hosts can't wait for each
    // other in a circle.
    let mut by_host = BTreeMap::<String, (Resources, i64)>::new();
    for (host, resources) in released {
        let entry = by_host.entry(host).or_default();
        entry.0 = entry.0.plus(&resources);
        entry.1 += 1;
    }
    for (host, (resources, count)) in by_host {
        give_back(connection, &host, resources, count).await?;
    }
    Ok(())
}

async fn give_back(connection: &mut Connection, host: &str, resources: Resources, count: i64) -> Result<(), DbError> {
    let Resources { vcpus, memory_mb, disk_gb } = resources;
    sql!(
        "UPDATE compute_nodes SET vcpus_used = vcpus_used - " (vcpus) ", memory_mb_used = memory_mb_used - " (memory_mb)
        ", disk_gb_used = disk_gb_used - " (disk_gb) ", allocation_count = allocation_count - " (count)
        ", generation = generation + 1 WHERE host = " (host)
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Every claim: which instance, on which host. For checks.
pub async fn all(connection: &mut Connection) -> Result<Vec<(String, String)>, DbError> {
    let claims: Vec<(InstanceUuid, String)> =
        sql!("SELECT instance_uuid, host FROM allocations").fetch_all(connection).await?;
    Ok(claims.into_iter().map(|(instance, host)| (instance.to_string(), host)).collect())
}

/// The hosts whose sums are not those of their allocations, with both; empty in a sound database. For checks.
pub async fn discrepancies(connection: &mut Connection) -> Result<Vec<String>, DbError> {
    type Sums = (Resources, i64);
    let rows: Vec<(String, Sums, Sums)> = sql!(
        "SELECT n.host, n.vcpus_used, n.memory_mb_used, n.disk_gb_used, n.allocation_count, \
         CAST(COALESCE(SUM(a.vcpus), 0) AS BIGINT), CAST(COALESCE(SUM(a.memory_mb), 0) AS BIGINT), \
         CAST(COALESCE(SUM(a.disk_gb), 0) AS BIGINT), COUNT(a.host) \
         FROM compute_nodes n LEFT JOIN allocations a ON a.host = n.host \
         GROUP BY n.host, n.vcpus_used, n.memory_mb_used, n.disk_gb_used, n.allocation_count"
    )
    .fetch_all(connection)
    .await?;
    let wrong = rows.into_iter().filter(|(_, kept, counted)| kept != counted);
    Ok(wrong
        .map(|(host, kept, counted)| format!("{host}: the sums say {kept:?}, the allocations {counted:?}"))
        .collect())
}
