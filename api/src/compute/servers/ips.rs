//! `/servers/{id}/ips`: there is no network service, so no server has addresses.

use std::collections::BTreeMap;

use axum::response::Response;
use novella_rest::{ApiError, Path};

use crate::Request;

/// Lists a server's addresses.
pub(super) async fn index(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    super::find(&request, &id).await?;
    Ok(request.plain("addresses", BTreeMap::<String, ()>::new()))
}

/// Lists a server's addresses on one network.
pub(super) async fn show(request: Request, Path((id, _)): Path<(String, String)>) -> Result<Response, ApiError> {
    super::find(&request, &id).await?;
    Err(ApiError::not_found("Instance is not a member of specified network"))
}
