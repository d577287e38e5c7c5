//! A request, as handlers get it: who asks, for which version, with what.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, rejection::BytesRejection},
    response::IntoResponse,
};
use http::{HeaderMap, StatusCode, header, request::Parts};
use novella_common::{RequestContext, service::ClientAddress};
use serde::Serialize;
use serde_json::{Map, Value};
use sync_wrapper::SyncWrapper;
use tokio::time::timeout;

use crate::{
    ApiError, FieldTable, Links, Microversion, Parameters, RestConfig, Service, Token,
    answer::Answer,
    authentication::TokenWatch,
    policy::{Caller, NOBODY, Policy, Rule, Target},
    request_id,
    request_limiter::RequestPermit,
    text,
    time_limit::TimeLimit,
};

/// A request whose row has let it pass.
pub struct Request<S> {
    /// What the service's handlers stand on.
    pub state: S,
    /// The service that was asked.
    pub service: &'static Service,
    /// What the services of the process share of the configuration.
    pub config: Arc<RestConfig>,
    /// Who asks, for which project, with which roles, which goes with everything that the request leads to; and the policy
    /// that says what he may.
    pub context: Caller,
    /// The caller's token; `None` for public operations.
    pub token: Option<Arc<Token>>,
    /// Whose request it is, as far as limits are concerned.
    pub client: ClientAddress,
    /// The rule that its operation asks for.
    pub rule: Rule,
    /// The microversion.
    pub version: Microversion,
    /// Addresses of things, as this client can reach them.
    pub links: Links,
    /// The query.
    pub query: Parameters,
    /// Whether its rule was held against the thing, where that has to be done.
    pub(crate) held: Option<Arc<AtomicBool>>,
    path: Vec<String>,
    parts: Parts,
    /// What has not been read of the body. The wrapper lets a request be shared between threads, which a body by itself
    /// can't be.
    body: SyncWrapper<Body>,
    json: Option<Value>,
}

impl<S> Request<S> {
    pub(crate) fn new(
        state: S,
        service: &'static Service,
        (config, policy): (Arc<RestConfig>, Arc<Policy>),
        path: Vec<String>,
        parts: Parts,
        body: Body,
    ) -> Result<Self, ApiError> {
        let context = match parts.extensions.get::<Caller>() {
            Some(caller) => caller.clone(),
            None => Caller::anonymous(request_id::context(&parts.extensions), policy),
        };
        Ok(Self {
            state,
            service,
            token: context.token().cloned(),
            context,
            client: parts.extensions.get::<ClientAddress>().copied().unwrap_or(ClientAddress::NONE),
            rule: NOBODY,
            version: parts.extensions.get::<Microversion>().copied().unwrap_or(Microversion::NONE),
            links: Links::of_request(&parts, &config, service)?,
            query: Parameters::of_uri(&parts.uri)?,
            config,
            held: None,
            path,
            parts,
            body: SyncWrapper::new(body),
            json: None,
        })
    }

    /// A request that no client has sent: what another component of the same process asks on somebody's behalf, without
    /// a detour over HTTP. It has no query and no body.
    #[must_use]
    pub fn inside(state: S, service: &'static Service, context: RequestContext) -> Self {
        let (parts, ()) = http::Request::new(()).into_parts();
        Self {
            state,
            service,
            token: None,
            context: Caller::inside(context),
            client: ClientAddress::NONE,
            rule: NOBODY,
            version: Microversion::NONE,
            links: Links::inside(service),
            query: Parameters::default(),
            config: Arc::default(),
            held: None,
            path: Vec::new(),
            parts,
            body: SyncWrapper::new(Body::empty()),
            json: None,
        }
    }

    /// The project that the token is scoped to.
    ///
    /// # Errors
    /// 403 if it is scoped to none.
    pub fn project(&self) -> Result<&str, ApiError> {
        let project = self.context.project_id.as_deref();
        project.ok_or_else(|| ApiError::Forbidden("The token is not scoped to a project.".into()))
    }

    /// The user whose token it is; empty for public operations.
    #[must_use]
    pub fn user(&self) -> &str {
        self.context.user_id.as_deref().unwrap_or_default()
    }

    /// Holds the operation's rule against the thing that is asked about.
    ///
    /// # Errors
    /// 403 if it is not granted.
    pub fn check_target(&self, target: &Target<'_>) -> Result<(), ApiError> {
        self.check_rule(self.rule, target)
    }

    /// Whether this rule is granted for this thing.
    #[must_use]
    pub fn grants(&self, rule: Rule, target: &Target<'_>) -> bool {
        if let Some(held) = &self.held {
            held.store(true, Ordering::Relaxed);
        }
        self.context.is_known() && self.context.may(rule.name, *target)
    }

    /// The same for another rule than the operation's.
    ///
    /// # Errors
    /// 403 if it is not granted.
    pub fn check_rule(&self, rule: Rule, target: &Target<'_>) -> Result<(), ApiError> {
        if !self.context.is_known() {
            return Err(ApiError::Unauthorized);
        }
        if let Some(held) = &self.held {
            held.store(true, Ordering::Relaxed);
        }
        Ok(rule.check_target(&self.context, target)?)
    }

