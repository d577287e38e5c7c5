//! Migrations: their rows, and what the API asks of them. `transitions` holds what conductors change.

pub mod transitions;

use jiff::Timestamp;
use sqlx::any::AnyRow;

use super::{
    Connection, DbError,
    row::{Columns, micros},
    sql::Sql,
};
use crate::{
    ids::{InstanceUuid, MigrationUuid, TaskId},
    models::{Migration, MigrationKind, MigrationProgress, MigrationStatus},
};

const COLUMNS: &str = "id, uuid, instance_uuid, task_id, kind, status, source, destination, requested_destination, \
     block_migration, owner, request_id, user_id, project_id, memory_total, memory_processed, memory_remaining, \
     disk_total, disk_processed, disk_remaining, abort_requested, error, created_at, updated_at";

/// The statuses of migrations that have not ended, as SQL. The index `migrations_under_way` has the same list.
const UNDER_WAY: &str = "('accepted', 'queued', 'preparing', 'running', 'post-migrating', 'reverting')";

fn migration(row: &AnyRow) -> Result<Migration, DbError> {
    Ok(Migration {
        id: row.int("id")?,
        uuid: row.parsed("uuid")?,
        instance: row.parsed("instance_uuid")?,
        task_id: row.parsed("task_id")?,
        kind: row.parsed("kind")?,
        status: row.parsed("status")?,
        source: row.text("source")?,
        destination: row.text_or_null("destination")?,
        requested_destination: row.text_or_null("requested_destination")?,
        block_migration: row.int_or_null("block_migration")?.map(|flag| flag != 0),
        owner: row.parsed_or_null("owner")?,
        request_id: row.text("request_id")?,
        user_id: row.text_or_null("user_id")?,
        project_id: row.text_or_null("project_id")?,
        progress: MigrationProgress {
            memory_total: row.int("memory_total")?,
            memory_processed: row.int("memory_processed")?,
            memory_remaining: row.int("memory_remaining")?,
            disk_total: row.int("disk_total")?,
            disk_processed: row.int("disk_processed")?,
            disk_remaining: row.int("disk_remaining")?,
        },
        abort_requested: row.flag("abort_requested")?,
        error: row.text_or_null("error")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
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
///
/// # Errors
/// Those of the database.
pub async fn insert(connection: &mut Connection, new: &NewMigration) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO migrations (uuid, instance_uuid, task_id, kind, status, source, requested_destination, \
         block_migration, request_id, user_id, project_id, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)",
    )
    .bind(new.uuid.to_string())
    .bind(new.instance.to_string())
    .bind(new.task_id.to_string())
    .bind(new.kind.as_str())
    .bind(MigrationStatus::Accepted.as_str())
    .bind(new.source.clone())
    .bind(new.requested_destination.clone())
    .bind(new.block_migration.map(i64::from))
    .bind(new.request_id.clone())
    .bind(new.user_id.clone())
    .bind(new.project_id.clone())
    .bind(micros(Timestamp::now()))
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes a migration that could not be cast, as if it had not been asked for. Only one that no one has taken up.
///
/// # Errors
/// Those of the database.
pub async fn forget(connection: &mut Connection, uuid: MigrationUuid) -> Result<(), DbError> {
    sqlx::query("DELETE FROM migrations WHERE uuid = $1 AND status = 'accepted' AND owner IS NULL")
        .bind(uuid.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

/// A migration by its UUID.
///
/// # Errors
/// Those of the database.
pub async fn get(connection: &mut Connection, uuid: MigrationUuid) -> Result<Option<Migration>, DbError> {
    let mut sql = Sql::new("SELECT ");
    sql.push(COLUMNS).push(" FROM migrations WHERE uuid = ").bind(uuid.to_string())?;
    sql.fetch_all(connection).await?.first().map(migration).transpose()
}

/// A migration of an instance by its number.
///
/// # Errors
/// Those of the database.
pub async fn get_of_instance(
    connection: &mut Connection,
    instance: InstanceUuid,
    id: i64,
) -> Result<Option<Migration>, DbError> {
    let mut sql = Sql::new("SELECT ");
    sql.push(COLUMNS).push(" FROM migrations WHERE instance_uuid = ").bind(instance.to_string())?;
    sql.push(" AND id = ").bind(id)?;
    sql.fetch_all(connection).await?.first().map(migration).transpose()
}

/// Several migrations at once, in no order.
///
/// # Errors
/// Those of the database.
pub async fn get_many(connection: &mut Connection, uuids: &[MigrationUuid]) -> Result<Vec<Migration>, DbError> {
    if uuids.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = Sql::new("SELECT ");
    sql.push(COLUMNS).push(" FROM migrations WHERE uuid IN ");
    sql.bind_list(uuids.iter().map(ToString::to_string))?;
    sql.fetch_all(connection).await?.iter().map(migration).collect()
}

/// Which migrations are wanted. `None` does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MigrationFilter {
    /// Of this instance.
    pub instance: Option<InstanceUuid>,
    /// With this status, as the API names it. One that does not exist finds nothing.
    pub status: Option<String>,
    /// From or to this host.
    pub host: Option<String>,
    /// From this host.
    pub source: Option<String>,
    /// Of this kind, as the API names it.
    pub kind: Option<String>,
    /// Asked for by this user.
    pub user_id: Option<String>,
    /// Asked for in this project.
    pub project_id: Option<String>,
    /// Changed at or after this time.
    pub changes_since: Option<Timestamp>,
    /// Changed at or before this time.
    pub changes_before: Option<Timestamp>,
    /// Not ended yet.
    pub under_way: bool,
    /// Only those after the one with this number, in the order of the list.
    pub after: Option<i64>,
    /// At most so many.
    pub limit: Option<i64>,
}

/// The migrations that the filter lets through, newest first.
///
/// # Errors
/// Those of the database.
pub async fn list(connection: &mut Connection, filter: &MigrationFilter) -> Result<Vec<Migration>, DbError> {
    let mut sql = Sql::new("SELECT ");
    sql.push(COLUMNS).push(" FROM migrations WHERE 1 = 1");
    if let Some(instance) = filter.instance {
        sql.push(" AND instance_uuid = ").bind(instance.to_string())?;
    }
    if let Some(host) = &filter.host {
        sql.push(" AND (source = ").bind(host.clone())?.push(" OR destination = ").bind(host.clone())?.push(")");
    }
    for (condition, value) in [
        (" AND status = ", &filter.status),
        (" AND source = ", &filter.source),
        (" AND kind = ", &filter.kind),
        (" AND user_id = ", &filter.user_id),
        (" AND project_id = ", &filter.project_id),
    ] {
        if let Some(value) = value {
            sql.push(condition).bind(value.clone())?;
        }
    }
    if let Some(since) = filter.changes_since {
        sql.push(" AND updated_at >= ").bind(micros(since))?;
    }
    if let Some(before) = filter.changes_before {
        sql.push(" AND updated_at <= ").bind(micros(before))?;
    }
    if filter.under_way {
        sql.push(" AND status IN ").push(UNDER_WAY);
    }
    if let Some(after) = filter.after {
        sql.push(" AND id < ").bind(after)?;
    }
    sql.push(" ORDER BY id DESC");
    if let Some(limit) = filter.limit {
        sql.push(" LIMIT ").bind(limit)?;
    }
    sql.fetch_all(connection).await?.iter().map(migration).collect()
}

/// Asks for a migration to be undone. Says whether it had not ended and was not past the switch; if so, a conductor is
/// to be told.
///
/// # Errors
/// Those of the database.
pub async fn request_abort(connection: &mut Connection, uuid: MigrationUuid) -> Result<bool, DbError> {
    let changed = sqlx::query(
        "UPDATE migrations SET abort_requested = 1, updated_at = $1 WHERE uuid = $2 \
         AND status IN ('accepted', 'queued', 'preparing', 'running')",
    )
    .bind(micros(Timestamp::now()))
    .bind(uuid.to_string())
    .execute(connection)
    .await?
    .rows_affected();
    Ok(changed == 1)
}

/// Takes back what [`request_abort`] wrote, because no conductor could be told.
///
/// # Errors
/// Those of the database.
pub async fn withdraw_abort(connection: &mut Connection, uuid: MigrationUuid) -> Result<(), DbError> {
    sqlx::query(
        "UPDATE migrations SET abort_requested = 0, updated_at = $1 WHERE uuid = $2 \
         AND status IN ('accepted', 'queued', 'preparing', 'running')",
    )
    .bind(micros(Timestamp::now()))
    .bind(uuid.to_string())
    .execute(connection)
    .await?;
    Ok(())
}
