//! A service elsewhere that is asked over HTTP: where it is, and as whom it is asked.

use std::{
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use novella_rest::{HttpAnswer, HttpClient, HttpClientError, Verify, keystone::Keystone};
use serde_json::Value;
use tokio::sync::Mutex;

/// How long it may take to answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest answer that is read, in bytes: some 10,000 ports.
const LARGEST: usize = 16 << 20;

/// How long what the catalog says is believed.
const KNOWN_FOR: Duration = Duration::from_secs(300);

/// Who a request is from.
#[derive(Clone, Copy, Debug)]
pub enum As<'a> {
    /// The user whose token this is.
    User(&'a str),
    /// This service.
    Service,
}

/// It can't be asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Away(String);

impl Away {
    /// For this reason.
    #[must_use]
    pub fn because(why: impl ToString) -> Self {
        Self(why.to_string())
    }
}

/// A service of this cloud that is not in this process.
pub struct ServiceElsewhere {
    http: HttpClient,
    /// Whose catalog says where it is, and whose user this service is; `None`: neither is needed.
    keystone: Option<Arc<Keystone>>,
    /// Its type in the catalog.
    kind: &'static str,
    /// Where it is; `None`: where the catalog says.
    url: Option<String>,
    found: Mutex<Option<(String, Instant)>>,
}

impl fmt::Debug for ServiceElsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceElsewhere").field("kind", &self.kind).field("url", &self.url).finish_non_exhaustive()
    }
}

impl ServiceElsewhere {
    /// Of this type in the catalog, at this URL, or where the catalog says. `authority` has signed its certificate; by
    /// default somebody whom the system trusts.
    ///
    /// # Errors
    /// The URL is none, or the authority's file can't be used.
    pub fn new(
        kind: &'static str,
        url: Option<&str>,
        authority: Option<&Path>,
        keystone: Option<Arc<Keystone>>,
    ) -> Result<Self, HttpClientError> {
        let verify = authority.map_or(Verify::System, |file| Verify::Authority(file.to_owned()));
        let known = url.or(keystone.as_ref().map(|keystone| keystone.url())).unwrap_or_default();
        let http = HttpClient::new(known, &verify, REQUEST_TIMEOUT)?.largest(LARGEST);
        let url = url.map(|url| url.trim_end_matches('/').to_owned());
        Ok(Self { http, keystone, kind, url, found: Mutex::default() })
    }

    fn keystone(&self) -> Result<&Keystone, Away> {
        self.keystone.as_deref().ok_or_else(|| Away("no Identity is known that could be asked".into()))
    }

    /// Where it is, without a slash at its end.
    ///
    /// # Errors
    /// That can't be found out.
    pub async fn base(&self) -> Result<String, Away> {
        if let Some(url) = &self.url {
            return Ok(url.clone());
        }
        // Held while it is asked for: many may need it at once.
        let mut found = self.found.lock().await;
        if let Some((url, since)) = &*found
            && since.elapsed() < KNOWN_FOR
        {
            return Ok(url.clone());
        }
        let url = self.keystone()?.endpoint(self.kind).await.map_err(Away::because)?;
        let url = url.ok_or_else(|| Away(format!("the catalog has no endpoint of type '{}'", self.kind)))?;
        *found = Some((url.clone(), Instant::now()));
        Ok(url)
    }

    /// Sends a request, and reads the answer.
    ///
    /// # Errors
    /// There is none.
    pub async fn send(&self, who: As<'_>, method: Method, url: &str, body: Option<&Value>) -> Result<HttpAnswer, Away> {
        self.send_as(who, method, url, body, "application/json").await
    }

    /// The same with a body of this media type.
    ///
    /// # Errors
    /// There is none.
    pub async fn send_as(
        &self,
        who: As<'_>,
        method: Method,
        url: &str,
        body: Option<&Value>,
        media_type: &'static str,
    ) -> Result<HttpAnswer, Away> {
        let uri: Uri = url.parse().map_err(Away::because)?;
        let mut refused = None;
        loop {
            let token = match who {
                As::Service => self.keystone()?.service_token(refused.as_ref()).await.map_err(Away::because)?,
                As::User(token) => {
                    let mut token = HeaderValue::from_str(token).map_err(Away::because)?;
                    token.set_sensitive(true);
                    token
                }
            };
            let mut headers = vec![
                (HeaderName::from_static("x-auth-token"), token.clone()),
                (header::ACCEPT, HeaderValue::from_static("application/json")),
            ];
            if body.is_some() {
                headers.push((header::CONTENT_TYPE, HeaderValue::from_static(media_type)));
            }
            let body = body.map(|body| body.to_string().into());
            let answer = self.http.send(method.clone(), uri.clone(), headers, body).await.map_err(|error| {
                tracing::warn!(%error, service = self.kind, url, "a service elsewhere can't be asked");
                Away::because(error)
            })?;
            // The service's own was revoked: once more, with a new one.
            if answer.status == StatusCode::UNAUTHORIZED && matches!(who, As::Service) && refused.is_none() {
                refused = Some(token);
                continue;
            }
            return Ok(answer);
        }
    }
}