    /// For answers that take long: looks again at the token. `None` for public operations.
    #[must_use]
    pub fn token_watch(&self) -> Option<TokenWatch> {
        self.parts.extensions.get::<TokenWatch>().cloned()
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// Holds what the path and the query say against the rule for text; the body is held against it when it is read.
    ///
    /// # Errors
    /// 400 that names the permit.
    pub(crate) fn check_text(&self) -> Result<(), ApiError> {
        self.path.iter().try_for_each(|part| text::check("the path", part))?;
        self.query.iter().try_for_each(|(name, value)| {
            text::check("the query", name)?;
            text::check(name, value)
        })
    }

    /// The value of the `index`th parameter of the path.
    pub(crate) fn path_parameter(&self, index: usize) -> Result<String, ApiError> {
        // A handler that takes more parameters than its path has is found by the test that calls it.
        self.path.get(index).cloned().ok_or_else(ApiError::no_such_path)
    }

    /// An answer in the form of this version: without the fields of `table` that it does not have.
    #[must_use]
    pub fn answer(&self, table: &FieldTable) -> Answer {
        Answer::hiding(table.hidden(self.version))
    }

    /// An answer whose fields are the same in every version.
    #[must_use]
    pub fn plain<T: Serialize>(&self, key: &'static str, value: T) -> axum::response::Response {
        Answer::hiding(Vec::new()).object(key, value)
    }

    /// The body as JSON. Read once; the same value after that.
    ///
    /// # Errors
    /// 400, 408, 413 or 415.
    pub async fn json(&mut self) -> Result<&Value, ApiError> {
        self.json_of(is_json).await
    }

    /// The same for JSON of other media types, which `takes` knows in lower case.
    ///
    /// # Errors
    /// 400, 408, 413 or 415.
    pub async fn json_of(&mut self, takes: fn(&str) -> bool) -> Result<&Value, ApiError> {
        if self.json.is_none() {
            let body = self.take_body();
            let read = read_json(&self.parts, body, &self.config, takes);
            // A client that stops in the middle must not keep a permit to be worked on.
            self.json = Some(match self.parts.extensions.get::<RequestPermit>() {
                Some(permit) => permit.without(read).await??,
                None => read.await?,
            });
        }
        self.json.as_ref().ok_or_else(|| ApiError::bad_request("Malformed request body: there is none."))
    }

    /// The body as it comes, for what is no JSON. Empty once it was read.
    pub fn take_body(&mut self) -> Body {
        std::mem::take(self.body.get_mut())
    }

    /// Waits for somebody else, without a permit among the requests that are worked on; whoever calls this bounds how many
    /// wait so. To be the last thing that a handler does but for writing its answer down.
    pub async fn elsewhere<T>(&self, wait: impl Future<Output = T>) -> T {
        if let Some(permit) = self.parts.extensions.get::<RequestPermit>() {
            permit.leave();
        }
        wait.await
    }

    /// Lets the request take longer than `request_timeout`, for one that sends or fetches much. Whoever calls this bounds
    /// each of its waits.
    pub fn without_time_limit(&self) {
        if let Some(limit) = self.parts.extensions.get::<TimeLimit>() {
            limit.lift();
        }
    }

    /// The one key of a body that asks for an action.
    ///
    /// # Errors
    /// 400 if the body is not of that form.
    pub(crate) async fn action_name(&mut self) -> Result<String, ApiError> {
        let body: &Map<String, Value> = crate::body::as_object(self.json().await?)?;
        match body.keys().next() {
            Some(only) if body.len() == 1 => Ok(only.clone()),
            _ => Err(ApiError::bad_request("Malformed request body: one action is expected, as the only key.")),
        }
    }
}

/// A client that says nothing, or text, is given the benefit of the doubt, as by Nova.
fn is_json(form: &str) -> bool {
    matches!(form, "" | "text/plain" | "application/json")
        || (form.starts_with("application/") && form.ends_with("+json"))
}

async fn read_json(parts: &Parts, body: Body, config: &RestConfig, takes: fn(&str) -> bool) -> Result<Value, ApiError> {
    let form = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !takes(&form.split(';').next().unwrap_or(form).trim().to_ascii_lowercase()) {
        return Err(ApiError::UnsupportedMediaType);
    }
    let request = axum::extract::Request::from_parts(parts.clone(), body);
    let bytes = timeout(config.body_timeout, Bytes::from_request(request, &())).await;
    let bytes = bytes.map_err(|_| ApiError::RequestTimeout { seconds: config.body_timeout.as_secs_f64() })?;
    let bytes = bytes.map_err(|rejection| unread(rejection, config.max_body_bytes))?;
    let body = serde_json::from_slice(&bytes);
    let body = body.map_err(|error| ApiError::bad_request(format!("Malformed request body: {error}")))?;
    text::check_json(&bytes, &body)?;
    Ok(body)
}

fn unread(rejection: BytesRejection, limit: usize) -> ApiError {
    if rejection.into_response().status() == StatusCode::PAYLOAD_TOO_LARGE {
        ApiError::TooLarge { limit }
    } else {
        ApiError::bad_request("Malformed request body: it ended before it was complete.")
    }
}
