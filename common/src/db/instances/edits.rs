//! What people change by hand: metadata, locks, and the state itself.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    db::{Connection, DbError, Json},
    ids::InstanceUuid,
    lifecycle::VmState,
    models::{Instance, LockedBy},
    sql,
};

/// Replaces an instance's metadata, if it is still what it was read as. Says whether it was.
pub async fn replace_metadata(
    connection: &mut Connection,
    before: &Instance,
    metadata: &BTreeMap<String, String>,
) -> Result<bool, DbError> {
    sql!(
        "UPDATE instances SET metadata = " (Json(metadata)) ", updated_at = " (Timestamp::now())
        " WHERE uuid = " (before.uuid) " AND metadata = " (Json(&before.metadata)) " AND deleted_at IS NULL"
    )
    .execute_one(connection)
    .await
}

/// Writes who has locked an instance, and why; `None`: nobody. Says whether the instance is there.
pub async fn set_lock(
    connection: &mut Connection,
    uuid: InstanceUuid,
    locked_by: Option<LockedBy>,
    reason: Option<&str>,
) -> Result<bool, DbError> {
    sql!(
        "UPDATE instances SET locked_by = " (locked_by) ", locked_reason = " (reason) ", updated_at = "
        (Timestamp::now()) " WHERE uuid = " (uuid) " AND deleted_at IS NULL"
    )
    .execute_one(connection)
    .await
}

/// Writes a state as an administrator knows it to be, and forgets what was under way. Reports of that are then out of
/// date, and dropped. Says whether the instance was still as it was read.
pub async fn reset_state(connection: &mut Connection, before: &Instance, vm_state: VmState) -> Result<bool, DbError> {
    sql!(
        "UPDATE instances SET vm_state = " (vm_state) ", task_state = NULL, task_id = NULL, task_request_id = NULL, \
         owner = NULL, updated_at = " (Timestamp::now())
        " WHERE uuid = " (before.uuid) " AND deleted_at IS NULL AND vm_state = " (before.vm_state)
        " AND task_state IS NOT DISTINCT FROM " (before.task_state)
        " AND task_id IS NOT DISTINCT FROM " (before.task_id)
    )
    .execute_one(connection)
    .await
}
