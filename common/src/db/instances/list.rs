//! What is shown of many instances at once.

use std::collections::HashMap;

use crate::{
    db::{Connection, DbError, Json},
    ids::InstanceUuid,
    lifecycle::TaskState,
    models::RequestSpec,
    sql,
};

/// What the schedulers were asked for, for each of these instances.
pub async fn request_specs(
    connection: &mut Connection,
    uuids: &[InstanceUuid],
) -> Result<Vec<(InstanceUuid, RequestSpec)>, DbError> {
    if uuids.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<(InstanceUuid, Json<RequestSpec>)> =
        sql!("SELECT uuid, request_spec FROM instances WHERE uuid").is_in(uuids).fetch_all(connection).await?;
    Ok(rows.into_iter().map(|(uuid, Json(spec))| (uuid, spec)).collect())
}

/// How many instances are on each of these hosts, and how many of them have something under way.
pub async fn load_by_host(connection: &mut Connection, hosts: &[&str]) -> Result<Vec<(String, i64, i64)>, DbError> {
    sql!("SELECT host, COUNT(*), COUNT(task_state) FROM instances WHERE deleted_at IS NULL AND host")
        .is_in(hosts)
        .push(" GROUP BY host")
        .fetch_all(connection)
        .await
}

/// How many builds and moves are under way on each host that has some.
pub async fn io_ops_by_host(connection: &mut Connection) -> Result<HashMap<String, i64>, DbError> {
    const IO: [TaskState; 6] = [
        TaskState::Scheduling,
        TaskState::BlockDeviceMapping,
        TaskState::Networking,
        TaskState::Spawning,
        TaskState::ResizePrep,
        TaskState::ResizeMigrating,
    ];
    let counted: Vec<(String, i64)> =
        sql!("SELECT host, COUNT(*) FROM instances WHERE deleted_at IS NULL AND host IS NOT NULL AND task_state")
            .is_in(IO)
            .push(" GROUP BY host")
            .fetch_all(connection)
            .await?;
    Ok(counted.into_iter().collect())
}

/// The instances on these hosts, each with its host and its name, oldest first.
pub async fn on_hosts(
    connection: &mut Connection,
    hosts: &[&str],
) -> Result<Vec<(String, InstanceUuid, String)>, DbError> {
    sql!("SELECT host, uuid, name FROM instances WHERE deleted_at IS NULL AND host")
        .is_in(hosts)
        .push(" ORDER BY created_at, uuid")
        .fetch_all(connection)
        .await
}
