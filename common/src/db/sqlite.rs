//! How values are bound on SQLite, which has texts and 64-bit integers.

use sqlx::{Arguments, sqlite::SqliteArguments};

use super::{DbError, Value};

/// Adds values to a query's arguments as one, a JSON array.
pub(super) fn add_array(arguments: &mut SqliteArguments, values: &[Value]) -> Result<(), DbError> {
    let json: Vec<serde_json::Value> = values.iter().map(plain).collect();
    arguments.add(serde_json::Value::from(json).to_string()).map_err(|error| DbError::Sqlx(sqlx::Error::Encode(error)))
}

/// A value as its column has it.
fn plain(value: &Value) -> serde_json::Value {
    match value {
        Value::Null(_) => serde_json::Value::Null,
        Value::Text(text) | Value::Json(text) => text.as_str().into(),
        Value::Int(number) | Value::Time(number) => (*number).into(),
        Value::Bool(flag) => i64::from(*flag).into(),
        Value::Uuid(uuid) => uuid.to_string().into(),
    }
}

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
