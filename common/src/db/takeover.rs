//! Finding work that nobody does any more.
//!
//! Who works on a row is said by its `owner`, the incarnation of a service; a service that has not been heard for a
//! while is gone, and so is the one before it in the same place. Hosts work on what names them and no owner.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{
    Connection, DbError, FromRow, Json, Row, Sql,
    actions::{EventOf, MIGRATION_REQUESTS},
    instances::transitions::RescheduledBuild,
};
use crate::{
    ids::{Incarnation, InstanceUuid, MigrationUuid, TaskId},
    lifecycle::{Keeper, TaskState, VmState},
    models::{Binary, Holder, MigrationStatus, RequestSpec},
    sql,
};

/// Rows that one query hands out at most; the next round finds the rest.
const BATCH: i64 = 200;

/// What somebody changes at this moment is not abandoned, and whoever searches waits for nobody.
const NOT_LOCKED: &str = " FOR UPDATE SKIP LOCKED";

/// Whether this run of a service is over, as far as can be told: no service with it has been heard since `fresh_since`.
pub async fn is_gone(
    connection: &mut Connection,
    incarnation: Incarnation,
    fresh_since: Timestamp,
) -> Result<bool, DbError> {
    let alive: Option<String> = sql!(
        "SELECT host FROM services WHERE incarnation = " (incarnation) " AND last_seen >= " (fresh_since)
    )
    .fetch_optional(connection)
    .await?;
    Ok(alive.is_none())
}

