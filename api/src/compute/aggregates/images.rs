//! `POST /os-aggregates/{id}/images`: images that hosts are to have at hand before a server is made of them.

use http::StatusCode;
use novella_rest::{ApiError, Path, body, inputs::UuidText};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::Request;

body! {
    /// `POST /os-aggregates/{id}/images`.
    pub(super) struct Cache {
        cache: Vec<Image> = "cache",
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Image {
    id: UuidText,
}

/// Takes the request for images that there are. A simulated host reads no image, so it has nothing to fetch.
pub(super) async fn cache(
    request: Request,
    Path(id): Path<String>,
    Cache { cache }: Cache,
) -> Result<StatusCode, ApiError> {
    if cache.is_empty() {
        return Err(ApiError::bad_request("Invalid input for field/attribute cache. Value: []. [] is too short"));
    }
    let mut ids: Vec<String> = cache.iter().map(|image| image.id.0.to_string()).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() < cache.len() {
        return Err(ApiError::bad_request("Duplicate images in request"));
    }
    super::find(&mut *request.state.database.read().await?, &id).await?;
    let found = request.state.images.find_many((&request).into(), ids.clone()).await?;
    if let Some(absent) = ids.iter().find(|id| !found.iter().any(|image| image.id == **id)) {
        return Err(ApiError::bad_request(format!("Image {absent} could not be found.")));
    }
    Ok(StatusCode::ACCEPTED)
}
