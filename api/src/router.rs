//! All paths, and the layers around them.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Request, State},
    http::Uri,
    middleware::{from_fn, from_fn_with_state, map_request},
    response::{IntoResponse, Response},
    routing::get,
};
use novella_common::service::management_router;
use tokio::sync::Semaphore;
use tower::ServiceBuilder;
use tower_http::{catch_panic::CatchPanicLayer, normalize_path::NormalizePathLayer, trace::TraceLayer};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    compute, discovery,
    error::{ApiError, write_envelope},
    fallbacks, identity, image,
    links::ProjectInPath,
    logging, request_id,
    state::Api,
};

/// The whole API as one service.
pub fn router(api: Api) -> Router {
    let (paths, document) = paths(&api).split_for_parts();
    let document = Arc::new(document);
    let mut management = management_router(api.readiness.clone());
    if !api.config.public_metrics {
        management = without_metrics(management);
    }
    let in_flight = Arc::new(Semaphore::new(api.config.max_in_flight));
    let max_body_bytes = api.config.max_body_bytes;

    let paths = paths.route("/openapi.json", get(move || async move { Json(document.as_ref().clone()) }));
    let paths = fallbacks::added(paths)
        .layer(DefaultBodyLimit::max(max_body_bytes))
        .layer(from_fn_with_state(in_flight, limit_in_flight))
        .with_state(api)
        // Outside the limit: whoever watches the service must see it when it is full.
        .merge(management)
        .layer(from_fn(logging::measure));
    // The path is changed before the router sees it, so this can't be a layer of the router itself.
    let plain = ServiceBuilder::new()
        .layer(map_request(without_project))
        .layer(NormalizePathLayer::trim_trailing_slash())
        .service(paths);

    let trace = TraceLayer::new_for_http()
        .make_span_with(|request: &Request| logging::span(request))
        .on_request(())
        .on_response(logging::answered)
        .on_failure(());
    Router::new()
        .fallback_service(plain)
        .layer(CatchPanicLayer::custom(broken))
        .layer(from_fn(write_envelope))
        .layer(trace)
        .layer(from_fn(request_id::assign))
}

/// The OpenAPI document of the API, made from the handlers.
#[must_use]
pub fn openapi(api: &Api) -> OpenApi {
    paths(api).into_openapi()
}

fn paths(api: &Api) -> OpenApiRouter<Api> {
    let info = InfoBuilder::new()
        .title("Novella")
        .description(Some("A compute cloud that speaks the OpenStack Compute API."))
        .version(env!("CARGO_PKG_VERSION"))
        .build();
    OpenApiRouter::with_openapi(OpenApiBuilder::new().info(info).build())
        .route("/", get(discovery::root))
        .nest("/identity", identity::router())
        .nest("/compute", compute::versions())
        .nest("/compute/v2.1", compute::router(api))
        .nest("/image", image::versions())
        .nest("/image/v2", image::router(api))
}

/// `/metrics` answers 404 like any path that leads nowhere.
fn without_metrics(management: Router) -> Router {
    management.layer(from_fn(|request: Request, next: axum::middleware::Next| async move {
        if request.uri().path() == "/metrics" {
            ApiError::no_such_path().into_response()
        } else {
            next.run(request).await
        }
    }))
}

async fn limit_in_flight(
    State(in_flight): State<Arc<Semaphore>>,
    request: Request,
    next: axum::middleware::Next,
) -> Response {
    match in_flight.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) => ApiError::Unavailable("The service works on as many requests as it may.".into()).into_response(),
    }
}

fn broken(panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let reason = panic.downcast_ref::<String>().map(String::as_str);
    let reason = reason.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
    tracing::error!(reason, "a handler broke");
    ApiError::Broken.into_response()
}

/// Takes the project id out of `/compute/v2.1/{project_id}/...`. The two forms of path mean the same; one of them goes
/// through the router. What may be a project id is Nova's `project_id_regex`, `[0-9a-f-]+`: no resource's name is.
async fn without_project(mut request: Request) -> Request {
    const PREFIX: &str = "/compute/v2.1/";
    let Some(rest) = request.uri().path().strip_prefix(PREFIX) else { return request };
    let (project, path) = rest.split_once('/').unwrap_or((rest, ""));
    let is_project = !project.is_empty() && project.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    if !is_project {
        return request;
    }
    let project = ProjectInPath(project.to_owned());
    let plain = match request.uri().query() {
        Some(query) => format!("{PREFIX}{path}?{query}"),
        None => format!("{PREFIX}{path}"),
    };
    // A part of a valid path is a valid path.
    if let Ok(uri) = plain.parse::<Uri>() {
        *request.uri_mut() = uri;
        request.extensions_mut().insert(project);
    }
    request
}
