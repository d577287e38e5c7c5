//! What Glance answers where something is not there: locations that clients may set.

use axum::Json;
use http::StatusCode;
use novella_rest::{ApiError, Operation, Path, get, post};
use serde_json::{Value, json};

use crate::{
    Images, Request, access,
    db::objects::{self, Object},
    policy,
    records::body,
    status::Status,
    store::Store,
};

pub(crate) fn operations() -> Vec<Operation<Images>> {
    const LOCATIONS: &str = "/images/{image_id}/locations";
    vec![
        get(LOCATIONS, policy::FETCH_IMAGE_LOCATION, locations),
        post(LOCATIONS, policy::ADD_IMAGE_LOCATION, add_location),
    ]
}

/// Where an image's bytes are, for services.
async fn locations(request: Request, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let image = access::find(&request, &mut *request.state.database.read().await?, &id).await?;
    if !matches!(image.status, Status::Active | Status::Deactivated) {
        return Ok(Json(json!([])));
    }
    let copies = objects::copies(&mut *request.state.database.read().await?, &id).await?;
    let location = |Object { id, store, .. }: Object| {
        let kind = request.state.stores.get(&store).map_or("unknown", Store::kind);
        json!({"url": format!("{kind}://{store}/{id}"), "metadata": {"store": store}})
    };
    Ok(Json(copies.into_iter().map(location).collect()))
}

/// No bytes are elsewhere than in the store.
async fn add_location(mut request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let body = body(&mut request).await?;
    if body.get("url").is_none() {
        return Err(ApiError::bad_request(
            "Provided object does not match schema 'add_location': 'url' is a required property",
        ));
    }
    let image = access::find(&request, &mut *request.state.database.read().await?, &id).await?;
    if image.status != Status::Queued {
        let status = image.status;
        return Err(ApiError::Conflict(format!("It's not allowed to add locations if image status is {status}.")));
    }
    access::check(&request.context, policy::ADD_IMAGE_LOCATION, &image)?;
    Err(ApiError::Forbidden("http store must be enabled to use location API by normal user.".into()))
}
