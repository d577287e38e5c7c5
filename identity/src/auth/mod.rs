//! `/auth`: tokens are given out, shown and ended; and what one can get them for.

pub(crate) mod delegation;
mod ec2;
mod identify;
mod request;
mod scope;
mod signatures;

use std::sync::Arc;

use axum::{
    Json,
    http::{HeaderMap, HeaderName, StatusCode},
    response::{IntoResponse, Response},
};
use jiff::{SignedDuration, Timestamp};
use novella_common::db::{Transaction, list::Condition};
use novella_rest::{
    ApiError, Operation, Token, delete, get, head, list::ListDescription, policy::Target, post, token_in, truth,
};
use serde_json::{Value, json};

use self::{
    identify::Identified,
    request::Auth,
    scope::{Scoped, Wanted},
};
use crate::{
    Request,
    db::{
        self, Project,
        roles::{self, AssignmentTarget},
        tokens::{self, Written},
    },
    policy,
    resource::{Resource as _, listing, page, page_of, read_page},
    resources::projects,
    secrets,
    state::Identity,
    token_view::TokenBody,
};

/// Where a token travels.
static SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");

/// The operations.
pub(crate) fn operations() -> Vec<Operation<Identity>> {
    const TOKENS: &str = "/auth/tokens";
    let projects: &ListDescription = Project::LIST;
    let mut operations = vec![
        post(TOKENS, policy::ISSUE_TOKEN, issue).public().status(201),
        get(TOKENS, policy::VALIDATE_TOKEN, validate),
        head(TOKENS, policy::CHECK_TOKEN, validate),
        delete(TOKENS, policy::REVOKE_TOKEN, revoke).status(204),
        get("/auth/catalog", policy::AUTH_CATALOG, catalog),
        get("/auth/projects", policy::AUTH_PROJECTS, own_projects).list(projects, u16::MAX),
        get("/auth/domains", policy::AUTH_DOMAINS, own_domains).list(projects, u16::MAX),
        get("/auth/system", policy::AUTH_SYSTEM, own_system),
    ];
    operations.extend(ec2::operations());
    operations
}

/// Gives out a token.
async fn issue(request: Request, Auth(auth): Auth) -> Result<Response, ApiError> {
    let identity = &request.state;
    let wanted = scope::wanted(auth.scope.as_ref().map(|scope| &scope.0))?;
    let identified = identify::identify(&request, auth.identity).await?;
    let of_system = identified.parent.as_ref().is_some_and(|(_, parent)| parent.system);
    if of_system && matches!(wanted, Wanted::Project(_) | Wanted::Domain(_)) {
        return Err(ApiError::Forbidden(
            "You are not authorized to perform the requested action: Using a system-scoped token to create a \
             project-scoped or domain-scoped token is not allowed.."
                .into(),
        ));
    }
    let scoped = scope::scoped(identity, &identified, wanted).await?;
    let (transaction, secret, token) = prepared(identity, identified, scoped).await?;
    transaction.commit().await?;
    let shown = TokenBody::new(&token, catalog_of(&request, &token).await?);
    Ok((StatusCode::CREATED, [(SUBJECT_TOKEN.clone(), secret)], Json(shown)).into_response())
}

/// Writes a token. It is there when the transaction is committed.
async fn prepared(
    identity: &Identity,
    identified: Identified,
    scoped: Scoped,
) -> Result<(Transaction, String, Token), ApiError> {
    let issued_at = Timestamp::now();
    let mut transaction = identity.database.begin().await?;
    if !identified.still_holds(&mut transaction).await? {
        return Err(ApiError::Unauthorized);
    }
    let ttl = SignedDuration::try_from(identity.token_ttl).unwrap_or(SignedDuration::MAX);
    let full = issued_at.saturating_add(ttl).unwrap_or(Timestamp::MAX);
    let Identified { methods, parent, application_credential_id, until, .. } = identified;
    // No longer than what it was got with.
    let expires_at = until.into_iter().chain(scoped.until).fold(full, Timestamp::min);
    let mut audit_ids = vec![secrets::audit_id()?];
    audit_ids.extend(parent.as_ref().and_then(|(_, parent)| parent.audit_ids.last().cloned()));
    let written = Written {
        user_id: scoped.user_id,
        scope: scoped.scope,
        trust_id: scoped.trust_id,
        application_credential_id,
        methods,
        audit_ids,
        issued_at: whole_seconds(issued_at),
        expires_at: whole_seconds(expires_at),
    };
    let secret = secrets::token()?;
    let hash = db::token_hash(&secret);
    if let Some(trust) = &written.trust_id {
        scope::use_trust(&mut transaction, trust).await?;
    }
    tokens::insert(&mut transaction, &hash, &written).await?;
    // Read as it will be read: so a token is never given out that would be refused.
    let token = tokens::valid(&mut transaction, &hash, issued_at).await?.ok_or(ApiError::Unauthorized)?;
    Ok((transaction, secret, token))
}

