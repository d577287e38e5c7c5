//! Why instances are in ERROR, or why an operation on them failed.

use crate::{
    db::{Connection, DbError, FromRow, Row},
    ids::InstanceUuid,
    models::Fault,
    sql,
};

impl FromRow for Fault {
    fn from_row(row: &mut Row<'_>) -> Result<Self, DbError> {
        Ok(Self { code: row.read()?, message: row.read()?, details: row.read()?, created_at: row.read()? })
    }
}

/// Writes a fault.
pub async fn add_fault(connection: &mut Connection, uuid: InstanceUuid, fault: &Fault) -> Result<(), DbError> {
    sql!(
        "INSERT INTO instance_faults (instance_uuid, code, message, details, created_at) VALUES ("
        (uuid) ", " (fault.code) ", " (fault.message) ", " (fault.details) ", " (fault.created_at) ")"
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The newest fault of each of these instances.
pub async fn faults(
    connection: &mut Connection,
    uuids: &[InstanceUuid],
) -> Result<Vec<(InstanceUuid, Fault)>, DbError> {
    if uuids.is_empty() {
        return Ok(Vec::new());
    }
    sql!(
        "SELECT instance_uuid, code, message, details, created_at FROM instance_faults WHERE id IN \
         (SELECT MAX(id) FROM instance_faults WHERE instance_uuid"
    )
    .is_in(uuids)
    .push(" GROUP BY instance_uuid)")
    .fetch_all(connection)
    .await
}
