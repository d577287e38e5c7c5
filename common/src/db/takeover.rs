//! Finding work that nobody does any more.

use jiff::Timestamp;

use super::{Connection, DbError, row::micros};
use crate::ids::Incarnation;

/// Whether this run of a service is over, as far as can be told: no service with it has been heard since `fresh_since`.
///
/// # Errors
/// Those of the database.
pub async fn is_gone(
    connection: &mut Connection,
    incarnation: Incarnation,
    fresh_since: Timestamp,
) -> Result<bool, DbError> {
    let alive = sqlx::query("SELECT 1 FROM services WHERE incarnation = $1 AND last_seen >= $2")
        .bind(incarnation.to_string())
        .bind(micros(fresh_since))
        .fetch_optional(connection)
        .await?;
    Ok(alive.is_none())
}
