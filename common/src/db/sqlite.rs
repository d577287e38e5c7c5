//! How values are bound on SQLite, which has texts and 64-bit integers.

use sqlx::{Arguments, sqlite::SqliteArguments};

use super::{DbError, Value};

/// Adds a value to a query's arguments.
pub(super) fn add(arguments: &mut SqliteArguments, value: Value) -> Result<(), DbError> {
    match value {
        Value::Null(_) => arguments.add(None::<i64>),
        Value::Text(text) | Value::Json(text) => arguments.add(text),
        Value::Int(number) | Value::Time(number) => arguments.add(number),
        Value::Bool(flag) => arguments.add(i64::from(flag)),
        Value::Uuid(uuid) => arguments.add(uuid.to_string()),
    }
    .map_err(|error| DbError::Sqlx(sqlx::Error::Encode(error)))
}
