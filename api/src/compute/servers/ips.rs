//! `/servers/{id}/ips`: the addresses of a server.

use std::collections::BTreeMap;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use novella_rest::{ApiError, Path};

use super::addresses::Addresses;
use crate::Request;

/// Lists a server's addresses.
pub(super) async fn index(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let instance = super::find(&request, &id).await?;
    Ok(request.plain("addresses", Addresses::in_list(&instance.network_info)))
}

/// Lists a server's addresses on one network.
pub(super) async fn show(request: Request, Path((id, network)): Path<(String, String)>) -> Result<Response, ApiError> {
    let instance = super::find(&request, &id).await?;
    match Addresses::in_list(&instance.network_info).on(&network) {
        Some(addresses) => Ok(Json(BTreeMap::from([(&network, addresses)])).into_response()),
        None => Err(ApiError::not_found("Instance is not a member of specified network")),
    }
}
