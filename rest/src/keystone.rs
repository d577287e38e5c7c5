//! An Identity service elsewhere: a Keystone, or another Novella's. It is asked over HTTP, by a user of this service's own,
//! which tokens are valid.
//!
//! What it says is believed for [`KeystoneConfig::cache_time`], no longer than the token is valid: so a token that is
//! revoked there is refused here at the latest after that time. While it can't be asked, requests with tokens that are not
//! known get 503: nobody is let in unseen, and nobody is told that a token is wrong which may be right.
//!
//! Source: keystonemiddleware/auth_token/ (13.0.1); nova/api/openstack/identity.py for projects.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::body::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use jiff::Timestamp;
use novella_common::config::Secret;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::{
    ApiError, Authenticator, Token,
    http_client::{HttpAnswer, HttpClient, HttpClientError},
};

/// Where it is, and who asks it.
#[derive(Clone, Debug)]
pub struct KeystoneConfig {
    /// Its URL, with the version or without: `https://keystone.example.org/v3`.
    pub url: String,
    /// The name of the user that asks. It needs the role `service`, or `admin`.
    pub user: String,
    /// The name of the user's domain.
    pub user_domain: String,
    /// The user's password.
    pub password: Secret,
    /// The name of a project in which the user has that role.
    pub project: String,
    /// The name of the project's domain.
    pub project_domain: String,
    /// Who has signed its certificate (PEM file); `None`: who the system trusts.
    pub authority: Option<std::path::PathBuf>,
    /// How long what it said of a token is believed.
    pub cache_time: Duration,
}

/// The most tokens that are kept; about 10 MB.
const CAPACITY: usize = 10_000;

/// How many tokens are asked about at once; more wait. A flood of invented ones must not reach Keystone as such.
const QUESTIONS: usize = 32;

/// How long it may take to answer. Less than a request may take in all, so that it is said who did not answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long its refusal to let the service's user in is believed, so that a wrong password does not lock him out.
const REFUSAL: Duration = Duration::from_secs(2);

/// How long before its end a token of one's own is no longer used.
const MARGIN: jiff::SignedDuration = jiff::SignedDuration::from_secs(30);

/// See the module's head.
pub struct Keystone {
    http: HttpClient,
    config: KeystoneConfig,
    /// Up to and with `/v3`.
    base: String,
    own: tokio::sync::Mutex<Own>,
    /// By hash: a dump of this process's memory yields no token from here.
    known: Mutex<HashMap<[u8; 32], Known>>,
    questions: Semaphore,
}

/// What the service's user was given.
#[derive(Default)]
struct Own {
    token: Option<(HeaderValue, Timestamp)>,
    refused: Option<Instant>,
}

struct Known {
    token: Arc<Token>,
    since: Instant,
}

