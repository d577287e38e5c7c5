//! `/os-aggregates`: there are none, and none can be made. Clients that show a hypervisor ask for them first.

use axum::response::Response;
use novella_rest::{ApiError, Operation, Path, get};

use crate::{Request, policy, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    vec![
        get("/os-aggregates", policy::AGGREGATES_INDEX, index),
        get("/os-aggregates/{aggregate_id}", policy::AGGREGATES_SHOW, show).status(404),
    ]
}

async fn index(request: Request) -> Result<Response, ApiError> {
    Ok(request.plain("aggregates", [(); 0]))
}

async fn show(_: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    Err(ApiError::not_found(format!("Aggregate {id} could not be found.")))
}
