//! `/identity/v3/auth`: tokens are given out, shown and ended.

use axum::{
    Json,
    http::{HeaderMap, HeaderName, StatusCode},
    response::IntoResponse,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use novella_common::config::Secret;
use novella_rest::{ApiError, Token, body, inputs::AnyValue, token_in, typed};
use rand::TryRng;
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::Instrument;
use utoipa::ToSchema;

use crate::{
    Request, cache,
    db::{self, DEFAULT_DOMAIN_ID, DEFAULT_DOMAIN_NAME, Project, Reference, User},
    directory::ProjectView,
    passwords::Turn,
    policy, state,
    token_view::{TokenBody, catalog as catalog_of},
};

/// Where a token travels.
static SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");

body! {
    /// `POST /auth/tokens`.
    pub(crate) struct AuthRequest in "auth" {
        identity: Identity = "identity",
        scope: Option<AnyValue> = "scope".nullable(),
    }
}

#[derive(Debug, Deserialize, ToSchema)]
struct Identity {
    methods: Vec<String>,
    password: Option<PasswordMethod>,
    token: Option<TokenMethod>,
}

#[derive(Debug, Deserialize, ToSchema)]
struct PasswordMethod {
    user: NamedUser,
}

#[derive(Debug, Deserialize, ToSchema)]
struct NamedUser {
    id: Option<String>,
    name: Option<String>,
    domain: Option<NamedDomain>,
    #[schema(value_type = String)]
    password: Secret,
}

#[derive(Debug, Deserialize, ToSchema)]
struct NamedDomain {
    id: Option<String>,
    name: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
struct TokenMethod {
    #[schema(value_type = String)]
    id: Secret,
}

#[derive(Debug, Deserialize)]
struct NamedProject {
    id: Option<String>,
    name: Option<String>,
    domain: Option<NamedDomain>,
}

impl NamedDomain {
    /// Whether it is the one domain that there is.
    fn exists(&self) -> bool {
        match (&self.id, &self.name) {
            (Some(id), _) => id == DEFAULT_DOMAIN_ID,
            (None, Some(name)) => name == DEFAULT_DOMAIN_NAME,
            (None, None) => false,
        }
    }
}

/// What names a user or a project: an id, or a name in the one domain. `None`: in a domain that does not exist.
fn reference(
    what: &str,
    id: Option<String>,
    name: Option<String>,
    domain: Option<&NamedDomain>,
) -> Result<Option<Reference>, ApiError> {
    match (id, name, domain) {
        (Some(id), _, _) => Ok(Some(Reference::Id(id))),
        (None, Some(name), Some(domain)) => Ok(domain.exists().then_some(Reference::Name(name))),
        (None, Some(_), None) => Err(ApiError::bad_request(format!(
            "Expecting to find domain in {what}. The server could not comply with the request since it is either \
             malformed or otherwise incorrect. The client is assumed to be in error."
        ))),
        (None, None, _) => Err(ApiError::bad_request(format!("Expecting to find id or name in {what}."))),
    }
}

/// What a token is asked to be good for.
#[derive(Debug)]
enum Scope {
    /// Nothing was said: the user's only project, if it has only one.
    Default,
    /// Nothing yet.
    Unscoped,
    /// A project; `None`: one that can't exist.
    Project(Option<Reference>),
}

fn scope_of(scope: Option<&Value>) -> Result<Scope, ApiError> {
    match scope {
        None | Some(Value::Null) => Ok(Scope::Default),
        Some(Value::String(word)) if word == "unscoped" => Ok(Scope::Unscoped),
        Some(Value::Object(scope)) if scope.contains_key("unscoped") => Ok(Scope::Unscoped),
        Some(Value::Object(scope)) if scope.contains_key("project") => {
            let NamedProject { id, name, domain } = typed("auth.scope.project", &scope["project"])?;
            Ok(Scope::Project(reference("project", id, name, domain.as_ref())?))
        }
        Some(_) => Err(ApiError::bad_request(
            "Invalid input for field/attribute auth.scope. Only project scope is given out: \
             {\"project\": {\"id\": ...}} or {\"project\": {\"name\": ..., \"domain\": ...}}.",
        )),
    }
}

/// Gives out a token.
pub(crate) async fn issue(request: Request, auth: AuthRequest) -> Result<impl IntoResponse, ApiError> {
    let identity = &request.state;
    let scope = scope_of(auth.scope.as_ref().map(|scope| &scope.0))?;
    let (user, methods, expires_at) = identify(&request, auth.identity).await?;
    let project = scoped_project(identity, &user, scope).await?;

    let issued_at = Timestamp::now();
    let ttl = jiff::SignedDuration::try_from(identity.config.token_ttl).unwrap_or(jiff::SignedDuration::MAX);
    let full = issued_at.saturating_add(ttl).unwrap_or(Timestamp::MAX);
    // A token got by a token lives no longer than that one: else a token that leaked could be renewed for ever.
    let expires_at = expires_at.map_or(full, |given| given.min(full));
    let roles = match &project {
        Some(project) => {
            let roles = db::roles(&mut *identity.database.read().await?, &user.id, &project.id).await?;
            if roles.is_empty() {
                return Err(ApiError::Unauthorized);
            }
            roles
        }
        None => Vec::new(),
    };
    let token = db::Token { user, project, roles, issued_at, expires_at };
    let secret = new_token()?;
    let hash = db::token_hash(&secret);
    db::insert_token(&mut *identity.database.write().await?, &hash, &token).await?;

    let shown = TokenBody::new(&cache::token(token), &hash, methods, catalog_if_wanted(&request));
    Ok((StatusCode::CREATED, [(SUBJECT_TOKEN.clone(), secret)], Json(shown)))
}

/// The catalog, unless the query says `nocatalog`.
fn catalog_if_wanted(request: &Request) -> Option<Vec<crate::token_view::Service>> {
    let wanted = !request.query.names().any(|name| name == "nocatalog");
    wanted.then(|| catalog_of(&request.state.config.catalog, &request.links))
}

/// Finds out who wants a token, by which methods, and how long a token that was shown is still valid.
async fn identify(
    request: &Request,
    identity: Identity,
) -> Result<(User, &'static [&'static str], Option<Timestamp>), ApiError> {
    let component = &request.state;
    let has = |method: &str| identity.methods.iter().any(|named| named == method);
    match (identity.password, identity.token) {
        (Some(method), _) if has("password") => {
            let NamedUser { id, name, domain, password } = method.user;
            let named = id.clone().or_else(|| name.clone()).unwrap_or_default();
            let found = match reference("user", id, name, domain.as_ref())? {
                Some(which) => db::user(&mut *component.database.read().await?, &which).await?,
                None => None,
            };
            let turn = component.passwords.turn(request.client, found.as_ref().map_or(&named, |(user, _)| &user.id));
            let turn = request.elsewhere(turn).await?;
            let check = check_password(component.clone(), turn, password, found);
            // To its end, whatever becomes of the client: who hangs up has guessed as well.
            let checked = tokio::spawn(check.in_current_span()).await;
            let checked = checked.map_err(|error| {
                tracing::error!(%error, "a log-in broke");
                ApiError::Broken
            });
            Ok((checked??, &["password"], None))
        }
        (_, Some(method)) if has("token") => {
            let hash = db::token_hash(method.id.expose());
            let token = component.tokens.validated(&component.database, &hash).await?.ok_or(ApiError::Unauthorized)?;
            let user = db::user(&mut *component.database.read().await?, &Reference::Id(token.user.id.clone())).await?;
            let (user, _) = user.ok_or(ApiError::Unauthorized)?;
            Ok((user, &["token", "password"], Some(token.expires_at)))
        }
        _ => {
            let methods = identity.methods.join(", ");
            Err(ApiError::bad_request(format!(
                "Invalid input for field/attribute auth.identity.methods. Value: [{methods}]. Served are password and \
                 token, each with an object of its name beside the list."
            )))
        }
    }
}

/// The user, if it has this password and may log in.
async fn check_password(
    component: state::Identity,
    turn: Turn,
    password: Secret,
    found: Option<(User, String)>,
) -> Result<User, ApiError> {
    let (database, compliance) = (&component.database, &component.config.security_compliance);
    let locked = match &found {
        Some((user, _)) => compliance.is_locked(database, &user.id).await?,
        None => false,
    };
    let (user, hash) = found.unzip();
    // Always compared, whatever was found: the answer takes as long for a user who is not there, or is locked.
    let fits = component.passwords.fits(turn, password, hash.filter(|_| !locked)).await?;
    let user = user.filter(|_| !locked).ok_or(ApiError::Unauthorized)?;
    let holds = compliance.record(database, &user.id, fits).await?;
    if holds && user.enabled { Ok(user) } else { Err(ApiError::Unauthorized) }
}

async fn scoped_project(component: &state::Identity, user: &User, scope: Scope) -> Result<Option<Project>, ApiError> {
    let mut connection = component.database.read().await?;
    match scope {
        Scope::Unscoped => Ok(None),
        Scope::Default => {
            let mut projects = db::projects_of_user(&mut connection, &user.id).await?;
            Ok(if projects.len() == 1 { projects.pop() } else { None })
        }
        Scope::Project(which) => {
            let found = match which {
                Some(which) => db::project(&mut connection, &which).await?,
                None => None,
            };
            found.filter(|project| project.enabled).map(Some).ok_or(ApiError::Unauthorized)
        }
    }
}

/// 256 random bits, in a form that fits into a header.
fn new_token() -> Result<String, ApiError> {
    let mut bits = [0u8; 32];
    rand::rngs::SysRng.try_fill_bytes(&mut bits).map_err(|error| {
        tracing::error!(%error, "the system gives no random numbers");
        ApiError::Unavailable("No token can be made at present. Please try again.".into())
    })?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bits))
}

