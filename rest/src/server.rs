//! All services of a process on one port, and the layers around them.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, RawPathParams, Request as HttpRequest, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    middleware::{Next, from_fn, from_fn_with_state, map_request_with_state},
    response::{IntoResponse, Response},
    routing::{MethodFilter, MethodRouter, get, on},
};
use novella_common::{
    faults::Faults,
    service::{Readiness, management_router},
};
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;
use tower::ServiceBuilder;
use tower_http::{catch_panic::CatchPanicLayer, trace::TraceLayer};
use uuid::Uuid;

use crate::{
    ApiError, Authenticator, CatalogEntry, Document, Links, Operation, Request, RestConfig, Service,
    authentication::{Tokens, find_caller, own_project},
    error::{Envelope, keystone_envelope, write_envelope},
    faults::{self, Injector},
    links::{ProjectInPath, base},
    logging,
    microversion::negotiate,
    openapi::{self, Documented},
    policy::{Policy, PolicyError},
    request_id,
    request_limiter::{self, RequestLimiter, RequestPermit},
    time_limit, unread_body,
};

/// How a discovery document is written.
type WriteDocument = fn(&Links) -> (StatusCode, Value);

/// The services of one process, being put together.
pub struct Server {
    config: Arc<RestConfig>,
    authenticator: Arc<dyn Authenticator>,
    limiter: Arc<RequestLimiter>,
    services: Vec<(&'static Service, Router)>,
    /// Other policies than those that the services describe, by the services' types.
    policies: HashMap<&'static str, Arc<Policy>>,
    documented: Vec<Documented>,
    faults: Option<Faults>,
    page: Option<Router>,
}

impl Server {
    /// Without a service yet.
    #[must_use]
    pub fn new(config: RestConfig, authenticator: Arc<dyn Authenticator>) -> Self {
        let config = Arc::new(config);
        Self {
            limiter: RequestLimiter::new(Arc::clone(&config)),
            config,
            authenticator,
            services: Vec::new(),
            policies: HashMap::new(),
            documented: Vec::new(),
            faults: None,
            page: None,
        }
    }

    /// Serves a page for people beside the services, below `/ui/`; a browser that asks for `/` is led there.
    #[must_use]
    pub fn page(self, page: Router) -> Self {
        Self { page: Some(page), ..self }
    }

    /// Lets these faults fire on requests.
    #[must_use]
    pub fn faults(self, faults: Option<Faults>) -> Self {
        Self { faults, ..self }
    }

    /// Gives the service of this type, which is added after this, another policy than the one that it describes.
    #[must_use]
    pub fn policy(mut self, kind: &'static str, policy: Policy) -> Self {
        self.policies.insert(kind, Arc::new(policy));
        self
    }

