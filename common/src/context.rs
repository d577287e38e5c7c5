//! Who asks, for which project, with which roles, under which request id.
//!
//! The context goes with each message (as oslo.messaging's `_context_*` keys) and into each log line. It holds no
//! credential: a service trusts the bus, not a token that travelled over it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The context of a request, carried from the API to the last host that works for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestContext {
    /// `req-<uuid>`, made by the API; also the name of the instance action that the request leaves.
    pub request_id: String,
    /// The caller's own request id (`X-OpenStack-Request-ID` of the request), if it sent a valid one.
    #[serde(default)]
    pub global_request_id: Option<String>,
    /// Id of the user who asks.
    #[serde(default)]
    pub user_id: Option<String>,
    /// Id of the project the token is scoped to.
    #[serde(default)]
    pub project_id: Option<String>,
    /// The user's roles in that project, implied ones included.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Whether `roles` holds `admin`.
    #[serde(default)]
    pub is_admin: bool,
}

impl RequestContext {
    /// A context with a request id of its own, for work that no user asked for: periodic tasks, reconciliation.
    #[must_use]
    pub fn internal() -> Self {
        Self {
            request_id: new_request_id(),
            global_request_id: None,
            user_id: None,
            project_id: None,
            roles: vec!["admin".into()],
            is_admin: true,
        }
    }

    /// Work that goes on for a request known only by its id: what a service that takes over finds in the database.
    #[must_use]
    pub fn resumed(request_id: &str) -> Self {
        Self { request_id: request_id.to_owned(), ..Self::internal() }
    }
}

/// A new `req-<uuid>`, the form that OpenStack's clients log.
#[must_use]
pub fn new_request_id() -> String {
    format!("req-{}", Uuid::new_v4())
}
