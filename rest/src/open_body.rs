//! Bodies that may have more fields than are known, which are kept and given back: Keystone's. Its refusals are worded
//! otherwise than Nova's, too: `Invalid input for field/attribute name. Value: 5. 5 is not of type 'string'`.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use crate::{ApiError, body::MissingField, json_reader::JsonReader};

/// Describes a request's body as [`body!`](crate::body) does. Fields that are not named are in `extra`.
///
/// ```
/// novella_rest::open_body! {
///     /// `POST /users`.
///     pub struct NewUser in "user" {
///         name: String = "name",
///         password: Option<String> = "password",
///     }
/// }
/// ```
#[macro_export]
macro_rules! open_body {
    ($(#[$meta:meta])* $vis:vis struct $name:ident in $key:literal {
        $($(#[$doc:meta])* $field:ident: $type:ty = $wire:literal),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Debug)]
        $vis struct $name {
            $($(#[$doc])* $vis $field: $type,)*
            /// What else there is.
            #[allow(dead_code, reason = "some resources keep nothing else")]
            $vis extra: $crate::macros::serde_json::Map<::std::string::String, $crate::macros::serde_json::Value>,
        }

        impl $crate::Body for $name {
            const KEY: ::core::option::Option<&'static str> = ::core::option::Option::Some($key);
            const FIELDS: $crate::FieldTable = $crate::FieldTable(&[$($crate::field($wire)),*]);

            fn from_fields(
                object: &$crate::macros::serde_json::Map<::std::string::String, $crate::macros::serde_json::Value>,
            ) -> ::core::result::Result<Self, $crate::ApiError> {
                let known: &[&str] = &[$($wire),*];
                Ok(Self {
                    $($field: $crate::read_open($key, object, $wire)?,)*
                    extra: object
                        .iter()
                        .filter(|(name, _)| !known.contains(&name.as_str()))
                        .map(|(name, value)| (name.clone(), value.clone()))
                        .collect(),
                })
            }

            fn schema() -> $crate::macros::utoipa::openapi::RefOr<$crate::macros::utoipa::openapi::schema::Schema> {
                let fields = $crate::macros::utoipa::openapi::ObjectBuilder::new()
                    $(.property($wire, <$type as $crate::macros::utoipa::PartialSchema>::schema()))*;
                $crate::openapi::object_under(<Self as $crate::Body>::KEY, fields)
            }

            fn from_json(
                body: &$crate::macros::serde_json::Value,
                _: $crate::Microversion,
            ) -> ::core::result::Result<Self, $crate::ApiError> {
                <Self as $crate::Body>::from_fields($crate::wrapped(body, $key)?)
            }
        }
    };
}

/// The object under the key of a body.
///
/// # Errors
/// 400 if there is none.
pub fn wrapped<'b>(body: &'b Value, key: &str) -> Result<&'b Map<String, Value>, ApiError> {
    let inner = body.get(key).ok_or_else(|| ApiError::bad_request(format!("'{key}' is a required property")))?;
    inner.as_object().ok_or_else(|| wrong_open(key, inner, &format!("{} is not of type 'object'", repr(inner))))
}

/// Reads the field `name` of the object under `key`.
///
/// # Errors
/// 400 that names the field, its value and what would be right.
pub fn read_open<T: DeserializeOwned>(key: &str, object: &Map<String, Value>, name: &str) -> Result<T, ApiError> {
    let Some(value) = object.get(name) else {
        let missing = |_| {
            let value = Value::Object(object.clone());
            wrong_open(key, &value, &format!("'{name}' is a required property"))
        };
        return T::deserialize(MissingField).map_err(missing);
    };
    serde_path_to_error::deserialize(JsonReader(value)).map_err(|error| {
        let (mut field, mut found) = (name.to_owned(), Some(value));
        for segment in error.path().iter() {
            match segment {
                Segment::Map { key } => {
                    found = found.and_then(|value| value.get(key));
                    field = key.clone();
                }
                Segment::Seq { index } => {
                    found = found.and_then(|value| value.get(index));
                    field = index.to_string();
                }
                Segment::Enum { .. } | Segment::Unknown => {}
            }
        }
        let found = found.unwrap_or(value);
        wrong_open(&field, found, &schema_words(found, &error.inner().to_string()))
    })
}

/// A refusal of serde, in the words of a JSON schema.
fn schema_words(value: &Value, reason: &str) -> String {
    let name = || reason.split('`').nth(1).unwrap_or_default();
    if reason.starts_with("missing field") {
        return format!("'{}' is a required property", name());
    }
    if reason.starts_with("unknown field") {
        return format!("Additional properties are not allowed ('{}' was unexpected)", name());
    }
    let Some((_, expected)) = reason.strip_prefix("invalid type").and_then(|rest| rest.split_once(", expected "))
    else {
        return reason.to_owned();
    };
    let kind = match expected {
        "a string" => "string",
        "a boolean" => "boolean",
        "a sequence" => "array",
        _ if expected.starts_with("struct") || expected == "a map" => "object",
        _ => "integer",
    };
    format!("{} is not of type '{kind}'", repr(value))
}

/// 400: the value of a field is not right.
#[must_use]
pub fn wrong_open(field: &str, value: &Value, reason: &str) -> ApiError {
    let value = match value {
        Value::String(text) => text.clone(),
        other => repr(other),
    };
    ApiError::bad_request(format!("Invalid input for field/attribute {field}. Value: {value}. {reason}"))
}

/// A value as Python writes it, which is how Keystone's texts show it.
#[must_use]
pub fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.contains('\'') && !text.contains('"') => format!("\"{text}\""),
        Value::String(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        Value::Array(items) => format!("[{}]", items.iter().map(repr).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) => {
            let pairs = entries.iter().map(|(key, value)| format!("'{key}': {}", repr(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{Body, Microversion};

    crate::open_body! {
        struct Thing in "thing" {
            name: String = "name",
            flag: Option<bool> = "flag",
            list: Option<Vec<String>> = "list",
        }
    }

    #[test]
    fn what_is_not_known_is_kept() {
        let body = json!({"thing": {"name": "n", "flag": null, "colour": [1]}});
        let thing = Thing::from_json(&body, Microversion::NONE).unwrap();
        assert_eq!((thing.name.as_str(), thing.flag, thing.list), ("n", None, None));
        assert_eq!(json!(thing.extra), json!({"colour": [1]}));
    }

    #[test]
    fn what_is_wrong_is_said_in_keystones_words() {
        for (body, text) in [
            (json!({}), "'thing' is a required property"),
            (json!({"thing": {"flag": true}}), "attribute thing. Value: {'flag': True}. 'name' is a required property"),
            (json!({"thing": {"name": 5}}), "attribute name. Value: 5. 5 is not of type 'string'"),
            (json!({"thing": {"name": "n", "flag": "x"}}), "attribute flag. Value: x. 'x' is not of type 'boolean'"),
            (json!({"thing": {"name": "n", "list": [{}]}}), "attribute 0. Value: {}. {} is not of type 'string'"),
            (json!({"thing": []}), "attribute thing. Value: []. [] is not of type 'object'"),
        ] {
            let refused = Thing::from_json(&body, Microversion::NONE).unwrap_err().to_string();
            assert!(refused.contains(text), "{refused}");
        }
    }
}