/// A time as tokens have it.
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// The catalog, unless the query says `nocatalog`.
async fn catalog_of(request: &Request, token: &Token) -> Result<Option<Vec<crate::catalog::ServiceView>>, ApiError> {
    if request.query.names().any(|name| name == "nocatalog") {
        return Ok(None);
    }
    let catalog = request.state.cache.catalog(&request.state.database).await?;
    Ok(Some(catalog.view(token, &request.links)))
}

/// The token that a request is about, if the caller may know of it.
async fn subject(request: &Request) -> Result<(String, Arc<Token>), ApiError> {
    let missing = || ApiError::not_found("No token in the request");
    let subject = token_in(request.headers(), SUBJECT_TOKEN.as_str()).ok_or_else(missing)?;
    let hash = db::token_hash(subject);
    let token = request.state.cache.validated(&request.state.database, &hash).await?;
    let token = token.ok_or_else(|| ApiError::not_found("Failed to validate token"))?;
    request.check_target(&Target::of_user(&token.user.id))?;
    Ok((hash, token))
}

/// Shows a token. One with access rules is none to whoever does not say that he holds a request against them: he would let
/// it do everything.
async fn validate(request: Request) -> Result<Response, ApiError> {
    let (_, token) = subject(&request).await?;
    let has_rules = token.application_credential.as_ref().is_some_and(|credential| credential.access_rules.is_some());
    if has_rules && !knows_access_rules(request.headers()) {
        return Err(ApiError::not_found("Failed to validate token"));
    }
    let mut shown = Json(TokenBody::new(&token, catalog_of(&request, &token).await?)).into_response();
    if let Some(value) = request.headers().get(&SUBJECT_TOKEN) {
        shown.headers_mut().insert(SUBJECT_TOKEN.clone(), value.clone());
    }
    Ok(shown)
}

/// Whether who asks has said that he knows access rules: by the version of them, of which there is one.
fn knows_access_rules(headers: &HeaderMap) -> bool {
    let version = headers.get("openstack-identity-access-rules").and_then(|version| version.to_str().ok());
    version.and_then(|version| version.trim().parse::<f64>().ok()).is_some_and(|version| version >= 1.0)
}

/// Ends a token and, unless the query says otherwise (`cascade`), those made from it; here at once and everywhere within a
/// second.
async fn revoke(request: Request) -> Result<StatusCode, ApiError> {
    let (hash, token) = subject(&request).await?;
    let cascade = request.query.get("cascade").and_then(truth).unwrap_or(true);
    let mut transaction = request.state.database.begin().await?;
    tokens::delete(&mut transaction, &hash).await?;
    if let (true, Some(audit_id)) = (cascade, token.audit_ids.first()) {
        tokens::delete_made_from(&mut transaction, &token.user.id, audit_id).await?;
    }
    request.state.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The catalog, as it is in a token.
async fn catalog(request: Request) -> Result<Json<Value>, ApiError> {
    let token = request.token.as_ref().ok_or(ApiError::Unauthorized)?;
    if token.project.is_none() {
        return Err(ApiError::Forbidden("You are not authorized to perform the requested action.".into()));
    }
    let own = request.links.to("auth/catalog");
    let catalog = request.state.cache.catalog(&request.state.database).await?.view(token, &request.links);
    Ok(Json(json!({"catalog": catalog, "links": {"self": own}})))
}

/// The condition that a project can be worked in.
const USABLE: &str = "enabled AND COALESCE(domain_id, id) IN (SELECT id FROM projects WHERE is_domain AND enabled)";

/// The projects that the caller can get a token for.
async fn own_projects(request: Request) -> Result<Response, ApiError> {
    let listing = listing::<Project>(&request)?
        .visible(Condition::raw(roles::has_role(request.user())))
        .filter(Condition::raw(novella_common::db::Sql::new(USABLE)))
        .filter(Condition::equal("is_domain", &false));
    page(&request, listing, "auth/projects").await
}

/// The domains that the caller can get a token for.
async fn own_domains(request: Request) -> Result<Response, ApiError> {
    let listing = listing::<Project>(&request)?
        .visible(Condition::raw(roles::has_role(request.user())))
        .filter(Condition::raw(novella_common::db::Sql::new(USABLE)))
        .filter(Condition::equal("is_domain", &true));
    let rows = read_page(listing, &mut *request.state.database.read().await?).await?;
    let view = |domain| projects::domain_view(domain, &request.links);
    Ok(page_of(&request, &rows, "domains", "auth/domains", |domain: &Project| domain.id(), view))
}

/// Whether the caller can get a token for the system.
async fn own_system(request: Request) -> Result<Response, ApiError> {
    let held =
        roles::effective(&mut *request.state.database.read().await?, request.user(), AssignmentTarget::System).await?;
    let system = if held.is_empty() { Vec::new() } else { vec![json!({"all": true})] };
    Ok(Json(json!({"system": system, "links": {"self": request.links.to("auth/system")}})).into_response())
}
