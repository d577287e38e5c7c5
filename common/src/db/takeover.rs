//! Finding work that nobody does any more.
//!
//! Who works on a row is said by its `owner`, the incarnation of a service; a service that has not been heard for a
//! while is gone, and so is the one before it in the same place. Hosts work on what names them and no owner.

use jiff::Timestamp;
use sqlx::any::AnyRow;

use super::{
    Connection, DbError,
    instances::transitions::Elsewhere,
    row::{Columns, micros},
};
use crate::{
    ids::{Incarnation, InstanceUuid, MigrationUuid},
    models::RequestSpec,
};

/// Whether this run of a service is over, as far as can be told: no service with it has been heard since `fresh_since`.
///
/// # Errors
/// Those of the database.
pub async fn is_gone(
    connection: &mut Connection,
    incarnation: Incarnation,
    fresh_since: Timestamp,
) -> Result<bool, DbError> {
    let alive = sqlx::query("SELECT 1 FROM services WHERE incarnation = $1 AND last_seen >= $2")
        .bind(incarnation.to_string())
        .bind(micros(fresh_since))
        .fetch_optional(connection)
        .await?;
    Ok(alive.is_none())
}

/// Ends a run of a service that stops: whatever still names it is orphaned at once, and not only when its last heartbeat
/// has become old. The service itself counts as up for that long, as one that was killed does.
///
/// # Errors
/// Those of the database.
pub async fn retire(connection: &mut Connection, incarnation: Incarnation) -> Result<(), DbError> {
    sqlx::query("UPDATE services SET incarnation = $1 WHERE incarnation = $2")
        .bind(Incarnation::random().to_string())
        .bind(incarnation.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

/// An instance that nobody works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// The instance.
    pub instance: InstanceUuid,
    /// The host that the row names.
    pub host: Option<String>,
    /// The request that asked for the operation under way.
    pub request_id: Option<String>,
}

fn orphan(row: &AnyRow) -> Result<Orphan, DbError> {
    Ok(Orphan {
        instance: row.parsed("uuid")?,
        host: row.text_or_null("host")?,
        request_id: row.text_or_null("task_request_id")?,
    })
}

/// Takes instances from owners that are gone, and builds from schedulers that have had them since before `stuck_since`:
/// a scheduler needs seconds. They are nobody's then, and returned.
///
/// # Errors
/// Those of the database.
pub async fn release_orphans(
    connection: &mut Connection,
    fresh_since: Timestamp,
    stuck_since: Timestamp,
) -> Result<Vec<Orphan>, DbError> {
    let rows = sqlx::query(
        "UPDATE instances SET owner = NULL WHERE task_state IS NOT NULL AND owner IS NOT NULL \
         AND (NOT EXISTS (SELECT 1 FROM services s WHERE s.incarnation = instances.owner AND s.last_seen >= $1) \
         OR (task_state = 'scheduling' AND updated_at < $2)) RETURNING uuid, host, task_request_id",
    )
    .bind(micros(fresh_since))
    .bind(micros(stuck_since))
    .fetch_all(connection)
    .await?;
    rows.iter().map(orphan).collect()
}

/// Builds that have waited for a scheduler since before `since`, oldest first, at most `limit`. Their wait begins anew,
/// so that no other conductor casts them too.
///
/// # Errors
/// Those of the database.
pub async fn waiting_builds(connection: &mut Connection, since: Timestamp, limit: i64) -> Result<Vec<Orphan>, DbError> {
    let rows = sqlx::query(
        "UPDATE instances SET updated_at = $1 WHERE vm_state = 'building' AND task_state = 'scheduling' \
         AND host IS NULL AND owner IS NULL AND deleted_at IS NULL AND updated_at < $2 AND uuid IN \
         (SELECT uuid FROM instances WHERE vm_state = 'building' AND task_state = 'scheduling' AND host IS NULL \
         AND owner IS NULL AND deleted_at IS NULL AND updated_at < $2 ORDER BY updated_at LIMIT $3) \
         RETURNING uuid, host, task_request_id",
    )
    .bind(micros(Timestamp::now()))
    .bind(micros(since))
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(orphan).collect()
}

/// Builds on hosts that are down, with what sends them elsewhere.
///
/// # Errors
/// Those of the database.
pub async fn builds_on_dead_hosts(
    connection: &mut Connection,
    fresh_since: Timestamp,
) -> Result<Vec<(Orphan, Elsewhere)>, DbError> {
    let rows = sqlx::query(
        "SELECT uuid, host, task_request_id, task_id, request_spec FROM instances WHERE vm_state = 'building' \
         AND task_state IN ('scheduling', 'networking', 'block_device_mapping', 'spawning') AND task_id IS NOT NULL \
         AND host IS NOT NULL AND owner IS NULL AND deleted_at IS NULL AND updated_at < $1 \
         AND NOT EXISTS (SELECT 1 FROM services s WHERE s.binary_name = 'nova-compute' AND s.host = instances.host \
         AND s.last_seen >= $1 AND s.forced_down = 0) LIMIT 200",
    )
    .bind(micros(fresh_since))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let orphan = orphan(row)?;
            let host = row.text("host")?;
            let mut spec: RequestSpec = row.json("request_spec")?;
            spec.excluded_hosts.push(host.clone());
            spec.last_failure = Some(format!("Host {host} went down."));
            let elsewhere = Elsewhere { instance: orphan.instance, host, attempt: row.parsed("task_id")?, spec };
            Ok((orphan, elsewhere))
        })
        .collect()
}

