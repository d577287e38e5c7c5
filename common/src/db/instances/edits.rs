//! What people change by hand: names and addresses, metadata, locks, and the state itself.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{plausible_seq, request_spec};
use crate::{
    db::{Connection, DbError, Json},
    ids::InstanceUuid,
    lifecycle::VmState,
    models::{Instance, LockedBy},
    sql,
};

/// What a user may change by `PUT /servers/{id}`. `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// Display name.
    pub name: Option<String>,
    /// Free text, or none.
    pub description: Option<Option<String>>,
    /// The guest's host name.
    pub hostname: Option<String>,
    /// See [`Instance::access_ip_v4`].
    pub access_ip_v4: Option<String>,
    /// See [`Instance::access_ip_v6`].
    pub access_ip_v6: Option<String>,
    /// See [`Instance::auto_disk_config`].
    pub auto_disk_config: Option<bool>,
}

/// Changes an instance. Says whether it is there.
pub async fn update(connection: &mut Connection, uuid: InstanceUuid, edit: &Edit) -> Result<bool, DbError> {
    let mut sql = sql!("UPDATE instances SET updated_at = "(Timestamp::now()));
    let texts = [
        (", name = ", &edit.name),
        (", hostname = ", &edit.hostname),
        (", access_ip_v4 = ", &edit.access_ip_v4),
        (", access_ip_v6 = ", &edit.access_ip_v6),
    ];
    for (column, text) in texts {
        if let Some(text) = text {
            sql.push(column).bind(text);
        }
    }
    if let Some(description) = &edit.description {
        sql.push(", description = ").bind(description);
    }
    if let Some(auto) = &edit.auto_disk_config {
        sql.push(", auto_disk_config = ").bind(auto);
    }
    sql.push(" WHERE deleted_at IS NULL AND uuid = ").bind(&uuid).execute_one(connection).await
}

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

/// Writes the zone that an instance may be moved within, where its request is kept too; `None`: all. The caller has the row
/// locked.
pub async fn pin(connection: &mut Connection, uuid: InstanceUuid, zone: Option<&str>) -> Result<(), DbError> {
    let Some(mut spec) = request_spec(connection, uuid).await? else { return Ok(()) };
    spec.availability_zone = zone.map(ToOwned::to_owned);
    sql!("UPDATE instances SET requested_zone = " (zone) ", request_spec = " (Json(&spec)) " WHERE uuid = " (uuid))
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes when an instance was put aside, to be deleted later; `None`: it is brought back.
pub async fn set_soft_deleted(
    connection: &mut Connection,
    uuid: InstanceUuid,
    at: Option<Timestamp>,
) -> Result<(), DbError> {
    sql!("UPDATE instances SET soft_deleted_at = " (at) " WHERE uuid = " (uuid)).execute(connection).await?;
    Ok(())
}

/// Writes a state as an administrator knows it to be, and forgets what was under way. Reports of that are then out of
/// date, and dropped. Says whether the instance was still as it was read.
pub async fn reset_state(connection: &mut Connection, before: &Instance, vm_state: VmState) -> Result<bool, DbError> {
    sql!(
        "UPDATE instances SET vm_state = " (vm_state) ", task_state = NULL, task_id = NULL, task_request_id = NULL, \
         owner = NULL, report_seq = " (plausible_seq(before)) ", updated_at = " (Timestamp::now())
        " WHERE uuid = " (before.uuid) " AND deleted_at IS NULL AND vm_state = " (before.vm_state)
        " AND task_state IS NOT DISTINCT FROM " (before.task_state)
        " AND task_id IS NOT DISTINCT FROM " (before.task_id)
    )
    .execute_one(connection)
    .await
}
