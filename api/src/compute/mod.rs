//! `/compute`: the OpenStack Compute API, one module per resource.

mod flavors;
mod inputs;
pub mod microversion;
mod servers;
mod strict_query;
mod versions;

use axum::{
    middleware::{from_fn, from_fn_with_state},
    routing::get,
};
use utoipa_axum::router::OpenApiRouter;

use crate::{authentication, error::ApiError, state::Api};

/// The paths under `/compute`.
pub(crate) fn router(api: &Api) -> OpenApiRouter<Api> {
    let resources = OpenApiRouter::new()
        .merge(flavors::router())
        .merge(servers::router())
        .fallback(|| async { ApiError::no_such_path() })
        .layer(from_fn(microversion::negotiate))
        .layer(from_fn_with_state(api.clone(), authentication::required));
    OpenApiRouter::new()
        .route("/", get(versions::list))
        .route("/v2.0", get(versions::v2_0))
        .route("/v2", get(versions::v2_0))
        .route("/v2.1", get(versions::v2_1))
        .nest("/v2.1", resources)
}
