//! Records of images: made, shown, changed, shared and deleted. What is in an image is `data`'s matter.

mod actions;
mod attributes;
mod create;
mod members;
mod patch;
pub(crate) mod properties;
pub(crate) mod remove;
mod tags;
mod update;

use axum::Json;
use novella_rest::{ApiError, Operation, Path, delete, get, patch, post};
use serde_json::Value;

use crate::{
    Images, Request, access, list, policy,
    view::{ImageView, shown_one},
};

pub(crate) fn operations() -> Vec<Operation<Images>> {
    const ALL: &str = "/images";
    const ONE: &str = "/images/{image_id}";
    let mut operations = vec![
        get(ALL, policy::GET_IMAGES, list::index).query(list::QUERY, u16::MAX).answers_list::<ImageView>("images"),
        post(ALL, policy::ADD_IMAGE, create::create).status(201).answers::<ImageView>(""),
        get(ONE, policy::GET_IMAGE, show).answers::<ImageView>(""),
        patch(ONE, policy::MODIFY_IMAGE, update::update).answers::<ImageView>(""),
        delete(ONE, policy::DELETE_IMAGE, remove::remove).status(204),
    ];
    operations.extend(actions::operations());
    operations.extend(tags::operations());
    operations.extend(members::operations());
    operations
}

/// Shows an image.
async fn show(request: Request, Path(id): Path<String>) -> Result<Json<ImageView>, ApiError> {
    let image = access::find(&request, &mut *request.state.database.read().await?, &id).await?;
    Ok(Json(shown_one(&request.state, image).await?))
}

/// A body of JSON, whatever media type it is said to be of: Glance looks at no other.
///
/// # Errors
/// 400 in Glance's words.
pub(crate) async fn body(request: &mut Request) -> Result<Value, ApiError> {
    body_of(request, |_| true).await
}

async fn body_of(request: &mut Request, takes: fn(&str) -> bool) -> Result<Value, ApiError> {
    match request.json_of(takes).await {
        Ok(body) => Ok(body.clone()),
        Err(ApiError::BadRequest(text)) if text.ends_with("line 1 column 0") => {
            Err(ApiError::bad_request("Body expected in request."))
        }
        Err(ApiError::BadRequest(text)) if text.starts_with("Malformed request body") => {
            Err(ApiError::bad_request("Malformed JSON in request body."))
        }
        Err(other) => Err(other),
    }
}
