//! `/servers/{id}/metadata`: pairs that users keep with a server.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use novella_common::{
    db::instances::edits,
    lifecycle::VmState,
    models::Instance,
    policy::{self, Rule},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    super::strict_query::WithoutQueryExt,
    metadata_rules::{Metadata, check_count},
};
use crate::{
    authentication::Caller,
    body::{JsonBody, typed},
    error::ApiError,
    state::Api,
};

/// How often a change looks again when somebody else's came first.
const ATTEMPTS: usize = 5;

/// The routes.
pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(index).without_query())
        .routes(routes!(merge))
        .routes(routes!(replace))
        .routes(routes!(show).without_query())
        .routes(routes!(set_one))
        .routes(routes!(delete_one))
}

/// `{"metadata": {...}}`.
#[derive(Serialize, ToSchema)]
struct MetadataBody {
    metadata: BTreeMap<String, String>,
}

/// `{"meta": {"key": "value"}}`.
#[derive(Serialize, ToSchema)]
struct MetaBody {
    meta: BTreeMap<String, String>,
}

/// Lists a server's metadata.
#[utoipa::path(
    get,
    path = "/servers/{server_id}/metadata",
    tag = "server metadata",
    params(("server_id" = String, Path)),
    responses((status = 200, body = MetadataBody)),
)]
async fn index(State(api): State<Api>, caller: Caller, Path(id): Path<String>) -> Result<Json<MetadataBody>, ApiError> {
    let instance = super::find(&api, &caller, &id, policy::SERVER_METADATA_INDEX).await?;
    Ok(Json(MetadataBody { metadata: instance.metadata }))
}

/// Adds to a server's metadata, or changes what is there.
#[utoipa::path(
    post,
    path = "/servers/{server_id}/metadata",
    tag = "server metadata",
    params(("server_id" = String, Path)),
    responses((status = 200, body = MetadataBody)),
)]
async fn merge(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Result<Json<MetadataBody>, ApiError> {
    let Metadata(new) = pairs(&body, "metadata")?;
    let change = Change { api: &api, caller: &caller, id: &id, rule: policy::SERVER_METADATA_CREATE };
    let metadata = change
        .make(|mut metadata| {
            metadata.extend(new.clone());
            Ok(metadata)
        })
        .await?;
    Ok(Json(MetadataBody { metadata }))
}

/// Replaces a server's metadata.
#[utoipa::path(
    put,
    path = "/servers/{server_id}/metadata",
    tag = "server metadata",
    params(("server_id" = String, Path)),
    responses((status = 200, body = MetadataBody)),
)]
async fn replace(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Result<Json<MetadataBody>, ApiError> {
    let Metadata(new) = pairs(&body, "metadata")?;
    let change = Change { api: &api, caller: &caller, id: &id, rule: policy::SERVER_METADATA_UPDATE_ALL };
    let metadata = change.make(|_| Ok(new.clone())).await?;
    Ok(Json(MetadataBody { metadata }))
}

/// Shows one item of a server's metadata.
#[utoipa::path(
    get,
    path = "/servers/{server_id}/metadata/{key}",
    tag = "server metadata",
    params(("server_id" = String, Path), ("key" = String, Path)),
    responses((status = 200, body = MetaBody)),
)]
async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path((id, key)): Path<(String, String)>,
) -> Result<Json<MetaBody>, ApiError> {
    let mut instance = super::find(&api, &caller, &id, policy::SERVER_METADATA_SHOW).await?;
    let value = instance.metadata.remove(&key).ok_or_else(no_such_item)?;
    Ok(Json(MetaBody { meta: [(key, value)].into() }))
}

/// Sets one item of a server's metadata.
#[utoipa::path(
    put,
    path = "/servers/{server_id}/metadata/{key}",
    tag = "server metadata",
    params(("server_id" = String, Path), ("key" = String, Path)),
    responses((status = 200, body = MetaBody)),
)]
async fn set_one(
    State(api): State<Api>,
    caller: Caller,
    Path((id, key)): Path<(String, String)>,
    body: JsonBody,
) -> Result<Json<MetaBody>, ApiError> {
    let Metadata(meta) = pairs(&body, "meta")?;
    if meta.len() != 1 {
        return Err(ApiError::bad_request("Invalid input for field/attribute meta. One item is expected."));
    }
    if !meta.contains_key(&key) {
        return Err(ApiError::bad_request("Request body and URI mismatch"));
    }
    let change = Change { api: &api, caller: &caller, id: &id, rule: policy::SERVER_METADATA_UPDATE };
    change
        .make(|mut metadata| {
            metadata.extend(meta.clone());
            Ok(metadata)
        })
        .await?;
    Ok(Json(MetaBody { meta }))
}

/// Removes one item of a server's metadata.
#[utoipa::path(
    delete,
    path = "/servers/{server_id}/metadata/{key}",
    tag = "server metadata",
    params(("server_id" = String, Path), ("key" = String, Path)),
    responses((status = 204)),
)]
async fn delete_one(
    State(api): State<Api>,
    caller: Caller,
    Path((id, key)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let change = Change { api: &api, caller: &caller, id: &id, rule: policy::SERVER_METADATA_DELETE };
    change
        .make(|mut metadata| match metadata.remove(&key) {
            Some(_) => Ok(metadata),
            None => Err(no_such_item()),
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn no_such_item() -> ApiError {
    ApiError::not_found("Metadata item was not found")
}

fn pairs(body: &JsonBody, key: &str) -> Result<Metadata, ApiError> {
    typed(key, &Value::Object(body.envelope(key)?.clone()))
}

/// A change of a server's metadata.
struct Change<'a> {
    api: &'a Api,
    caller: &'a Caller,
    id: &'a str,
    rule: Rule,
}

impl Change<'_> {
    /// Makes it, by compare-and-swap: two changes at once both come to be.
    async fn make<F>(&self, change: F) -> Result<BTreeMap<String, String>, ApiError>
    where
        F: Fn(BTreeMap<String, String>) -> Result<BTreeMap<String, String>, ApiError>,
    {
        for _ in 0..ATTEMPTS {
            let instance = super::find(self.api, self.caller, self.id, self.rule).await?;
            check_state(&instance)?;
            let metadata = change(instance.metadata.clone())?;
            check_count(&metadata)?;
            if edits::replace_metadata(&mut *self.api.database.write().await?, &instance, &metadata).await? {
                return Ok(metadata);
            }
        }
        Err(ApiError::Conflict(format!("The metadata of instance {} changes all the time. Please try again.", self.id)))
    }
}

/// As in Nova: once it runs, or ran, and is not broken.
fn check_state(instance: &Instance) -> Result<(), ApiError> {
    match instance.vm_state {
        VmState::Active | VmState::Paused | VmState::Suspended | VmState::Stopped => Ok(()),
        state => Err(ApiError::Conflict(format!(
            "Cannot 'update metadata' instance {} while it is in vm_state {state}",
            instance.uuid
        ))),
    }
}
