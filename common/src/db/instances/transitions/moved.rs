//! An instance that goes to another host.

use jiff::Timestamp;

use crate::{
    db::{Connection, DbError},
    ids::InstanceUuid,
    lifecycle::TaskState,
    sql,
};

/// Writes that an instance is on another host now. Reports are counted anew, since they are another host's. Says whether it
/// was still on the old one.
///
/// Whatever operation its row says is under way: where a guest is, is a fact, also where an administrator has given the
/// server another state while it moved. A row that named the old host would have the new one remove the guest; which is
/// right for a server that is being deleted, so that one is left where its host ends it.
pub async fn switch_host(
    connection: &mut Connection,
    instance: InstanceUuid,
    from: &str,
    to: &str,
    zone: &str,
) -> Result<bool, DbError> {
    sql!(
        "UPDATE instances SET host = " (to) ", availability_zone = " (zone) ", report_seq = 0, updated_at = "
        (Timestamp::now()) " WHERE uuid = " (instance) " AND host IS NOT DISTINCT FROM " (from)
        " AND deleted_at IS NULL AND task_state IS DISTINCT FROM " (TaskState::Deleting)
    )
    .execute_one(connection)
    .await
}
