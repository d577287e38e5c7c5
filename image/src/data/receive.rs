//! Bytes on their way into the store: hashed, inspected and counted as they pass, and never held but for a few pieces.

use std::{fmt::Display, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use novella_rest::ApiError;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::digests::Digests;
use crate::{
    Images,
    db::objects,
    inspect::Inspection,
    store::{StoreError, Writer},
};

/// Bytes of a piece. What comes is less at a time, and each piece is handed to other threads.
const PIECE: usize = 1 << 20;

/// How much may come.
pub(super) struct Most {
    /// Bytes that an image may have.
    pub(super) cap: u64,
    /// Bytes that its project may still have.
    pub(super) quota: Option<u64>,
}

/// What came.
pub(super) struct Received {
    pub(super) size: u64,
    pub(super) checksum: String,
    pub(super) os_hash_value: String,
    pub(super) inspection: Inspection,
}

/// Writes a stream into the store as this object, which somebody has begun.
///
/// `store`: where to. `idle`: how long each piece of it may be waited for.
///
/// # Errors
/// It ended too early, or was too long; nobody wants it any more; the store can't take it. Nothing is left then.
pub(super) async fn receive<E: Display>(
    images: &Images,
    (store, object): (&str, Uuid),
    body: impl Stream<Item = Result<Bytes, E>> + Unpin,
    most: &Most,
    idle: Duration,
) -> Result<Received, ApiError> {
    let unwanted = CancellationToken::new();
    let _alive = alive(images, object, unwanted.clone());
    let store = images.stores.of(store).map_err(failed)?;
    let mut writer = store.write(object).await.map_err(failed)?;
    let received = tokio::select! {
        received = pass(body, &mut writer, most, idle) => received,
        () = unwanted.cancelled() => Err(ApiError::Gone("Nobody wants these bytes any more.".into())),
    };
    match received {
        Ok(received) => writer.finish().await.map_err(failed).map(|()| received),
        Err(error) => {
            writer.abort().await;
            Err(error)
        }
    }
}

/// A task that ends when this is dropped.
pub(super) struct Alive(tokio::task::JoinHandle<()>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Says from time to time that somebody writes, until what is returned is dropped or nobody wants that any more.
pub(super) fn alive(images: &Images, object: Uuid, unwanted: CancellationToken) -> Alive {
    Alive(tokio::spawn(keep_alive(images.clone(), object, unwanted)))
}

async fn keep_alive(images: Images, object: Uuid, unwanted: CancellationToken) {
    let mut signs = tokio::time::interval(images.config.upload_lease / 6);
    signs.tick().await;
    loop {
        signs.tick().await;
        let renewed = async { objects::renew(&mut *images.database.write().await?, object).await };
        match renewed.await {
            Ok(true) => {}
            Ok(false) => return unwanted.cancel(),
            Err(error) => tracing::warn!(%error, %object, "an upload could not say that it goes on"),
        }
    }
}

async fn pass<E: Display>(
    mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
    writer: &mut Writer,
    most: &Most,
    idle: Duration,
) -> Result<Received, ApiError> {
    let (mut digests, mut inspection, mut size) = (Digests::new(), Inspection::new(), 0u64);
    let mut piece = BytesMut::new();
    loop {
        let next = timeout_at(Instant::now() + idle, body.next()).await;
        let next = next.map_err(|_| ApiError::RequestTimeout { seconds: idle.as_secs_f64() })?;
        let next = next.transpose().map_err(|error| {
            tracing::debug!(%error, "an upload was interrupted");
            ApiError::bad_request("Malformed request body: it ended before it was complete.")
        })?;
        let is_end = next.is_none();
        if let Some(bytes) = next {
            size += bytes.len() as u64;
            check(size, most)?;
            piece.extend_from_slice(&bytes);
        }
        if piece.len() >= PIECE || is_end && !piece.is_empty() {
            let whole = piece.split().freeze();
            if !is_end {
                piece.reserve(PIECE);
            }
            inspection.look(&whole);
            digests.add(&whole).await.map_err(|error| failed(StoreError::Failed(error.to_string())))?;
            writer.write(whole).await.map_err(failed)?;
        }
        if is_end {
            let (checksum, os_hash_value) =
                digests.finish().await.map_err(|error| failed(StoreError::Failed(error.to_string())))?;
            return Ok(Received { size, checksum, os_hash_value, inspection });
        }
    }
}

/// Refuses what is too much, at once.
pub(super) fn check(size: u64, most: &Most) -> Result<(), ApiError> {
    if size > most.cap {
        return Err(ApiError::OverLimit("The incoming image is too large: The provided image is too large.".into()));
    }
    match most.quota {
        Some(remaining) if size > remaining => Err(ApiError::OverLimit(format!(
            "Image exceeds the storage quota: The size of the data {size} will exceed the limit. {remaining} bytes \
             remaining."
        ))),
        _ => Ok(()),
    }
}

/// 503: the text may name what only an operator should see.
pub(super) fn failed(error: StoreError) -> ApiError {
    tracing::error!(%error, "the store of images failed");
    ApiError::Unavailable("The store of images cannot be used at present. Please try again.".into())
}
