//! What schedulers ask of compute hosts: how much room each has, and whether it can be used.

use jiff::Timestamp;

use super::{Connection, DbError, row::Columns};
use crate::models::{Binary, Resources};

/// A compute host, as far as a scheduler cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Its name.
    pub host: String,
    /// Its availability zone.
    pub availability_zone: String,
    /// Whether an operator has taken it out of scheduling.
    pub disabled: bool,
    /// Whether an operator has declared it down.
    pub forced_down: bool,
    /// When it was last heard.
    pub last_seen: Timestamp,
    /// What may be claimed in all.
    pub capacity: Resources,
    /// What is claimed.
    pub used: Resources,
}

/// Every compute host that has ever said hello. One query, whose cost grows with the number of hosts only; the
/// inventories, which are long, are left out.
///
/// # Errors
/// Those of the database.
pub async fn list(connection: &mut Connection) -> Result<Vec<Capacity>, DbError> {
    let rows = sqlx::query(
        "SELECT n.host, s.zone, s.disabled, s.forced_down, s.last_seen, n.vcpus_capacity, n.memory_mb_capacity, \
         n.disk_gb_capacity, n.vcpus_used, n.memory_mb_used, n.disk_gb_used \
         FROM compute_nodes n JOIN services s ON s.host = n.host AND s.binary_name = $1",
    )
    .bind(Binary::Compute.as_str())
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Capacity {
                host: row.text("host")?,
                availability_zone: row.text("zone")?,
                disabled: row.flag("disabled")?,
                forced_down: row.flag("forced_down")?,
                last_seen: row.time("last_seen")?,
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
            })
        })
        .collect()
}
