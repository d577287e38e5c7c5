//! `/extensions`: how the API was described before it had microversions. There are none.

use axum::response::Response;
use novella_rest::{ApiError, Operation, Path, get};

use crate::{Request, policy, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    vec![
        get("/extensions", policy::EXTENSIONS, index),
        get("/extensions/{alias}", policy::EXTENSIONS, show).status(404).summary("Show an extension."),
    ]
}

async fn index(request: Request) -> Result<Response, ApiError> {
    Ok(request.plain("extensions", [(); 0]))
}

async fn show(_: Request, Path(alias): Path<String>) -> Result<Response, ApiError> {
    Err(ApiError::not_found(format!("Extension {alias} could not be found.")))
}
