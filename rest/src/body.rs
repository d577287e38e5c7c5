//! JSON bodies: described once, held to their description, and refused with a text that names the place.
//!
//! Refusals are worded as Nova's JSON schemas word them: `Invalid input for field/attribute min_count. Value: -1. ...`.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, Visitor},
    forward_to_deserialize_any,
};
use serde_json::{Map, Value};
use serde_path_to_error::Segment;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, schema::Schema},
};

use crate::{ApiError, FieldTable, Microversion, json_reader::JsonReader};

/// A request's body. Described with [`body!`](crate::body).
pub trait Body: Sized + Send + 'static {
    /// The one key that the body must have, with the fields below it; `None`: the fields are the body's own.
    const KEY: Option<&'static str>;
    /// The fields.
    const FIELDS: FieldTable;

    /// Reads the fields of an object that has no others.
    ///
    /// # Errors
    /// 400 that names the field, its value and what would be right.
    fn from_fields(object: &Map<String, Value>) -> Result<Self, ApiError>;

    /// What the OpenAPI document says of it.
    fn schema() -> RefOr<Schema>;

    /// Reads a body as `version` has it.
    ///
    /// # Errors
    /// 400 that names the field, its value and what would be right.
    fn from_json(body: &Value, version: Microversion) -> Result<Self, ApiError> {
        let object = match Self::KEY {
            Some(key) => object(key, only_value(body, key)?)?,
            None => as_object(body)?,
        };
        Self::FIELDS.check(Self::KEY.unwrap_or_default(), object, version)?;
        Self::from_fields(object)
    }
}

