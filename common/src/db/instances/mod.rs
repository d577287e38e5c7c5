//! Instances: their rows, and the compare-and-swap that begins and ends each operation.
//!
//! `edits` holds what people change by hand, `list` what the API lists, `transitions` what schedulers and conductors change.

pub mod edits;
pub mod list;
pub mod transitions;

use jiff::Timestamp;
use sqlx::any::AnyRow;

use super::{
    Connection, DbError,
    row::{Columns, json, micros},
    sql::Sql,
};
use crate::{
    ids::{InstanceUuid, TaskId},
    lifecycle::{PowerState, TaskState, VmState},
    models::{Fault, Instance, RequestSpec},
};

/// Every column of [`Instance`], in one place; `SELECT` lists begin with it.
pub(super) const COLUMNS: &str = "uuid, project_id, user_id, name, description, hostname, image_ref, flavor, metadata, \
     requested_zone, user_data, key_name, config_drive, reservation_id, launch_index, host, availability_zone, \
     vm_state, task_state, power_state, task_id, task_request_id, owner, report_seq, attempts, created_at, \
     updated_at, launched_at, terminated_at, deleted_at";

pub(super) fn instance(row: &AnyRow) -> Result<Instance, DbError> {
    let power_state = row.int("power_state")?;
    Ok(Instance {
        uuid: row.parsed("uuid")?,
        project_id: row.text("project_id")?,
        user_id: row.text("user_id")?,
        name: row.text("name")?,
        description: row.text_or_null("description")?,
        hostname: row.text("hostname")?,
        image_ref: row.text_or_null("image_ref")?,
        flavor: row.json("flavor")?,
        metadata: row.json("metadata")?,
        requested_zone: row.text_or_null("requested_zone")?,
        user_data: row.text_or_null("user_data")?,
        key_name: row.text_or_null("key_name")?,
        config_drive: row.flag("config_drive")?,
        reservation_id: row.text("reservation_id")?,
        launch_index: row.int("launch_index")?,
        host: row.text_or_null("host")?,
        availability_zone: row.text_or_null("availability_zone")?,
        vm_state: row.parsed("vm_state")?,
        task_state: row.parsed_or_null("task_state")?,
        power_state: PowerState::try_from(power_state).map_err(|reason| DbError::Corrupt {
            column: "power_state",
            value: power_state.to_string(),
            reason,
        })?,
        task_id: row.parsed_or_null("task_id")?,
        task_request_id: row.text_or_null("task_request_id")?,
        owner: row.parsed_or_null("owner")?,
        report_seq: row.int("report_seq")?,
        attempts: row.int("attempts")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        launched_at: row.time_or_null("launched_at")?,
        terminated_at: row.time_or_null("terminated_at")?,
        deleted_at: row.time_or_null("deleted_at")?,
    })
}

/// Writes new instances, all in one statement.
///
/// # Errors
/// Those of the database.
pub async fn insert(
    connection: &mut Connection,
    instances: &[Instance],
    request_spec: &RequestSpec,
) -> Result<(), DbError> {
    if instances.is_empty() {
        return Ok(());
    }
    let request_spec = json("request_spec", request_spec)?;
    let mut sql = Sql::new(
        "INSERT INTO instances (uuid, project_id, user_id, name, description, hostname, image_ref, flavor, metadata, \
         request_spec, requested_zone, user_data, key_name, config_drive, reservation_id, launch_index, vm_state, \
         task_state, power_state, task_id, task_request_id, created_at, updated_at) VALUES ",
    );
    for (index, new) in instances.iter().enumerate() {
        sql.push(if index == 0 { "(" } else { ", (" });
        sql.bind(new.uuid.to_string())?.push(", ");
        sql.bind(new.project_id.clone())?.push(", ");
        sql.bind(new.user_id.clone())?.push(", ");
        sql.bind(new.name.clone())?.push(", ");
        sql.bind(new.description.clone())?.push(", ");
        sql.bind(new.hostname.clone())?.push(", ");
        sql.bind(new.image_ref.clone())?.push(", ");
        sql.bind(json("flavor", &new.flavor)?)?.push(", ");
        sql.bind(json("metadata", &new.metadata)?)?.push(", ");
        sql.bind(request_spec.clone())?.push(", ");
        sql.bind(new.requested_zone.clone())?.push(", ");
        sql.bind(new.user_data.clone())?.push(", ");
        sql.bind(new.key_name.clone())?.push(", ");
        sql.bind(i64::from(new.config_drive))?.push(", ");
        sql.bind(new.reservation_id.clone())?.push(", ");
        sql.bind(new.launch_index)?.push(", ");
        sql.bind(new.vm_state.as_str())?.push(", ");
        sql.bind(new.task_state.map(TaskState::as_str))?.push(", ");
        sql.bind(new.power_state.number())?.push(", ");
        sql.bind(new.task_id.map(|id| id.to_string()))?.push(", ");
        sql.bind(new.task_request_id.clone())?.push(", ");
        sql.bind(micros(new.created_at))?.push(", ");
        sql.bind(micros(new.updated_at))?.push(")");
    }
    sql.execute(connection).await?;
    Ok(())
}

