//! Figures about the whole cloud, for whoever watches over it.

use super::{Connection, DbError};
use crate::{
    lifecycle::{TaskState, VmState},
    models::{MigrationKind, MigrationStatus},
    sql,
};

/// How many servers there are in each state.
pub async fn servers(connection: &mut Connection) -> Result<Vec<(VmState, i64)>, DbError> {
    sql!("SELECT vm_state, COUNT(*) FROM instances WHERE deleted_at IS NULL GROUP BY vm_state")
        .fetch_all(connection)
        .await
}

/// How many servers have something under way, by what it is.
pub async fn busy_servers(connection: &mut Connection) -> Result<Vec<(TaskState, i64)>, DbError> {
    sql!("SELECT task_state, COUNT(*) FROM instances WHERE deleted_at IS NULL AND task_state IS NOT NULL GROUP BY task_state")
        .fetch_all(connection)
        .await
}

/// How many migrations are under way, by kind and status.
pub async fn migrations(connection: &mut Connection) -> Result<Vec<(MigrationKind, MigrationStatus, i64)>, DbError> {
    sql!("SELECT kind, status, COUNT(*) FROM migrations WHERE status")
        .is_in(MigrationStatus::under_way())
        .push(" GROUP BY kind, status")
        .fetch_all(connection)
        .await
}
