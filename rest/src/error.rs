//! What a request can come to but an answer, and how each service says so.
//!
//! A handler returns an [`ApiError`]. Its response carries the status and the text; the body is written by
//! `write_envelope`, the outermost layer of each service, in the [`Envelope`] of that service. So nothing that goes wrong,
//! in whatever layer, is answered in another form.

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use novella_common::{db::DbError, neighbours::Refusal};
use serde_json::{Value, json};

use crate::policy::Denied;

/// The form of a service's errors: from the status and the text to the body.
pub type Envelope = fn(StatusCode, &str) -> Value;

/// Seconds after which a client may try again what failed because a part of the cloud could not be reached, or had too much
/// to do.
const RETRY_AFTER_SECONDS: u16 = 5;

/// What a request can come to but an answer. The text is for the client.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApiError {
    /// 400: the request does not say what it must.
    #[error("{0}")]
    BadRequest(String),
    /// 401: no token, or none that is valid.
    #[error("The request you have made requires authentication.")]
    Unauthorized,
    /// 401 with a reason that may be known: only to who has shown who he is.
    #[error("{0}")]
    Refused(String),
    /// 403: the caller may not.
    #[error("{0}")]
    Forbidden(String),
    /// 404: there is no such thing, or none that the caller may know of.
    #[error("{0}")]
    NotFound(String),
    /// 405: the path is right, the method is not.
    #[error("The method specified is not allowed for this resource.")]
    MethodNotAllowed,
    /// 406: the microversion is not served.
    #[error("{0}")]
    NotAcceptable(String),
    /// 408: the body did not come in time.
    #[error("The body of the request did not arrive within {seconds} s.")]
    RequestTimeout {
        /// How long it was waited for.
        seconds: f64,
    },
    /// 409: not in this state.
    #[error("{0}")]
    Conflict(String),
    /// 410: it was deleted while it was worked on, or was served once, by others.
    #[error("{0}")]
    Gone(String),
    /// 413: the body is too large.
    #[error("Request is too large: its body may have {limit} bytes at most.")]
    TooLarge {
        /// In bytes.
        limit: usize,
    },
    /// 413: it is more than there may be of it.
    #[error("{0}")]
    OverLimit(String),
    /// 415: the body is not JSON.
    #[error("Unsupported Content-Type")]
    UnsupportedMediaType,
    /// 415: the body is not what it says, or not what is taken here.
    #[error("{0}")]
    UnsupportedContent(String),
    /// 416: there is no such part.
    #[error("{0}")]
    RangeNotSatisfiable(String),
    /// 429: the client asks for more at once, or more often, than it may.
    #[error("{0}")]
    TooManyRequests(String),
    /// 501: OpenStack can, this cloud can't.
    #[error("{0}")]
    NotImplemented(String),
    /// 503: a part of the cloud could not be reached; nothing was changed.
    #[error("{0}")]
    Unavailable(String),
    /// 503: the database has ended the transaction, and nothing of it lasts. Tried again it may succeed.
    #[error("The database is too busy at present. Please try again.")]
    TransactionLost,
    /// 504: whether it was done is not known.
    #[error("{0}")]
    Unknown(String),
    /// Of a service whose errors have types beside their texts: Neutron's `NetworkNotFound`.
    #[error("{text}")]
    Typed {
        /// The status.
        status: StatusCode,
        /// The type, which clients tell errors apart by.
        kind: &'static str,
        /// The text.
        text: String,
    },
    /// A handler broke: a defect, answered as 500.
    #[error("Unexpected API Error. The request id names it in the log.")]
    Broken,
}

