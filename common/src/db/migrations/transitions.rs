//! What conductors change of migrations: each a compare-and-swap on status and owner.
//!
//! ```text
//!   live   accepted ──▶ queued ──▶ preparing ──▶ running ──▶ post-migrating ──▶ completed
//!             │            │           │            │              ▲
//!             │            │           ▼            ▼              │ (the guest had switched after all)
//!             │            │        reverting ◀─────┘──────────────┘
//!             ▼            ▼           ▼
//!          cancelled, error
//!
//!   cold   accepted ──▶ pre-migrating ──▶ migrating ──▶ post-migrating ──▶ finished ──▶ confirming ──▶ confirmed
//!             │               │               │               │               │
//!             ▼               └───────────────┴───────────────┴───────────────┴──▶ reverting ──▶ reverted, error
//!           error
//! ```

use std::collections::HashSet;

use jiff::Timestamp;

use crate::{
    db::{Connection, DbError, JsonText, table::select},
    ids::{Incarnation, InstanceUuid, MigrationUuid, TaskId},
    models::{Migration, MigrationKind, MigrationProgress, MigrationStatus},
    sql,
};

/// Takes a migration over as it was seen: same status, same owner. Says whether it was still so.
pub async fn take(connection: &mut Connection, seen: &Migration, owner: Incarnation) -> Result<bool, DbError> {
    sql!(
        "UPDATE migrations SET owner = " (owner) " WHERE uuid = " (seen.uuid) " AND status = " (seen.status)
        " AND owner IS NOT DISTINCT FROM " (seen.owner)
    )
    .execute_one(connection)
    .await
}

