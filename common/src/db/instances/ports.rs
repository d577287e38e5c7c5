//! What Networking has given instances, and what is to be given back.

use jiff::Timestamp;

use crate::{
    db::{Connection, DbError, Json},
    ids::{Incarnation, InstanceUuid, TaskId},
    lifecycle::VmState,
    models::{NetworkInfo, RequestSpec},
    sql,
};

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
            ") AS v WHERE uuid = v.column1 AND task_id = v.column2 AND owner = " (owner)
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
/// Oldest first, at most `limit`.
pub async fn to_give_back(
    connection: &mut Connection,
    limit: i64,
) -> Result<Vec<(InstanceUuid, Vec<String>)>, DbError> {
    let deleted = sql!("has_ports = " (true) " AND deleted_at IS NOT NULL ORDER BY deleted_at LIMIT " (limit));
    let failed = sql!(
        "has_ports = " (true) " AND deleted_at IS NULL AND vm_state = " (VmState::Error)
        " AND host IS NULL AND task_state IS NULL ORDER BY updated_at LIMIT " (limit)
    );
    let mut found = Vec::new();
    for which in [deleted, failed] {
        let rows: Vec<(InstanceUuid, Json<NetworkInfo>, Json<RequestSpec>)> =
            sql!("SELECT uuid, network_info, request_spec FROM instances WHERE ")
                .append(which)
                .fetch_all(connection)
                .await?;
        found.extend(rows.into_iter().map(|(uuid, Json(info), Json(spec))| (uuid, kept(&info, &spec))));
    }
    Ok(found)
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

/// Writes that these instances have no ports any more. Only those that have been deleted or have failed since before
/// `settled`: a scheduler that had begun to ask for ports before may still be doing so.
pub async fn given_back(
    connection: &mut Connection,
    instances: &[InstanceUuid],
    settled: Timestamp,
) -> Result<(), DbError> {
    if instances.is_empty() {
        return Ok(());
    }
    sql!(
        "UPDATE instances SET has_ports = " (false) ", network_info = " (Json(NetworkInfo::default()))
        " WHERE (deleted_at < " (settled) " OR deleted_at IS NULL AND vm_state = " (VmState::Error)
        " AND host IS NULL AND task_state IS NULL AND updated_at < " (settled) ") AND uuid"
    )
    .is_in(instances)
    .execute(connection)
    .await?;
    Ok(())
}