/// Ends a run of a service that stops: whatever still names it is orphaned at once, and not only when its last heartbeat
/// has become old.
pub async fn retire(connection: &mut Connection, incarnation: Incarnation) -> Result<(), DbError> {
    sql!("UPDATE services SET incarnation = " (Incarnation::random()) " WHERE incarnation = " (incarnation))
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

impl FromRow for Orphan {
    fn from_row(row: &mut Row<'_>) -> Result<Self, DbError> {
        Ok(Self { instance: row.read()?, host: row.read()?, request_id: row.read()? })
    }
}

/// Takes instances from owners that are gone, and builds from schedulers that have had them since before `stuck_since`:
/// a scheduler needs seconds. They are nobody's then, and returned.
pub async fn release_orphans(
    connection: &mut Connection,
    fresh_since: Timestamp,
    stuck_since: Timestamp,
) -> Result<Vec<Orphan>, DbError> {
    sql!(
        "UPDATE instances SET owner = NULL WHERE uuid IN (SELECT uuid FROM instances \
         WHERE task_state IS NOT NULL AND owner IS NOT NULL AND (NOT EXISTS \
         (SELECT 1 FROM services s WHERE s.incarnation = instances.owner AND s.last_seen >= " (fresh_since)
        ") OR (task_state = " (TaskState::Scheduling) " AND updated_at < " (stuck_since) "))"
    )
    .push_for("", NOT_LOCKED)
    .push(") RETURNING uuid, host, task_request_id")
    .fetch_all(connection)
    .await
}

/// Builds that have waited for a scheduler since before `since`, oldest first, at most `limit`. Their wait begins anew,
/// so that no other conductor casts them too.
pub async fn waiting_builds(connection: &mut Connection, since: Timestamp, limit: i64) -> Result<Vec<Orphan>, DbError> {
    let waiting = sql!(
        "vm_state = " (VmState::Building) " AND task_state = " (TaskState::Scheduling)
        " AND host IS NULL AND owner IS NULL AND deleted_at IS NULL AND updated_at < " (since)
    );
    sql!("UPDATE instances SET updated_at = " (Timestamp::now()) " WHERE ")
        // Again, because another conductor may have cast them since they were selected.
        .append(waiting.clone())
        .push(" AND uuid IN (SELECT uuid FROM instances WHERE ")
        .append(waiting)
        .append(sql!(" ORDER BY updated_at LIMIT "(limit)))
        .push_for("", NOT_LOCKED)
        .push(") RETURNING uuid, host, task_request_id")
        .fetch_all(connection)
        .await
}

/// Builds on hosts that are down, with what reschedules them.
pub async fn builds_on_dead_hosts(
    connection: &mut Connection,
    fresh_since: Timestamp,
) -> Result<Vec<(Orphan, RescheduledBuild)>, DbError> {
    let rows: Vec<(Orphan, TaskId, Json<RequestSpec>)> = sql!(
        "SELECT uuid, host, task_request_id, task_id, request_spec FROM instances \
         WHERE vm_state = " (VmState::Building) " AND task_id IS NOT NULL AND host IS NOT NULL AND owner IS NULL \
         AND deleted_at IS NULL AND updated_at < " (fresh_since) " AND task_state"
    )
    .is_in(TaskState::BUILD)
    .push(" AND ")
    .append(host_is_down("instances.host", fresh_since))
    .append(sql!(" LIMIT "(BATCH)))
    .fetch_all(connection)
    .await?;
    let rescheduled = |(orphan, attempt, Json(mut spec)): (Orphan, TaskId, Json<RequestSpec>)| {
        let host = orphan.host.clone()?;
        spec.excluded_hosts.push(host.clone());
        spec.last_failure = Some(format!("Host {host} went down."));
        let build = RescheduledBuild { instance: orphan.instance, host, attempt, spec };
        Some((orphan, build))
    };
    Ok(rows.into_iter().filter_map(rescheduled).collect())
}

/// Instances that are to be deleted on hosts that are down, or on none.
pub async fn deletions_without_host(
    connection: &mut Connection,
    fresh_since: Timestamp,
) -> Result<Vec<Orphan>, DbError> {
    sql!(
        "SELECT uuid, host, task_request_id FROM instances WHERE task_state = " (TaskState::Deleting)
        " AND deleted_at IS NULL AND updated_at < " (fresh_since) " AND (host IS NULL OR "
    )
    .append(host_is_down("instances.host", fresh_since))
    .append(sql!(") LIMIT "(BATCH)))
    .fetch_all(connection)
    .await
}

/// Instances that were put aside before this moment, and are to be deleted now.
pub async fn soft_deleted(connection: &mut Connection, before: Timestamp) -> Result<Vec<InstanceUuid>, DbError> {
    sql!(
        "SELECT uuid FROM instances WHERE soft_deleted_at < " (before) " AND vm_state = " (VmState::SoftDeleted)
        " AND task_state IS NULL AND deleted_at IS NULL LIMIT " (BATCH)
    )
    .fetch_all(connection)
    .await
}

/// The hosts, as far as they are up, of what a host does alone and where nothing has changed since before `since`: it may
/// never have been told. The wait begins anew, so that no other conductor asks too.
pub async fn untold_hosts(
    connection: &mut Connection,
    fresh_since: Timestamp,
    since: Timestamp,
) -> Result<Vec<String>, DbError> {
    let mut waiting = sql!("deleted_at IS NULL AND owner IS NULL AND updated_at < "(since));
    waiting.push(" AND task_state").is_in(TaskState::kept_by(Keeper::Host));
    let hosts: Vec<String> = sql!("UPDATE instances SET updated_at = "(Timestamp::now()))
        .push(" WHERE uuid IN (SELECT uuid FROM instances WHERE ")
        .append(waiting)
        .push(" AND host IS NOT NULL AND NOT ")
        .append(host_is_down("instances.host", fresh_since))
        .push_for("", NOT_LOCKED)
        .push(") RETURNING host")
        .fetch_all(connection)
        .await?;
    Ok(hosts.into_iter().collect::<BTreeSet<_>>().into_iter().collect())
}

/// Events that began before `since`, have not ended, and that nobody will end: neither the instance's operation nor a
/// migration that is under way is of their request.
pub async fn abandoned_events(connection: &mut Connection, since: Timestamp) -> Result<Vec<EventOf>, DbError> {
    sql!(
        "SELECT instance_uuid, request_id, event, host, start_time, finish_time, result, details \
         FROM instance_action_events WHERE finish_time IS NULL AND start_time < " (since)
        " AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.uuid = instance_action_events.instance_uuid \
         AND i.task_request_id = instance_action_events.request_id AND i.deleted_at IS NULL) \
         AND NOT EXISTS (SELECT 1 FROM migrations m WHERE m.instance_uuid = instance_action_events.instance_uuid \
         AND (m.request_id = instance_action_events.request_id OR instance_action_events.event"
    )
    .is_in(MIGRATION_REQUESTS)
    .push(") AND m.status")
    .is_in(MigrationStatus::under_way())
    .append(sql!(") LIMIT "(BATCH)))
    .fetch_all(connection)
    .await
}

/// The condition that no compute host of this name has been heard since `fresh_since`, or that it was declared down.
fn host_is_down(host: &'static str, fresh_since: Timestamp) -> Sql {
    let mut sql =
        sql!("NOT EXISTS (SELECT 1 FROM services s WHERE s.binary_name = " (Binary::Compute) " AND s.host = ");
    sql.push(host).append(sql!(" AND s.last_seen >= " (fresh_since) " AND NOT s.forced_down)"));
    sql
}

/// Migrations that have an owner which is gone, or none although one is needed; `accepted` ones only if they have waited
/// since before `waiting_since`. And those of `me`, who knows which of them it drives: what made one its own may have been
/// written down although the answer to that was lost.
pub async fn orphaned_migrations(
    connection: &mut Connection,
    fresh_since: Timestamp,
    waiting_since: Timestamp,
    me: Incarnation,
) -> Result<Vec<MigrationUuid>, DbError> {
    let needs_owner = MigrationStatus::held_by(Holder::Conductor).filter(|status| *status != MigrationStatus::Accepted);
    sql!("SELECT uuid FROM migrations WHERE status")
        .is_in(MigrationStatus::under_way())
        .append(sql!(
            " AND (owner = " (me) " OR (owner IS NOT NULL AND NOT EXISTS (SELECT 1 FROM services s \
             WHERE s.incarnation = migrations.owner AND s.last_seen >= " (fresh_since)
            ")) OR (owner IS NULL AND ((status = " (MigrationStatus::Accepted) " AND updated_at < " (waiting_since)
            ") OR status"
        ))
        .is_in(needs_owner)
        .push(" OR (abort_requested AND status")
        .is_in(MigrationStatus::held_by(Holder::Slot))
        .push("))))")
        .fetch_all(connection)
        .await
}

/// Operations that are a long task's by their state, since before `since`, and for which there is none that has not ended.
pub async fn lost_tasks(connection: &mut Connection, since: Timestamp) -> Result<Vec<LostTask>, DbError> {
    sql!("SELECT uuid, task_id, task_request_id FROM instances WHERE task_state")
        .is_in(TaskState::kept_by(Keeper::LongTask))
        .append(sql!(
            " AND task_id IS NOT NULL AND deleted_at IS NULL AND updated_at < " (since)
            " AND NOT EXISTS (SELECT 1 FROM migrations m WHERE m.instance_uuid = instances.uuid \
             AND m.task_id = instances.task_id AND m.status"
        ))
        .is_in(MigrationStatus::under_way())
        .append(sql!(") LIMIT "(BATCH)))
        .fetch_all(connection)
        .await
}

/// An operation whose long task is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostTask {
    /// The instance.
    pub instance: InstanceUuid,
    /// The operation.
    pub task_id: TaskId,
    /// The request that asked for it.
    pub request_id: Option<String>,
}

