//! Reading columns as the types of the models.

use std::str::FromStr;

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Row, any::AnyRow};

use super::DbError;

/// Microseconds since 1970, as times are stored.
pub(super) fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

/// A structured value as JSON text.
pub(super) fn json<T: Serialize>(column: &'static str, value: &T) -> Result<String, DbError> {
    serde_json::to_string(value).map_err(|error| DbError::Corrupt {
        column,
        value: "a value that is no JSON".into(),
        reason: error.to_string(),
    })
}

/// Reads a row's columns by name. A value that can't be read names its column.
pub(super) trait Columns {
    fn text(&self, column: &'static str) -> Result<String, DbError>;
    fn text_or_null(&self, column: &'static str) -> Result<Option<String>, DbError>;
    fn int(&self, column: &'static str) -> Result<i64, DbError>;
    fn int_or_null(&self, column: &'static str) -> Result<Option<i64>, DbError>;

    fn flag(&self, column: &'static str) -> Result<bool, DbError> {
        Ok(self.int(column)? != 0)
    }

    fn time(&self, column: &'static str) -> Result<Timestamp, DbError> {
        timestamp(column, self.int(column)?)
    }

    fn time_or_null(&self, column: &'static str) -> Result<Option<Timestamp>, DbError> {
        self.int_or_null(column)?.map(|micros| timestamp(column, micros)).transpose()
    }

    fn parsed<T>(&self, column: &'static str) -> Result<T, DbError>
    where
        T: FromStr<Err: ToString>,
    {
        parse(column, &self.text(column)?)
    }

    fn parsed_or_null<T>(&self, column: &'static str) -> Result<Option<T>, DbError>
    where
        T: FromStr<Err: ToString>,
    {
        self.text_or_null(column)?.map(|text| parse(column, &text)).transpose()
    }

    fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, DbError> {
        let text = self.text(column)?;
        serde_json::from_str(&text).map_err(|error| DbError::Corrupt { column, reason: error.to_string(), value: text })
    }
}

impl Columns for AnyRow {
    fn text(&self, column: &'static str) -> Result<String, DbError> {
        Ok(self.try_get(column)?)
    }

    fn text_or_null(&self, column: &'static str) -> Result<Option<String>, DbError> {
        Ok(self.try_get(column)?)
    }

    fn int(&self, column: &'static str) -> Result<i64, DbError> {
        Ok(self.try_get(column)?)
    }

    fn int_or_null(&self, column: &'static str) -> Result<Option<i64>, DbError> {
        Ok(self.try_get(column)?)
    }
}

fn parse<T>(column: &'static str, text: &str) -> Result<T, DbError>
where
    T: FromStr<Err: ToString>,
{
    text.parse().map_err(|error: T::Err| DbError::Corrupt { column, value: text.to_owned(), reason: error.to_string() })
}

fn timestamp(column: &'static str, micros: i64) -> Result<Timestamp, DbError> {
    Timestamp::from_microsecond(micros).map_err(|error| DbError::Corrupt {
        column,
        value: micros.to_string(),
        reason: error.to_string(),
    })
}
