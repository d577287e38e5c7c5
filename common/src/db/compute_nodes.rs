//! Compute hosts: what they have, and what of it is claimed.

use jiff::Timestamp;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::{
    Connection, DbError,
    row::{Columns, json, micros},
    sql::Sql,
};
use crate::models::{ComputeNode, Inventory, Resources};

/// The columns of [`ComputeNode`], with the table's alias, so that they can be joined.
pub(super) const COLUMNS: &str = "n.id, n.uuid, n.host, n.inventory, n.vcpus_capacity, n.memory_mb_capacity, \
     n.disk_gb_capacity, n.vcpus_used, n.memory_mb_used, n.disk_gb_used, n.allocation_count, n.generation, n.updated_at";

pub(super) fn compute_node(row: &AnyRow) -> Result<ComputeNode, DbError> {
    Ok(ComputeNode {
        id: row.int("id")?,
        uuid: row.text("uuid")?,
        host: row.text("host")?,
        inventory: row.json("inventory")?,
        capacity: Resources {
            vcpus: row.int("vcpus_capacity")?,
            memory_mb: row.int("memory_mb_capacity")?,
            disk_gb: row.int("disk_gb_capacity")?,
        },
        used: Resources {
            vcpus: row.int("vcpus_used")?,
            memory_mb: row.int("memory_mb_used")?,
            disk_gb: row.int("disk_gb_used")?,
        },
        instances: row.int("allocation_count")?,
        generation: row.int("generation")?,
        updated_at: row.time("updated_at")?,
    })
}

/// Writes what a host says of itself; its claims stay.
///
/// # Errors
/// Those of the database.
pub async fn upsert(connection: &mut Connection, host: &str, inventory: &Inventory) -> Result<(), DbError> {
    let capacity = inventory.capacity();
    sqlx::query(
        "INSERT INTO compute_nodes (uuid, host, inventory, vcpus_capacity, memory_mb_capacity, disk_gb_capacity, \
         updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (host) DO UPDATE SET \
         inventory = excluded.inventory, vcpus_capacity = excluded.vcpus_capacity, \
         memory_mb_capacity = excluded.memory_mb_capacity, disk_gb_capacity = excluded.disk_gb_capacity, \
         generation = compute_nodes.generation + 1, updated_at = excluded.updated_at",
    )
    .bind(Uuid::new_v4().to_string())
    .bind(host.to_owned())
    .bind(json("inventory", inventory)?)
    .bind(capacity.vcpus)
    .bind(capacity.memory_mb)
    .bind(capacity.disk_gb)
    .bind(micros(Timestamp::now()))
    .execute(connection)
    .await?;
    Ok(())
}

/// Every compute host, by name.
///
/// # Errors
/// Those of the database.
pub async fn list(connection: &mut Connection) -> Result<Vec<ComputeNode>, DbError> {
    let mut sql = Sql::new("SELECT ");
    sql.push(COLUMNS).push(" FROM compute_nodes n ORDER BY n.host");
    sql.fetch_all(connection).await?.iter().map(compute_node).collect()
}

/// One compute host.
///
/// # Errors
/// Those of the database.
pub async fn get(connection: &mut Connection, host: &str) -> Result<Option<ComputeNode>, DbError> {
    let mut sql = Sql::new("SELECT ");
    sql.push(COLUMNS).push(" FROM compute_nodes n WHERE n.host = ").bind(host.to_owned())?;
    sql.fetch_all(connection).await?.first().map(compute_node).transpose()
}