/// Instances that are to be deleted on hosts that are down, or on none.
///
/// # Errors
/// Those of the database.
pub async fn deletions_without_host(
    connection: &mut Connection,
    fresh_since: Timestamp,
) -> Result<Vec<Orphan>, DbError> {
    let rows = sqlx::query(
        "SELECT uuid, host, task_request_id FROM instances WHERE task_state = 'deleting' AND deleted_at IS NULL \
         AND updated_at < $1 AND (host IS NULL OR NOT EXISTS (SELECT 1 FROM services s \
         WHERE s.binary_name = 'nova-compute' AND s.host = instances.host AND s.last_seen >= $1 \
         AND s.forced_down = 0)) LIMIT 200",
    )
    .bind(micros(fresh_since))
    .fetch_all(connection)
    .await?;
    rows.iter().map(orphan).collect()
}

/// Migrations that have an owner which is gone, or none although one is needed; `accepted` ones only if they have waited
/// since before `waiting_since`.
///
/// # Errors
/// Those of the database.
pub async fn orphaned_migrations(
    connection: &mut Connection,
    fresh_since: Timestamp,
    waiting_since: Timestamp,
) -> Result<Vec<MigrationUuid>, DbError> {
    let rows = sqlx::query(
        "SELECT uuid FROM migrations WHERE (owner IS NOT NULL \
         AND status IN ('accepted', 'queued', 'preparing', 'running', 'post-migrating', 'reverting') \
         AND NOT EXISTS (SELECT 1 FROM services s WHERE s.incarnation = migrations.owner AND s.last_seen >= $1)) \
         OR (owner IS NULL AND (status IN ('preparing', 'post-migrating', 'reverting') \
         OR (status = 'accepted' AND updated_at < $2) OR (status = 'queued' AND abort_requested = 1)))",
    )
    .bind(micros(fresh_since))
    .bind(micros(waiting_since))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| row.parsed("uuid")).collect()
}

/// Migrations that their sources copy, as the rows say, while the source is down or the instance is no longer theirs.
///
/// # Errors
/// Those of the database.
pub async fn lost_copies(connection: &mut Connection, fresh_since: Timestamp) -> Result<Vec<MigrationUuid>, DbError> {
    let rows = sqlx::query(
        "SELECT uuid FROM migrations WHERE status = 'running' AND owner IS NULL AND (NOT EXISTS \
         (SELECT 1 FROM services s WHERE s.binary_name = 'nova-compute' AND s.host = migrations.source \
         AND s.last_seen >= $1 AND s.forced_down = 0) OR NOT EXISTS (SELECT 1 FROM instances i \
         WHERE i.uuid = migrations.instance_uuid AND i.task_id = migrations.task_id))",
    )
    .bind(micros(fresh_since))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| row.parsed("uuid")).collect()
}

/// The hosts that queued migrations wait to leave.
///
/// # Errors
/// Those of the database.
pub async fn sources_of_queued(connection: &mut Connection) -> Result<Vec<String>, DbError> {
    let rows = sqlx::query("SELECT DISTINCT source FROM migrations WHERE status = 'queued' AND owner IS NULL")
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| row.text("source")).collect()
}

/// Claims made before `since` for which there is no reason: no instance on that host, and no migration to it.
///
/// # Errors
/// Those of the database.
pub async fn orphaned_allocations(
    connection: &mut Connection,
    since: Timestamp,
) -> Result<Vec<(InstanceUuid, String)>, DbError> {
    let rows = sqlx::query(
        "SELECT a.instance_uuid, a.host FROM allocations a WHERE a.created_at < $1 \
         AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.uuid = a.instance_uuid AND i.host = a.host \
         AND i.deleted_at IS NULL) \
         AND NOT EXISTS (SELECT 1 FROM migrations m WHERE m.instance_uuid = a.instance_uuid \
         AND m.destination = a.host \
         AND m.status IN ('accepted', 'queued', 'preparing', 'running', 'post-migrating', 'reverting'))",
    )
    .bind(micros(since))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((row.parsed("instance_uuid")?, row.text("host")?))).collect()
}
