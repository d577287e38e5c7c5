//! A service elsewhere that is asked over HTTP: where it is, and as whom it is asked.

use std::{
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use novella_rest::{HttpAnswer, HttpClient, HttpClientError, keystone::Keystone};
use serde_json::Value;
use tokio::sync::Mutex;

/// How long it may take to answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long what the catalog says is believed.
const KNOWN_FOR: Duration = Duration::from_secs(300);

/// Who a request is from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum As<'a> {
    /// The user whose token this is.
    User(&'a str),
    /// This service.
    Service,
}

/// It can't be asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Away(String);

impl Away {
    pub(crate) fn because(why: impl ToString) -> Self {
        Self(why.to_string())
    }
}

/// See the module's head.
pub(crate) struct ServiceElsewhere {
    http: HttpClient,
    keystone: Arc<Keystone>,
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
    pub(crate) fn new(
        kind: &'static str,
        url: Option<&str>,
        authority: Option<&Path>,
        keystone: Arc<Keystone>,
    ) -> Result<Self, HttpClientError> {
        let http = HttpClient::new(url.unwrap_or(keystone.url()), authority, REQUEST_TIMEOUT)?;
        let url = url.map(|url| url.trim_end_matches('/').to_owned());
        Ok(Self { http, keystone, kind, url, found: Mutex::default() })
    }

    /// Where it is, without a slash at its end.
    pub(crate) async fn base(&self) -> Result<String, Away> {
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
        let url = self.keystone.endpoint(self.kind).await.map_err(Away::because)?;
        let url = url.ok_or_else(|| Away(format!("the catalog has no endpoint of type '{}'", self.kind)))?;
        *found = Some((url.clone(), Instant::now()));
        Ok(url)
    }

    /// Sends a request, and reads the answer.
    pub(crate) async fn send(
        &self,
        who: As<'_>,
        method: Method,
        url: &str,
        body: Option<&Value>,
    ) -> Result<HttpAnswer, Away> {
        let uri: Uri = url.parse().map_err(Away::because)?;
        let mut refused = None;
        loop {
            let token = match who {
                As::Service => self.keystone.service_token(refused.as_ref()).await.map_err(Away::because)?,
                As::User(token) => {
                    let mut token = HeaderValue::from_str(token).map_err(Away::because)?;
                    token.set_sensitive(true);
                    token
                }
            };
            let headers = vec![
                (HeaderName::from_static("x-auth-token"), token.clone()),
                (header::ACCEPT, HeaderValue::from_static("application/json")),
            ];
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
