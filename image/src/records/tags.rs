//! `/image/v2/images/{image_id}/tags/{tag}`.

use http::StatusCode;
use novella_rest::{ApiError, Operation, Path, delete, put};
use serde_json::json;

use super::attributes::{add_tag, check_quota};
use crate::{Images, Request, access, db, policy, schema::validate};

pub(super) fn operations() -> Vec<Operation<Images>> {
    const ONE: &str = "/images/{image_id}/tags/{tag}";
    vec![
        put(ONE, policy::MODIFY_IMAGE, add).summary("Give an image a tag.").status(204),
        delete(ONE, policy::MODIFY_IMAGE, remove).summary("Take a tag from an image.").status(204),
    ]
}

/// 404 in the words that these operations have for it.
fn no_image(error: ApiError, id: &str) -> ApiError {
    match error {
        ApiError::NotFound(_) => ApiError::not_found(format!("Image {id} not found.")),
        other => other,
    }
}

async fn add(request: Request, Path((id, tag)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    validate("image", &json!({"tags": [tag]}))?;
    let mut transaction = request.state.database.begin().await?;
    let image = access::find_to_change(&request.context, &mut transaction, &id, policy::MODIFY_IMAGE).await;
    let mut image = image.map_err(|error| no_image(error, &id))?;
    add_tag(&mut image.tags, &tag);
    check_quota("tags", image.tags.len(), request.state.config.image_tag_quota)
        .map_err(|error| ApiError::OverLimit(format!("Image tag limit exceeded for image {id}: {error}:")))?;
    db::update(&mut transaction, &mut image).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove(request: Request, Path((id, tag)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    let image = access::find_to_change(&request.context, &mut transaction, &id, policy::MODIFY_IMAGE).await;
    let mut image = image.map_err(|error| no_image(error, &id))?;
    let place = image.tags.iter().position(|held| *held == tag).ok_or_else(ApiError::no_such_path)?;
    image.tags.remove(place);
    db::update(&mut transaction, &mut image).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
