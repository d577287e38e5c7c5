//! `/image/v2/cache`: what is in this process's cache. Where there is none, all of it is 404, as Glance's.

use std::{
    io,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::Json;
use http::StatusCode;
use novella_rest::{ApiError, Operation, Path, delete, get, post, put};
use serde_json::{Value, json};

use super::Entry;
use crate::{Images, Request, access, policy, status::Status};

pub(crate) fn operations() -> Vec<Operation<Images>> {
    vec![
        get("/cache", policy::CACHE_LIST, index),
        delete("/cache", policy::CACHE_DELETE, clear).summary("Empty the cache.").status(204),
        put("/cache/{image_id}", policy::CACHE_IMAGE, queue).status(202),
        delete("/cache/{image_id}", policy::CACHE_DELETE, remove).status(204),
        post("/cache/clean", policy::CACHE_CLEAN, clean),
        post("/cache/prune", policy::CACHE_PRUNE, prune),
        get("/cache/nodes/{image_id}", policy::LIST_CACHED_NODES, nodes).status(409),
    ]
}

/// 404 where there is none.
fn check_there(request: &Request) -> Result<(), ApiError> {
    match request.state.cache.folder {
        Some(_) => Ok(()),
        None => Err(ApiError::not_found("Caching via API is not supported at this site.")),
    }
}

fn failed(error: io::Error) -> ApiError {
    tracing::error!(%error, "the cache of images failed");
    ApiError::Unavailable("The cache of images cannot be used at present. Please try again.".into())
}

fn no_image(id: &str) -> ApiError {
    ApiError::not_found(format!("Image {id} not found."))
}

async fn index(request: Request) -> Result<Json<Value>, ApiError> {
    check_there(&request)?;
    let cache = &request.state.cache;
    let cached: Vec<Value> = cache.entries().await.map_err(failed)?.iter().map(view).collect();
    let queued = cache.known().queued.clone();
    Ok(Json(json!({"cached_images": cached, "queued_images": queued})))
}

fn view(entry: &Entry) -> Value {
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    json!({
        "image_id": entry.image,
        "hits": entry.read.map_or(0, |read| read.hits),
        "last_accessed": seconds(entry.last_used()),
        "last_modified": seconds(entry.written),
        "size": entry.size,
    })
}

async fn queue(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    check_there(&request)?;
    let found = access::find(&request, &mut *request.state.database.read().await?, &id).await;
    let image = found.map_err(|error| match error {
        ApiError::NotFound(_) => no_image(&id),
        other => other,
    })?;
    if image.status != Status::Active {
        return Err(ApiError::bad_request("Only images with status active can be targeted for queueing"));
    }
    request.state.cache.queue(&request.state, &image);
    Ok(StatusCode::ACCEPTED)
}

async fn remove(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    check_there(&request)?;
    let removed = request.state.cache.remove(&id).await.map_err(failed)?;
    let found = access::find(&request, &mut *request.state.database.read().await?, &id).await;
    match found {
        Err(ApiError::NotFound(_)) if !removed => Err(no_image(&id)),
        Err(ApiError::NotFound(_)) | Ok(_) => Ok(StatusCode::NO_CONTENT),
        Err(other) => Err(other),
    }
}

async fn clear(request: Request) -> Result<StatusCode, ApiError> {
    check_there(&request)?;
    let target = request.headers().get("x-image-cache-clear-target").and_then(|value| value.to_str().ok());
    let target = target.unwrap_or_default().to_ascii_lowercase();
    if !["", "cache", "queue"].contains(&target.as_str()) {
        return Err(ApiError::bad_request(
            "If provided 'x-image-cache-clear-target' must be 'cache', 'queue' or empty string.",
        ));
    }
    let cache = &request.state.cache;
    if target != "cache" {
        cache.known().queued.clear();
    }
    if target != "queue" {
        for entry in cache.entries().await.map_err(failed)? {
            cache.remove(&entry.image).await.map_err(failed)?;
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn clean(request: Request) -> Result<StatusCode, ApiError> {
    check_there(&request)?;
    request.state.cache.clean().await.map_err(failed)?;
    Ok(StatusCode::OK)
}

async fn prune(request: Request) -> Result<Json<Value>, ApiError> {
    check_there(&request)?;
    let (files, bytes) = request.state.cache.prune().await.map_err(failed)?;
    Ok(Json(json!({"total_files_pruned": files, "total_bytes_pruned": bytes})))
}

/// Each process has its own, and none knows of the others'.
async fn nodes(request: Request, Path(_): Path<String>) -> Result<StatusCode, ApiError> {
    check_there(&request)?;
    Err(ApiError::Conflict("Centralized caching is not enabled".into()))
}
