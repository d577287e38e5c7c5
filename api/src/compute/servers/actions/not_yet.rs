//! Long tasks of Nova's that this cloud does not have yet.

use axum::response::Response;
use novella_rest::{ApiError, Operation, Path, policy::Rule, post};

use super::PATH;
use crate::{Request, policy, state::Api};

static NOT_YET: &[(&str, Rule)] = &[
    ("createBackup", policy::CREATE_BACKUP),
    ("createImage", policy::SERVERS_CREATE_IMAGE),
    ("evacuate", policy::EVACUATE),
    ("rebuild", policy::SERVERS_REBUILD),
    ("rescue", policy::RESCUE),
    ("resize", policy::SERVERS_RESIZE),
    ("shelve", policy::SHELVE),
    ("shelveOffload", policy::SHELVE_OFFLOAD),
    ("unrescue", policy::UNRESCUE),
    ("unshelve", policy::UNSHELVE),
];

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    let operation = |(action, rule): &'static (&str, Rule)| {
        let refused =
            move |request: Request, Path(id): Path<String>| async move { refuse(&request, &id, action).await };
        post(PATH, *rule, refused).action(action).status(400)
    };
    NOT_YET.iter().map(operation).collect()
}

async fn refuse(request: &Request, id: &str, action: &str) -> Result<Response, ApiError> {
    super::super::find(request, id).await?;
    Err(ApiError::bad_request(format!("This cloud does not have the action '{action}' yet.")))
}
