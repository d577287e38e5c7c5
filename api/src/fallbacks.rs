//! What is answered where there is no handler: no such path, or not this method on it.

use axum::Router;
use utoipa_axum::router::OpenApiRouter;

use crate::{error::ApiError, state::Api};

/// Gives the paths of a service their fallbacks. To be called before the service's layers are added, so that these stand
/// before the fallbacks too: who has no token is not told which paths and methods there are, and an answer has the
/// headers of its version whatever it says.
pub(crate) fn added_to(paths: OpenApiRouter<Api>) -> OpenApiRouter<Api> {
    let (paths, document) = paths.split_for_parts();
    let mut paths = OpenApiRouter::from(added(paths));
    *paths.get_openapi_mut() = document;
    paths
}

/// The same for a router without a document.
pub(crate) fn added(paths: Router<Api>) -> Router<Api> {
    paths
        .fallback(|| async { ApiError::no_such_path() })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
}
