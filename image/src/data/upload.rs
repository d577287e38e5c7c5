//! `PUT /image/v2/images/{image_id}/file` and `/stage`.
//!
//! Of two at once one wins: the other gets 409. What is interrupted or refused leaves the image as it was, and no bytes.

use http::{StatusCode, header};
use novella_rest::{ApiError, Path, policy::Rule};
use tracing::Instrument;

use super::{
    receive::receive,
    transitions::{begin, finish, gone, kept, most, undo},
};
use crate::{Request, policy, status::Status};

/// Uploads an image's bytes.
pub(super) async fn upload(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    take(request, id, policy::UPLOAD_IMAGE, Status::Saving).await
}

/// Uploads bytes that an import makes the image's.
pub(super) async fn stage(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    take(request, id, policy::MODIFY_IMAGE, Status::Uploading).await
}

/// In a task of its own, which goes on when the client goes: somebody has to tidy up.
async fn take(request: Request, id: String, rule: Rule, next: Status) -> Result<StatusCode, ApiError> {
    check_form(&request)?;
    let size = size(&request)?;
    // What is staged waits where no store is named.
    let store = match next {
        Status::Saving => store(&request)?,
        _ => request.state.stores.default_id().to_owned(),
    };
    let place = request.state.uploads.begin(request.client, &request.state.config)?;
    request.without_time_limit();
    let work = async move {
        let _place = place;
        take_all(request, &id, rule, (next, &store), size).await
    };
    tokio::spawn(work.in_current_span()).await.unwrap_or(Err(ApiError::Broken))
}

async fn take_all(
    mut request: Request,
    id: &str,
    rule: Rule,
    (next, store): (Status, &str),
    size: Option<u64>,
) -> Result<StatusCode, ApiError> {
    let images = request.state.clone();
    let mut transaction = images.database.begin().await?;
    let (image, object) = begin(&request, &mut transaction, id, rule, (next, store)).await?;
    let most = most(&images, &mut transaction, &image, size).await?;
    transaction.commit().await?;
    let body = request.take_body().into_data_stream();
    let idle = request.config.body_timeout;
    let outcome = request.elsewhere(async {
        let received = receive(&images, (store, object), body, &most, idle).await?;
        finish(&images, next, &kept(&images, &image, (store, object), received)).await
    });
    let Err(error) = outcome.await else { return Ok(StatusCode::NO_CONTENT) };
    if let Err(error) = undo(&images, next, id, object, &error.to_string()).await {
        tracing::warn!(%error, image = id, "an upload that failed is not undone yet");
    }
    Err(match error {
        ApiError::Gone(_) => gone(id),
        other => other,
    })
}

/// 415 for what is no plain bytes.
fn check_form(request: &Request) -> Result<(), ApiError> {
    let form = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let form = form.split(';').next().unwrap_or(form).trim();
    if form.eq_ignore_ascii_case("application/octet-stream") {
        return Ok(());
    }
    Err(ApiError::UnsupportedContent(format!("Invalid content type {form}")))
}

/// How many bytes there will be, if the client says.
fn size(request: &Request) -> Result<Option<u64>, ApiError> {
    let header = |name| request.headers().get(name).map(|value: &http::HeaderValue| value.to_str().unwrap_or_default());
    let text = header("x-openstack-image-size").or_else(|| header(header::CONTENT_LENGTH.as_str()));
    let invalid = |_| ApiError::bad_request("Invalid or missing image size in request headers.");
    text.map(|text| text.trim().parse().map_err(invalid)).transpose()
}

/// The store that a request names.
pub(super) fn named_store(request: &Request) -> Option<&str> {
    request.headers().get("x-image-meta-store").and_then(|value| value.to_str().ok())
}

/// The store that an upload is to be in.
///
/// # Errors
/// 400 for one that there is not.
fn store(request: &Request) -> Result<String, ApiError> {
    let stores = &request.state.stores;
    let store = named_store(request).unwrap_or(stores.default_id());
    match stores.get(store) {
        Some(_) => Ok(store.to_owned()),
        None => Err(ApiError::bad_request(format!("Store for identifier {store} not found"))),
    }
}
