//! Compute hosts: what they have, and what of it is claimed.

use jiff::Timestamp;
use uuid::Uuid;

use super::{Connection, DbError, Json, table::select};
use crate::{
    models::{ComputeNode, Inventory, Resources},
    sql, table,
};

table! {
    ComputeNode in "compute_nodes", key int "id";
    generated id;
    uuid as UuidText,
    host,
    inventory as Json,
    capacity: Resources { vcpus = "vcpus_capacity", memory_mb = "memory_mb_capacity", disk_gb = "disk_gb_capacity" },
    used: Resources { vcpus = "vcpus_used", memory_mb = "memory_mb_used", disk_gb = "disk_gb_used" },
    instances = "allocation_count",
    generation,
    updated_at,
}

/// Writes what a host says of itself; its claims stay.
pub async fn upsert(connection: &mut Connection, host: &str, inventory: &Inventory) -> Result<(), DbError> {
    let capacity = inventory.capacity();
    sql!(
        "INSERT INTO compute_nodes (uuid, host, inventory, vcpus_capacity, memory_mb_capacity, disk_gb_capacity, \
         updated_at) VALUES (" (Uuid::new_v4()) ", " (host) ", " (Json(inventory)) ", " (capacity.vcpus) ", "
        (capacity.memory_mb) ", " (capacity.disk_gb) ", " (Timestamp::now())
        ") ON CONFLICT (host) DO UPDATE SET \
         inventory = excluded.inventory, vcpus_capacity = excluded.vcpus_capacity, \
         memory_mb_capacity = excluded.memory_mb_capacity, disk_gb_capacity = excluded.disk_gb_capacity, \
         generation = compute_nodes.generation + 1, updated_at = excluded.updated_at"
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Every compute host, by name.
pub async fn list(connection: &mut Connection) -> Result<Vec<ComputeNode>, DbError> {
    select::<ComputeNode>().push(" ORDER BY host").fetch_all(connection).await
}

/// One compute host.
pub async fn get(connection: &mut Connection, host: &str) -> Result<Option<ComputeNode>, DbError> {
    select::<ComputeNode>().push(" WHERE host = ").bind(host).fetch_optional(connection).await
}
