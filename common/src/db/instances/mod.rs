//! Instances: their rows, and the compare-and-swap that begins and ends each operation.
//!
//! `edits` holds what people change by hand, `faults` why operations failed, `list` what the API lists, `ports` what
//! Networking has given them, `transitions` what schedulers and conductors change.

pub mod edits;
mod faults;
pub mod list;
pub mod network_refresh;
pub mod ports;
pub mod transitions;

use jiff::Timestamp;

pub use self::faults::{add_fault, faults};
use super::{Connection, DbError, Json, Table, table::select};
use crate::{
    ids::{InstanceUuid, TaskId},
    lifecycle::{PowerState, TaskState, VmState},
    models::{Instance, RequestSpec},
    sql, table,
};

table! {
    Instance in "instances", key uuid "uuid";
    uuid,
    project_id,
    user_id,
    name,
    description,
    hostname,
    image_ref,
    flavor as Json,
    metadata as Json,
    requested_zone,
    user_data,
    key_name,
    config_drive,
    reservation_id,
    launch_index,
    host,
    availability_zone,
    vm_state,
    task_state,
    power_state,
    task_id,
    task_request_id,
    owner,
    report_seq,
    attempts,
    created_at,
    updated_at,
    launched_at,
    terminated_at,
    deleted_at,
    locked_by,
    locked_reason,
    network_info as Json,
    has_ports,
    access_ip_v4,
    access_ip_v6,
    auto_disk_config,
    trusted_certs as Json,
}

/// Writes new instances that were asked for together, all in one statement.
pub async fn insert(
    connection: &mut Connection,
    instances: &[Instance],
    request_spec: &RequestSpec,
) -> Result<(), DbError> {
    let rows: Vec<_> = instances.iter().map(|instance| (instance, request_spec)).collect();
    insert_each(connection, &rows).await
}

/// Writes new instances, each with what the scheduler is asked for, all in one statement.
pub async fn insert_each(connection: &mut Connection, rows: &[(&Instance, &RequestSpec)]) -> Result<(), DbError> {
    if rows.is_empty() {
        return Ok(());
    }
    sql!("INSERT INTO instances (request_spec, vcpus, memory_mb, ")
        .push(Instance::INSERTED)
        .push(") ")
        .rows(rows, |(instance, request_spec), cells| {
            // What quotas count stands beside the flavor, so that an index can have it.
            cells.bind(&Json(request_spec)).bind(&instance.flavor.vcpus).bind(&instance.flavor.memory_mb);
            instance.bind(cells);
        })
        .execute(connection)
        .await?;
    Ok(())
}

/// An instance that is not deleted.
pub async fn get(connection: &mut Connection, uuid: InstanceUuid) -> Result<Option<Instance>, DbError> {
    Ok(get_with_deleted(connection, uuid).await?.filter(|instance| instance.deleted_at.is_none()))
}

/// An instance, deleted ones too.
pub async fn get_with_deleted(connection: &mut Connection, uuid: InstanceUuid) -> Result<Option<Instance>, DbError> {
    select::<Instance>().push(" WHERE uuid = ").bind(&uuid).fetch_optional(connection).await
}

/// Several instances at once, deleted ones too, in no order.
pub async fn get_many(connection: &mut Connection, uuids: &[InstanceUuid]) -> Result<Vec<Instance>, DbError> {
    let mut found = Vec::with_capacity(uuids.len());
    // SQLite takes at most 32766 bound values; a list this long is read in parts.
    for part in uuids.chunks(1000) {
        found.extend(select::<Instance>().push(" WHERE uuid").is_in(part).fetch_all::<Instance>(connection).await?);
    }
    Ok(found)
}

/// The instances, not deleted, whose rows name this host.
pub async fn on_host(connection: &mut Connection, host: &str) -> Result<Vec<Instance>, DbError> {
    select::<Instance>().push(" WHERE deleted_at IS NULL AND host = ").bind(host).fetch_all(connection).await
}

