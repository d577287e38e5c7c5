//! The addresses of servers, on the one network that there is as long as there is no network service.

use super::{Connection, DbError};
use crate::sql;

/// Takes the next `count` numbers of addresses, and returns the first. No number is given twice, whatever becomes of who
/// took it.
pub async fn take_numbers(connection: &mut Connection, count: i64) -> Result<i64, DbError> {
    let next: i64 =
        sql!("UPDATE fixed_ip_numbers SET next = next + " (count) " RETURNING next").fetch_one(connection).await?;
    Ok(next - count)
}
