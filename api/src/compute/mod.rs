//! `/compute`: the OpenStack Compute API, one module per resource.

mod aggregates;
mod availability_zones;
mod extensions;
mod flavors;
mod hypervisors;
mod inputs;
mod limits;
pub mod microversion;
mod migrations;
mod servers;
mod services;
mod strict_query;
mod versions;

use axum::{
    middleware::{from_fn, from_fn_with_state},
    routing::get,
};
use utoipa_axum::router::OpenApiRouter;

use crate::{authentication, fallbacks, state::Api};

/// The paths under `/compute`: which versions there are.
pub(crate) fn versions() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .route("/", get(versions::list))
        .route("/v2.0", get(versions::v2_0))
        .route("/v2", get(versions::v2_0))
        .route("/v2.1", get(versions::v2_1))
}

/// The paths under `/compute/v2.1`. To be nested there in one step: the fallback of a router that is nested twice is lost,
/// and with it the 401 of a path that does not exist.
pub(crate) fn router(api: &Api) -> OpenApiRouter<Api> {
    let paths = OpenApiRouter::new()
        .merge(flavors::router())
        .merge(servers::router())
        .merge(migrations::router())
        .merge(services::router())
        .merge(hypervisors::router())
        .merge(limits::router())
        .merge(aggregates::router())
        .merge(availability_zones::router())
        .merge(extensions::router());
    fallbacks::added_to(paths)
        .layer(from_fn_with_state(api.clone(), authentication::own_project))
        .layer(from_fn(microversion::negotiate))
        .layer(from_fn_with_state(api.clone(), authentication::required))
}
