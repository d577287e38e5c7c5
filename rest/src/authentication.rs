//! Who asks: the token of a request, looked up once and turned into a [`RequestContext`].

mod access_rule;
mod document;

use std::{fmt, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tracing::Span;

pub use access_rule::AccessRule;

use crate::{
    ApiError, RestConfig, Service,
    links::{ProjectInPath, base},
    policy::{Caller, Policy},
    request_id,
    request_limiter::RequestPermit,
};

/// Something with an id and a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// A valid token: what Keystone says of one that it has validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Whose it is.
    pub user: Named,
    /// The domain of the user.
    pub user_domain: Named,
    /// From when on the user's password is no longer taken; `None`: never.
    pub password_expires_at: Option<Timestamp>,
    /// The project that it is scoped to; `None`: none.
    pub project: Option<Named>,
    /// The domain of that project.
    pub project_domain: Option<Named>,
    /// Whether that project is a domain itself.
    pub is_domain: bool,
    /// The domain that it is scoped to; `None`: none.
    pub domain: Option<Named>,
    /// Whether it is scoped to the system.
    pub system: bool,
    /// The roles of the user in that scope, with those that they imply.
    pub roles: Vec<Named>,
    /// How it was come by: `password`, `token`, `application_credential`.
    pub methods: Vec<String>,
    /// Names it in logs; the second is that of the first token of the chain.
    pub audit_ids: Vec<String>,
    /// The application credential that it was got with.
    pub application_credential: Option<ApplicationCredential>,
    /// The trust that it was got with.
    pub trust: Option<Trust>,
    /// Since when.
    pub issued_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
}

/// An application credential, as far as a token shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationCredential {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it may not manage application credentials and trusts.
    pub restricted: bool,
    /// The only requests that it may be used for, if it says any.
    pub access_rules: Option<Vec<AccessRule>>,
}

/// A trust, as far as a token shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// Its id.
    pub id: String,
    /// Whether the token is the trustor's, used by the trustee.
    pub impersonation: bool,
    /// Whose roles it gives.
    pub trustor: String,
    /// To whom.
    pub trustee: String,
}

/// Knows which tokens are valid: the Identity component, in the same process or far away.
pub trait Authenticator: Send + Sync + 'static {
    /// The valid token of this text; `None`: there is none.
    ///
    /// # Errors
    /// 503 if that can't be found out.
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<Arc<Token>>, ApiError>>;

    /// Whether somebody else has to be asked about this one, who may take his time.
    fn asks_elsewhere(&self, _token: &str) -> bool {
        false
    }
}

/// Looks again at the token of a request whose answer takes long.
#[derive(Clone)]
pub struct TokenWatch {
    authenticator: Arc<dyn Authenticator>,
    text: Arc<str>,
    /// As it was when the request came.
    first: Arc<Token>,
}

impl fmt::Debug for TokenWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenWatch").finish_non_exhaustive()
    }
}

impl TokenWatch {
    /// Whether the token is still valid, and good for the same.
    ///
    /// # Errors
    /// 503 if that can't be found out.
    pub async fn holds(&self) -> Result<bool, ApiError> {
        let now = self.authenticator.authenticate(&self.text).await?;
        Ok(now.is_some_and(|now| now.project == self.first.project && now.roles == self.first.roles))
    }
}

/// The value of a header that holds a token.
#[must_use]
pub fn token_in<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().filter(|token| !token.is_empty())
}

