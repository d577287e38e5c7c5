//! What conductors change of migrations: each a compare-and-swap on status and owner.
//!
//! ```text
//!   accepted ──▶ queued ──▶ preparing ──▶ running ──▶ post-migrating ──▶ completed
//!      │            │           │            │              ▲
//!      │            │           ▼            ▼              │ (the guest had switched after all)
//!      │            │        reverting ◀─────┘──────────────┘
//!      ▼            ▼           ▼
//!   cancelled, error
//! ```

use std::collections::HashSet;

use jiff::Timestamp;

use super::{COLUMNS, UNDER_WAY, migration};
use crate::{
    db::{
        Connection, DbError,
        row::{Columns, micros},
        sql::Sql,
    },
    ids::{Incarnation, InstanceUuid, MigrationUuid},
    models::{Migration, MigrationProgress, MigrationStatus},
};

/// Takes a migration over as it was seen: same status, same owner. Says whether it was still so.
///
/// # Errors
/// Those of the database.
pub async fn take(connection: &mut Connection, seen: &Migration, owner: Incarnation) -> Result<bool, DbError> {
    let changed = sqlx::query(
        "UPDATE migrations SET owner = $1 WHERE uuid = $2 AND status = $3 AND owner IS NOT DISTINCT FROM $4",
    )
    .bind(owner.to_string())
    .bind(seen.uuid.to_string())
    .bind(seen.status.as_str())
    .bind(seen.owner.map(|id| id.to_string()))
    .execute(connection)
    .await?
    .rows_affected();
    Ok(changed == 1)
}