    /// Adds a service with its operations, whose handlers stand on `state`.
    #[must_use]
    pub fn service<S>(mut self, service: &'static Service, state: S, operations: Vec<Operation<S>>) -> Self
    where
        S: Clone + Send + Sync + 'static,
    {
        self.documented.extend(operations.iter().map(|operation| Documented::of(service, operation)));
        let policy = self.policies.remove(service.kind).unwrap_or_else(|| Arc::new(described(service)));
        let operations = operations_router(&self.config, (service, &policy), &state, operations);
        let router = self.layered(service, policy, operations);
        self.services.push((service, router));
        self
    }

    /// The layers of one service, from the inside out; the discovery documents stand beside those that ask for a token.
    fn layered(&self, service: &'static Service, policy: Arc<Policy>, operations: Router) -> Router {
        let tokens = Tokens {
            authenticator: Arc::clone(&self.authenticator),
            config: Arc::clone(&self.config),
            service,
            policy,
            required: service.token_first,
        };
        let mut operations = operations;
        if service.project_in_path {
            operations = operations.layer(from_fn(own_project));
        }
        let operations = operations
            .layer(from_fn_with_state(service.microversions, negotiate))
            .layer(from_fn_with_state(tokens, find_caller));
        let envelope: Envelope = service.envelope;
        operations
            .merge(documents_router(&self.config, service))
            .layer(DefaultBodyLimit::max(self.config.max_body_bytes))
            .layer(from_fn_with_state(Arc::clone(&self.limiter), request_limiter::admit))
            .layer(from_fn_with_state(self.config.request_timeout, time_limit::limit_time))
            .layer(CatchPanicLayer::custom(broken))
            .layer(from_fn_with_state(envelope, write_envelope))
    }

    /// All services as one.
    pub fn router(self, readiness: Readiness) -> Router {
        let Self { config, services, documented, authenticator, faults, page, .. } = self;
        let mut management = management_router(readiness);
        if !config.public_metrics {
            management = without_metrics(management);
        }
        let entries: Vec<CatalogEntry> = services.iter().map(|(service, _)| service.catalog_entry()).collect();
        // A path of no service is answered as Compute would, which was here first.
        let envelope = services.first().map_or(keystone_envelope as Envelope, |(service, _)| service.envelope);
        let envelopes = services.iter().map(|(service, _)| (service.root, service.envelope)).collect();
        let injector = faults.map(|faults| Arc::new(Injector { faults, authenticator, envelopes, envelope }));
        let projects: Arc<Vec<String>> = Arc::new(
            services
                .iter()
                .filter(|(service, _)| service.project_in_path)
                .map(|(service, _)| format!("{}{}/", service.root, service.version_path))
                .collect(),
        );
        let documents: Arc<Vec<String>> = Arc::new(
            services
                .iter()
                .flat_map(|(service, _)| {
                    service.documents.iter().map(|document| format!("{}{}/", service.root, document.path))
                })
                .collect(),
        );
        let longest_body = config.max_body_bytes;
        let root_config = Arc::clone(&config);
        let has_page = page.is_some();
        let versions = services.iter().filter(|(service, _)| service.kind == "identity").flat_map(|(service, _)| {
            service
                .documents
                .iter()
                .find(|document| document.path.is_empty())
                .map(|document| (*service, document.write))
        });
        let versions: Option<(&'static Service, WriteDocument)> = versions.last();
        let documented = Arc::new((documented, OnceCell::new()));
        let mut paths = Router::new().route("/openapi.json", get(move || document(Arc::clone(&documented)))).route(
            "/",
            get(move |request: HttpRequest| async move {
                if has_page && wants_page(request.headers()) {
                    // Relative, so that it is right behind a proxy that adds a prefix.
                    let headers = [(header::LOCATION, "ui/"), (header::VARY, "Accept")];
                    return Ok((StatusCode::FOUND, headers).into_response());
                }
                let documents = root(&root_config, &entries, versions, request)?;
                Ok::<_, ApiError>(([(header::VARY, "Accept")], documents).into_response())
            }),
        );
        for (service, router) in services {
            paths = paths.nest(service.root, router);
        }
        if let Some(page) = page {
            paths = paths.merge(page);
        }
        let paths = with_fallbacks(paths)
            // Outside the limit: whoever watches the services must see them when they are full.
            .merge(management)
            .layer(from_fn(logging::measure));
        let paths = match injector {
            // Around all paths, those that lead nowhere too.
            Some(injector) => Router::new().fallback_service(paths).layer(from_fn_with_state(injector, faults::inject)),
            None => paths,
        };
        // The path is changed before the router sees it, so this can't be a layer of the router itself.
        let plain = ServiceBuilder::new()
            .layer(map_request_with_state(projects, without_project))
            .layer(map_request_with_state(documents, without_slash))
            .service(paths);

        let trace = TraceLayer::new_for_http()
            .make_span_with(|request: &HttpRequest| logging::span(request))
            .on_request(())
            .on_response(logging::answered)
            .on_failure(());
        Router::new()
            .fallback_service(plain)
            .layer(from_fn_with_state(envelope, write_envelope))
            .layer(from_fn_with_state(longest_body, unread_body::read_or_close))
            .layer(trace)
            .layer(from_fn(request_id::assign))
    }
}

/// What is answered where there is no handler: no such path, or not this method on it. To be called before layers are
/// added, so that these stand before the fallbacks too: who has no token is not told which paths and methods there are.
fn with_fallbacks(paths: Router) -> Router {
    paths
        .fallback(|| async { ApiError::no_such_path() })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
}

/// The operations on one path with one method: one, or several actions of which the body names one.
enum Route<S> {
    Single(Box<Operation<S>>),
    Actions(HashMap<&'static str, Operation<S>>),
}

/// The OpenAPI document. Written once: it is large, and anybody may ask for it.
async fn document(of: Arc<(Vec<Documented>, OnceCell<Bytes>)>) -> Result<Response, ApiError> {
    let written = of.1.get_or_try_init(|| {
        let of = Arc::clone(&of);
        // It takes as long as a hundred requests.
        let write = tokio::task::spawn_blocking(move || serde_json::to_vec(&openapi::document(&of.0)));
        async {
            let written = write.await.ok().and_then(Result::ok).map(Bytes::from);
            written.ok_or_else(|| ApiError::Unavailable("The document could not be written. Please try again.".into()))
        }
    });
    Ok(([(header::CONTENT_TYPE, "application/json")], written.await?.clone()).into_response())
}

/// The policy that a service describes. A test sees to it that there is nothing wrong with it.
fn described(service: &Service) -> Policy {
    Policy::of(service.policy).unwrap_or_else(|error: PolicyError| {
        tracing::error!(%error, service = service.kind, "the policy is broken; nothing is granted to anybody");
        Policy::default()
    })
}

fn operations_router<S>(
    config: &Arc<RestConfig>,
    (service, policy): (&'static Service, &Arc<Policy>),
    state: &S,
    operations: Vec<Operation<S>>,
) -> Router
where
    S: Clone + Send + Sync + 'static,
{
    let mut routes: Vec<(&'static str, Method, Route<S>)> = Vec::new();
    for operation in operations {
        let same = routes.iter_mut().find(|(path, method, _)| *path == operation.path && *method == operation.method);
        match (same, operation.action) {
            (Some((_, _, Route::Actions(actions))), Some(name)) => {
                actions.insert(name, operation);
            }
            (_, Some(name)) => {
                let (path, method) = (operation.path, operation.method.clone());
                routes.push((path, method, Route::Actions([(name, operation)].into())));
            }
            (_, None) => routes.push((operation.path, operation.method.clone(), Route::Single(Box::new(operation)))),
        }
    }
    let mut router = Router::new();
    let mut paths = Vec::new();
    for (path, method, served) in routes {
        let route = route((config, policy), service, state, (service.root, path, method), served);
        router = router.route(&format!("{}{path}", service.version_path), route);
        paths.push(path);
    }
    let paths = Arc::new(paths);
    let no_such_path = move |uri: Uri| {
        let path = uri.path().strip_prefix(service.version_path).unwrap_or_default();
        let error = absent(&paths, path);
        async { error }
    };
    with_fallbacks(router).fallback(no_such_path)
}

/// 404 for a path that leads nowhere. Where it goes beyond the paths that there are, it says what this cloud does not
/// have: otherwise it would read as if what the client has were missing.
fn absent(paths: &[&str], path: &str) -> ApiError {
    let asked: Vec<&str> = path.split('/').skip(1).collect();
    let known = |path: &&str| {
        let segments = path.split('/').skip(1).zip(&asked);
        segments.take_while(|(known, asked)| known.starts_with('{') || known == *asked).count()
    };
    let depth = paths.iter().map(known).max().unwrap_or_default();
    let plain = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.len() <= 64
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
            && Uuid::try_parse(name).is_err()
    };
    match asked.get(depth) {
        Some(name) if plain(name) && !asked.contains(&"") => ApiError::not_found(format!("This cloud has no {name}.")),
        _ => ApiError::no_such_path(),
    }
}

fn route<S>(
    (config, policy): (&Arc<RestConfig>, &Arc<Policy>),
    service: &'static Service,
    state: &S,
    route: request_limiter::Route,
    served: Route<S>,
) -> MethodRouter
where
    S: Clone + Send + Sync + 'static,
{
    let served = Arc::new(served);
    let (config, policy, state) = (Arc::clone(config), Arc::clone(policy), state.clone());
    // Every method that an operation can have is one that a filter can have.
    let filter = MethodFilter::try_from(route.2.clone()).unwrap_or(MethodFilter::POST);
    let route = Arc::new(route);
    on(filter, move |path: RawPathParams, request: HttpRequest| {
        let (shared, state, served) = ((Arc::clone(&config), Arc::clone(&policy)), state.clone(), Arc::clone(&served));
        let route = Arc::clone(&route);
        async move {
            let (parts, body) = request.into_parts();
            if let Some(permit) = parts.extensions.get::<RequestPermit>() {
                permit.on_route(&route)?;
            }
            let path = path.iter().map(|(_, value)| value.to_owned()).collect();
            let mut request = Request::new(state, service, shared, path, parts, body)?;
            match &*served {
                Route::Single(operation) => operation.run(request).await,
                Route::Actions(actions) => {
                    let name = request.action_name().await?;
                    let action = actions.get(name.as_str());
                    let action =
                        action.ok_or_else(|| ApiError::bad_request(format!("There is no such action: {name}")))?;
                    action.run(request).await
                }
            }
        }
    })
}

fn documents_router(config: &Arc<RestConfig>, service: &'static Service) -> Router {
    let mut router = Router::new();
    for Document { path, write } in service.documents {
        let config = Arc::clone(config);
        let document = get(move |request: HttpRequest| {
            let links = Links::of_request(&request.into_parts().0, &config, service);
            async move {
                let (status, body) = write(&links?);
                Ok::<_, ApiError>((status, Json(body)))
            }
        });
        router = router.route(if path.is_empty() { "/" } else { path }, document);
    }
    router.method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
}

/// `/`: what is here, for whoever opens the base URL; and Identity's versions, in the form in which Keystone's root has
/// them, for clients that take the base URL for Identity's.
fn root(
    config: &RestConfig,
    entries: &[CatalogEntry],
    identity: Option<(&'static Service, WriteDocument)>,
    request: HttpRequest,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let parts = request.into_parts().0;
    let base = base(&parts, config)?;
    let at = |path: &str| format!("{base}/{path}");
    let services: Map<String, Value> =
        entries.iter().map(|entry| (entry.kind.to_owned(), at(entry.endpoint).into())).collect();
    let (status, mut body) = match identity {
        Some((service, write)) => write(&Links::of_request(&parts, config, service)?),
        None => (StatusCode::OK, json!({})),
    };
    body["name"] = "novella".into();
    // Not "version", which is where clients look for the one version that there is.
    body["release"] = env!("CARGO_PKG_VERSION").into();
    body["services"] = services.into();
    body["openapi"] = at("openapi.json").into();
    body["health"] = at("healthz").into();
    body["readiness"] = at("readyz").into();
    Ok((status, Json(body)))
}

/// Whether whoever asks is a browser, that shows people something: it names HTML, which no client of an API does.
fn wants_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|form| {
        let form = form.split(';').next().unwrap_or(form).trim();
        form.eq_ignore_ascii_case("text/html")
    })
}

/// `/metrics` answers 404 like any path that leads nowhere.
fn without_metrics(management: Router) -> Router {
    management.layer(from_fn(|request: HttpRequest, next: Next| async move {
        if request.uri().path() == "/metrics" {
            ApiError::no_such_path().into_response()
        } else {
            next.run(request).await
        }
    }))
}

fn broken(panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let reason = panic.downcast_ref::<String>().map(String::as_str);
    let reason = reason.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
    tracing::error!(reason, "a handler broke");
    ApiError::Broken.into_response()
}

/// Takes the slash off the end of a discovery document's path, which is asked for both with it and without. At the end
/// of any other path it says that an id is missing, and such a path leads nowhere: it must not list everything.
async fn without_slash(State(documents): State<Arc<Vec<String>>>, mut request: HttpRequest) -> HttpRequest {
    let path = request.uri().path();
    if let Some(plain) = path.strip_suffix('/')
        && documents.iter().any(|document| document == path)
    {
        let plain = match request.uri().query() {
            Some(query) => format!("{plain}?{query}"),
            None => plain.to_owned(),
        };
        // A part of a valid path is a valid path.
        if let Ok(uri) = plain.parse::<Uri>() {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// Takes the project id out of `/compute/v2.1/{project_id}/...`, for services that have it there. The two forms of path
/// mean the same; one of them goes through the router. What may be a project id is Nova's `project_id_regex`,
/// `[0-9a-f-]+`: no resource's name is.
async fn without_project(State(prefixes): State<Arc<Vec<String>>>, mut request: HttpRequest) -> HttpRequest {
    let found = prefixes.iter().find_map(|prefix| Some((prefix, request.uri().path().strip_prefix(prefix.as_str())?)));
    let Some((prefix, rest)) = found else { return request };
    let (project, path) = rest.split_once('/').unwrap_or((rest, ""));
    let is_project = !project.is_empty() && project.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    if !is_project {
        return request;
    }
    let project = ProjectInPath(project.to_owned());
    let plain = match request.uri().query() {
        Some(query) => format!("{prefix}{path}?{query}"),
        None => format!("{prefix}{path}"),
    };
    // A part of a valid path is a valid path.
    if let Ok(uri) = plain.parse::<Uri>() {
        *request.uri_mut() = uri;
        request.extensions_mut().insert(project);
    }
    request
}
