//! `/ec2tokens` and `/s3tokens`: a service that takes requests with Amazon's signatures asks whose such a request is. What it
//! is answered is a token of the user to whom the access key belongs, for the key's project.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use novella_rest::{ApiError, Operation, post};
use serde_json::{Map, Value};

use super::{
    SUBJECT_TOKEN, catalog_of, delegation,
    identify::Identified,
    prepared,
    scope::{self, Wanted},
    signatures::{self, SignedRequest},
};
use crate::{
    Request,
    db::{self, Reference},
    policy,
    resource::look_up,
    resources::{Credential, ec2_blob, ec2_id},
    state::Identity,
    token_view::TokenBody,
};

/// For how long after it was made a signature is good (Keystone's `[credential] auth_ttl`).
const SIGNATURE_TTL: SignedDuration = SignedDuration::from_mins(15);

/// The operations.
pub(super) fn operations() -> Vec<Operation<Identity>> {
    vec![
        post("/ec2tokens", policy::EC2TOKENS_VALIDATE, of_request),
        post("/s3tokens", policy::S3TOKENS_VALIDATE, of_text),
    ]
}

/// The token of whoever has signed a request of EC2's kind.
async fn of_request(mut request: Request) -> Result<Response, ApiError> {
    let given = credentials(&mut request).await?;
    let text = |name: &str| given.get(name).and_then(Value::as_str).unwrap_or_default();
    let signature = text("signature");
    if signature.is_empty() {
        return Err(refused("no signature"));
    }
    let signed = SignedRequest::read(&given);
    let owner = owner(&request, text("access"), |secret| signatures::signs_request(secret, &signed, signature));
    let owner = owner.await?;
    check_age(&signed)?;
    let (transaction, secret, shown) = token(&request, owner).await?;
    transaction.commit().await?;
    Ok((StatusCode::OK, [(SUBJECT_TOKEN.clone(), secret)], Json(shown)).into_response())
}

/// Who has signed a request of S3's kind: what a token of his would say. Nobody gets the token itself, so none is made.
async fn of_text(mut request: Request) -> Result<Response, ApiError> {
    let given = credentials(&mut request).await?;
    let text = |name: &str| given.get(name).and_then(Value::as_str).unwrap_or_default();
    let owner =
        owner(&request, text("access"), |secret| signatures::signs_text(secret, text("token"), text("signature")));
    let owner = owner.await?;
    check_age(&SignedRequest::read(&given))?;
    let (_, _, shown) = token(&request, owner).await?;
    Ok(Json(shown).into_response())
}

/// What a request says of a signature, under whichever of the names that services use.
async fn credentials(request: &mut Request) -> Result<Map<String, Value>, ApiError> {
    let body = request.json().await?;
    if body.as_object().is_none_or(Map::is_empty) {
        return Err(ApiError::bad_request("request must include a request body"));
    }
    let given = ["credentials", "credential", "ec2Credentials"].iter().find_map(|name| body.get(*name)?.as_object());
    match given {
        Some(given) if given.contains_key("access") => Ok(given.clone()),
        _ => Err(refused("no access key")),
    }
}

/// Whose access key this is, and the key's project, if `fits` its secret.
async fn owner(request: &Request, access: &str, fits: impl FnOnce(&str) -> bool) -> Result<Credential, ApiError> {
    let unknown = || ApiError::not_found("EC2 access key not found.");
    let found: Option<Credential> = look_up(&mut *request.state.database.read().await?, &ec2_id(access)).await?;
    let credential = found.filter(|found| found.kind == "ec2").ok_or_else(unknown)?;
    let blob = ec2_blob(&credential.blob)?;
    let secret = blob.get("secret").and_then(Value::as_str).unwrap_or_default();
    // Nobody signs with an empty key.
    if secret.is_empty() || !fits(secret) {
        return Err(refused("the signature is another"));
    }
    // Here no key is made for what somebody was lent, and one that says so gives no more than that.
    if ["trust_id", "app_cred_id", "access_token_id"].iter().any(|name| blob.get(*name).is_some_and(|id| !id.is_null()))
    {
        return Err(refused("the key says that it was lent"));
    }
    Ok(credential)
}

/// As Keystone, which tells nobody why.
fn refused(why: &str) -> ApiError {
    tracing::debug!(why, "a signature is refused");
    ApiError::Unauthorized
}

/// Refuses a signature that was made long ago. One that says no time is taken.
fn check_age(signed: &SignedRequest<'_>) -> Result<(), ApiError> {
    let said = signed.param("Timestamp").or_else(|| signed.header("X-Amz-Date")).or_else(|| signed.param("X-Amz-Date"));
    let Some(said) = said else { return Ok(()) };
    // With a zone, without one, which is UTC, or as version 4 has it: 20261130T120000Z.
    let naive = || said.trim_end_matches('Z').parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
    let made = said.parse::<Timestamp>().ok().or_else(|| naive().map(|time| time.timestamp()));
    let made = made.ok_or_else(|| refused("the time is none"))?;
    if Timestamp::now().duration_since(made) > SIGNATURE_TTL {
        return Err(refused("the signature is too old"));
    }
    Ok(())
}

/// A token of this key's owner, written in a transaction that is still open.
async fn token(
    request: &Request,
    key: Credential,
) -> Result<(novella_common::db::Transaction, String, TokenBody), ApiError> {
    let identity = &request.state;
    let user = db::user(&mut *identity.database.read().await?, &Reference::Id(key.user_id)).await?;
    let (user, _) = user.filter(|(user, _)| user.enabled).ok_or(ApiError::Unauthorized)?;
    let project = key.project_id.ok_or(ApiError::Unauthorized)?;
    let identified = Identified {
        user,
        methods: vec![delegation::EC2.to_owned()],
        parent: None,
        application_credential_id: None,
        application_credential_project: None,
        until: None,
    };
    let scoped = scope::scoped(identity, &identified, Wanted::project(project)).await?;
    let (transaction, secret, token) = prepared(identity, identified, scoped).await?;
    let shown = TokenBody::new(&token, catalog_of(request, &token).await?);
    Ok((transaction, secret, shown))
}
