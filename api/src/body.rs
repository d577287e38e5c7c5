//! JSON bodies: read, held to a shape, and refused with a text that names the place.
//!
//! Refusals are worded as Nova's JSON schemas word them: `Invalid input for field/attribute min_count. Value: -1. ...`.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, rejection::BytesRejection},
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::{Path, Segment};
use tokio::time::timeout;

use crate::{error::ApiError, state::Api};

/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request's body as JSON.
pub(crate) struct JsonBody(pub(crate) Value);

impl FromRequest<Api> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        // A client that says nothing, or text, is given the benefit of the doubt, as by Nova.
        let form = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let form = form.map_or("text/plain", |form| form.split(';').next().unwrap_or(form).trim());
        let is_json = form.eq_ignore_ascii_case("text/plain")
            || form.eq_ignore_ascii_case("application/json")
            || (form.starts_with("application/") && form.ends_with("+json"));
        if !is_json {
            return Err(ApiError::UnsupportedMediaType);
        }
        // A client that stops in the middle must not keep its place among the requests that are worked on.
        let bytes = timeout(PATIENCE, Bytes::from_request(request, api)).await;
        let bytes = bytes.map_err(|_| ApiError::RequestTimeout { seconds: PATIENCE.as_secs() })?;
        let bytes = bytes.map_err(|rejection| unread(rejection, api))?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| ApiError::bad_request(format!("Malformed request body: {error}")))
    }
}

fn unread(rejection: BytesRejection, api: &Api) -> ApiError {
    if rejection.into_response().status() == StatusCode::PAYLOAD_TOO_LARGE {
        ApiError::TooLarge { limit: api.config.max_body_bytes }
    } else {
        ApiError::bad_request("Malformed request body: it ended before it was complete.")
    }
}

impl JsonBody {
    /// The object under the one key that the body must have.
    ///
    /// # Errors
    /// 400 if the body is not of that form.
    pub(crate) fn envelope(&self, key: &str) -> Result<&Map<String, Value>, ApiError> {
        let body = self.object()?;
        let Some(inner) = body.get(key) else {
            return Err(ApiError::bad_request(format!("Invalid input: '{key}' is a required property")));
        };
        if let Some(other) = body.keys().find(|other| *other != key) {
            return Err(unexpected(None, other));
        }
        object(key, inner)
    }

    /// The body as an object.
    ///
    /// # Errors
    /// 400 if it is something else.
    pub(crate) fn object(&self) -> Result<&Map<String, Value>, ApiError> {
        self.0.as_object().ok_or_else(|| ApiError::bad_request("Malformed request body: a JSON object is expected."))
    }
}

/// `value`, which stands at `place` in the body, as an object. To be asked before it is read as a struct, which serde
/// takes from an array too.
///
/// # Errors
/// 400 if it is something else.
pub(crate) fn object<'v>(place: &str, value: &'v Value) -> Result<&'v Map<String, Value>, ApiError> {
    value.as_object().ok_or_else(|| wrong(place, value, &format!("{value} is not of type 'object'")))
}

/// Reads `value`, which stands at `place` in the body, as a `T`.
///
/// # Errors
/// 400 that names the field, its value and what would be right.
pub(crate) fn typed<T: DeserializeOwned>(place: &str, value: &Value) -> Result<T, ApiError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let reason = error.inner().to_string();
        let mut field = place.to_owned();
        let mut found = Some(value);
        for segment in segments(error.path()) {
            match segment {
                Segment::Map { key } => {
                    field = if field.is_empty() { key.clone() } else { format!("{field}.{key}") };
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

fn segments(path: &Path) -> impl Iterator<Item = &Segment> {
    path.iter()
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

/// 400: the value of a field is not right.
pub(crate) fn wrong(field: &str, value: &Value, reason: &str) -> ApiError {
    const SHOWN: usize = 200;
    let mut value = value.to_string();
    if value.len() > SHOWN {
        let end = (0..=SHOWN).rev().find(|end| value.is_char_boundary(*end)).unwrap_or(0);
        value.truncate(end);
        value.push_str("...");
    }
    ApiError::bad_request(format!("Invalid input for field/attribute {field}. Value: {value}. {reason}"))
}

/// 400: a field that is not known here, or not at this microversion.
pub(crate) fn unexpected(place: Option<&str>, field: &str) -> ApiError {
    let text = format!("Additional properties are not allowed ('{field}' was unexpected)");
    ApiError::bad_request(match place {
        Some(place) => format!("Invalid input for field/attribute {place}. {text}"),
        None => text,
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
}
