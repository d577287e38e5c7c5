//! `GET /image/v2/images/{image_id}/file`.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use novella_rest::{ApiError, Path};

use super::{described, range::range, receive::failed};
use crate::{Request, access, status::Status, store::StoreError};

/// Sends an image's bytes, or a part of them; 204 where it has none yet.
pub(super) async fn download(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let image = access::find(&request, &mut *request.state.database.read().await?, &id).await?;
    if image.status == Status::Deactivated && !request.context.is_admin {
        return Err(ApiError::Forbidden(
            "The requested image has been deactivated. Image data download is forbidden.".into(),
        ));
    }
    let size = image.size.and_then(|size| u64::try_from(size).ok());
    let (Status::Active | Status::Deactivated, Some(size)) = (image.status, size) else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let part = range(request.headers(), size)?;
    let wanted = part.clone().unwrap_or(0..size);
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, "application/octet-stream".to_owned());
    set(header::CONTENT_LENGTH, (wanted.end - wanted.start).to_string());
    if let Some(checksum) = &image.checksum {
        set(HeaderName::from_static("content-md5"), checksum.clone());
    }
    if part.is_some() {
        set(header::CONTENT_RANGE, format!("bytes {}-{}/{size}", wanted.start, wanted.end - 1));
    }
    let body = match image.object {
        None => Body::from_stream(described::bytes(&image, size, wanted)),
        Some(object) => match request.state.store.read(object, wanted).await {
            Ok(bytes) => Body::from_stream(bytes),
            // Deleted since it was looked up; or lost, which the log then says.
            Err(StoreError::Missing) => {
                access::find(&request, &mut *request.state.database.read().await?, &id).await?;
                return Err(failed(StoreError::Missing));
            }
            Err(error) => return Err(failed(error)),
        },
    };
    let status = if part.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    Ok((status, headers, body).into_response())
}
