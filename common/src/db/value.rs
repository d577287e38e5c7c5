//! The values of columns: what a query binds and a row holds, in the types that both databases have.
//!
//! | Rust | PostgreSQL | SQLite |
//! | --- | --- | --- |
//! | `String`, names of enums | `text` | `TEXT` |
//! | `i64` | `bigint` | `BIGINT` |
//! | `bool` | `boolean` | `BIGINT`, 0 or 1 |
//! | [`Uuid`] and the types of [`crate::ids`] | `uuid` | `TEXT` |
//! | [`Timestamp`] | `timestamptz` | `BIGINT`, microseconds since 1970 |
//! | [`Json`] | `jsonb` | `TEXT` |

use std::str::FromStr;

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{BindError, DbError, Row, host_admission::Refusal};
use crate::{
    ids::{HostIdentity, Incarnation, InstanceUuid, MigrationUuid, TaskId},
    lifecycle::{PowerState, TaskState, VmState},
    models::{Binary, EventResult, GroupPolicy, LockedBy, MigrationKind, MigrationStatus},
};

/// The kinds of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A 64-bit integer.
    Int,
    /// True or false.
    Bool,
    /// A UUID.
    Uuid,
    /// A time, in microseconds.
    Time,
    /// A structured value.
    Json,
}

/// A value on its way into a query. [`Bind`] makes it from Rust's types.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL, of the column's kind: PostgreSQL wants to know it.
    Null(Kind),
    /// Text.
    Text(String),
    /// A 64-bit integer.
    Int(i64),
    /// True or false.
    Bool(bool),
    /// A UUID.
    Uuid(Uuid),
    /// Microseconds since 1970.
    Time(i64),
    /// JSON in text.
    Json(String),
}

impl Value {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Null(kind) => *kind,
            Self::Text(_) => Kind::Text,
            Self::Int(_) => Kind::Int,
            Self::Bool(_) => Kind::Bool,
            Self::Uuid(_) => Kind::Uuid,
            Self::Time(_) => Kind::Time,
            Self::Json(_) => Kind::Json,
        }
    }
}

/// What a query can bind.
pub trait Bind {
    /// The kind of column that it is compared with or written to.
    const KIND: Kind;

    /// The value to bind.
    ///
    /// # Errors
    /// What no column can hold.
    fn to_value(&self) -> Result<Value, BindError>;
}

/// What a column can be read as. `Option` of it reads NULL as `None`.
pub trait Column: Bind + Sized + Send {
    /// Reads the row's next column; `None` if it is NULL.
    ///
    /// # Errors
    /// A value that is not of this type.
    fn read(row: &mut Row<'_>) -> Result<Option<Self>, DbError>;
}

impl<T: Bind + ?Sized> Bind for &T {
    const KIND: Kind = T::KIND;

    fn to_value(&self) -> Result<Value, BindError> {
        (**self).to_value()
    }
}

impl<T: Bind> Bind for Option<T> {
    const KIND: Kind = T::KIND;

    fn to_value(&self) -> Result<Value, BindError> {
        self.as_ref().map_or(Ok(Value::Null(T::KIND)), Bind::to_value)
    }
}

impl Bind for str {
    const KIND: Kind = Kind::Text;

    fn to_value(&self) -> Result<Value, BindError> {
        if self.contains('\0') {
            return Err(BindError::NulCharacter);
        }
        Ok(Value::Text(self.to_owned()))
    }
}

impl Bind for String {
    const KIND: Kind = Kind::Text;

    fn to_value(&self) -> Result<Value, BindError> {
        self.as_str().to_value()
    }
}

impl Column for String {
    fn read(row: &mut Row<'_>) -> Result<Option<Self>, DbError> {
        Ok(row.text()?.map(ToOwned::to_owned))
    }
}

impl Bind for i64 {
    const KIND: Kind = Kind::Int;

    fn to_value(&self) -> Result<Value, BindError> {
        Ok(Value::Int(*self))
    }
}

impl Column for i64 {
    fn read(row: &mut Row<'_>) -> Result<Option<Self>, DbError> {
        row.int()
    }
}

impl Bind for bool {
    const KIND: Kind = Kind::Bool;

    fn to_value(&self) -> Result<Value, BindError> {
        Ok(Value::Bool(*self))
    }
}

impl Column for bool {
    fn read(row: &mut Row<'_>) -> Result<Option<Self>, DbError> {
        row.boolean()
    }
}

impl Bind for Uuid {
    const KIND: Kind = Kind::Uuid;

    fn to_value(&self) -> Result<Value, BindError> {
        Ok(Value::Uuid(*self))
    }
}

impl Column for Uuid {
    fn read(row: &mut Row<'_>) -> Result<Option<Self>, DbError> {
        row.uuid()
    }
}

impl Bind for Timestamp {
    const KIND: Kind = Kind::Time;

    fn to_value(&self) -> Result<Value, BindError> {
        Ok(Value::Time(self.as_microsecond()))
    }
}

impl Column for Timestamp {
    fn read(row: &mut Row<'_>) -> Result<Option<Self>, DbError> {
        let Some(micros) = row.micros()? else { return Ok(None) };
        Self::from_microsecond(micros).map(Some).map_err(|error| row.corrupt(micros, error))
    }
}

impl Bind for PowerState {
    const KIND: Kind = Kind::Int;

