//! Migrations: their rows, and what the API asks of them. `transitions` holds what conductors change.

pub mod transitions;

use jiff::Timestamp;

use super::{
    Connection, DbError,
    list::{Condition, Direction, List, SortKey},
    table::select,
};
use crate::{
    ids::{InstanceUuid, MigrationUuid, TaskId},
    models::{Migration, MigrationKind, MigrationProgress, MigrationStatus},
    sql, table,
};

table! {
    Migration in "migrations", key int "id";
    generated id;
    uuid,
    instance = "instance_uuid",
    task_id,
    kind,
    status,
    source,
    destination,
    requested_destination,
    forced,
    block_migration,
    owner,
    request_id,
    user_id,
    project_id,
    progress: MigrationProgress {
        memory_total = "memory_total",
        memory_processed = "memory_processed",
        memory_remaining = "memory_remaining",
        disk_total = "disk_total",
        disk_processed = "disk_processed",
        disk_remaining = "disk_remaining",
    },
    abort_requested,
    error,
    created_at,
    updated_at,
}

/// A migration that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMigration {
    /// Its id.
    pub uuid: MigrationUuid,
    /// The instance that is to move.
    pub instance: InstanceUuid,
    /// The operation: the instance's `task_id`, set in the same transaction.
    pub task_id: TaskId,
    /// What kind of move.
    pub kind: MigrationKind,
    /// Where the instance is.
    pub source: String,
    /// The host that the request named.
    pub requested_destination: Option<String>,
    /// Whether that host will do whatever the scheduler would say of it.
    pub forced: bool,
    /// Whether disks are to be copied; `None` for `auto`.
    pub block_migration: Option<bool>,
    /// The request.
    pub request_id: String,
    /// Who asks.
    pub user_id: Option<String>,
    /// For which project.
    pub project_id: Option<String>,
}

/// Writes a migration as `accepted`; the queue owns it.
pub async fn insert(connection: &mut Connection, new: &NewMigration) -> Result<(), DbError> {
    let now = Timestamp::now();
    sql!(
        "INSERT INTO migrations (uuid, instance_uuid, task_id, kind, status, source, requested_destination, \
         forced, block_migration, request_id, user_id, project_id, created_at, updated_at) VALUES ("
        (new.uuid) ", " (new.instance) ", " (new.task_id) ", " (new.kind) ", " (MigrationStatus::Accepted) ", "
        (new.source) ", " (new.requested_destination) ", " (new.forced) ", " (new.block_migration) ", " (new.request_id) ", "
        (new.user_id) ", " (new.project_id) ", " (now) ", " (now) ")"
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A migration by its UUID.
pub async fn get(connection: &mut Connection, uuid: MigrationUuid) -> Result<Option<Migration>, DbError> {
    select::<Migration>().push(" WHERE uuid = ").bind(&uuid).fetch_optional(connection).await
}

/// A migration of an instance by its number.
pub async fn get_of_instance(
    connection: &mut Connection,
    instance: InstanceUuid,
    id: i64,
) -> Result<Option<Migration>, DbError> {
    select::<Migration>()
        .append(sql!(" WHERE instance_uuid = " (instance) " AND id = " (id)))
        .fetch_optional(connection)
        .await
}

/// Several migrations at once, in no order.
pub async fn get_many(connection: &mut Connection, uuids: &[MigrationUuid]) -> Result<Vec<Migration>, DbError> {
    if uuids.is_empty() {
        return Ok(Vec::new());
    }
    select::<Migration>().push(" WHERE uuid").is_in(uuids).fetch_all(connection).await
}

/// The migrations that have not ended, newest first: of this instance, or of all.
pub async fn under_way(connection: &mut Connection, instance: Option<InstanceUuid>) -> Result<Vec<Migration>, DbError> {
    let mut list = List::<Migration>::all()
        .filter(Condition::is_in("status", MigrationStatus::under_way()))
        .sort(SortKey::int("id"), Direction::Descending);
    if let Some(instance) = instance {
        list = list.filter(Condition::equal("instance_uuid", &instance));
    }
    Ok(list.page(connection).await?.unwrap_or_default())
}

/// The migration of an instance that is done on its destination and waits to be confirmed or reverted.
pub async fn finished_of(connection: &mut Connection, instance: InstanceUuid) -> Result<Option<Migration>, DbError> {
    let finished = List::<Migration>::all()
        .filter(Condition::equal("instance_uuid", &instance))
        .filter(Condition::equal("status", &MigrationStatus::Finished));
    Ok(finished.page(connection).await?.unwrap_or_default().pop())
}

/// The migrations that have waited to be confirmed or reverted since before this time.
pub async fn finished_before(connection: &mut Connection, time: Timestamp) -> Result<Vec<Migration>, DbError> {
    let finished = List::<Migration>::all()
        .filter(Condition::equal("status", &MigrationStatus::Finished))
        .filter(Condition::at_most("updated_at", &time));
    Ok(finished.page(connection).await?.unwrap_or_default())
}

/// Asks for a migration to be undone. Says whether it had not ended and was not past the switch; if so, a conductor is
/// to be told.
pub async fn request_abort(connection: &mut Connection, uuid: MigrationUuid) -> Result<bool, DbError> {
    sql!(
        "UPDATE migrations SET abort_requested = " (true) ", updated_at = " (Timestamp::now())
        " WHERE uuid = " (uuid) " AND status"
    )
    .is_in(MigrationStatus::under_way().filter(|status| status.can_be_aborted()))
    .execute_one(connection)
    .await
}

/// Asks for a migration that copies to be completed by force. Says whether it copied; if so, its source is to be told.
pub async fn request_force_complete(connection: &mut Connection, uuid: MigrationUuid) -> Result<bool, DbError> {
    sql!(
        "UPDATE migrations SET force_complete_requested = " (true) " WHERE uuid = " (uuid) " AND status = "
        (MigrationStatus::Running)
    )
    .execute_one(connection)
    .await
}

/// The source has been told.
pub async fn force_complete_told(connection: &mut Connection, uuid: MigrationUuid) -> Result<(), DbError> {
    sql!("UPDATE migrations SET force_complete_requested = " (false) " WHERE uuid = " (uuid))
        .execute(connection)
        .await?;
    Ok(())
}

/// The migrations whose sources are still to be told to complete them by force.
pub async fn force_complete_untold(connection: &mut Connection) -> Result<Vec<Migration>, DbError> {
    let untold = List::<Migration>::all()
        .filter(Condition::equal("status", &MigrationStatus::Running))
        .filter(Condition::equal("force_complete_requested", &true));
    Ok(untold.page(connection).await?.unwrap_or_default())
}