/// What the scheduler was asked for.
pub async fn request_spec(connection: &mut Connection, uuid: InstanceUuid) -> Result<Option<RequestSpec>, DbError> {
    let found: Option<Json<RequestSpec>> =
        sql!("SELECT request_spec FROM instances WHERE uuid = "(uuid)).fetch_optional(connection).await?;
    Ok(found.map(|Json(spec)| spec))
}

/// Locks rows that one transaction is going to change, in the order of their ids: whoever changes several does it in this
/// order, so that two never wait for each other in a circle, which PostgreSQL notices only after a second.
pub async fn lock_in_order(connection: &mut Connection, uuids: &[InstanceUuid]) -> Result<(), DbError> {
    // One row is no order.
    if uuids.len() < 2 || !connection.locks_rows() {
        return Ok(());
    }
    let _locked: Vec<InstanceUuid> = sql!("SELECT uuid FROM instances WHERE uuid")
        .is_in(uuids)
        .push(" ORDER BY uuid FOR UPDATE")
        .fetch_all(connection)
        .await?;
    Ok(())
}

/// The number of the last report, unless it is above any that the host's reports could have now: then they would be
/// dropped, and the operation would never end.
fn plausible_seq(instance: &Instance) -> i64 {
    if instance.report_seq > Timestamp::now().as_microsecond() { 0 } else { instance.report_seq }
}

/// Begins an operation: sets `task_state`, `task_id` and the request, if the states are still those that were checked.
/// Says whether they were.
pub async fn begin_task(
    connection: &mut Connection,
    checked: &Instance,
    task_state: TaskState,
    task_id: TaskId,
    request_id: &str,
) -> Result<bool, DbError> {
    sql!(
        "UPDATE instances SET task_state = " (task_state) ", task_id = " (task_id) ", task_request_id = " (request_id)
        ", owner = NULL, report_seq = " (plausible_seq(checked)) ", updated_at = " (Timestamp::now())
        " WHERE uuid = " (checked.uuid) " AND deleted_at IS NULL AND vm_state = " (checked.vm_state)
        " AND task_state IS NOT DISTINCT FROM " (checked.task_state)
        " AND task_id IS NOT DISTINCT FROM " (checked.task_id) " AND host IS NOT DISTINCT FROM " (checked.host)
    )
    .execute_one(connection)
    .await
}

/// Writes how far the operation under way is. Nothing, if it is no longer this one.
pub async fn set_task_state(
    connection: &mut Connection,
    uuid: InstanceUuid,
    task_id: TaskId,
    task_state: TaskState,
) -> Result<(), DbError> {
    sql!(
        "UPDATE instances SET task_state = " (task_state) ", updated_at = " (Timestamp::now())
        " WHERE uuid = " (uuid) " AND task_id = " (task_id)
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends the operation under way: no task, and the new `vm_state` if one is given. Says whether it was still this
/// operation's.
pub async fn end_task(
    connection: &mut Connection,
    uuid: InstanceUuid,
    task_id: TaskId,
    vm_state: Option<VmState>,
) -> Result<bool, DbError> {
    sql!(
        "UPDATE instances SET task_state = NULL, task_id = NULL, task_request_id = NULL, owner = NULL, \
         vm_state = COALESCE(" (vm_state) ", vm_state), updated_at = " (Timestamp::now())
        " WHERE uuid = " (uuid) " AND task_id = " (task_id)
    )
    .execute_one(connection)
    .await
}

/// Marks instances as deleted; their rows stay for what the API shows of deleted servers.
pub async fn mark_deleted(connection: &mut Connection, uuids: &[InstanceUuid]) -> Result<(), DbError> {
    if uuids.is_empty() {
        return Ok(());
    }
    let now = Timestamp::now();
    sql!(
        "UPDATE instances SET vm_state = " (VmState::Deleted) ", task_state = NULL, task_id = NULL, \
         task_request_id = NULL, owner = NULL, host = NULL, power_state = " (PowerState::NoState)
        ", terminated_at = " (now) ", deleted_at = " (now) ", updated_at = " (now)
        " WHERE deleted_at IS NULL AND uuid"
    )
    .is_in(uuids)
    .execute(connection)
    .await?;
    Ok(())
}