    fn to_value(&self) -> Result<Value, BindError> {
        Ok(Value::Int(self.number()))
    }
}

impl Column for PowerState {
    fn read(row: &mut Row<'_>) -> Result<Option<Self>, DbError> {
        let Some(number) = row.int()? else { return Ok(None) };
        Self::try_from(number).map(Some).map_err(|reason| row.corrupt(number, reason))
    }
}

/// A structured value in a column of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> Bind for Json<T> {
    const KIND: Kind = Kind::Json;

    fn to_value(&self) -> Result<Value, BindError> {
        json_value(serde_json::to_string(&self.0).map_err(|error| BindError::NotJson(error.to_string()))?)
    }
}

impl<T: Serialize + DeserializeOwned + Send> Column for Json<T> {
    fn read(row: &mut Row<'_>) -> Result<Option<Self>, DbError> {
        let Some(text) = row.json()? else { return Ok(None) };
        serde_json::from_slice(text).map(|value| Some(Self(value))).map_err(|error| row.corrupt(lossy(text), error))
    }
}

/// A structured value that stays JSON text in the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonText<T>(pub T);

impl<T: AsRef<str>> Bind for JsonText<T> {
    const KIND: Kind = Kind::Json;

    fn to_value(&self) -> Result<Value, BindError> {
        json_value(self.0.as_ref().to_owned())
    }
}

impl Column for JsonText<String> {
    fn read(row: &mut Row<'_>) -> Result<Option<Self>, DbError> {
        Ok(row.json()?.map(|text| Self(lossy(text))))
    }
}

/// A UUID that is text in the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UuidText<T>(pub T);

impl<T: AsRef<str>> Bind for UuidText<T> {
    const KIND: Kind = Kind::Uuid;

    fn to_value(&self) -> Result<Value, BindError> {
        let text = self.0.as_ref();
        text.parse().map(Value::Uuid).map_err(|_| BindError::NotUuid(text.to_owned()))
    }
}

impl Column for UuidText<String> {
    fn read(row: &mut Row<'_>) -> Result<Option<Self>, DbError> {
        Ok(row.uuid()?.map(|uuid| Self(uuid.to_string())))
    }
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

/// PostgreSQL's `jsonb` refuses the escape of the NUL character, as `text` refuses the character.
fn json_value(text: String) -> Result<Value, BindError> {
    let escapes_nul = text.match_indices("\\u0000").any(|(at, _)| {
        let backslashes = text.as_bytes()[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        // After an odd number of backslashes, this one is itself escaped.
        backslashes % 2 == 0
    });
    if escapes_nul { Err(BindError::NulCharacter) } else { Ok(Value::Json(text)) }
}

/// Types around a [`Uuid`].
macro_rules! uuid_columns {
    ($($name:ident),*) => {$(
        impl Bind for $name {
            const KIND: Kind = Kind::Uuid;

            fn to_value(&self) -> Result<Value, BindError> {
                Ok(Value::Uuid(self.0))
            }
        }

        impl Column for $name {
            fn read(row: &mut Row<'_>) -> Result<Option<Self>, DbError> {
                Ok(row.uuid()?.map(Self))
            }
        }
    )*};
}

uuid_columns!(InstanceUuid, TaskId, MigrationUuid, Incarnation, HostIdentity);

/// Makes enums columns that hold their names: each has `as_str`, and `FromStr` for the way back.
#[macro_export]
macro_rules! name_columns {
    ($($name:ty),* $(,)?) => {$(
        impl $crate::db::Bind for $name {
            const KIND: $crate::db::Kind = $crate::db::Kind::Text;

            fn to_value(&self) -> Result<$crate::db::Value, $crate::db::BindError> {
                Ok($crate::db::Value::Text(self.as_str().to_owned()))
            }
        }

        impl $crate::db::Column for $name {
            fn read(row: &mut $crate::db::Row<'_>) -> Result<Option<Self>, $crate::db::DbError> {
                row.parsed()
            }
        }
    )*};
}

name_columns!(Refusal, VmState, TaskState, LockedBy, GroupPolicy, MigrationKind, MigrationStatus, Binary, EventResult);

impl Row<'_> {
    /// Reads the next column by its type's `FromStr`.
    ///
    /// # Errors
    /// Text that the type does not know.
    pub fn parsed<T>(&mut self) -> Result<Option<T>, DbError>
    where
        T: FromStr<Err: ToString>,
    {
        let Some(text) = self.text()? else { return Ok(None) };
        text.parse().map(Some).map_err(|error: T::Err| self.corrupt(text, error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_with_the_nul_character_is_refused_alike_in_text_and_json() {
        assert!(matches!("a\0".to_value(), Err(BindError::NulCharacter)));
        assert!(matches!(Json("a\0").to_value(), Err(BindError::NulCharacter)));
        assert_eq!(Json("a\\u0000").to_value().unwrap(), Value::Json(r#""a\\u0000""#.into()));
    }

    #[test]
    fn null_has_the_kind_of_its_column() {
        assert_eq!(None::<TaskId>.to_value().unwrap(), Value::Null(Kind::Uuid));
        assert_eq!(None::<&str>.to_value().unwrap(), Value::Null(Kind::Text));
    }
}
