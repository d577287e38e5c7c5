//! `DELETE /image/v2/images/{image_id}`.

use http::StatusCode;
use novella_rest::{ApiError, Path, policy::Caller};

use crate::{
    Images, Request, access,
    db::{self, objects},
    policy,
};

/// Deletes an image, in whatever state it is: whoever writes its bytes finds that nobody wants them any more.
pub(crate) async fn remove(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    remove_as(&request.state, &request.context, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The same for whoever asks.
pub(crate) async fn remove_as(images: &Images, caller: &Caller, id: &str) -> Result<(), ApiError> {
    let mut transaction = images.database.begin().await?;
    let image = access::find_to_change(caller, &mut transaction, id, policy::DELETE_IMAGE).await;
    let image = image.map_err(|error| match error {
        ApiError::NotFound(_) => ApiError::not_found(format!("Failed to find image {id} to delete")),
        other => other,
    })?;
    if image.protected {
        return Err(ApiError::Forbidden(format!("Image {id} is protected and cannot be deleted.")));
    }
    db::delete(&mut transaction, id).await?;
    let objects = objects::doomed_of(&mut transaction, id).await?;
    transaction.commit().await?;
    // What can't be removed now is removed later.
    images.remove_doomed(objects).await;
    if let Err(error) = images.cache.remove(id).await {
        tracing::warn!(%error, image = id, "a deleted image is still in the cache");
    }
    Ok(())
}
