//! `/image/v2/info`: what this cloud has of stores, ways to import, and quotas.

use axum::Json;
use http::StatusCode;
use novella_rest::{ApiError, Operation, Path, delete, get};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Images, Request, access,
    db::{self, objects},
    policy,
    status::Status,
    stores::{NamedStore, Stores},
};

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

async fn stores(request: Request) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({"stores": described(&request.state.stores)})))
}

async fn stores_in_detail(request: Request) -> Result<Json<Value>, ApiError> {
    let stores = &request.state.stores;
    let mut described = described(stores);
    for (shown, NamedStore { store, weight, .. }) in described.iter_mut().zip(stores.iter()) {
        shown["type"] = json!(store.kind());
        shown["weight"] = json!(weight);
        shown["properties"] = json!({});
    }
    Ok(Json(json!({"stores": described})))
}

fn described(stores: &Stores) -> Vec<Value> {
    let describe = |NamedStore { id, description, .. }: &NamedStore| {
        let mut shown = json!({"id": id});
        if let Some(description) = description {
            shown["description"] = json!(description);
        }
        if id == stores.default_id() {
            shown["default"] = json!("true");
        }
        shown
    };
    stores.iter().map(describe).collect()
}

/// Quotas are in the configuration, and no project has one of its own.
async fn usage(_: Request) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({"usage": {}})))
}

/// Removes an image's bytes from one of the stores that have them.
async fn remove_from_store(
    request: Request,
    Path((store, id)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    if request.state.stores.get(&store).is_none() {
        return Err(ApiError::Conflict(format!("The selected store {store} is not available on this node.")));
    }
    let mut transaction = request.state.database.begin().await?;
    let image = access::find_locked(&request.context, &mut transaction, &id).await;
    let mut image = image.map_err(|error| match error {
        ApiError::NotFound(_) => ApiError::not_found(format!("Failed to find image {id}")),
        other => other,
    })?;
    access::check(&request.context, policy::DELETE_IMAGE_LOCATION, &image)?;
    if image.status != Status::Active {
        return Err(ApiError::Conflict(
            "It's not allowed to remove image data from store if image status is not 'active'".into(),
        ));
    }
    let copies = objects::copies(&mut transaction, &id).await?;
    if copies.len() < 2 {
        return Err(ApiError::Forbidden(
            "Cannot delete image data from the only store containing it. Consider deleting the image instead.".into(),
        ));
    }
    let (here, elsewhere): (Vec<_>, Vec<_>) = copies.into_iter().partition(|copy| copy.store == store);
    let here: Vec<Uuid> = here.iter().map(|copy| copy.id).collect();
    if here.is_empty() {
        return Err(ApiError::not_found(format!("Image {id} is not stored in store {store}.")));
    }
    for object in &here {
        objects::doom(&mut transaction, *object).await?;
    }
    image.object = elsewhere.first().map(|copy| copy.id);
    db::update(&mut transaction, &mut image).await?;
    transaction.commit().await?;
    request.state.remove_doomed(here).await;
    Ok(StatusCode::NO_CONTENT)
}