/// Leaves a migration with this status to whoever holds it then. Nothing, if it has another one already.
pub async fn leave(
    connection: &mut Connection,
    uuid: MigrationUuid,
    owner: Incarnation,
    status: MigrationStatus,
) -> Result<(), DbError> {
    sql!(
        "UPDATE migrations SET owner = NULL, updated_at = " (Timestamp::now()) " WHERE uuid = " (uuid) " AND owner = " (owner)
        " AND status = " (status)
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// `accepted` → `to`, with its destination; nobody's until somebody takes it.
pub async fn set_destination(
    connection: &mut Connection,
    uuid: MigrationUuid,
    owner: Incarnation,
    to: MigrationStatus,
    destination: &str,
) -> Result<bool, DbError> {
    sql!(
        "UPDATE migrations SET status = " (to) ", destination = " (destination)
        ", owner = NULL, updated_at = " (Timestamp::now())
        " WHERE uuid = " (uuid) " AND owner = " (owner) " AND status = " (MigrationStatus::Accepted)
    )
    .execute_one(connection)
    .await
}

/// Gives a migration that is being prepared another destination, after the first one has refused.
pub async fn redirect(
    connection: &mut Connection,
    uuid: MigrationUuid,
    owner: Incarnation,
    status: MigrationStatus,
    destination: &str,
) -> Result<bool, DbError> {
    sql!(
        "UPDATE migrations SET destination = " (destination) ", updated_at = " (Timestamp::now())
        " WHERE uuid = " (uuid) " AND owner = " (owner) " AND status = " (status)
    )
    .execute_one(connection)
    .await
}

/// `queued` → `preparing` for as many live migrations from `source` as there are free places, oldest first; they are
/// `owner`'s from then on. Must run in a transaction.
pub async fn admit(
    connection: &mut Connection,
    source: &str,
    limit: i64,
    owner: Incarnation,
) -> Result<Vec<(MigrationUuid, String)>, DbError> {
    // The row of the host is the lock: without it two conductors could both count the same free place.
    sql!("UPDATE compute_nodes SET generation = generation WHERE host = "(source)).execute(connection).await?;
    let taken: i64 = sql!(
        "SELECT COUNT(*) FROM migrations WHERE source = " (source) " AND kind = " (MigrationKind::LiveMigration)
        " AND status"
    )
    .is_in(MigrationStatus::under_way().filter(|status| status.holds_slot()))
    .fetch_one(connection)
    .await?;
    let free = limit - taken;
    if free <= 0 {
        return Ok(Vec::new());
    }
    sql!(
        "UPDATE migrations SET status = " (MigrationStatus::Preparing) ", owner = " (owner)
        ", updated_at = " (Timestamp::now()) " WHERE status = " (MigrationStatus::Queued)
        " AND id IN (SELECT id FROM migrations WHERE source = " (source) " AND status = " (MigrationStatus::Queued)
        " AND owner IS NULL ORDER BY id LIMIT " (free) ") RETURNING uuid, request_id"
    )
    .fetch_all(connection)
    .await
}

/// Writes that the destination is about to be prepared, so that from now on there is something to undo; not if an abort
/// was requested. [`migrate_data`] is there from then on.
pub async fn prepare(
    connection: &mut Connection,
    uuid: MigrationUuid,
    owner: Incarnation,
    status: MigrationStatus,
    migrate_data: &str,
) -> Result<bool, DbError> {
    sql!(
        "UPDATE migrations SET migrate_data = " (JsonText(migrate_data)) ", updated_at = " (Timestamp::now())
        " WHERE uuid = " (uuid) " AND owner = " (owner) " AND status = " (status)
        " AND NOT abort_requested"
    )
    .execute_one(connection)
    .await
}

/// `from` → `to`, with what the drivers have agreed on; not if an abort was requested meanwhile.
pub async fn run(
    connection: &mut Connection,
    uuid: MigrationUuid,
    owner: Incarnation,
    from: MigrationStatus,
    to: MigrationStatus,
    migrate_data: &str,
) -> Result<bool, DbError> {
    sql!(
        "UPDATE migrations SET status = " (to) ", migrate_data = " (JsonText(migrate_data))
        ", updated_at = " (Timestamp::now()) " WHERE uuid = " (uuid) " AND owner = " (owner)
        " AND status = " (from) " AND NOT abort_requested"
    )
    .execute_one(connection)
    .await
}

/// What the drivers have agreed on so far, as [`prepare`] and [`run`] wrote it.
pub async fn migrate_data(connection: &mut Connection, uuid: MigrationUuid) -> Result<Option<String>, DbError> {
    let found: Option<Option<JsonText<String>>> =
        sql!("SELECT migrate_data FROM migrations WHERE uuid = "(uuid)).fetch_optional(connection).await?;
    Ok(found.flatten().map(|JsonText(text)| text))
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
pub async fn progress(
    connection: &mut Connection,
    progressed: &[Progressed],
) -> Result<HashSet<MigrationUuid>, DbError> {
    if progressed.is_empty() {
        return Ok(HashSet::new());
    }
    let written: Vec<MigrationUuid> = sql!(
        "UPDATE migrations SET report_seq = v.column2, memory_total = v.column3, memory_processed = v.column4, \
         memory_remaining = v.column5, disk_total = v.column6, disk_processed = v.column7, \
         disk_remaining = v.column8, updated_at = " (Timestamp::now()) " FROM ("
    )
    .rows(progressed, |Progressed { migration, seq, progress }, cells| {
        cells.bind(migration).bind(seq);
        cells.bind(&progress.memory_total).bind(&progress.memory_processed).bind(&progress.memory_remaining);
        cells.bind(&progress.disk_total).bind(&progress.disk_processed).bind(&progress.disk_remaining);
    })
    .push(") AS v WHERE uuid = v.column1 AND report_seq < v.column2 AND status")
    .is_in(MigrationStatus::under_way())
    .push(" RETURNING uuid")
    .fetch_all(connection)
    .await?;
    Ok(written.into_iter().collect())
}

/// Moves a migration from one status to another under `owner`, whoever owned it: what a report decides, or what its
/// owner finds out. Keeps the first error.
pub async fn set_status(
    connection: &mut Connection,
    uuid: MigrationUuid,
    from: MigrationStatus,
    to: MigrationStatus,
    owner: Incarnation,
    error: Option<&str>,
) -> Result<bool, DbError> {
    sql!(
        "UPDATE migrations SET status = " (to) ", owner = " (owner) ", error = COALESCE(error, " (error)
        "), updated_at = " (Timestamp::now()) " WHERE uuid = " (uuid) " AND status = " (from)
    )
    .execute_one(connection)
    .await
}

/// Begins to confirm or revert a migration that waits for it, as this operation. Says whether it still waited.
pub async fn end_finished(
    connection: &mut Connection,
    uuid: MigrationUuid,
    to: MigrationStatus,
    task_id: TaskId,
    request_id: &str,
) -> Result<bool, DbError> {
    sql!(
        "UPDATE migrations SET status = " (to) ", task_id = " (task_id) ", request_id = " (request_id)
        ", updated_at = " (Timestamp::now()) " WHERE uuid = " (uuid) " AND status = " (MigrationStatus::Finished)
    )
    .execute_one(connection)
    .await
}

/// Ends a migration that is `owner`'s. Keeps the first error.
pub async fn finish(
    connection: &mut Connection,
    uuid: MigrationUuid,
    owner: Incarnation,
    status: MigrationStatus,
    error: Option<&str>,
) -> Result<bool, DbError> {
    sql!(
        "UPDATE migrations SET status = " (status) ", error = COALESCE(error, " (error)
        "), owner = NULL, migrate_data = NULL, updated_at = " (Timestamp::now())
        " WHERE uuid = " (uuid) " AND owner = " (owner) " AND status"
    )
    .is_in(MigrationStatus::under_way())
    .execute_one(connection)
    .await
}

/// The migrations from or to this host that have not ended.
pub async fn under_way_on(connection: &mut Connection, host: &str) -> Result<Vec<Migration>, DbError> {
    select::<Migration>()
        .append(sql!(" WHERE (source = " (host) " AND status"))
        .is_in(MigrationStatus::under_way())
        .append(sql!(") OR (destination = " (host) " AND status"))
        .is_in(MigrationStatus::under_way())
        .push(")")
        .fetch_all(connection)
        .await
}

/// The migrations of these instances that have not ended.
pub async fn under_way_of(connection: &mut Connection, instances: &[InstanceUuid]) -> Result<Vec<Migration>, DbError> {
    if instances.is_empty() {
        return Ok(Vec::new());
    }
    select::<Migration>()
        .push(" WHERE status")
        .is_in(MigrationStatus::under_way())
        .push(" AND instance_uuid")
        .is_in(instances)
        .fetch_all(connection)
        .await
}
