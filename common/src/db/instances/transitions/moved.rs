//! An instance that goes to another host.

use jiff::Timestamp;

use crate::{
    db::{Connection, DbError, row::micros},
    ids::{InstanceUuid, TaskId},
};

/// Writes that an instance is on another host now, within the same operation. Reports are counted anew, since they are
/// another host's. Says whether it was still that operation's, on the old host.
///
/// # Errors
/// Those of the database.
pub async fn switch_host(
    connection: &mut Connection,
    instance: InstanceUuid,
    task_id: TaskId,
    from: &str,
    to: &str,
    zone: &str,
) -> Result<bool, DbError> {
    let changed = sqlx::query(
        "UPDATE instances SET host = $1, availability_zone = $2, report_seq = 0, updated_at = $3 \
         WHERE uuid = $4 AND task_id = $5 AND host = $6 AND deleted_at IS NULL",
    )
    .bind(to.to_owned())
    .bind(zone.to_owned())
    .bind(micros(Timestamp::now()))
    .bind(instance.to_string())
    .bind(task_id.to_string())
    .bind(from.to_owned())
    .execute(connection)
    .await?
    .rows_affected();
    Ok(changed == 1)
}
