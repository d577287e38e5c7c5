//! Claims on a host's resources.
//!
//! A claim is one conditional `UPDATE` of the host's sums and one row that says for whom. Both happen in the caller's
//! transaction, together with whatever the claim is for, so that no number of schedulers at once takes a host past its
//! capacity, and the sums are at every moment those of the rows.

use jiff::Timestamp;

use super::{
    Connection, DbError,
    row::{Columns, micros},
    sql::Sql,
};
use crate::{ids::InstanceUuid, models::Resources};

/// Claims `resources` on `host` for `instance`. Says whether there was room; if not, nothing is changed. A claim that is
/// already there counts as made.
///
/// # Errors
/// Those of the database.
pub async fn claim(
    connection: &mut Connection,
    instance: InstanceUuid,
    host: &str,
    resources: Resources,
) -> Result<bool, DbError> {
    let now = micros(Timestamp::now());
    let inserted = sqlx::query(
        "INSERT INTO allocations (instance_uuid, host, vcpus, memory_mb, disk_gb, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (instance_uuid, host) DO NOTHING",
    )
    .bind(instance.to_string())
    .bind(host.to_owned())
    .bind(resources.vcpus)
    .bind(resources.memory_mb)
    .bind(resources.disk_gb)
    .bind(now)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if inserted == 0 {
        return Ok(true);
    }
    let taken = sqlx::query(
        "UPDATE compute_nodes SET vcpus_used = vcpus_used + $1, memory_mb_used = memory_mb_used + $2, \
         disk_gb_used = disk_gb_used + $3, allocation_count = allocation_count + 1, generation = generation + 1 \
         WHERE host = $4 AND vcpus_used + $1 <= vcpus_capacity AND memory_mb_used + $2 <= memory_mb_capacity \
         AND disk_gb_used + $3 <= disk_gb_capacity",
    )
    .bind(resources.vcpus)
    .bind(resources.memory_mb)
    .bind(resources.disk_gb)
    .bind(host.to_owned())
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if taken == 0 {
        // No room: the row that was just written goes again, whatever else the caller's transaction does.
        sqlx::query("DELETE FROM allocations WHERE instance_uuid = $1 AND host = $2")
            .bind(instance.to_string())
            .bind(host.to_owned())
            .execute(connection)
            .await?;
        return Ok(false);
    }
    Ok(true)
}

/// Gives back what `instance` has claimed on `host`; nothing, if it has no claim there.
///
/// # Errors
/// Those of the database.
pub async fn release(connection: &mut Connection, instance: InstanceUuid, host: &str) -> Result<(), DbError> {
    let row = sqlx::query(
        "DELETE FROM allocations WHERE instance_uuid = $1 AND host = $2 RETURNING vcpus, memory_mb, disk_gb",
    )
    .bind(instance.to_string())
    .bind(host.to_owned())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(()) };
    let resources =
        Resources { vcpus: row.int("vcpus")?, memory_mb: row.int("memory_mb")?, disk_gb: row.int("disk_gb")? };
    give_back(connection, host, resources, 1).await
}

/// Gives back every claim of these instances, on whatever hosts.
///
/// # Errors
/// Those of the database.
pub async fn release_all(connection: &mut Connection, instances: &[InstanceUuid]) -> Result<(), DbError> {
    if instances.is_empty() {
        return Ok(());
    }
    let mut sql = Sql::new("DELETE FROM allocations WHERE instance_uuid IN ");
    sql.bind_list(instances.iter().map(ToString::to_string))?.push(" RETURNING host, vcpus, memory_mb, disk_gb");
    // One update a host, in the order of the names: two transactions that touch the same hosts can't wait for each
    // other in a circle.
    let mut by_host = std::collections::BTreeMap::<String, (Resources, i64)>::new();
    for row in sql.fetch_all(connection).await? {
        let entry = by_host.entry(row.text("host")?).or_default();
        entry.0 = entry.0.plus(&Resources {
            vcpus: row.int("vcpus")?,
            memory_mb: row.int("memory_mb")?,
            disk_gb: row.int("disk_gb")?,
        });
        entry.1 += 1;
    }
    for (host, (resources, count)) in by_host {
        give_back(connection, &host, resources, count).await?;
    }
    Ok(())
}

async fn give_back(connection: &mut Connection, host: &str, resources: Resources, count: i64) -> Result<(), DbError> {
    sqlx::query(
        "UPDATE compute_nodes SET vcpus_used = vcpus_used - $1, memory_mb_used = memory_mb_used - $2, \
         disk_gb_used = disk_gb_used - $3, allocation_count = allocation_count - $4, generation = generation + 1 \
         WHERE host = $5",
    )
    .bind(resources.vcpus)
    .bind(resources.memory_mb)
    .bind(resources.disk_gb)
    .bind(count)
    .bind(host.to_owned())
    .execute(connection)
    .await?;
    Ok(())
}

/// Every claim: which instance, on which host. For checks.
///
/// # Errors
/// Those of the database.
pub async fn all(connection: &mut Connection) -> Result<Vec<(String, String)>, DbError> {
    let rows = sqlx::query("SELECT instance_uuid, host FROM allocations").fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.text("instance_uuid")?, row.text("host")?))).collect()
}

/// The hosts whose sums are not those of their allocations, with both; empty in a sound database. For checks.
///
/// # Errors
/// Those of the database.
pub async fn discrepancies(connection: &mut Connection) -> Result<Vec<String>, DbError> {
    let rows = sqlx::query(
        "SELECT n.host, n.vcpus_used, n.memory_mb_used, n.disk_gb_used, n.allocation_count, \
         CAST(COALESCE(SUM(a.vcpus), 0) AS BIGINT) AS vcpus, CAST(COALESCE(SUM(a.memory_mb), 0) AS BIGINT) AS memory_mb, \
         CAST(COALESCE(SUM(a.disk_gb), 0) AS BIGINT) AS disk_gb, COUNT(a.host) AS allocations \
         FROM compute_nodes n LEFT JOIN allocations a ON a.host = n.host \
         GROUP BY n.host, n.vcpus_used, n.memory_mb_used, n.disk_gb_used, n.allocation_count",
    )
    .fetch_all(connection)
    .await?;
    let mut wrong = Vec::new();
    for row in rows {
        let kept = (
            row.int("vcpus_used")?,
            row.int("memory_mb_used")?,
            row.int("disk_gb_used")?,
            row.int("allocation_count")?,
        );
        let counted = (row.int("vcpus")?, row.int("memory_mb")?, row.int("disk_gb")?, row.int("allocations")?);
        if kept != counted {
            wrong.push(format!("{}: the sums say {kept:?}, the allocations {counted:?}", row.text("host")?));
        }
    }
    Ok(wrong)
}
