//! How values are bound on SQLite, which has texts and 64-bit integers.

use serde::{Serialize, Serializer, ser::SerializeSeq};
use sqlx::{Arguments, sqlite::SqliteArguments};

use super::{DbError, Value};

/// Adds values to a query's arguments as one, a JSON array.
pub(super) fn add_array(arguments: &mut SqliteArguments, values: &[Value]) -> Result<(), DbError> {
    let json = serde_json::to_string(&Plain(values)).map_err(|error| sqlx::Error::Encode(error.into()))?;
    arguments.add(json).map_err(|error| DbError::Sqlx(sqlx::Error::Encode(error)))
}

/// Values as their column has them, in JSON.
struct Plain<'v>(&'v [Value]);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for value in self.0 {
            match value {
                Value::Null(_) => list.serialize_element(&()),
                Value::Text(text) | Value::Json(text) => list.serialize_element(text),
                Value::Int(number) | Value::Time(number) => list.serialize_element(number),
                Value::Bool(flag) => list.serialize_element(&i64::from(*flag)),
                // As a text, which is what UUIDs are in JSON.
                Value::Uuid(uuid) => list.serialize_element(uuid),
            }?;
        }
        list.end()
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
