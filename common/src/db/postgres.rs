//! The types that PostgreSQL has and sqlx does not read or write as this program needs them: times without a date
//! library of sqlx's choice, JSON as text, columns of a table as arrays.

use sqlx::{
    Arguments, Decode, Encode, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgArguments, PgHasArrayType, PgTypeInfo, PgValueRef, types::Oid},
};

use super::{DbError, Kind, Value};

// As in pg_type.dat; fixed for good.
const TIMESTAMPTZ: Oid = Oid(1184);
const TIMESTAMPTZ_ARRAY: Oid = Oid(1185);
const JSONB: Oid = Oid(3802);
const JSONB_ARRAY: Oid = Oid(3807);

/// From 1970, where this program's times begin, to 2000, where PostgreSQL's do.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A `timestamptz`: microseconds since 1970.
#[derive(Clone, Copy)]
pub(super) struct PgTime(i64);

impl From<PgTime> for i64 {
    fn from(time: PgTime) -> Self {
        time.0
    }
}

impl Type<Postgres> for PgTime {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ)
    }
}

impl PgHasArrayType for PgTime {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ_ARRAY)
    }
}

impl Encode<'_, Postgres> for PgTime {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.0.saturating_sub(EPOCH_MICROS).to_be_bytes());
        Ok(IsNull::No)
    }
}

impl Decode<'_, Postgres> for PgTime {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let micros = i64::from_be_bytes(value.as_bytes()?.try_into()?);
        Ok(Self(micros.saturating_add(EPOCH_MICROS)))
    }
}

/// A `jsonb`, as the text that goes over the wire.
#[derive(Clone, Copy)]
pub(super) struct PgJson<'t>(pub(super) &'t [u8]);

impl<'t> From<&'t str> for PgJson<'t> {
    fn from(text: &'t str) -> Self {
        Self(text.as_bytes())
    }
}

/// The only version of `jsonb` on the wire that there is: text behind this byte.
const JSONB_VERSION: u8 = 1;

impl Type<Postgres> for PgJson<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(JSONB)
    }
}

impl PgHasArrayType for PgJson<'_> {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(JSONB_ARRAY)
    }
}

impl Encode<'_, Postgres> for PgJson<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.push(JSONB_VERSION);
        buffer.extend_from_slice(self.0);
        Ok(IsNull::No)
    }
}

impl<'r> Decode<'r, Postgres> for PgJson<'r> {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        match value.as_bytes()?.split_first() {
            Some((&JSONB_VERSION, text)) => Ok(Self(text)),
            _ => Err("a jsonb of an unknown version".into()),
        }
    }
}

/// Adds a value to a query's arguments.
pub(super) fn add(arguments: &mut PgArguments, value: Value) -> Result<(), DbError> {
    let added = match value {
        Value::Null(Kind::Text) => arguments.add(None::<String>),
        Value::Null(Kind::Int) => arguments.add(None::<i64>),
        Value::Null(Kind::Bool) => arguments.add(None::<bool>),
        Value::Null(Kind::Uuid) => arguments.add(None::<uuid::Uuid>),
        Value::Null(Kind::Time) => arguments.add(None::<PgTime>),
        Value::Null(Kind::Json) => arguments.add(None::<PgJson<'_>>),
        Value::Text(text) => arguments.add(text),
        Value::Int(number) => arguments.add(number),
        Value::Bool(flag) => arguments.add(flag),
        Value::Uuid(uuid) => arguments.add(uuid),
        Value::Time(micros) => arguments.add(PgTime(micros)),
        Value::Json(text) => arguments.add(PgJson(text.as_bytes())),
    };
    added.map_err(encoding)
}

/// Adds values of one kind as one array.
pub(super) fn add_array(arguments: &mut PgArguments, kind: Kind, values: &[Value]) -> Result<(), DbError> {
    /// The values that are of one variant; the others are NULL.
    macro_rules! array {
        ($variant:ident($value:ident) => $item:expr) => {
            arguments.add(
                values
                    .iter()
                    .map(|value| match value {
                        Value::$variant($value) => Some($item),
                        _ => None,
                    })
                    .collect::<Vec<_>>(),
            )
        };
    }
    let added = match kind {
        Kind::Text => array!(Text(text) => text.as_str()),
        Kind::Int => array!(Int(number) => *number),
        Kind::Bool => array!(Bool(flag) => *flag),
        Kind::Uuid => array!(Uuid(uuid) => *uuid),
        Kind::Time => array!(Time(micros) => PgTime(*micros)),
        Kind::Json => array!(Json(text) => PgJson(text.as_bytes())),
    };
    added.map_err(encoding)
}

fn encoding(error: BoxDynError) -> DbError {
    DbError::Sqlx(sqlx::Error::Encode(error))
}
