//! Reading rows: column after column, by place and not by name.

use std::fmt::Display;

use sqlx::{Column as _, Decode, Row as _, Sqlite, ValueRef as _, postgres::PgRow, sqlite::SqliteRow};
use uuid::Uuid;

use super::{
    Column, DbError, Kind, Value,
    postgres::{PgJson, PgTime},
};

/// A row of either database; its columns are read in the order of the `SELECT` list.
pub struct Row<'r> {
    source: Source<'r>,
    next: usize,
}

enum Source<'r> {
    Sqlite(&'r SqliteRow),
    Postgres(&'r PgRow),
}

/// What can be read from the next columns of a row: one value, several as a tuple, or a model.
pub trait FromRow: Sized + Send {
    /// Reads it, and leaves the row at the column after it.
    ///
    /// # Errors
    /// A value that this program can't have written.
    fn from_row(row: &mut Row<'_>) -> Result<Self, DbError>;
}

impl<T: Column> FromRow for T {
    fn from_row(row: &mut Row<'_>) -> Result<Self, DbError> {
        T::read(row)?.ok_or_else(|| row.corrupt("NULL", "the column can't be NULL"))
    }
}

impl<T: Column> FromRow for Option<T> {
    fn from_row(row: &mut Row<'_>) -> Result<Self, DbError> {
        T::read(row)
    }
}

macro_rules! tuples {
    ($($($name:ident)+;)+) => {$(
        impl<$($name: FromRow),+> FromRow for ($($name,)+) {
            fn from_row(row: &mut Row<'_>) -> Result<Self, DbError> {
                Ok(($($name::from_row(row)?,)+))
            }
        }
    )+};
}

tuples! {
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
    A B C D E F G H I;
}

/// Reads the next column as `$type` of the database that the row is from.
macro_rules! next {
    ($row:ident, $sqlite:ty, $postgres:ty) => {{
        let at = $row.advance();
        match $row.source {
            Source::Sqlite(source) => source.try_get::<Option<$sqlite>, _>(at)?.map(Into::into),
            Source::Postgres(source) => source.try_get::<Option<$postgres>, _>(at)?.map(Into::into),
        }
    }};
}

/// A text of SQLite's. Whether the column's type fits is not asked: everything can be read as text there, and the question
/// takes longer than the reading.
fn sqlite_text(row: &SqliteRow, at: usize) -> Result<Option<&str>, DbError> {
    let value = row.try_get_raw(at)?;
    if value.is_null() {
        return Ok(None);
    }
    let text = <&str as Decode<Sqlite>>::decode(value);
    Ok(Some(text.map_err(|source| sqlx::Error::ColumnDecode { index: at.to_string(), source })?))
}

impl<'r> Row<'r> {
    pub(super) fn sqlite(row: &'r SqliteRow) -> Self {
        Self { source: Source::Sqlite(row), next: 0 }
    }

    pub(super) fn postgres(row: &'r PgRow) -> Self {
        Self { source: Source::Postgres(row), next: 0 }
    }

    /// Where the next column is. It is passed with that.
    fn advance(&mut self) -> usize {
        self.next += 1;
        self.next - 1
    }

    /// Reads the next columns.
    ///
    /// # Errors
    /// A value that is not of this type.
    pub fn read<T: FromRow>(&mut self) -> Result<T, DbError> {
        T::from_row(self)
    }

    /// Reads the next column as text.
    ///
    /// # Errors
    /// It is something else.
    pub fn text(&mut self) -> Result<Option<&'r str>, DbError> {
        let at = self.advance();
        match self.source {
            Source::Sqlite(row) => sqlite_text(row, at),
            Source::Postgres(row) => Ok(row.try_get(at)?),
        }
    }

    /// Reads the next column as an integer.
    ///
    /// # Errors
    /// It is something else.
    pub fn int(&mut self) -> Result<Option<i64>, DbError> {
        Ok(next!(self, i64, i64))
    }

    /// Reads the next column as true or false.
    ///
    /// # Errors
    /// It is something else.
    pub fn boolean(&mut self) -> Result<Option<bool>, DbError> {
        Ok(next!(self, bool, bool))
    }

    /// Reads the next column as a UUID.
    ///
    /// # Errors
    /// It is something else.
    pub fn uuid(&mut self) -> Result<Option<Uuid>, DbError> {
        if let Source::Postgres(row) = self.source {
            return Ok(row.try_get(self.advance())?);
        }
        let Some(text) = self.text()? else { return Ok(None) };
        Uuid::try_parse(text).map(Some).map_err(|error| self.corrupt(text, error))
    }

    /// Reads the next column as a time, in microseconds since 1970.
    ///
    /// # Errors
    /// It is something else.
    pub fn micros(&mut self) -> Result<Option<i64>, DbError> {
        Ok(next!(self, i64, PgTime))
    }

    /// Reads the next column as JSON text.
    ///
    /// # Errors
    /// It is something else.
    pub fn json(&mut self) -> Result<Option<&'r [u8]>, DbError> {
        let at = self.advance();
        match self.source {
            Source::Sqlite(row) => Ok(sqlite_text(row, at)?.map(str::as_bytes)),
            Source::Postgres(row) => Ok(row.try_get::<Option<PgJson<'r>>, _>(at)?.map(|PgJson(text)| text)),
        }
    }

    /// Reads the next column as a value that can be bound again.
    pub(super) fn value(&mut self, kind: Kind) -> Result<Value, DbError> {
        let value = match kind {
            Kind::Text => self.text()?.map(|text| Value::Text(text.to_owned())),
            Kind::Int => self.int()?.map(Value::Int),
            Kind::Bool => self.boolean()?.map(Value::Bool),
            Kind::Uuid => self.uuid()?.map(Value::Uuid),
            Kind::Time => self.micros()?.map(Value::Time),
            Kind::Json => self.json()?.map(|json| Value::Json(String::from_utf8_lossy(json).into_owned())),
        };
        Ok(value.unwrap_or(Value::Null(kind)))
    }

    /// The error for what was read last: its column holds `value`, which can't be, because of `reason`.
    pub fn corrupt(&self, value: impl Display, reason: impl Display) -> DbError {
        let at = self.next.saturating_sub(1);
        let column = match self.source {
            Source::Sqlite(row) => row.columns().get(at).map(|column| column.name().to_owned()),
            Source::Postgres(row) => row.columns().get(at).map(|column| column.name().to_owned()),
        };
        DbError::Corrupt {
            column: column.unwrap_or_else(|| format!("number {at}")).into(),
            value: value.to_string(),
            reason: reason.to_string(),
        }
    }
}
