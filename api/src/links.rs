//! Addresses of things, as the client can reach them.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{error::ApiError, state::Api};

/// The base of all addresses in one answer: the configured endpoint, or the host that the client asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Links {
    base: String,
    /// The project id that the request had in its path; the links then have it too, as Nova's do.
    project: Option<String>,
}

/// The project id in the path of a Compute API request, where it was before the path was made plain.
#[derive(Clone, Debug)]
pub(crate) struct ProjectInPath(pub(crate) String);

impl FromRequestParts<Api> for Links {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let base = match &api.config.endpoint {
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            None => {
                asked_for(parts).ok_or_else(|| ApiError::bad_request("The Host header is missing or malformed."))?
            }
        };
        let project = parts.extensions.get::<ProjectInPath>().map(|project| project.0.clone());
        Ok(Self { base, project })
    }
}

fn asked_for(parts: &Parts) -> Option<String> {
    let host = match parts.headers.get(header::HOST) {
        Some(host) => host.to_str().ok()?,
        // HTTP/2 has it in the request line.
        None => parts.uri.authority()?.as_str(),
    };
    // What ends up in links must not be able to be anything but a host.
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    let scheme = forwarded_scheme(&parts.headers);
    (!host.is_empty() && host.chars().all(plain)).then(|| format!("{scheme}://{host}"))
}

/// `https` if a proxy in front says that it ended TLS.
fn forwarded_scheme(headers: &HeaderMap) -> &'static str {
    match headers.get("x-forwarded-proto").map(|value| value.as_bytes()) {
        Some(b"https") => "https",
        _ => "http",
    }
}

impl Links {
    /// The base itself, without a slash at its end.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Something of the Compute API: `servers/ID`.
    pub(crate) fn compute(&self, path: &str) -> String {
        match &self.project {
            Some(project) => format!("{}/compute/v2.1/{project}/{path}", self.base),
            None => format!("{}/compute/v2.1/{path}", self.base),
        }
    }

    /// The same without the API's version.
    fn bookmark(&self, path: &str) -> String {
        match &self.project {
            Some(project) => format!("{}/compute/{project}/{path}", self.base),
            None => format!("{}/compute/{path}", self.base),
        }
    }

    /// The two links that things of the Compute API have.
    pub(crate) fn of(&self, path: &str) -> [Link; 2] {
        [Link { rel: "self", href: self.compute(path) }, Link { rel: "bookmark", href: self.bookmark(path) }]
    }

    /// The one link that a thing has where another names it.
    pub(crate) fn bookmark_of(&self, path: &str) -> [Link; 1] {
        [Link { rel: "bookmark", href: self.bookmark(path) }]
    }

    /// Something of the identity API: `projects/ID`.
    pub(crate) fn identity(&self, path: &str) -> String {
        format!("{}/identity/v3/{path}", self.base)
    }
}

/// One link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Link {
    /// `self` or `bookmark`.
    pub(crate) rel: &'static str,
    /// Where it is.
    pub(crate) href: String,
}
