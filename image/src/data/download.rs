//! `GET /image/v2/images/{image_id}/file`.

use std::ops::Range;

use axum::{
    body::{Body, Bytes},
    response::{IntoResponse, Response},
};
use futures_util::stream::BoxStream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use novella_rest::{ApiError, Path};

use super::{described, range::range, receive::failed};
use crate::{
    Images, Request, access,
    db::objects,
    status::Status,
    store::{StoreError, read_file},
};

/// The bytes of an image in the best of the stores that have it, and in another where that fails.
///
/// # Errors
/// 503 if none can be read.
pub(crate) async fn stored(
    images: &Images,
    id: &str,
    wanted: Range<u64>,
) -> Result<BoxStream<'static, Result<Bytes, StoreError>>, ApiError> {
    let stores = &images.stores;
    let mut copies = objects::copies(&mut *images.database.read().await?, id).await?;
    copies.sort_by_key(|copy| stores.rank(&copy.store));
    let mut why = StoreError::Missing;
    for copy in copies {
        let read = async { stores.of(&copy.store)?.read(copy.id, wanted.clone()).await };
        match read.await {
            Ok(bytes) => return Ok(bytes),
            Err(error) => {
                tracing::warn!(%error, image = id, store = copy.store, "the bytes of an image can't be read");
                why = error;
            }
        }
    }
    Err(failed(why))
}

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
        Some(_) => match request.state.cache.file(&image).await {
            Some(file) => Body::from_stream(read_file(file, wanted)),
            None => {
                let bytes = match stored(&request.state, &id, wanted).await {
                    Ok(bytes) => bytes,
                    Err(error) => {
                        // Deleted since it was looked up; or lost, which the log says.
                        access::find(&request, &mut *request.state.database.read().await?, &id).await?;
                        return Err(error);
                    }
                };
                if part.is_none() {
                    request.state.cache.queue(&request.state, &image);
                }
                Body::from_stream(bytes)
            }
        },
    };
    let status = if part.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    Ok((status, headers, body).into_response())
}
