//! What schedulers ask of compute hosts: how much room each has, and whether it can be used.

use jiff::Timestamp;

use super::{Connection, DbError, FromRow, Row};
use crate::{
    models::{Binary, Resources},
    sql,
};

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
    /// Whether it takes work.
    pub serving: bool,
    /// When it was last heard.
    pub last_seen: Timestamp,
    /// What may be claimed in all.
    pub capacity: Resources,
    /// What is claimed.
    pub used: Resources,
    /// How many instances hold a claim.
    pub instances: i64,
}

impl FromRow for Capacity {
    fn from_row(row: &mut Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            host: row.read()?,
            availability_zone: row.read()?,
            disabled: row.read()?,
            forced_down: row.read()?,
            serving: row.read()?,
            last_seen: row.read()?,
            capacity: row.read()?,
            used: row.read()?,
            instances: row.read()?,
        })
    }
}

/// Every compute host that has ever said hello. One query, whose cost grows with the number of hosts only; the
/// inventories, which are long, are left out.
pub async fn list(connection: &mut Connection) -> Result<Vec<Capacity>, DbError> {
    sql!("SELECT n.host, s.zone, s.disabled, s.forced_down, s.serving, s.last_seen, n.vcpus_capacity, n.memory_mb_capacity, \
         n.disk_gb_capacity, n.vcpus_used, n.memory_mb_used, n.disk_gb_used, n.allocation_count \
         FROM compute_nodes n JOIN services s ON s.host = n.host AND s.binary_name = "(Binary::Compute))
    .fetch_all(connection)
    .await
}
