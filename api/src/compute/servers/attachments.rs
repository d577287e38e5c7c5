//! `/servers/{id}/os-security-groups`, `/os-interface`: what Networking has attached to a server. Compute does not ask
//! Networking for ports yet, so that nothing is attached to any server, and nothing can be.

use axum::response::Response;
use novella_rest::{ApiError, Operation, Path, delete, get, post};

use crate::{Request, policy, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    const PORTS: &str = "/servers/{server_id}/os-interface";
    const PORT: &str = "/servers/{server_id}/os-interface/{port_id}";
    vec![
        get("/servers/{server_id}/os-security-groups", policy::SECURITY_GROUPS_LIST, security_groups),
        get(PORTS, policy::INTERFACES_LIST, ports),
        get(PORT, policy::INTERFACES_SHOW, port).status(404),
        post(PORTS, policy::INTERFACES_CREATE, no_network).status(404),
        delete(PORT, policy::INTERFACES_DELETE, port).status(404),
    ]
}

async fn empty(request: Request, id: &str, key: &'static str) -> Result<Response, ApiError> {
    super::find(&request, id).await?;
    Ok(request.plain(key, [(); 0]))
}

async fn security_groups(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    empty(request, &id, "security_groups").await
}

async fn ports(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    empty(request, &id, "interfaceAttachments").await
}

async fn port(request: Request, Path((id, port)): Path<(String, String)>) -> Result<Response, ApiError> {
    super::find(&request, &id).await?;
    Err(ApiError::not_found(format!("Instance {id} does not have a port with id {port}")))
}

async fn no_network(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    super::find(&request, &id).await?;
    Err(ApiError::not_found("This cloud has no network service: there is no network and no port to attach."))
}