/// The token that a request is about, if the caller may know of it: its own, or an administrator any.
async fn subject(request: &Request) -> Result<(String, std::sync::Arc<Token>), ApiError> {
    let missing = || ApiError::bad_request("The header X-Subject-Token is required.");
    let subject = token_in(request.headers(), SUBJECT_TOKEN.as_str()).ok_or_else(missing)?;
    let hash = db::token_hash(subject);
    let token = request.state.tokens.validated(&request.state.database, &hash).await?;
    let token = token.ok_or_else(|| ApiError::not_found("Could not find token."))?;
    let own = policy::VALIDATE_TOKEN.check_user(&request.context, &token.user.id);
    own.map_err(|denied| ApiError::Forbidden((request.service.denied)(denied.rule)))?;
    Ok((hash, token))
}

/// Shows a token.
pub(crate) async fn validate(request: Request) -> Result<impl IntoResponse, ApiError> {
    let (hash, token) = subject(&request).await?;
    let body = TokenBody::new(&token, &hash, &["password"], catalog_if_wanted(&request));
    let shown = request.headers().get(&SUBJECT_TOKEN).cloned().into_iter().map(|value| (SUBJECT_TOKEN.clone(), value));
    Ok((shown.collect::<HeaderMap>(), Json(body)))
}

/// Ends a token, here at once and everywhere within seconds.
pub(crate) async fn revoke(request: Request) -> Result<StatusCode, ApiError> {
    let (hash, _) = subject(&request).await?;
    db::delete_token(&mut *request.state.database.write().await?, &hash).await?;
    request.state.tokens.forget(&hash);
    Ok(StatusCode::NO_CONTENT)
}

/// The catalog, as it is in a token.
pub(crate) async fn catalog(request: Request) -> Result<Json<Value>, ApiError> {
    let own = request.links.to("auth/catalog");
    let catalog = catalog_of(&request.state.config.catalog, &request.links);
    Ok(Json(json!({"catalog": catalog, "links": {"self": own, "previous": null, "next": null}})))
}

/// The projects that the caller can get a token for.
pub(crate) async fn projects(request: Request) -> Result<Json<Value>, ApiError> {
    let found = db::projects_of_user(&mut *request.state.database.read().await?, request.user()).await?;
    let projects: Vec<_> = found.into_iter().map(|project| ProjectView::new(project, &request.links)).collect();
    let own = request.links.to("auth/projects");
    Ok(Json(json!({"projects": projects, "links": {"self": own, "previous": null, "next": null}})))
}