/// Removes instances that were never cast, as if they had not been asked for. Only those that no one has taken up.
///
/// # Errors
/// Those of the database.
pub async fn remove_uncast(connection: &mut Connection, instances: &[InstanceUuid]) -> Result<(), DbError> {
    if instances.is_empty() {
        return Ok(());
    }
    let ids = || instances.iter().map(ToString::to_string);
    let mut actions = Sql::new("DELETE FROM instance_actions WHERE instance_uuid IN ");
    actions.bind_list(ids())?.push(
        " AND instance_uuid IN (SELECT uuid FROM instances WHERE task_state = 'scheduling' AND host IS NULL AND \
         owner IS NULL)",
    );
    actions.execute(connection).await?;
    let mut rows = Sql::new("DELETE FROM instances WHERE uuid IN ");
    rows.bind_list(ids())?.push(" AND task_state = 'scheduling' AND host IS NULL AND owner IS NULL");
    rows.execute(connection).await?;
    Ok(())
}

/// An instance that is not deleted.
///
/// # Errors
/// Those of the database.
pub async fn get(connection: &mut Connection, uuid: InstanceUuid) -> Result<Option<Instance>, DbError> {
    Ok(get_with_deleted(connection, uuid).await?.filter(|instance| instance.deleted_at.is_none()))
}

/// An instance, deleted ones too.
///
/// # Errors
/// Those of the database.
pub async fn get_with_deleted(connection: &mut Connection, uuid: InstanceUuid) -> Result<Option<Instance>, DbError> {
    let mut sql = Sql::new("SELECT ");
    sql.push(COLUMNS).push(" FROM instances WHERE uuid = ").bind(uuid.to_string())?;
    sql.fetch_all(connection).await?.first().map(instance).transpose()
}

/// Several instances at once, deleted ones too, in no order.
///
/// # Errors
/// Those of the database.
pub async fn get_many(connection: &mut Connection, uuids: &[InstanceUuid]) -> Result<Vec<Instance>, DbError> {
    let mut found = Vec::with_capacity(uuids.len());
    // SQLite takes at most 32766 bound values; a list this long is read in parts.
    for part in uuids.chunks(1000) {
        let mut sql = Sql::new("SELECT ");
        sql.push(COLUMNS).push(" FROM instances WHERE uuid IN ");
        sql.bind_list(part.iter().map(ToString::to_string))?;
        for row in sql.fetch_all(connection).await? {
            found.push(instance(&row)?);
        }
    }
    Ok(found)
}

/// The instances, not deleted, whose rows name this host.
///
/// # Errors
/// Those of the database.
pub async fn on_host(connection: &mut Connection, host: &str) -> Result<Vec<Instance>, DbError> {
    let mut sql = Sql::new("SELECT ");
    sql.push(COLUMNS).push(" FROM instances WHERE deleted_at IS NULL AND host = ").bind(host.to_owned())?;
    sql.fetch_all(connection).await?.iter().map(instance).collect()
}

/// What the scheduler was asked for.
///
/// # Errors
/// Those of the database.
pub async fn request_spec(connection: &mut Connection, uuid: InstanceUuid) -> Result<Option<RequestSpec>, DbError> {
    let row = sqlx::query("SELECT request_spec FROM instances WHERE uuid = $1")
        .bind(uuid.to_string())
        .fetch_optional(connection)
        .await?;
    row.map(|row| row.json("request_spec")).transpose()
}

/// Begins an operation: sets `task_state`, `task_id` and the request, if the states are still those that were checked.
/// Says whether they were.
///
/// # Errors
/// Those of the database.
pub async fn begin_task(
    connection: &mut Connection,
    checked: &Instance,
    task_state: TaskState,
    task_id: TaskId,
    request_id: &str,
) -> Result<bool, DbError> {
    let changed = sqlx::query(
        "UPDATE instances SET task_state = $1, task_id = $2, task_request_id = $3, owner = NULL, updated_at = $4 \
         WHERE uuid = $5 AND deleted_at IS NULL AND vm_state = $6 AND task_state IS NOT DISTINCT FROM $7 \
         AND task_id IS NOT DISTINCT FROM $8 AND host IS NOT DISTINCT FROM $9",
    )
    .bind(task_state.as_str())
    .bind(task_id.to_string())
    .bind(request_id.to_owned())
    .bind(micros(Timestamp::now()))
    .bind(checked.uuid.to_string())
    .bind(checked.vm_state.as_str())
    .bind(checked.task_state.map(TaskState::as_str))
    .bind(checked.task_id.map(|id| id.to_string()))
    .bind(checked.host.clone())
    .execute(connection)
    .await?
    .rows_affected();
    Ok(changed == 1)
}

