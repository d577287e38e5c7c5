//! `/image`: what clients need of Glance. The images that there are; no uploads.

mod list;
mod view;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    middleware::from_fn_with_state,
    response::IntoResponse,
    routing::get,
};
use novella_common::{db::images, models::Image};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    authentication::{self, Caller},
    error::ApiError,
    fallbacks,
    links::Links,
    state::Api,
};
use view::ImageView;

/// The paths under `/image`: which versions there are.
pub(crate) fn versions() -> OpenApiRouter<Api> {
    OpenApiRouter::new().route("/", get(list_versions)).route("/versions", get(list_versions))
}

/// The paths under `/image/v2`.
pub(crate) fn router(api: &Api) -> OpenApiRouter<Api> {
    fallbacks::added_to(OpenApiRouter::new().routes(routes!(list::index)).routes(routes!(show)))
        .layer(from_fn_with_state(api.clone(), authentication::required))
}

/// `GET /image`: 300 with the versions, as Glance.
async fn list_versions(links: Links) -> impl IntoResponse {
    let version = |id: &str, status: &str| -> Value {
        json!({"id": id, "status": status, "links": [{"rel": "self", "href": format!("{}/image/v2/", links.base())}]})
    };
    let versions = json!({"versions": [version("v2.9", "CURRENT"), version("v2.0", "SUPPORTED")]});
    (StatusCode::MULTIPLE_CHOICES, Json(versions))
}

/// Whether a caller may use an image.
pub(crate) fn visible(image: &Image, caller: &Caller) -> bool {
    caller.context.is_admin
        || matches!(image.visibility.as_str(), "public" | "community")
        || (image.owner.is_some() && image.owner == caller.context.project_id)
}

/// Shows an image.
#[utoipa::path(
    get,
    path = "/images/{image_id}",
    tag = "images",
    params(("image_id" = String, Path)),
    responses((status = 200, body = ImageView)),
)]
async fn show(State(api): State<Api>, caller: Caller, Path(id): Path<String>) -> Result<Json<ImageView>, ApiError> {
    let image = images::get(&mut *api.database.read().await?, &id).await?;
    let image = image.filter(|image| visible(image, &caller));
    let image = image.ok_or_else(|| ApiError::not_found(format!("No image found with ID {id}")))?;
    Ok(Json(ImageView::new(image)))
}
