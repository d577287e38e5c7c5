//! The API: HTTP on one side, the contract on the other, no work in between.

use axum::extract::{Json, Path, State};
use axum::{Router, http::StatusCode, response::Result, routing};
use novella_messaging::CallError;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::rpcapi::{Context, NewResourceClient, Resource, ResourceError};

pub fn router(manager: NewResourceClient) -> Router {
    let router = Router::new().route("/new_resource", routing::post(create));
    router.route("/new_resource/{id}", routing::get(show)).with_state(manager)
}

#[derive(serde::Deserialize)]
struct NewName {
    name: String,
}

/// Answers before the work is done, with the id to ask by. Until the manager has the message, `show` says 404.
async fn create(manager: State<NewResourceClient>, Json(new): Json<NewName>) -> Result<(StatusCode, Json<Value>)> {
    let id = Uuid::new_v4();
    let ctx = Context { request_id: format!("req-{}", Uuid::new_v4()) };
    manager.create(&ctx, id, new.name).await.map_err(|error| refusal(error.into()))?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": id }))))
}

async fn show(manager: State<NewResourceClient>, Path(id): Path<Uuid>) -> Result<Json<Resource>> {
    let ctx = Context { request_id: format!("req-{}", Uuid::new_v4()) };
    Ok(Json(manager.show(&ctx, id).await.map_err(refusal)?))
}

/// The one place where errors become statuses.
fn refusal(error: CallError<ResourceError>) -> (StatusCode, String) {
    let status = match error {
        CallError::Remote(ResourceError::NotFound { .. }) => StatusCode::NOT_FOUND,
        // No manager has ever listened, or none answers in time; the text says which.
        CallError::Messaging(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, error.to_string())
}
