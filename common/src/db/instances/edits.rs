//! What people change by hand: metadata, and the state itself.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    db::{
        Connection, DbError,
        row::{json, micros},
    },
    lifecycle::{TaskState, VmState},
    models::Instance,
};

/// Replaces an instance's metadata, if it is still what it was read as. Says whether it was.
///
/// # Errors
/// Those of the database.
pub async fn replace_metadata(
    connection: &mut Connection,
    before: &Instance,
    metadata: &BTreeMap<String, String>,
) -> Result<bool, DbError> {
    let changed = sqlx::query(
        "UPDATE instances SET metadata = $1, updated_at = $2 WHERE uuid = $3 AND metadata = $4 AND deleted_at IS NULL",
    )
    .bind(json("metadata", metadata)?)
    .bind(micros(Timestamp::now()))
    .bind(before.uuid.to_string())
    .bind(json("metadata", &before.metadata)?)
    .execute(connection)
    .await?
    .rows_affected();
    Ok(changed == 1)
}

/// Writes a state as an administrator knows it to be, and forgets what was under way. Reports of that are then out of
/// date, and dropped. Says whether the instance was still as it was read.
///
/// # Errors
/// Those of the database.
pub async fn reset_state(connection: &mut Connection, before: &Instance, vm_state: VmState) -> Result<bool, DbError> {
    let changed = sqlx::query(
        "UPDATE instances SET vm_state = $1, task_state = NULL, task_id = NULL, task_request_id = NULL, owner = NULL, \
         updated_at = $2 WHERE uuid = $3 AND deleted_at IS NULL AND vm_state = $4 \
         AND task_state IS NOT DISTINCT FROM $5 AND task_id IS NOT DISTINCT FROM $6",
    )
    .bind(vm_state.as_str())
    .bind(micros(Timestamp::now()))
    .bind(before.uuid.to_string())
    .bind(before.vm_state.as_str())
    .bind(before.task_state.map(TaskState::as_str))
    .bind(before.task_id.map(|id| id.to_string()))
    .execute(connection)
    .await?
    .rows_affected();
    Ok(changed == 1)
}