impl fmt::Debug for Keystone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keystone").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Keystone {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// The URL is none, or the authority's file can't be used.
    pub fn new(config: KeystoneConfig) -> Result<Self, HttpClientError> {
        let url = config.url.trim_end_matches('/');
        let base = if url.ends_with("/v3") { url.to_owned() } else { format!("{url}/v3") };
        let http = HttpClient::new(&base, config.authority.as_deref(), REQUEST_TIMEOUT)?;
        Ok(Self {
            http,
            base,
            config,
            own: tokio::sync::Mutex::default(),
            known: Mutex::default(),
            questions: Semaphore::new(QUESTIONS),
        })
    }

    /// Where it is, with the version.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.base
    }

    /// Whether there is a project of this id. If the service's user may not know, it is believed, as by Nova.
    ///
    /// # Errors
    /// 503 if that can't be found out.
    pub async fn has_project(&self, id: &str) -> Result<bool, ApiError> {
        // An id goes into a path; what is none names nothing.
        if id.is_empty() || id.len() > 64 || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return Ok(false);
        }
        let answer = self.ask(&format!("/projects/{id}"), None).await?;
        match answer.status {
            StatusCode::OK => Ok(answer.body["project"]["is_domain"] != true),
            StatusCode::NOT_FOUND => Ok(false),
            StatusCode::FORBIDDEN => Ok(true),
            status => Err(self.unexpected("whether there is a project", status)),
        }
    }

    /// A token of the service's user, for other services; other than `refused`, which one of them has not taken.
    ///
    /// # Errors
    /// 503 if there is none to be had.
    pub async fn service_token(&self, refused: Option<&HeaderValue>) -> Result<HeaderValue, ApiError> {
        self.own_token(refused).await
    }

    /// Where a service of this type is, by the catalog: its internal endpoint if it has one, or its public one. `None`: the
    /// catalog does not have it.
    ///
    /// # Errors
    /// 503 if that can't be found out.
    pub async fn endpoint(&self, kind: &str) -> Result<Option<String>, ApiError> {
        let answer = self.ask("/auth/catalog", None).await?;
        if answer.status != StatusCode::OK {
            return Err(self.unexpected("where a service is", answer.status));
        }
        let services = answer.body["catalog"].as_array().cloned().unwrap_or_default();
        let service = services.into_iter().find(|service| service["type"] == kind);
        let endpoints = service.and_then(|service| service["endpoints"].as_array().cloned()).unwrap_or_default();
        let of = |interface: &str| endpoints.iter().find(|endpoint| endpoint["interface"] == interface);
        let endpoint = of("internal").or_else(|| of("public"));
        Ok(endpoint.and_then(|endpoint| endpoint["url"].as_str()).map(|url| url.trim_end_matches('/').to_owned()))
    }

    async fn validated(&self, token: &str) -> Result<Option<Arc<Token>>, ApiError> {
        let hash = hash(token);
        if let Some(known) = self.known(&hash) {
            return Ok(Some(known));
        }
        // What is no value of a header is no token.
        let Ok(mut subject) = HeaderValue::from_str(token) else { return Ok(None) };
        subject.set_sensitive(true);
        let Ok(_turn) = self.questions.acquire().await else { return Err(away()) };
        // Somebody else may have asked meanwhile.
        if let Some(known) = self.known(&hash) {
            return Ok(Some(known));
        }
        let since = Instant::now();
        let answer = self.ask("/auth/tokens?nocatalog", Some(subject)).await?;
        let found = match answer.status {
            StatusCode::OK => Token::from_document(&answer.body["token"]).map_err(|error| {
                tracing::error!(%error, url = self.base, "Identity's description of a token is not understood");
                away()
            })?,
            StatusCode::NOT_FOUND => return Ok(None),
            status => return Err(self.unexpected("whether a token is valid", status)),
        };
        let token = Arc::new(found);
        self.keep(hash, Known { token: Arc::clone(&token), since });
        Ok((token.expires_at > Timestamp::now()).then_some(token))
    }

    fn known(&self, hash: &[u8; 32]) -> Option<Arc<Token>> {
        let known = self.lock();
        let known = known.get(hash).filter(|known| self.is_fresh(known))?;
        Some(Arc::clone(&known.token))
    }

    fn is_fresh(&self, known: &Known) -> bool {
        known.since.elapsed() < self.config.cache_time && known.token.expires_at > Timestamp::now()
    }

    fn keep(&self, hash: [u8; 32], new: Known) {
        let mut known = self.lock();
        if known.len() >= CAPACITY {
            known.retain(|_, known| self.is_fresh(known));
        }
        if known.len() >= CAPACITY {
            // Full of valid ones. To begin anew is cheap, and fair to those that are in use.
            known.clear();
        }
        known.insert(hash, new);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Known>> {
        // Whoever panicked with the lock held left a map that is whole: each change is one call.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `GET` of a path, as the service's user; about a token, if one is given.
    async fn ask(&self, path: &str, subject: Option<HeaderValue>) -> Result<HttpAnswer, ApiError> {
        let mut refused = None;
        loop {
            let own = self.own_token(refused.as_ref()).await?;
            let mut headers = vec![(HeaderName::from_static("x-auth-token"), own.clone())];
            if let Some(subject) = &subject {
                headers.push((HeaderName::from_static("x-subject-token"), subject.clone()));
                // Without this, one with rules of access is none to Keystone.
                let rules = HeaderName::from_static("openstack-identity-access-rules");
                headers.push((rules, HeaderValue::from_static("1")));
            }
            let answer = self.send(Method::GET, path, headers, None).await?;
            // One's own was revoked, or Keystone has begun anew: once more, with a new one.
            if answer.status == StatusCode::UNAUTHORIZED && refused.is_none() {
                refused = Some(own);
                continue;
            }
            return Ok(answer);
        }
    }

    /// A token of the service's user, other than `refused`.
    async fn own_token(&self, refused: Option<&HeaderValue>) -> Result<HeaderValue, ApiError> {
        // Held while it is asked for: many may need one at once.
        let mut own = self.own.lock().await;
        if let Some((token, expires_at)) = &own.token
            && refused != Some(token)
            && *expires_at > Timestamp::now() + MARGIN
        {
            return Ok(token.clone());
        }
        if own.refused.is_some_and(|refused| refused.elapsed() < REFUSAL) {
            return Err(away());
        }
        own.token = None;
        let KeystoneConfig { user, user_domain, password, project, project_domain, .. } = &self.config;
        let body = json!({ "auth": {
            "identity": { "methods": ["password"], "password": { "user": {
                "name": user, "domain": { "name": user_domain }, "password": password.expose(),
            } } },
            "scope": { "project": { "name": project, "domain": { "name": project_domain } } },
        } });
        let answer = self.send(Method::POST, "/auth/tokens?nocatalog", Vec::new(), Some(&body)).await?;
        let token = answer.headers.get("x-subject-token").filter(|_| answer.status == StatusCode::CREATED);
        let (Some(token), Ok(described)) = (token, Token::from_document(&answer.body["token"])) else {
            own.refused = Some(Instant::now());
            let (status, url) = (answer.status.as_u16(), &self.base);
            tracing::error!(status, url, user, project, "Identity does not let this service's user in");
            return Err(away());
        };
        let mut token = token.clone();
        token.set_sensitive(true);
        own.token = Some((token.clone(), described.expires_at));
        Ok(token)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        mut headers: Vec<(HeaderName, HeaderValue)>,
        body: Option<&Value>,
    ) -> Result<HttpAnswer, ApiError> {
        let uri: Uri = format!("{}{path}", self.base).parse().map_err(|_| away())?;
        headers.push((header::ACCEPT, HeaderValue::from_static("application/json")));
        let body = body.map(|body| Bytes::from(body.to_string()));
        self.http.send(method, uri, headers, body).await.map_err(|error| {
            tracing::warn!(%error, url = self.base, "Identity can't be asked");
            away()
        })
    }

    fn unexpected(&self, about: &str, status: StatusCode) -> ApiError {
        let hint = match status {
            StatusCode::FORBIDDEN => "; has this service's user the role it needs there?",
            _ => "",
        };
        tracing::error!(status = status.as_u16(), url = self.base, "Identity does not say {about}{hint}");
        away()
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// 503: what Identity would have to say is not known.
fn away() -> ApiError {
    ApiError::Unavailable(
        "The Identity service can't be asked at present, so it is not known whether this is permitted. Please try again."
            .into(),
    )
}

impl Authenticator for Keystone {
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<Arc<Token>>, ApiError>> {
        Box::pin(self.validated(token))
    }

    fn asks_elsewhere(&self, token: &str) -> bool {
        self.known(&hash(token)).is_none()
    }
}