async fn authenticate(tokens: &Tokens, parts: &Parts) -> Result<(Caller, TokenWatch), ApiError> {
    let text = token_in(&parts.headers, "x-auth-token").ok_or(ApiError::Unauthorized)?;
    let permit = parts.extensions.get::<RequestPermit>().filter(|_| tokens.authenticator.asks_elsewhere(text));
    let asked = tokens.authenticator.authenticate(text);
    // An Identity elsewhere that hangs must not take the limiter of those whose tokens are known.
    let token = match permit {
        Some(permit) => permit.without_while_queued(asked).await??,
        None => asked.await?,
    };
    let token = token.ok_or(ApiError::Unauthorized)?;
    if token.methods.iter().any(|method| tokens.service.refused_methods.contains(&method.as_str())) {
        return Err(ApiError::Forbidden("You are not authorized to perform the requested action.".into()));
    }
    let rules = token.application_credential.as_ref().and_then(|credential| credential.access_rules.as_ref());
    if rules.is_some_and(|rules| !rules.iter().any(|rule| rule.covers(tokens.service, parts))) {
        return Err(ApiError::Unauthorized);
    }

    let watch =
        TokenWatch { authenticator: Arc::clone(&tokens.authenticator), text: text.into(), first: Arc::clone(&token) };
    let caller = Caller::new(request_id::context(&parts.extensions), token, Arc::clone(&tokens.policy));
    Span::current().record("project_id", caller.project_id.as_deref());
    Ok((caller, watch))
}

/// What the layers of a service need to look tokens up.
#[derive(Clone)]
pub(crate) struct Tokens {
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) config: Arc<RestConfig>,
    /// The service that is asked.
    pub(crate) service: &'static Service,
    pub(crate) policy: Arc<Policy>,
    /// Whether a request without a valid token is refused here, before the router.
    pub(crate) required: bool,
}

/// Finds out who asks. Stands before the router: where a token is required, strangers can't tell which paths exist.
pub(crate) async fn find_caller(State(tokens): State<Tokens>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match authenticate(&tokens, &parts).await {
        Ok((caller, watch)) => {
            parts.extensions.insert(caller);
            parts.extensions.insert(watch);
        }
        Err(ApiError::Unauthorized) if !tokens.required => {}
        Err(error) => return refused(error, &parts, &tokens.config),
    }
    if tokens.required {
        return next.run(Request::from_parts(parts, body)).await;
    }
    // Each operation asks for the token itself, or is asked for one.
    let identity = identity_url(&parts, &tokens.config);
    let mut response = next.run(Request::from_parts(parts, body)).await;
    response.headers_mut().append(header::VARY, HeaderValue::from_static("X-Auth-Token"));
    if response.status() == StatusCode::UNAUTHORIZED
        && let Ok(identity) = identity
    {
        challenge(&mut response, &identity);
    }
    response
}

/// Where a token can be had.
fn identity_url(parts: &Parts, config: &RestConfig) -> Result<String, ApiError> {
    match &config.identity_url {
        Some(url) => Ok(url.clone()),
        None => Ok(format!("{}/identity", base(parts, config)?)),
    }
}

/// Says where a token can be had.
fn challenge(response: &mut Response, identity: &str) {
    if let Ok(value) = HeaderValue::from_str(&format!("Keystone uri=\"{identity}\"")) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
}

/// Refuses a path with another project's id in it than the token's. Stands behind [`find_caller`].
pub(crate) async fn own_project(request: Request, next: Next) -> Response {
    let own = request.extensions().get::<Caller>().and_then(|caller| caller.project_id.as_deref());
    if let Some(ProjectInPath(in_path)) = request.extensions().get::<ProjectInPath>()
        && own != Some(in_path.as_str())
    {
        let own = own.unwrap_or_default();
        return ApiError::bad_request(format!(
            "Malformed request URL: URL's project_id '{in_path}' doesn't match Context's project_id '{own}'"
        ))
        .into_response();
    }
    next.run(request).await
}

/// A 401 says where a token can be had.
fn refused(error: ApiError, parts: &Parts, config: &RestConfig) -> Response {
    let unauthorized = matches!(error, ApiError::Unauthorized);
    let mut response = error.into_response();
    if unauthorized && let Ok(identity) = identity_url(parts, config) {
        challenge(&mut response, &identity);
    }
    response
}
