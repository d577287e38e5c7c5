//! An instance that goes to another host.

use jiff::Timestamp;

use crate::{
    db::{Connection, DbError},
    ids::{InstanceUuid, TaskId},
    sql,
};

/// Writes that an instance is on another host now, within the same operation. Reports are counted anew, since they are
/// another host's. Says whether it was still that operation's, on the old host.
pub async fn switch_host(
    connection: &mut Connection,
    instance: InstanceUuid,
    task_id: TaskId,
    from: &str,
    to: &str,
    zone: &str,
) -> Result<bool, DbError> {
    sql!(
        "UPDATE instances SET host = " (to) ", availability_zone = " (zone) ", report_seq = 0, updated_at = "
        (Timestamp::now()) " WHERE uuid = " (instance) " AND task_id = " (task_id) " AND host IS NOT DISTINCT FROM "
        (from) " AND deleted_at IS NULL"
    )
    .execute_one(connection)
    .await
}