/// Leaves a running migration to its source. Nothing, if the source has ended it already.
///
/// # Errors
/// Those of the database.
pub async fn leave(connection: &mut Connection, uuid: MigrationUuid, owner: Incarnation) -> Result<(), DbError> {
    sqlx::query("UPDATE migrations SET owner = NULL WHERE uuid = $1 AND owner = $2 AND status = 'running'")
        .bind(uuid.to_string())
        .bind(owner.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

/// `accepted` → `queued`, with its destination; nobody's until it is admitted.
///
/// # Errors
/// Those of the database.
pub async fn queue(
    connection: &mut Connection,
    uuid: MigrationUuid,
    owner: Incarnation,
    destination: &str,
) -> Result<bool, DbError> {
    let changed = sqlx::query(
        "UPDATE migrations SET status = 'queued', destination = $1, owner = NULL, updated_at = $2 \
         WHERE uuid = $3 AND owner = $4 AND status = 'accepted'",
    )
    .bind(destination.to_owned())
    .bind(micros(Timestamp::now()))
    .bind(uuid.to_string())
    .bind(owner.to_string())
    .execute(connection)
    .await?
    .rows_affected();
    Ok(changed == 1)
}

/// Gives a migration that is being prepared another destination, after the first one has refused.
///
/// # Errors
/// Those of the database.
pub async fn redirect(
    connection: &mut Connection,
    uuid: MigrationUuid,
    owner: Incarnation,
    destination: &str,
) -> Result<bool, DbError> {
    let changed = sqlx::query(
        "UPDATE migrations SET destination = $1, updated_at = $2 \
         WHERE uuid = $3 AND owner = $4 AND status = 'preparing'",
    )
    .bind(destination.to_owned())
    .bind(micros(Timestamp::now()))
    .bind(uuid.to_string())
    .bind(owner.to_string())
    .execute(connection)
    .await?
    .rows_affected();
    Ok(changed == 1)
}

/// `queued` → `preparing` for as many migrations from `source` as there are free places, oldest first; they are
/// `owner`'s from then on. Must run in a transaction.
///
/// # Errors
/// Those of the database.
pub async fn admit(
    connection: &mut Connection,
    source: &str,
    limit: i64,
    owner: Incarnation,
) -> Result<Vec<MigrationUuid>, DbError> {
    // The row of the host is the lock: without it two conductors could both count the same free place.
    sqlx::query("UPDATE compute_nodes SET generation = generation WHERE host = $1")
        .bind(source.to_owned())
        .execute(&mut *connection)
        .await?;
    let row = sqlx::query(
        "SELECT COUNT(*) AS taken FROM migrations WHERE source = $1 \
         AND status IN ('preparing', 'running', 'post-migrating', 'reverting')",
    )
    .bind(source.to_owned())
    .fetch_one(&mut *connection)
    .await?;
    let free = limit - row.int("taken")?;
    if free <= 0 {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(
        "UPDATE migrations SET status = 'preparing', owner = $1, updated_at = $2 WHERE status = 'queued' AND id IN \
         (SELECT id FROM migrations WHERE source = $3 AND status = 'queued' AND owner IS NULL ORDER BY id LIMIT $4) \
         RETURNING uuid",
    )
    .bind(owner.to_string())
    .bind(micros(Timestamp::now()))
    .bind(source.to_owned())
    .bind(free)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| row.parsed("uuid")).collect()
}

/// Writes that the destination is about to be prepared, so that from now on there is something to undo; not if an abort
/// was requested. [`migrate_data`] is there from then on.
///
/// # Errors
/// Those of the database.
pub async fn prepare(
    connection: &mut Connection,
    uuid: MigrationUuid,
    owner: Incarnation,
    migrate_data: &str,
) -> Result<bool, DbError> {
    let changed = sqlx::query(
        "UPDATE migrations SET migrate_data = $1, updated_at = $2 \
         WHERE uuid = $3 AND owner = $4 AND status = 'preparing' AND abort_requested = 0",
    )
    .bind(migrate_data.to_owned())
    .bind(micros(Timestamp::now()))
    .bind(uuid.to_string())
    .bind(owner.to_string())
    .execute(connection)
    .await?
    .rows_affected();
    Ok(changed == 1)
}

/// `preparing` → `running`, with what the drivers have agreed on; not if an abort was requested meanwhile.
///
/// # Errors
/// Those of the database.
pub async fn run(
    connection: &mut Connection,
    uuid: MigrationUuid,
    owner: Incarnation,
    migrate_data: &str,
) -> Result<bool, DbError> {
    let changed = sqlx::query(
        "UPDATE migrations SET status = 'running', migrate_data = $1, updated_at = $2 \
         WHERE uuid = $3 AND owner = $4 AND status = 'preparing' AND abort_requested = 0",
    )
    .bind(migrate_data.to_owned())
    .bind(micros(Timestamp::now()))
    .bind(uuid.to_string())
    .bind(owner.to_string())
    .execute(connection)
    .await?
    .rows_affected();
    Ok(changed == 1)
}

/// What the drivers have agreed on so far, as [`prepare`] and [`run`] wrote it.
///
/// # Errors
/// Those of the database.
pub async fn migrate_data(connection: &mut Connection, uuid: MigrationUuid) -> Result<Option<String>, DbError> {
    let row = sqlx::query("SELECT migrate_data FROM migrations WHERE uuid = $1")
        .bind(uuid.to_string())
        .fetch_optional(connection)
        .await?;
    row.map_or(Ok(None), |row| row.text_or_null("migrate_data"))
}

/// How far the source has come with a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progressed {
    /// The migration.
    pub migration: MigrationUuid,
    /// The report's number.
    pub seq: i64,
    /// How much is copied.
    pub progress: MigrationProgress,
}

/// Writes how far copies have come, all in one statement; not over a newer report. Returns those that were written.
///
/// # Errors
/// Those of the database.
pub async fn progress(
    connection: &mut Connection,
    progressed: &[Progressed],
) -> Result<HashSet<MigrationUuid>, DbError> {
    if progressed.is_empty() {
        return Ok(HashSet::new());
    }
    let mut sql = Sql::new(
        "UPDATE migrations SET report_seq = v.column2, memory_total = v.column3, memory_processed = v.column4, \
         memory_remaining = v.column5, disk_total = v.column6, disk_processed = v.column7, \
         disk_remaining = v.column8, updated_at = ",
    );
    sql.bind(micros(Timestamp::now()))?.push(" FROM (VALUES ");
    for (index, new) in progressed.iter().enumerate() {
        sql.push(if index == 0 { "(" } else { ", (" });
        sql.bind(new.migration.to_string())?;
        for number in [
            new.seq,
            new.progress.memory_total,
            new.progress.memory_processed,
            new.progress.memory_remaining,
            new.progress.disk_total,
            new.progress.disk_processed,
            new.progress.disk_remaining,
        ] {
            sql.push(", ").bind(number)?;
        }
        sql.push(")");
    }
    sql.push(") AS v WHERE uuid = v.column1 AND report_seq < v.column2 AND status IN ");
    sql.push(UNDER_WAY).push(" RETURNING uuid");
    sql.fetch_all(connection).await?.iter().map(|row| row.parsed("uuid")).collect()
}

/// Moves a migration from one status to another under `owner`, whoever owned it: what a report decides, or what its
/// owner finds out. Keeps the first error.
///
/// # Errors
/// Those of the database.
pub async fn turn(
    connection: &mut Connection,
    uuid: MigrationUuid,
    from: MigrationStatus,
    to: MigrationStatus,
    owner: Incarnation,
    error: Option<&str>,
) -> Result<bool, DbError> {
    let changed = sqlx::query(
        "UPDATE migrations SET status = $1, owner = $2, error = COALESCE(error, $3), updated_at = $4 \
         WHERE uuid = $5 AND status = $6",
    )
    .bind(to.as_str())
    .bind(owner.to_string())
    .bind(error.map(ToOwned::to_owned))
    .bind(micros(Timestamp::now()))
    .bind(uuid.to_string())
    .bind(from.as_str())
    .execute(connection)
    .await?
    .rows_affected();
    Ok(changed == 1)
}

/// Ends a migration that is `owner`'s. Keeps the first error.
///
/// # Errors
/// Those of the database.
pub async fn finish(
    connection: &mut Connection,
    uuid: MigrationUuid,
    owner: Incarnation,
    status: MigrationStatus,
    error: Option<&str>,
) -> Result<bool, DbError> {
    let mut sql = Sql::new("UPDATE migrations SET status = ");
    sql.bind(status.as_str())?.push(", error = COALESCE(error, ").bind(error.map(ToOwned::to_owned))?;
    sql.push("), owner = NULL, migrate_data = NULL, updated_at = ").bind(micros(Timestamp::now()))?;
    sql.push(" WHERE uuid = ").bind(uuid.to_string())?.push(" AND owner = ").bind(owner.to_string())?;
    sql.push(" AND status IN ").push(UNDER_WAY);
    Ok(sql.execute(connection).await?.rows_affected() == 1)
}

/// The migrations of these instances that have not ended.
///
/// # Errors
/// Those of the database.
pub async fn under_way_of(connection: &mut Connection, instances: &[InstanceUuid]) -> Result<Vec<Migration>, DbError> {
    if instances.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = Sql::new("SELECT ");
    sql.push(COLUMNS).push(" FROM migrations WHERE status IN ").push(UNDER_WAY).push(" AND instance_uuid IN ");
    sql.bind_list(instances.iter().map(ToString::to_string))?;
    sql.fetch_all(connection).await?.iter().map(migration).collect()
}
