//! Neutron's errors: a type that clients tell them apart by, and a text.

use http::StatusCode;
use novella_rest::ApiError;
use serde_json::{Value, json};

/// An error with a type of its own.
pub(crate) fn typed(status: StatusCode, kind: &'static str, text: impl Into<String>) -> ApiError {
    ApiError::Typed { status, kind, text: text.into() }
}

/// 400 with a type of its own.
pub(crate) fn refused(kind: &'static str, text: impl Into<String>) -> ApiError {
    typed(StatusCode::BAD_REQUEST, kind, text)
}

/// 404 with a type of its own.
pub(crate) fn missing(kind: &'static str, text: impl Into<String>) -> ApiError {
    typed(StatusCode::NOT_FOUND, kind, text)
}

/// 409 with a type of its own.
pub(crate) fn conflict(kind: &'static str, text: impl Into<String>) -> ApiError {
    typed(StatusCode::CONFLICT, kind, text)
}

/// 400 for what contradicts itself, or something else.
pub(crate) fn invalid_input(reason: impl AsRef<str>) -> ApiError {
    refused("InvalidInput", format!("Invalid input for operation: {}.", reason.as_ref()))
}

/// 400 for an attribute's value.
pub(crate) fn invalid_attribute(name: &str, reason: &str) -> ApiError {
    ApiError::bad_request(format!("Invalid input for {name}. Reason: {reason}."))
}

/// 400 of a resource's own.
pub(crate) fn bad_request_of(resource: &str, reason: &str) -> ApiError {
    refused("BadRequest", format!("Bad {resource} request: {reason}."))
}

/// 403: these rules together are not granted.
pub(crate) fn disallowed(rules: &str) -> ApiError {
    typed(StatusCode::FORBIDDEN, "PolicyNotAuthorized", format!("{rules} is disallowed by policy"))
}

/// The form of Neutron's errors. Those without a type of their own have that of their status.
pub(crate) fn envelope(status: StatusCode, message: &str) -> Value {
    let kind = match status {
        StatusCode::BAD_REQUEST => "HTTPBadRequest",
        StatusCode::FORBIDDEN => "PolicyNotAuthorized",
        StatusCode::NOT_FOUND => "HTTPNotFound",
        StatusCode::METHOD_NOT_ALLOWED => "HTTPMethodNotAllowed",
        StatusCode::CONFLICT => "HTTPConflict",
        StatusCode::PAYLOAD_TOO_LARGE => "HTTPRequestEntityTooLarge",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "HTTPUnsupportedMediaType",
        StatusCode::TOO_MANY_REQUESTS => "HTTPTooManyRequests",
        StatusCode::NOT_IMPLEMENTED => "HTTPNotImplemented",
        StatusCode::SERVICE_UNAVAILABLE => "HTTPServiceUnavailable",
        StatusCode::GATEWAY_TIMEOUT => "HTTPGatewayTimeout",
        StatusCode::INTERNAL_SERVER_ERROR => "HTTPInternalServerError",
        _ => "HTTPError",
    };
    json!({"NeutronError": {"type": kind, "message": message, "detail": ""}})
}
