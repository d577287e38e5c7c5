//! `/image/v2/info`: what this cloud has of stores, ways to import, and quotas.

use axum::Json;
use http::StatusCode;
use novella_rest::{ApiError, Operation, Path, delete, get};
use serde_json::{Value, json};

use crate::{Images, Request, access, policy, status::Status, store::STORE};

pub(crate) fn operations() -> Vec<Operation<Images>> {
    vec![
        get("/info/import", policy::GET_IMPORT_METHODS, methods),
        get("/info/stores", policy::GET_STORES, stores),
        get("/info/stores/detail", policy::STORES_INFO_DETAIL, stores_in_detail),
        get("/info/usage", policy::GET_USAGE, usage),
        delete("/stores/{store_id}/{image_id}", policy::DELETE_IMAGE_LOCATION, remove_from_store).status(204),
    ]
}

async fn methods(request: Request) -> Result<Json<Value>, ApiError> {
    let methods = request.state.config.import_methods();
    Ok(Json(json!({"import-methods": {
        "type": "array",
        "description": "Import methods available.",
        "value": methods,
    }})))
}

async fn stores(_: Request) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({"stores": [{"id": STORE, "default": "true"}]})))
}

async fn stores_in_detail(request: Request) -> Result<Json<Value>, ApiError> {
    let kind = request.state.store.kind();
    let store = json!({"id": STORE, "default": "true", "type": kind, "weight": 0, "properties": {}});
    Ok(Json(json!({"stores": [store]})))
}

/// Quotas are in the configuration, and no project has one of its own.
async fn usage(_: Request) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({"usage": {}})))
}

/// There is one store, and what is in no store is not there.
async fn remove_from_store(
    request: Request,
    Path((store, id)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    if store != STORE {
        return Err(ApiError::Conflict(format!("The selected store {store} is not available on this node.")));
    }
    let image = access::find(&request, &mut *request.state.database.read().await?, &id).await;
    let image = image.map_err(|error| match error {
        ApiError::NotFound(_) => ApiError::not_found(format!("Failed to find image {id}")),
        other => other,
    })?;
    if image.status != Status::Active {
        return Err(ApiError::Conflict(
            "It's not allowed to remove image data from store if image status is not 'active'".into(),
        ));
    }
    Err(ApiError::Forbidden(
        "Cannot delete image data from the only store containing it. Consider deleting the image instead.".into(),
    ))
}
