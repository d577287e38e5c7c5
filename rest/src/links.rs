//! Addresses of things, as the client can reach them.

use axum::http::{header, request::Parts};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    ApiError, RestConfig, Service,
    proxy::{Forwarded, forwarded, is_host},
};

/// The addresses in one answer: their base is the configured endpoint, or where the client has sent its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links {
    base: String,
    root: &'static str,
    version_path: &'static str,
    /// The project id that the request had in its path; the links then have it too, as Nova's do.
    project: Option<String>,
}

/// The project id in the path of a request, where it was before the path was made plain.
#[derive(Clone, Debug)]
pub(crate) struct ProjectInPath(pub(crate) String);

impl Links {
    /// The links of a service's answer to this request.
    ///
    /// # Errors
    /// 400 if no endpoint is configured and the request does not say which host it asks.
    pub(crate) fn of_request(parts: &Parts, config: &RestConfig, service: &Service) -> Result<Self, ApiError> {
        Ok(Self {
            base: base(parts, config)?,
            root: service.root,
            version_path: service.version_path,
            project: parts.extensions.get::<ProjectInPath>().map(|project| project.0.clone()),
        })
    }

    /// Links for nobody: of a request that no client has sent.
    pub(crate) const fn inside(service: &Service) -> Self {
        Self { base: String::new(), root: service.root, version_path: service.version_path, project: None }
    }

    /// The base of all services, without a slash at its end.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Something of the service: `servers/ID`.
    #[must_use]
    pub fn to(&self, path: &str) -> String {
        self.below(self.version_path, path)
    }

    /// The same without the API's version.
    fn bookmark(&self, path: &str) -> String {
        self.below("", path)
    }

    fn below(&self, version_path: &str, path: &str) -> String {
        let Self { base, root, project, .. } = self;
        match project {
            Some(project) => format!("{base}{root}{version_path}/{project}/{path}"),
            None => format!("{base}{root}{version_path}/{path}"),
        }
    }

    /// The two links that things of the Compute API have.
    #[must_use]
    pub fn of(&self, path: &str) -> [Link; 2] {
        [Link { rel: "self", href: self.to(path) }, Link { rel: "bookmark", href: self.bookmark(path) }]
    }

    /// The one link that a thing has where another names it.
    #[must_use]
    pub fn bookmark_of(&self, path: &str) -> [Link; 1] {
        [Link { rel: "bookmark", href: self.bookmark(path) }]
    }
}

/// The base of all addresses: the configured one, or where the client has sent its request, as a trusted proxy in front
/// or the request itself says.
///
/// # Errors
/// 400 if no endpoint is configured and the request does not say which host it asks.
pub(crate) fn base(parts: &Parts, config: &RestConfig) -> Result<String, ApiError> {
    if let Some(endpoint) = &config.endpoint {
        return Ok(endpoint.trim_end_matches('/').to_owned());
    }
    let Forwarded { scheme, host, prefix } = forwarded(parts, &config.trusted_proxies);
    let host = host.or_else(|| requested(parts));
    let host = host.ok_or_else(|| ApiError::bad_request("The Host header is missing or malformed."))?;
    let own_scheme = if config.tls { "https" } else { "http" };
    Ok(format!("{}://{host}{prefix}", scheme.as_deref().unwrap_or(own_scheme)))
}

/// The host that the request names.
fn requested(parts: &Parts) -> Option<String> {
    let host = match parts.headers.get(header::HOST) {
        Some(host) => host.to_str().ok()?,
        // Or the request line has it, as a proxy is asked.
        None => parts.uri.authority()?.as_str(),
    };
    is_host(host).then(|| host.to_owned())
}

/// One link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Link {
    /// `self` or `bookmark`.
    pub rel: &'static str,
    /// Where it is.
    pub href: String,
}

/// The link to the next page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct NextLink {
    /// `next`.
    pub rel: &'static str,
    /// Where it is.
    pub href: String,
}
