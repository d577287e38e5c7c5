//! `GET /servers/{id}`.

use axum::{
    extract::{Path, State},
    response::Response,
};
use novella_common::policy;

use super::{
    super::microversion::Microversion,
    view::{Occasion, ServerBody, View},
};
use crate::{authentication::Caller, error::ApiError, links::Links, state::Api};

/// Shows a server.
#[utoipa::path(
    get,
    path = "/servers/{server_id}",
    tag = "servers",
    params(("server_id" = String, Path)),
    responses((status = 200, body = ServerBody)),
)]
pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    version: Microversion,
    links: Links,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let instance = super::find(&api, &caller, &id, policy::SERVERS_SHOW).await?;
    let mut connection = api.database.read().await?;
    let one = std::slice::from_ref(&instance);
    let view = View::load(&api, &mut connection, &caller, version, &links, Occasion::Show, one).await?;
    Ok(view.one(&instance))
}
