//! `/os-aggregates`: there are none, and none can be made. Clients that show a hypervisor ask for them first.

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

/// Lists host aggregates.
#[utoipa::path(get, path = "/os-aggregates", tag = "aggregates", responses((status = 200)))]
async fn index(caller: Caller) -> Result<Json<Value>, ApiError> {
    policy::AGGREGATES_INDEX.check_own(&caller.context)?;
    Ok(Json(json!({"aggregates": []})))
}

/// Shows a host aggregate.
#[utoipa::path(
    get,
    path = "/os-aggregates/{aggregate_id}",
    tag = "aggregates",
    params(("aggregate_id" = String, Path)),
    responses((status = 404)),
)]
async fn show(caller: Caller, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    policy::AGGREGATES_SHOW.check_own(&caller.context)?;
    Err(ApiError::not_found(format!("Aggregate {id} could not be found.")))
}
