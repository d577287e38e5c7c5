//! Services: who is there, and when it was last heard.

use jiff::Timestamp;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::{
    Connection, DbError,
    row::{Columns, micros},
    sql::Sql,
};
use crate::{
    ids::Incarnation,
    models::{Binary, Service},
};

const COLUMNS: &str = "id, uuid, binary_name, host, zone, incarnation, disabled, disabled_reason, forced_down, \
     last_seen, created_at";

fn service(row: &AnyRow) -> Result<Service, DbError> {
    Ok(Service {
        id: row.int("id")?,
        uuid: row.text("uuid")?,
        binary: row.parsed("binary_name")?,
        host: row.text("host")?,
        zone: row.text("zone")?,
        incarnation: row.parsed("incarnation")?,
        disabled: row.flag("disabled")?,
        disabled_reason: row.text_or_null("disabled_reason")?,
        forced_down: row.flag("forced_down")?,
        last_seen: row.time("last_seen")?,
        created_at: row.time("created_at")?,
    })
}

/// Writes that a service was heard now, by the clock of whoever calls. A service that was never seen gets its row.
///
/// # Errors
/// Those of the database.
pub async fn heartbeat(
    connection: &mut Connection,
    binary: Binary,
    host: &str,
    zone: &str,
    incarnation: Incarnation,
) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO services (uuid, binary_name, host, zone, incarnation, last_seen, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT (binary_name, host) DO UPDATE SET \
         zone = excluded.zone, incarnation = excluded.incarnation, last_seen = excluded.last_seen",
    )
    .bind(Uuid::new_v4().to_string())
    .bind(binary.as_str())
    .bind(host.to_owned())
    .bind(zone.to_owned())
    .bind(incarnation.to_string())
    .bind(micros(Timestamp::now()))
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes that these compute hosts were heard now: one statement for a batch of heartbeats. A host that has not said
/// hello yet has no row, and gets none by this.
///
/// # Errors
/// Those of the database.
pub async fn compute_hosts_alive(connection: &mut Connection, hosts: &[(String, Incarnation)]) -> Result<(), DbError> {
    if hosts.is_empty() {
        return Ok(());
    }
    let mut sql = Sql::new("UPDATE services SET last_seen = ");
    sql.bind(micros(Timestamp::now()))?;
    sql.push(" WHERE binary_name = 'nova-compute' AND (host, incarnation) IN (VALUES ");
    for (index, (host, incarnation)) in hosts.iter().enumerate() {
        sql.push(if index == 0 { "(" } else { ", (" });
        sql.bind(host.clone())?.push(", ");
        sql.bind(incarnation.to_string())?.push(")");
    }
    sql.push(")");
    sql.execute(connection).await?;
    Ok(())
}

/// Every service, or those of a kind or host, in the order in which they were first seen.
///
/// # Errors
/// Those of the database.
pub async fn list(
    connection: &mut Connection,
    binary: Option<&str>,
    host: Option<&str>,
) -> Result<Vec<Service>, DbError> {
    let mut sql = Sql::new("SELECT ");
    sql.push(COLUMNS).push(" FROM services WHERE 1 = 1");
    if let Some(binary) = binary {
        sql.push(" AND binary_name = ").bind(binary.to_owned())?;
    }
    if let Some(host) = host {
        sql.push(" AND host = ").bind(host.to_owned())?;
    }
    sql.push(" ORDER BY id");
    sql.fetch_all(connection).await?.iter().map(service).collect()
}

/// One service by its UUID.
///
/// # Errors
/// Those of the database.
pub async fn get(connection: &mut Connection, uuid: &str) -> Result<Option<Service>, DbError> {
    let mut sql = Sql::new("SELECT ");
    sql.push(COLUMNS).push(" FROM services WHERE uuid = ").bind(uuid.to_owned())?;
    sql.fetch_all(connection).await?.first().map(service).transpose()
}

/// One service by what and where it is.
///
/// # Errors
/// Those of the database.
pub async fn find(connection: &mut Connection, binary: Binary, host: &str) -> Result<Option<Service>, DbError> {
    Ok(list(connection, Some(binary.as_str()), Some(host)).await?.into_iter().next())
}

/// What an operator can change of a service. `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct ServiceChange {
    /// In or out of scheduling.
    pub disabled: Option<bool>,
    /// Why it is out; `Some(None)` clears it.
    pub disabled_reason: Option<Option<String>>,
    /// Declared down.
    pub forced_down: Option<bool>,
}

/// Changes a service. Says whether it is there.
///
/// # Errors
/// Those of the database.
pub async fn update(connection: &mut Connection, uuid: &str, change: &ServiceChange) -> Result<bool, DbError> {
    // `uuid = uuid` lets each change below begin with a comma.
    let mut sql = Sql::new("UPDATE services SET uuid = uuid");
    if let Some(disabled) = change.disabled {
        sql.push(", disabled = ").bind(i64::from(disabled))?;
    }
    if let Some(reason) = &change.disabled_reason {
        sql.push(", disabled_reason = ").bind(reason.clone())?;
    }
    if let Some(down) = change.forced_down {
        sql.push(", forced_down = ").bind(i64::from(down))?;
    }
    sql.push(" WHERE uuid = ").bind(uuid.to_owned())?;
    Ok(sql.execute(connection).await?.rows_affected() == 1)
}

/// What came of asking for the deletion of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// The service is gone, and with it the compute host that it was.
    Deleted,
    /// Nothing was changed: instances are on the host.
    HostsInstances,
    /// Nothing was changed: migrations from or to the host are under way.
    HasMigrations,
}

/// Deletes a service, in the caller's transaction. A compute host goes only while nothing is on it or on its way there.
///
/// # Errors
/// Those of the database.
pub async fn delete(connection: &mut Connection, service: &Service) -> Result<Deletion, DbError> {
    if service.binary == Binary::Compute {
        let kept = remove_host(connection, &service.host).await?;
        if kept != Deletion::Deleted {
            return Ok(kept);
        }
    }
    sqlx::query("DELETE FROM services WHERE uuid = $1").bind(service.uuid.clone()).execute(connection).await?;
    Ok(Deletion::Deleted)
}

/// Removes a host's row, if nothing is there. One statement: a claim changes the same row, so one that came first is seen
/// in `allocation_count`, and one that comes later finds no host.
async fn remove_host(connection: &mut Connection, host: &str) -> Result<Deletion, DbError> {
    let removed = sqlx::query(
        "DELETE FROM compute_nodes WHERE host = $1 AND allocation_count = 0 \
         AND NOT EXISTS (SELECT 1 FROM instances WHERE host = $1 AND deleted_at IS NULL) \
         AND NOT EXISTS (SELECT 1 FROM migrations WHERE (source = $1 OR destination = $1) \
         AND status IN ('accepted', 'queued', 'preparing', 'running', 'post-migrating', 'reverting'))",
    )
    .bind(host.to_owned())
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if removed > 0 {
        return Ok(Deletion::Deleted);
    }
    // Why not: there never was such a row, or something is there.
    let left = sqlx::query(
        "SELECT (SELECT COUNT(*) FROM compute_nodes WHERE host = $1) AS nodes, \
         (SELECT COUNT(*) FROM instances WHERE host = $1 AND deleted_at IS NULL) AS instances",
    )
    .bind(host.to_owned())
    .fetch_one(connection)
    .await?;
    Ok(if left.int("instances")? > 0 {
        Deletion::HostsInstances
    } else if left.int("nodes")? > 0 {
        Deletion::HasMigrations
    } else {
        Deletion::Deleted
    })
}
