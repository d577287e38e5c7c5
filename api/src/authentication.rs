//! Who asks: the token of a request, looked up once and turned into a [`RequestContext`].

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, HeaderValue, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use novella_common::{
    RequestContext,
    context::new_request_id,
    db::identity::{self, Token},
    policy,
};
use tracing::Span;

use crate::{
    error::ApiError,
    links::{Links, ProjectInPath},
    request_id::RequestIds,
    state::Api,
};

/// A request with a valid token.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// What goes with everything that the request leads to.
    pub(crate) context: RequestContext,
    /// The token, as it is in the database.
    pub(crate) token: Arc<Token>,
}

impl Caller {
    /// The project that the token is scoped to.
    ///
    /// # Errors
    /// 403 if it is scoped to none.
    pub(crate) fn project(&self) -> Result<&str, ApiError> {
        self.context
            .project_id
            .as_deref()
            .ok_or_else(|| ApiError::Forbidden("The token is not scoped to a project.".into()))
    }
}

/// The value of a header that holds a token.
pub(crate) fn token_in<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().filter(|token| !token.is_empty())
}

/// Finds out who sends a request.
///
/// # Errors
/// 401 without a valid token.
pub(crate) async fn authenticate(api: &Api, parts: &Parts) -> Result<Caller, ApiError> {
    let token = token_in(&parts.headers, "x-auth-token").ok_or(ApiError::Unauthorized)?;
    let token = api.tokens.validated(&api.database, &identity::token_hash(token)).await?;
    let token = token.ok_or(ApiError::Unauthorized)?;

    let ids = parts.extensions.get::<RequestIds>();
    let roles = policy::with_implied_roles(token.roles.iter().map(String::as_str));
    let context = RequestContext {
        request_id: ids.map_or_else(new_request_id, |ids| ids.own.clone()),
        global_request_id: ids.and_then(|ids| ids.global.clone()),
        user_id: Some(token.user.id.clone()),
        project_id: token.project.as_ref().map(|project| project.id.clone()),
        is_admin: roles.iter().any(|role| role == policy::ADMIN),
        roles,
    };
    Span::current().record("project_id", context.project_id.as_deref());
    Ok(Caller { context, token })
}

impl FromRequestParts<Api> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        match parts.extensions.get::<Caller>() {
            Some(caller) => Ok(caller.clone()),
            None => authenticate(api, parts).await,
        }
    }
}

/// Lets nobody without a valid token pass. Stands before the router, so that strangers can't tell which paths exist.
pub(crate) async fn required(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let caller = match authenticate(&api, &parts).await {
        Ok(caller) => caller,
        Err(error) => return refused(error, &mut parts, &api).await,
    };
    parts.extensions.insert(caller);
    next.run(Request::from_parts(parts, body)).await
}

/// Refuses a path with another project's id in it than the token's. Stands behind [`required`].
pub(crate) async fn own_project(caller: Caller, request: Request, next: Next) -> Response {
    if let Some(ProjectInPath(in_path)) = request.extensions().get::<ProjectInPath>()
        && caller.context.project_id.as_ref() != Some(in_path)
    {
        let own = caller.context.project_id.as_deref().unwrap_or_default();
        return ApiError::bad_request(format!(
            "Malformed request URL: URL's project_id '{in_path}' doesn't match Context's project_id '{own}'"
        ))
        .into_response();
    }
    next.run(request).await
}

/// A 401 says where a token can be had.
async fn refused(error: ApiError, parts: &mut Parts, api: &Api) -> Response {
    let unauthorized = matches!(error, ApiError::Unauthorized);
    let mut response = error.into_response();
    if unauthorized
        && let Ok(links) = Links::from_request_parts(parts, api).await
        && let Ok(value) = HeaderValue::from_str(&format!("Keystone uri=\"{}/identity\"", links.base()))
    {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    response
}
