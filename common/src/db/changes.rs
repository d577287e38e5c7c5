//! What has changed lately: the rows that events are made of.

use jiff::Timestamp;

use super::{Connection, DbError};
use crate::{
    ids::{InstanceUuid, MigrationUuid},
    sql,
};

/// The instances, deleted ones too, that have changed after this time, with when they last did; the oldest change first,
/// at most `limit` of them.
pub async fn instances(
    connection: &mut Connection,
    after: Timestamp,
    limit: i64,
) -> Result<Vec<(InstanceUuid, Timestamp)>, DbError> {
    sql!("SELECT uuid, updated_at FROM instances WHERE updated_at > " (after) " ORDER BY updated_at LIMIT " (limit))
        .fetch_all(connection)
        .await
}

/// The same of migrations.
pub async fn migrations(
    connection: &mut Connection,
    after: Timestamp,
    limit: i64,
) -> Result<Vec<(MigrationUuid, Timestamp)>, DbError> {
    sql!("SELECT uuid, updated_at FROM migrations WHERE updated_at > " (after) " ORDER BY updated_at LIMIT " (limit))
        .fetch_all(connection)
        .await
}

/// Whose these instances are.
pub async fn projects(
    connection: &mut Connection,
    uuids: &[InstanceUuid],
) -> Result<Vec<(InstanceUuid, String)>, DbError> {
    if uuids.is_empty() {
        return Ok(Vec::new());
    }
    sql!("SELECT uuid, project_id FROM instances WHERE uuid").is_in(uuids).fetch_all(connection).await
}
