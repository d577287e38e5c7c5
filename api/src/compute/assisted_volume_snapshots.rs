//! `/os-assisted-volume-snapshots`: snapshots of volumes that a hypervisor helps to make. There are no volumes.

use axum::response::Response;
use novella_rest::{ApiError, FieldTable, Operation, Path, body, delete, field, inputs::Text, post};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{Request, policy, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    const DELETE_QUERY: FieldTable = FieldTable(&[field("delete_info")]);
    vec![
        post("/os-assisted-volume-snapshots", policy::ASSISTED_VOLUME_SNAPSHOTS_CREATE, create).status(400),
        delete("/os-assisted-volume-snapshots/{snapshot_id}", policy::ASSISTED_VOLUME_SNAPSHOTS_DELETE, remove)
            .query(DELETE_QUERY, 75)
            .status(400),
    ]
}

body! {
    /// `POST /os-assisted-volume-snapshots`.
    struct NewSnapshot in "snapshot" {
        volume_id: Text = "volume_id",
        create_info: CreateInfo = "create_info",
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[allow(dead_code, reason = "fields whose presence is all there is to check")]
struct CreateInfo {
    snapshot_id: Text,
    #[serde(rename = "type")]
    kind: String,
    new_file: Text,
    #[schema(value_type = Object)]
    #[serde(flatten)]
    others: Map<String, Value>,
}

async fn create(_: Request, NewSnapshot { volume_id, .. }: NewSnapshot) -> Result<Response, ApiError> {
    Err(no_volume(&volume_id.0))
}

async fn remove(request: Request, Path(_): Path<String>) -> Result<Response, ApiError> {
    let info = request.query.get("delete_info").ok_or_else(|| ApiError::bad_request("'delete_info' is required"))?;
    let info: Value = serde_json::from_str(info)
        .map_err(|error| ApiError::bad_request(format!("delete_info is no JSON: {error}")))?;
    let volume = info["volume_id"].as_str();
    Err(no_volume(volume.ok_or_else(|| ApiError::bad_request("'volume_id' is required in delete_info"))?))
}

fn no_volume(id: &str) -> ApiError {
    ApiError::bad_request(format!("No volume Block Device Mapping with id {id}: this cloud has no volume service."))
}
