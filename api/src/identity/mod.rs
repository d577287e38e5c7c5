//! `/identity`: what clients need of Keystone. Tokens, and who and what there is; no administration.

mod assignments;
mod auth;
mod cache;
mod directory;
mod passwords;
mod registry;
mod token_view;

use axum::{Json, http::StatusCode, response::IntoResponse, routing::get};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) use cache::TokenCache;
pub(crate) use passwords::PasswordChecks;

use crate::{links::Links, state::Api};

/// The paths under `/identity`.
pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .route("/", get(versions))
        .route("/v3", get(version))
        .routes(routes!(auth::issue))
        .routes(routes!(auth::validate))
        .routes(routes!(auth::revoke))
        .routes(routes!(auth::catalog))
        .routes(routes!(auth::projects))
        .routes(routes!(directory::projects))
        .routes(routes!(directory::project))
        .routes(routes!(directory::users))
        .routes(routes!(directory::user))
        .routes(routes!(directory::roles))
        .routes(routes!(directory::domains))
        .routes(routes!(directory::domain))
        .routes(routes!(assignments::list))
        .routes(routes!(registry::services))
        .routes(routes!(registry::service))
        .routes(routes!(registry::endpoints))
        .routes(routes!(registry::regions))
        .routes(routes!(registry::region))
}

fn version_document(links: &Links) -> Value {
    json!({
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": links.identity("")}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    })
}

/// `GET /identity`: 300 with the versions, as Keystone.
async fn versions(links: Links) -> impl IntoResponse {
    (StatusCode::MULTIPLE_CHOICES, Json(json!({"versions": {"values": [version_document(&links)]}})))
}

/// `GET /identity/v3`.
async fn version(links: Links) -> Json<Value> {
    Json(json!({"version": version_document(&links)}))
}
