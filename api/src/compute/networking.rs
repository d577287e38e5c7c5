//! How the Networking component is asked for whoever asks Compute, and what its refusals come to here.

use http::Method;
use novella_common::networks::{Caller, NetworkError, SecurityGroup};
use novella_rest::ApiError;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use crate::state::Api;

/// What it comes to that Networking refuses or can't be asked, where Nova has no words of its own for it.
pub(super) fn failed(error: NetworkError) -> ApiError {
    match error {
        NetworkError::Refused { status: 400, message, .. } => ApiError::BadRequest(message),
        NetworkError::Refused { status: 401, .. } => ApiError::Unauthorized,
        NetworkError::Refused { status: 403, message, .. } => ApiError::Forbidden(message),
        NetworkError::Refused { status: 404, message, .. } => ApiError::NotFound(message),
        NetworkError::Refused { status: 409, message, .. } => ApiError::Conflict(message),
        error => {
            tracing::warn!(%error, "Networking could not be asked");
            ApiError::Unavailable("The Networking service can't be asked at present. Please try again.".into())
        }
    }
}

/// Whether Networking says that there is no such thing.
pub(super) fn is_not_found(error: &NetworkError) -> bool {
    matches!(error, NetworkError::Refused { status: 404, .. })
}

/// Whether it says so for this reason.
pub(super) fn is_refused_as(error: &NetworkError, kinds: &[&str]) -> bool {
    matches!(error, NetworkError::Refused { kind, .. } if kinds.contains(&kind.as_str()))
}

/// Asks Networking's own API, and reads what stands under `key` in its answer.
///
/// # Errors
/// It refuses, can't be asked, or answers in another form.
pub(super) async fn ask<T: DeserializeOwned>(
    api: &Api,
    caller: Caller<'_>,
    (method, path): (Method, &str),
    body: Option<Value>,
    key: &str,
) -> Result<T, NetworkError> {
    let mut answer = api.networking.send(caller, method, path, body).await?;
    serde_json::from_value(answer[key].take())
        .map_err(|error| NetworkError::Unavailable(format!("its answer to {path} is not understood: {error}")))
}

/// A text as it stands in a query.
pub(super) fn query_text(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// Why a security group is not known by what it was called.
pub(super) enum NoGroup {
    /// There is none of this name or id.
    Unknown(String),
    /// There are several of this name.
    Ambiguous(String),
    /// That can't be found out.
    Failed(NetworkError),
}

impl NoGroup {
    /// The text for who has to use an id.
    pub(super) fn ambiguous(name: &str) -> ApiError {
        ApiError::Conflict(format!(
            "Multiple security_group matches found for name '{name}', use an ID to be more specific."
        ))
    }
}

/// The ids of security groups that are called by id or by name: of a project's own, or of another's that may be used, by id.
///
/// # Errors
/// See [`NoGroup`].
pub(super) async fn group_ids(
    api: &Api,
    caller: Caller<'_>,
    project: &str,
    names: &[String],
) -> Result<Vec<String>, NoGroup> {
    let own = api.networks.security_groups(caller, project).await.map_err(NoGroup::Failed)?;
    let mut ids = Vec::with_capacity(names.len());
    for name in names {
        ids.push(match among(&own, name)? {
            Some(id) => id,
            None => shared(api, caller, name).await?,
        });
    }
    Ok(ids)
}

fn among(groups: &[SecurityGroup], name: &str) -> Result<Option<String>, NoGroup> {
    if groups.iter().any(|group| group.id == name) {
        return Ok(Some(name.to_owned()));
    }
    let mut named = groups.iter().filter(|group| group.name == name);
    match (named.next(), named.next()) {
        (_, Some(_)) => Err(NoGroup::Ambiguous(name.to_owned())),
        (only, None) => Ok(only.map(|group| group.id.clone())),
    }
}

async fn shared(api: &Api, caller: Caller<'_>, id: &str) -> Result<String, NoGroup> {
    #[derive(serde::Deserialize)]
    struct Found {
        id: String,
    }
    let unknown = || NoGroup::Unknown(id.to_owned());
    let uuid = Uuid::try_parse(id).map_err(|_| unknown())?;
    let path = format!("/security-groups?fields=id&id={uuid}");
    let found: Vec<Found> =
        ask(api, caller, (Method::GET, &path), None, "security_groups").await.map_err(NoGroup::Failed)?;
    found.into_iter().next().map(|group| group.id).ok_or_else(unknown)
}