/// Describes a request's body: a struct whose fields say their type, their name on the wire, and their versions.
///
/// ```
/// use novella_rest::{Nullable, body, inputs::Name};
///
/// body! {
///     /// `POST /os-keypairs`.
///     pub struct NewKeypair in "keypair" {
///         name: Name = "name",
///         kind: Option<String> = "type".since(2),
///         user_id: Option<String> = "user_id".since(10),
///         description: Nullable<String> = "description".nullable(),
///     }
/// }
/// ```
///
/// A field that is no `Option` and no [`Nullable`] must be there. After `in` stands the key under which the fields are;
/// without it they are the body's own. What follows a name are the methods of [`FieldRule`](crate::FieldRule). From it
/// follow reading, validation at each version, and the OpenAPI document.
#[macro_export]
macro_rules! body {
    ($(#[$meta:meta])* $vis:vis struct $name:ident in $key:literal { $($fields:tt)* }) => {
        $crate::body!(@ [$(#[$meta])*] [$vis] $name [::core::option::Option::Some($key)] $key { $($fields)* });
    };
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($fields:tt)* }) => {
        $crate::body!(@ [$(#[$meta])*] [$vis] $name [::core::option::Option::None] "" { $($fields)* });
    };
    (@ [$($meta:tt)*] [$vis:vis] $name:ident [$key:expr] $place:literal {
        $($(#[$doc:meta])* $field:ident: $type:ty = $wire:literal $(.$rule:ident($($argument:tt)*))*),* $(,)?
    }) => {
        $($meta)*
        #[derive(Debug)]
        $vis struct $name { $($(#[$doc])* $field: $type),* }

        impl $crate::Body for $name {
            const KEY: ::core::option::Option<&'static str> = $key;
            const FIELDS: $crate::FieldTable =
                $crate::FieldTable(&[$($crate::field($wire)$(.$rule($($argument)*))*),*]);

            fn from_fields(
                object: &$crate::macros::serde_json::Map<::std::string::String, $crate::macros::serde_json::Value>,
            ) -> ::core::result::Result<Self, $crate::ApiError> {
                Ok(Self { $($field: $crate::read_field($place, object, $wire)?),* })
            }

            fn schema() -> $crate::macros::utoipa::openapi::RefOr<$crate::macros::utoipa::openapi::schema::Schema> {
                let fields = $crate::macros::utoipa::openapi::ObjectBuilder::new()
                    $(.property($wire, <$type as $crate::macros::utoipa::PartialSchema>::schema()))*;
                $crate::openapi::object_under(<Self as $crate::Body>::KEY, fields)
            }
        }
    };
}

/// Describes a request's body that is a `T` under a key, where `T` has no fields of its own: pairs, a list, a text.
///
/// ```
/// use std::collections::BTreeMap;
///
/// novella_rest::value_body! {
///     /// Pairs.
///     pub struct Pairs(BTreeMap<String, String>) in "metadata";
/// }
/// ```
#[macro_export]
macro_rules! value_body {
    ($(#[$meta:meta])* $vis:vis struct $name:ident($type:ty) in $key:literal;) => {
        $(#[$meta])*
        #[derive(Debug)]
        $vis struct $name($type);

        impl $crate::Body for $name {
            const KEY: ::core::option::Option<&'static str> = ::core::option::Option::Some($key);
            const FIELDS: $crate::FieldTable = $crate::FieldTable(&[]);

            fn from_fields(
                _: &$crate::macros::serde_json::Map<::std::string::String, $crate::macros::serde_json::Value>,
            ) -> ::core::result::Result<Self, $crate::ApiError> {
                Err($crate::ApiError::bad_request(concat!("Invalid input: '", $key, "' is a required property")))
            }

            fn schema() -> $crate::macros::utoipa::openapi::RefOr<$crate::macros::utoipa::openapi::schema::Schema> {
                $crate::openapi::value_under($key, <$type as $crate::macros::utoipa::PartialSchema>::schema())
            }

            fn from_json(
                body: &$crate::macros::serde_json::Value,
                _: $crate::Microversion,
            ) -> ::core::result::Result<Self, $crate::ApiError> {
                $crate::typed($key, $crate::only_value(body, $key)?).map(Self)
            }
        }
    };
}

/// A field that may be missing, null or there: null says to clear what a missing field leaves as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nullable<T> {
    /// Not there.
    #[default]
    Missing,
    /// There, and null.
    Null,
    /// There.
    Value(T),
}

impl<T> Nullable<T> {
    /// What is to be changed: `None` nothing, `Some(None)` to be cleared.
    pub fn change(self) -> Option<Option<T>> {
        match self {
            Self::Missing => None,
            Self::Null => Some(None),
            Self::Value(value) => Some(Some(value)),
        }
    }

    /// The value, if there is one.
    pub fn value(self) -> Option<T> {
        self.change().flatten()
    }
}

/// Tells [`MissingField`] who asks.
const NULLABLE: &str = "novella_rest::Nullable";

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Nullable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Present<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Present<T> {
            type Value = Nullable<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or null")
            }

            fn visit_none<E: de::Error>(self) -> Result<Nullable<T>, E> {
                Ok(Nullable::Missing)
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Nullable<T>, D::Error> {
                Ok(Option::<T>::deserialize(deserializer)?.map_or(Nullable::Null, Nullable::Value))
            }
        }
        deserializer.deserialize_newtype_struct(NULLABLE, Present(std::marker::PhantomData))
    }
}

impl<T: PartialSchema> utoipa::__dev::ComposeSchema for Nullable<T> {
    fn compose(_: Vec<RefOr<Schema>>) -> RefOr<Schema> {
        T::schema()
    }
}

impl<T: ToSchema> ToSchema for Nullable<T> {}

/// What a field that is not there is read from: an `Option` or a [`Nullable`] takes it, anything else must be there.
pub(crate) struct MissingField;

/// Why that did not do.
#[derive(Debug, thiserror::Error)]
#[error("it is required")]
pub(crate) struct Required;

impl de::Error for Required {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl<'de> Deserializer<'de> for MissingField {
    type Error = Required;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Required> {
        Err(Required)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Required> {
        visitor.visit_none()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Required> {
        if name == NULLABLE { visitor.visit_none() } else { Err(Required) }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

/// Reads the field `name` of an object that stands at `place` in the body.
///
/// # Errors
/// 400 that names the field, its value and what would be right.
pub fn read_field<T: DeserializeOwned>(place: &str, object: &Map<String, Value>, name: &str) -> Result<T, ApiError> {
    match object.get(name) {
        Some(value) => typed(&joined(place, name), value),
        None => T::deserialize(MissingField).map_err(|_| missing(place, name)),
    }
}

/// What stands under the one key that a body must have.
///
/// # Errors
/// 400 if the body is not of that form.
pub fn only_value<'b>(body: &'b Value, key: &str) -> Result<&'b Value, ApiError> {
    let body = as_object(body)?;
    let Some(inner) = body.get(key) else {
        return Err(ApiError::bad_request(format!("Invalid input: '{key}' is a required property")));
    };
    match body.keys().find(|other| *other != key) {
        Some(other) => Err(refuse_unknown("", other)),
        None => Ok(inner),
    }
}

/// `value`, which stands at `place` in the body, as an object. To be asked before it is read as a struct, which serde
/// takes from an array too.
///
/// # Errors
/// 400 if it is something else.
pub fn object<'v>(place: &str, value: &'v Value) -> Result<&'v Map<String, Value>, ApiError> {
    value.as_object().ok_or_else(|| wrong(place, value, &format!("{value} is not of type 'object'")))
}

/// A body as an object.
///
/// # Errors
/// 400 if it is something else.
pub fn as_object(body: &Value) -> Result<&Map<String, Value>, ApiError> {
    body.as_object().ok_or_else(|| ApiError::bad_request("Malformed request body: a JSON object is expected."))
}

/// Reads `value`, which stands at `place` in the body, as a `T`.
///
/// # Errors
/// 400 that names the field, its value and what would be right.
pub fn typed<T: DeserializeOwned>(place: &str, value: &Value) -> Result<T, ApiError> {
    serde_path_to_error::deserialize(JsonReader(value)).map_err(|error| {
        let reason = error.inner().to_string();
        let mut field = place.to_owned();
        let mut found = Some(value);
        for segment in error.path().iter() {
            match segment {
                Segment::Map { key } => {
                    field = joined(&field, key);
                    found = found.and_then(|value| value.get(key));
                }
                Segment::Seq { index } => {
                    field = format!("{field}[{index}]");
                    found = found.and_then(|value| value.get(index));
                }
                Segment::Enum { .. } | Segment::Unknown => {}
            }
        }
        match found {
            Some(value) if !reason.starts_with("missing field") && !reason.starts_with("unknown field") => {
                wrong(&field, value, &reason)
            }
            _ => ApiError::bad_request(format!("Invalid input for field/attribute {field}. {}.", plain(&reason))),
        }
    })
}

fn joined(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

/// serde's two complaints about a field's presence, as the schema's.
fn plain(reason: &str) -> String {
    let name = reason.split('`').nth(1).unwrap_or_default();
    if reason.starts_with("missing field") {
        format!("'{name}' is a required property")
    } else if reason.starts_with("unknown field") {
        format!("Additional properties are not allowed ('{name}' was unexpected)")
    } else {
        reason.to_owned()
    }
}

/// 400: a field that must be there is not.
fn missing(place: &str, name: &str) -> ApiError {
    ApiError::bad_request(match place {
        "" => format!("Invalid input: '{name}' is a required property."),
        place => format!("Invalid input for field/attribute {place}. '{name}' is a required property."),
    })
}

/// 400: the value of a field is not right.
#[must_use]
pub fn wrong(field: &str, value: &Value, reason: &str) -> ApiError {
    const SHOWN: usize = 200;
    let mut value = value.to_string();
    if value.len() > SHOWN {
        let end = (0..=SHOWN).rev().find(|end| value.is_char_boundary(*end)).unwrap_or(0);
        value.truncate(end);
        value.push_str("...");
    }
    ApiError::bad_request(format!("Invalid input for field/attribute {field}. Value: {value}. {reason}"))
}

/// 400: a field that is not known at this place (empty: in the body itself), or not at this microversion.
#[must_use]
pub fn refuse_unknown(place: &str, field: &str) -> ApiError {
    let text = format!("Additional properties are not allowed ('{field}' was unexpected)");
    ApiError::bad_request(match place {
        "" => text,
        place => format!("Invalid input for field/attribute {place}. {text}"),
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        count: u32,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Outer {
        list: Vec<Inner>,
    }

    fn refused(value: &Value) -> String {
        typed::<Outer>("server", value).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn a_refusal_names_the_place_the_value_and_the_reason() {
        assert_eq!(
            refused(&json!({"list": [{"count": 1}, {"count": "x"}]})),
            "Invalid input for field/attribute server.list[1].count. Value: \"x\". invalid type: string \"x\", \
             expected u32"
        );
        assert_eq!(
            refused(&json!({"list": [{}]})),
            "Invalid input for field/attribute server.list[0]. 'count' is a required property."
        );
        assert_eq!(
            refused(&json!({"list": [{"count": 1, "x": 2}]})),
            "Invalid input for field/attribute server.list[0].x. Additional properties are not allowed ('x' was \
             unexpected)."
        );
    }

    #[test]
    fn a_long_value_is_shown_in_part() {
        let text = wrong("name", &Value::String("ä".repeat(1000)), "is too long").to_string();
        assert!(text.len() < 300 && text.contains("..."));
    }

    crate::body! {
        struct Thing in "thing" {
            name: crate::inputs::Name = "name",
            count: Option<u32> = "count".since(2),
            note: Nullable<String> = "note".nullable(),
        }
    }

    fn thing(body: &Value, minor: u16) -> Result<Thing, String> {
        Thing::from_json(body, Microversion::new(2, minor)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_described_body_is_read_at_its_version() {
        let read = thing(&json!({"thing": {"name": "n", "count": 3}}), 2).unwrap();
        assert_eq!((read.name.0.as_str(), read.count, read.note), ("n", Some(3), Nullable::Missing));
        let read = thing(&json!({"thing": {"name": "n", "note": null}}), 2).unwrap();
        assert_eq!((read.count, read.note), (None, Nullable::Null));
        let read = thing(&json!({"thing": {"name": "n", "note": "x"}}), 1).unwrap();
        assert_eq!(read.note, Nullable::Value("x".into()));
    }

    #[test]
    fn a_described_body_says_what_is_wrong() {
        for (body, text) in [
            (json!([]), "Malformed request body: a JSON object is expected."),
            (json!({}), "Invalid input: 'thing' is a required property"),
            (json!({"thing": []}), "[] is not of type 'object'"),
            (json!({"thing": {}, "x": 1}), "Additional properties are not allowed ('x' was unexpected)"),
            (json!({"thing": {}}), "Invalid input for field/attribute thing. 'name' is a required property."),
            (json!({"thing": {"name": "n", "count": 1}}), "('count' was unexpected)"),
            (
                json!({"thing": {"name": ""}}),
                "Invalid input for field/attribute thing.name. Value: \"\". '' is too short",
            ),
            (json!({"thing": {"name": null}}), "thing.name. Value: null. It may be left out, but not be null."),
        ] {
            let refused = thing(&body, 1).unwrap_err();
            assert!(refused.contains(text), "{refused}");
        }
    }
}
