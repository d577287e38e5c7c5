//! `/`: what is here.

use axum::Json;
use serde_json::{Value, json};

use crate::links::Links;

/// Where the services are, for whoever opens the base URL.
pub(crate) async fn root(links: Links) -> Json<Value> {
    let at = |path: &str| format!("{}/{path}", links.base());
    Json(json!({
        "name": "novella",
        "version": env!("CARGO_PKG_VERSION"),
        "services": {
            "identity": at("identity/v3"),
            "compute": at("compute/v2.1"),
            "image": at("image/v2"),
        },
        "openapi": at("openapi.json"),
        "health": at("healthz"),
        "readiness": at("readyz"),
    }))
}
