//! What Networking has given instances, and what is to be given back.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    db::{Connection, DbError, Json, Sql},
    ids::{Incarnation, InstanceUuid, TaskId},
    lifecycle::{PowerState, TaskState, VmState},
    models::{NetworkInfo, RequestSpec},
    sql,
};

/// How long after its end an instance may still be given ports by a scheduler that had begun to ask for them before.
pub const SETTLED_AFTER: Duration = Duration::from_secs(60);

/// What a scheduler has had for an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocated {
    /// The instance.
    pub instance: InstanceUuid,
    /// The attempt, still the scheduler's.
    pub attempt: TaskId,
    /// What Networking has given.
    pub network_info: NetworkInfo,
}

/// Writes what Networking has given for attempts that are still `owner`'s, all in one statement. Returns the instances for
/// which it was so.
pub async fn allocated(
    connection: &mut Connection,
    allocated: &[Allocated],
    owner: Incarnation,
) -> Result<Vec<InstanceUuid>, DbError> {
    if allocated.is_empty() {
        return Ok(Vec::new());
    }
    sql!("UPDATE instances SET has_ports = " (true) ", network_info = v.column3 FROM (")
        .rows(allocated, |new, cells| {
            cells.bind(&new.instance).bind(&new.attempt).bind(&Json(&new.network_info));
        })
        .append(sql!(
            ") AS v WHERE uuid = v.column1 AND task_id = v.column2 AND owner IS NOT DISTINCT FROM " (owner)
            " AND deleted_at IS NULL RETURNING uuid"
        ))
        .fetch_all(connection)
        .await
}

/// Writes what an instance has now, if nobody has written it since it was read. Says whether so.
pub async fn swap(
    connection: &mut Connection,
    instance: InstanceUuid,
    seen: &NetworkInfo,
    now: &NetworkInfo,
) -> Result<bool, DbError> {
    sql!(
        "UPDATE instances SET has_ports = " (true) ", network_info = " (Json(now)) ", updated_at = " (Timestamp::now())
        " WHERE uuid = " (instance) " AND deleted_at IS NULL AND network_info = " (Json(seen))
    )
    .execute_one(connection)
    .await
}

/// Instances that are deleted, or could not be built, and may have ports still, each with the ports that their users keep.
/// Those of which it is known that they have some, and those that ended before `settled`: nobody asks for ports for them any
/// more, whatever is known. Oldest first, at most `limit` of each kind.
pub async fn to_give_back(
    connection: &mut Connection,
    settled: Timestamp,
    limit: i64,
) -> Result<Vec<(InstanceUuid, Vec<String>)>, DbError> {
    let nothing = NetworkInfo::default();
    let deleted = sql!(
        "has_ports AND deleted_at IS NOT NULL AND (network_info <> " (Json(&nothing)) " OR deleted_at < " (settled)
        ") ORDER BY deleted_at LIMIT " (limit)
    );
    // The state as text: an index is of these rows alone, and SQLite looks no value up to see that it serves.
    let failed = sql!(
        "has_ports AND deleted_at IS NULL AND vm_state = 'error' AND host IS NULL AND task_state IS NULL \
         AND (network_info <> " (Json(&nothing)) " OR updated_at < " (settled) ") ORDER BY updated_at LIMIT " (limit)
    );
    let mut found = Vec::new();
    for which in [deleted, failed] {
        found.extend(kept_of(connection, which).await?);
    }
    Ok(found)
}

/// These instances, each with the ports that its user keeps.
pub async fn of_gone(
    connection: &mut Connection,
    instances: &[InstanceUuid],
) -> Result<Vec<(InstanceUuid, Vec<String>)>, DbError> {
    let mut which = sql!("deleted_at IS NULL AND uuid");
    which.is_in(instances);
    kept_of(connection, which).await
}

async fn kept_of(connection: &mut Connection, which: Sql) -> Result<Vec<(InstanceUuid, Vec<String>)>, DbError> {
    let rows: Vec<(InstanceUuid, Json<NetworkInfo>, Json<RequestSpec>)> =
        sql!("SELECT uuid, network_info, request_spec FROM instances WHERE ")
            .append(which)
            .fetch_all(connection)
            .await?;
    Ok(rows.into_iter().map(|(uuid, Json(info), Json(spec))| (uuid, kept(&info, &spec))).collect())
}

/// The ports of an instance that are its user's: brought when it was made, or attached later.
#[must_use]
pub fn kept(info: &NetworkInfo, spec: &RequestSpec) -> Vec<String> {
    let brought = spec.networks.vifs.iter().filter_map(|vif| vif.port_id.clone());
    let mut kept: Vec<String> = brought.chain(info.preserved()).collect();
    kept.sort_unstable();
    kept.dedup();
    kept
}

/// Writes that the ports of these instances, which are deleted or could not be built, are given back. Those that ended
/// after `settled` are looked at once more: a scheduler that had begun to ask for ports before may still be doing so.
pub async fn given_back(
    connection: &mut Connection,
    instances: &[InstanceUuid],
    settled: Timestamp,
) -> Result<(), DbError> {
    if instances.is_empty() {
        return Ok(());
    }
    sql!(
        "UPDATE instances SET network_info = " (Json(NetworkInfo::default()))
        ", has_ports = (COALESCE(deleted_at, updated_at) >= " (settled)
        ") WHERE (deleted_at IS NOT NULL OR vm_state = " (VmState::Error)
        " AND host IS NULL AND task_state IS NULL) AND uuid"
    )
    .is_in(instances)
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes instances from their hosts, which have nothing of them any more: they are deleted once their ports are given
/// back. Nothing but that is under way on them.
pub async fn leave_host(connection: &mut Connection, instances: &[InstanceUuid]) -> Result<(), DbError> {
    if instances.is_empty() {
        return Ok(());
    }
    sql!(
        "UPDATE instances SET host = NULL, owner = NULL, power_state = " (PowerState::NoState) ", updated_at = "
        (Timestamp::now()) " WHERE deleted_at IS NULL AND task_state = " (TaskState::Deleting) " AND uuid"
    )
    .is_in(instances)
    .execute(connection)
    .await?;
    Ok(())
}

/// Those of these instances that have left their hosts and wait to be marked as deleted.
pub async fn left_hosts(connection: &mut Connection, instances: &[InstanceUuid]) -> Result<Vec<InstanceUuid>, DbError> {
    sql!("SELECT uuid FROM instances WHERE deleted_at IS NULL AND host IS NULL AND task_state = "
        (TaskState::Deleting) " AND uuid")
    .is_in(instances)
    .fetch_all(connection)
    .await
}

/// Writes that nothing is left of these instances' ports: nobody can be asking for any.
pub async fn none_left(connection: &mut Connection, instances: &[InstanceUuid]) -> Result<(), DbError> {
    if instances.is_empty() {
        return Ok(());
    }
    sql!("UPDATE instances SET has_ports = " (false) ", network_info = " (Json(NetworkInfo::default())) " WHERE uuid")
        .is_in(instances)
        .execute(connection)
        .await?;
    Ok(())
}
