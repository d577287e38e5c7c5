//! `/servers/{id}/os-server-password`: the password that a guest has made at its first start, encrypted for its user. A
//! guest tells it to the metadata service, which this cloud does not have, so no guest has told any.

use axum::response::Response;
use http::StatusCode;
use novella_rest::{ApiError, Operation, Path, delete, get};

use crate::{Request, policy, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    const PATH: &str = "/servers/{server_id}/os-server-password";
    vec![
        get(PATH, policy::SERVER_PASSWORD_SHOW, show).answers::<String>("password"),
        delete(PATH, policy::SERVER_PASSWORD_CLEAR, clear).status(204),
    ]
}

async fn show(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    super::find(&request, &id).await?;
    Ok(request.plain("password", ""))
}

async fn clear(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    super::find(&request, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
