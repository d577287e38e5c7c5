//! `/extensions`: how the API was described before it had microversions. There are none.

use axum::{Json, extract::Path};
use novella_common::policy;
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::strict_query::WithoutQueryExt;
use crate::{authentication::Caller, error::ApiError, state::Api};

/// The routes.
pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(index).without_query()).routes(routes!(show).without_query())
}

/// Lists extensions.
#[utoipa::path(get, path = "/extensions", tag = "extensions", responses((status = 200)))]
async fn index(caller: Caller) -> Result<Json<Value>, ApiError> {
    policy::EXTENSIONS.check_own(&caller.context)?;
    Ok(Json(json!({"extensions": []})))
}

/// Shows an extension.
#[utoipa::path(
    get,
    path = "/extensions/{alias}",
    tag = "extensions",
    params(("alias" = String, Path)),
    responses((status = 404)),
)]
async fn show(caller: Caller, Path(alias): Path<String>) -> Result<Json<Value>, ApiError> {
    policy::EXTENSIONS.check_own(&caller.context)?;
    Err(ApiError::not_found(format!("Extension {alias} could not be found.")))
}