impl FromRow for LostTask {
    fn from_row(row: &mut Row<'_>) -> Result<Self, DbError> {
        Ok(Self { instance: row.read()?, task_id: row.read()?, request_id: row.read()? })
    }
}

/// Migrations that a host or a person holds and that can't go on so: the source is down, or has reported nothing since
/// `told_since` (it may never have been told), or is to be told of an abort; the instance is no longer theirs, is gone, or
/// was given another state by an administrator.
pub async fn lost_migrations(
    connection: &mut Connection,
    fresh_since: Timestamp,
    told_since: Timestamp,
) -> Result<Vec<MigrationUuid>, DbError> {
    sql!("SELECT uuid FROM migrations WHERE owner IS NULL AND status")
        .is_in(MigrationStatus::held_by(Holder::Host))
        .push(" AND (")
        .append(host_is_down("migrations.source", fresh_since))
        .append(sql!(" OR updated_at < " (told_since) " OR abort_requested"))
        .push(
            " OR NOT EXISTS (SELECT 1 FROM instances i WHERE i.uuid = migrations.instance_uuid \
             AND i.task_id = migrations.task_id)) UNION SELECT uuid FROM migrations WHERE owner IS NULL AND status",
        )
        .is_in(MigrationStatus::held_by(Holder::Person))
        .push(
            " AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.uuid = migrations.instance_uuid \
             AND i.deleted_at IS NULL AND i.vm_state = ",
        )
        .bind(&VmState::Resized)
        .push(")")
        .fetch_all(connection)
        .await
}

/// The hosts that queued migrations wait to leave.
pub async fn sources_of_queued(connection: &mut Connection) -> Result<Vec<String>, DbError> {
    sql!("SELECT DISTINCT source FROM migrations WHERE owner IS NULL AND status")
        .is_in(MigrationStatus::held_by(Holder::Slot))
        .fetch_all(connection)
        .await
}

/// Claims made before `since` for which there is no reason: no instance on that host, and no migration to or from it.
pub async fn orphaned_allocations(
    connection: &mut Connection,
    since: Timestamp,
) -> Result<Vec<(InstanceUuid, String)>, DbError> {
    sql!(
        "SELECT a.instance_uuid, a.host FROM allocations a WHERE a.created_at < " (since)
        " AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.uuid = a.instance_uuid AND i.host = a.host \
         AND i.deleted_at IS NULL) \
         AND NOT EXISTS (SELECT 1 FROM migrations m WHERE m.instance_uuid = a.instance_uuid \
         AND (m.destination = a.host OR m.source = a.host) AND m.status"
    )
    .is_in(MigrationStatus::under_way())
    .push(")")
    .fetch_all(connection)
    .await
}
