//! `/servers/{id}/ips`: there is no network service, so no server has addresses.

use axum::{
    Json,
    extract::{Path, State},
};
use novella_common::policy;
use serde_json::{Value, json};

use crate::{authentication::Caller, error::ApiError, state::Api};

/// Lists a server's addresses.
#[utoipa::path(
    get,
    path = "/servers/{server_id}/ips",
    tag = "servers",
    params(("server_id" = String, Path)),
    responses((status = 200)),
)]
pub(super) async fn index(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    super::find(&api, &caller, &id, policy::SERVER_IPS_INDEX).await?;
    Ok(Json(json!({"addresses": {}})))
}

/// Lists a server's addresses on one network.
#[utoipa::path(
    get,
    path = "/servers/{server_id}/ips/{network_label}",
    tag = "servers",
    params(("server_id" = String, Path), ("network_label" = String, Path)),
    responses((status = 404)),
)]
pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path((id, _network)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    super::find(&api, &caller, &id, policy::SERVER_IPS_SHOW).await?;
    Err(ApiError::not_found("Instance is not a member of specified network"))
}