impl ApiError {
    /// The status that it is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized | Self::Refused(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable(_) => StatusCode::NOT_ACCEPTABLE,
            Self::RequestTimeout { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Gone(_) => StatusCode::GONE,
            Self::TooLarge { .. } | Self::OverLimit(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType | Self::UnsupportedContent(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RangeNotSatisfiable(_) => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::TooManyRequests(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::NotImplemented(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Unavailable(_) | Self::TransactionLost => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unknown(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::Typed { status, .. } => *status,
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// 400 with this text.
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self::BadRequest(text.into())
    }

    /// 404 with this text.
    pub fn not_found(text: impl Into<String>) -> Self {
        Self::NotFound(text.into())
    }

    /// The text of a path that leads nowhere.
    pub fn no_such_path() -> Self {
        Self::not_found("The resource could not be found.")
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        if let DbError::Bind(error) = &error {
            return Self::bad_request(error.to_string());
        }
        // The text may name what only an operator should see.
        tracing::error!(%error, "the database failed");
        match error {
            DbError::TransactionLost(_) => Self::TransactionLost,
            DbError::Unconfirmed { .. } => Self::Unknown(
                "The database did not confirm what was to be written; it may have been done. Please look before you try \
                 again."
                    .into(),
            ),
            _ => Self::Unavailable("The database cannot be used at present. Please try again.".into()),
        }
    }
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        Self::Forbidden(denied.to_string())
    }
}

/// What one component says to another in the same process: what it says to its users.
impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self { status: error.status().as_u16(), message: error.to_string() }
    }
}

/// What another component says, passed on in its own words.
impl From<Refusal> for ApiError {
    fn from(Refusal { status, message }: Refusal) -> Self {
        match status {
            400 => Self::BadRequest(message),
            401 => Self::Unauthorized,
            403 => Self::Forbidden(message),
            404 => Self::NotFound(message),
            409 => Self::Conflict(message),
            413 => Self::OverLimit(message),
            504 => Self::Unknown(message),
            _ => Self::Unavailable(message),
        }
    }
}

/// What `write_envelope` finds on a response that is an error without a body yet.
#[derive(Clone, Debug)]
struct Problem {
    text: String,
    kind: Option<&'static str>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        if let Self::Unavailable(_) | Self::TransactionLost | Self::TooManyRequests(_) = self {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
        }
        let kind = match self {
            Self::Typed { kind, .. } => Some(kind),
            _ => None,
        };
        response.extensions_mut().insert(Problem { text: self.to_string(), kind });
        response
    }
}

/// The form of Keystone's errors, and of what keystonemiddleware refuses in front of every service.
#[must_use]
pub fn keystone_envelope(status: StatusCode, message: &str) -> Value {
    let title = status.canonical_reason().unwrap_or_default();
    json!({"error": {"code": status.as_u16(), "title": title, "message": message}})
}

/// Writes the body of each error, in the envelope of the service that was asked.
pub(crate) async fn write_envelope(State(envelope): State<Envelope>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let (message, kind) = match parts.extensions.remove::<Problem>() {
        Some(Problem { text, kind }) => (text, kind),
        None if is_json(&parts.headers) => return Response::from_parts(parts, body),
        // Not from here: a path that is no UTF-8, say, which the router refuses by itself.
        None => (text_of(body).await, None),
    };
    let title = status.canonical_reason().unwrap_or_default();
    let message = if message.is_empty() { title.to_owned() } else { message };
    // A missing token is refused by keystonemiddleware before a service sees the request, so in Keystone's form.
    let mut body = match status {
        StatusCode::UNAUTHORIZED => keystone_envelope(status, &message),
        _ => envelope(status, &message),
    };
    if let Some(kind) = kind {
        set_type(&mut body, kind);
    }
    // The body's own; those of the new one are set with it.
    parts.headers.remove(header::CONTENT_TYPE);
    parts.headers.remove(header::CONTENT_LENGTH);
    (parts, Json(body)).into_response()
}

/// Writes an error's type into an envelope that has a place for it; without one it stays what the status says.
fn set_type(body: &mut Value, kind: &str) {
    let errors = body.as_object_mut().into_iter().flat_map(|body| body.values_mut());
    for place in errors.filter_map(|error| error.get_mut("type")) {
        *place = kind.into();
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|form| form.as_bytes().starts_with(b"application/json"))
}

async fn text_of(body: Body) -> String {
    const LONGEST: usize = 4096;
    let bytes = axum::body::to_bytes(body, LONGEST).await.unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}
