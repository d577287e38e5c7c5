//! `/servers/{id}/os-volume_attachments`, `/shares`: what other services have attached to a server. There is neither a volume
//! service nor one of shared file systems, so that nothing is attached to any server, and nothing can be.

use axum::response::Response;
use novella_rest::{ApiError, Operation, Path, delete, get, post, put};

use crate::{Request, policy, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    const VOLUMES: &str = "/servers/{server_id}/os-volume_attachments";
    const VOLUME: &str = "/servers/{server_id}/os-volume_attachments/{volume_id}";
    const SHARES: &str = "/servers/{server_id}/shares";
    const SHARE: &str = "/servers/{server_id}/shares/{share_id}";
    vec![
        get(VOLUMES, policy::VOLUME_ATTACHMENTS_INDEX, volumes),
        get(VOLUME, policy::VOLUME_ATTACHMENTS_SHOW, volume).status(404),
        post(VOLUMES, policy::VOLUME_ATTACHMENTS_CREATE, no_volumes).status(404),
        put(VOLUME, policy::VOLUME_ATTACHMENTS_UPDATE, volume).status(404),
        delete(VOLUME, policy::VOLUME_ATTACHMENTS_DELETE, volume).status(404),
        get(SHARES, policy::SERVER_SHARES_INDEX, shares).since(97),
        get(SHARE, policy::SERVER_SHARES_SHOW, share).since(97).status(404),
        post(SHARES, policy::SERVER_SHARES_CREATE, no_shares).since(97).status(404),
        delete(SHARE, policy::SERVER_SHARES_DELETE, share).since(97).status(404),
    ]
}

async fn empty(request: Request, id: &str, key: &'static str) -> Result<Response, ApiError> {
    super::find(&request, id).await?;
    Ok(request.plain(key, [(); 0]))
}

async fn volumes(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    empty(request, &id, "volumeAttachments").await
}

async fn shares(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    empty(request, &id, "shares").await
}

async fn share(request: Request, Path((id, share)): Path<(String, String)>) -> Result<Response, ApiError> {
    super::find(&request, &id).await?;
    Err(ApiError::not_found(format!("Share mapping of share {share} and instance {id} could not be found.")))
}

async fn no_shares(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    super::find(&request, &id).await?;
    Err(ApiError::not_found("This cloud has no service of shared file systems: there is no share to attach."))
}

async fn volume(request: Request, Path((id, volume)): Path<(String, String)>) -> Result<Response, ApiError> {
    super::find(&request, &id).await?;
    Err(ApiError::not_found(format!("Instance {id} is not attached to volume {volume}")))
}

async fn no_volumes(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    super::find(&request, &id).await?;
    Err(ApiError::not_found("This cloud has no volume service: there is no volume to attach."))
}
