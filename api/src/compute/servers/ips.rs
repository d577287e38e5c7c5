//! `/servers/{id}/ips`: the addresses of a server.

use axum::response::Response;
use novella_rest::{ApiError, Path};

use super::addresses::{self, Addresses, NETWORK};
use crate::Request;

/// Lists a server's addresses.
pub(super) async fn index(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let instance = super::find(&request, &id).await?;
    Ok(request.plain("addresses", Addresses::in_list(instance.fixed_ip.as_deref())))
}

/// Lists a server's addresses on one network.
pub(super) async fn show(request: Request, Path((id, network)): Path<(String, String)>) -> Result<Response, ApiError> {
    let instance = super::find(&request, &id).await?;
    match instance.fixed_ip.as_deref() {
        Some(address) if network == NETWORK => Ok(request.plain(NETWORK, [addresses::plain(address)])),
        _ => Err(ApiError::not_found("Instance is not a member of specified network")),
    }
}