/// Takes back an operation that could not be handed over: the states are again as before it. Says whether it was
/// still this operation's.
///
/// # Errors
/// Those of the database.
pub async fn abandon_task(connection: &mut Connection, before: &Instance, task_id: TaskId) -> Result<bool, DbError> {
    let changed = sqlx::query(
        "UPDATE instances SET task_state = $1, task_id = $2, task_request_id = $3, updated_at = $4 \
         WHERE uuid = $5 AND task_id = $6",
    )
    .bind(before.task_state.map(TaskState::as_str))
    .bind(before.task_id.map(|id| id.to_string()))
    .bind(before.task_request_id.clone())
    .bind(micros(Timestamp::now()))
    .bind(before.uuid.to_string())
    .bind(task_id.to_string())
    .execute(connection)
    .await?
    .rows_affected();
    Ok(changed == 1)
}

/// Ends the operation under way: no task, and the new `vm_state` if one is given. Says whether it was still this
/// operation's.
///
/// # Errors
/// Those of the database.
pub async fn end_task(
    connection: &mut Connection,
    uuid: InstanceUuid,
    task_id: TaskId,
    vm_state: Option<VmState>,
) -> Result<bool, DbError> {
    let changed = sqlx::query(
        "UPDATE instances SET task_state = NULL, task_id = NULL, task_request_id = NULL, owner = NULL, \
         vm_state = COALESCE($1, vm_state), updated_at = $2 WHERE uuid = $3 AND task_id = $4",
    )
    .bind(vm_state.map(VmState::as_str))
    .bind(micros(Timestamp::now()))
    .bind(uuid.to_string())
    .bind(task_id.to_string())
    .execute(connection)
    .await?
    .rows_affected();
    Ok(changed == 1)
}

/// Marks instances as deleted; their rows stay for what the API shows of deleted servers.
///
/// # Errors
/// Those of the database.
pub async fn mark_deleted(connection: &mut Connection, uuids: &[InstanceUuid]) -> Result<(), DbError> {
    if uuids.is_empty() {
        return Ok(());
    }
    let now = micros(Timestamp::now());
    let mut sql = Sql::new("UPDATE instances SET vm_state = 'deleted', task_state = NULL, task_id = NULL, ");
    sql.push("task_request_id = NULL, owner = NULL, host = NULL, power_state = 0, terminated_at = ").bind(now)?;
    sql.push(", deleted_at = ").bind(now)?;
    sql.push(", updated_at = ").bind(now)?;
    sql.push(" WHERE deleted_at IS NULL AND uuid IN ").bind_list(uuids.iter().map(ToString::to_string))?;
    sql.execute(connection).await?;
    Ok(())
}

/// Changes what a user may change by `PUT /servers/{id}`. `None` leaves a field as it is.
///
/// # Errors
/// Those of the database.
pub async fn update_names(
    connection: &mut Connection,
    uuid: InstanceUuid,
    name: Option<&str>,
    description: Option<Option<&str>>,
    hostname: Option<&str>,
) -> Result<bool, DbError> {
    let mut sql = Sql::new("UPDATE instances SET updated_at = ");
    sql.bind(micros(Timestamp::now()))?;
    if let Some(name) = name {
        sql.push(", name = ").bind(name.to_owned())?;
    }
    if let Some(description) = description {
        sql.push(", description = ").bind(description.map(ToOwned::to_owned))?;
    }
    if let Some(hostname) = hostname {
        sql.push(", hostname = ").bind(hostname.to_owned())?;
    }
    sql.push(" WHERE deleted_at IS NULL AND uuid = ").bind(uuid.to_string())?;
    Ok(sql.execute(connection).await?.rows_affected() == 1)
}

/// Writes a fault.
///
/// # Errors
/// Those of the database.
pub async fn add_fault(connection: &mut Connection, uuid: InstanceUuid, fault: &Fault) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO instance_faults (instance_uuid, code, message, details, created_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(uuid.to_string())
    .bind(fault.code)
    .bind(fault.message.clone())
    .bind(fault.details.clone())
    .bind(micros(fault.created_at))
    .execute(connection)
    .await?;
    Ok(())
}

/// The newest fault of each of these instances.
///
/// # Errors
/// Those of the database.
pub async fn faults(
    connection: &mut Connection,
    uuids: &[InstanceUuid],
) -> Result<Vec<(InstanceUuid, Fault)>, DbError> {
    if uuids.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = Sql::new(
        "SELECT instance_uuid, code, message, details, created_at FROM instance_faults WHERE id IN \
         (SELECT MAX(id) FROM instance_faults WHERE instance_uuid IN ",
    );
    sql.bind_list(uuids.iter().map(ToString::to_string))?.push(" GROUP BY instance_uuid)");
    sql.fetch_all(connection)
        .await?
        .iter()
        .map(|row| {
            Ok((
                row.parsed("instance_uuid")?,
                Fault {
                    code: row.int("code")?,
                    message: row.text("message")?,
                    details: row.text_or_null("details")?,
                    created_at: row.time("created_at")?,
                },
            ))
        })
        .collect()
}
