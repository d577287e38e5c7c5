//! `GET /servers/{id}`.

use axum::response::Response;
use novella_rest::{ApiError, Path};

use super::view::{Occasion, View};
use crate::Request;

/// Shows a server.
pub(super) async fn show(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let instance = super::find(&request, &id).await?;
    let one = std::slice::from_ref(&instance);
    let view = View::load(&request, Occasion::Show, one).await?;
    Ok(view.one(&instance))
}
