//! Asks other REST services: HTTP/1.1, with TLS or without, with connections that are kept.

use std::{fmt, path::Path, sync::Arc, time::Duration};

use axum::body::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use novella_common::tls::{TlsError, read_certificates};
use serde_json::Value;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, crypto::ring};

/// The largest answer that is read, in bytes: some 10,000 ports.
const LARGEST: usize = 16 << 20;

/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(30);

/// A client of one service.
pub struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    patience: Duration,
}

/// An answer.
#[derive(Debug)]
pub struct HttpAnswer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// Null if there is none, or it is no JSON.
    pub body: Value,
}

/// Why a service can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum HttpClientError {
    /// The URL is none.
    #[error("'{0}' is no URL of a service: http://HOST:PORT/PATH or https://... is expected")]
    Url(String),
    /// The authority's certificates can't be used.
    #[error(transparent)]
    Authority(#[from] TlsError),
    /// TLS can't be spoken.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// It did not answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Late(Duration),
    /// It could not be reached, or ended in the middle of its answer.
    #[error("{0}")]
    Broken(String),
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").finish_non_exhaustive()
    }
}

impl HttpClient {
    /// For the service at this URL, whose certificate is signed by somebody in the file `authority`, or else by somebody
    /// whom the system trusts. Each answer may take as long as `patience`.
    ///
    /// # Errors
    /// The URL is none, or the authority's certificates can't be used.
    pub fn new(url: &str, authority: Option<&Path>, patience: Duration) -> Result<Self, HttpClientError> {
        let malformed = || HttpClientError::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| malformed())?;
        let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https") && uri.host().is_some());
        let mut roots = RootCertStore::empty();
        match (scheme.ok_or_else(malformed)?, authority) {
            (_, Some(file)) => {
                roots.add_parsable_certificates(read_certificates(file)?);
            }
            ("https", None) => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            _ => {}
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Ok(Self { client, patience })
    }

    /// Sends a request, with a body of JSON if there is one, and reads the answer.
    ///
    /// # Errors
    /// There is no answer, it is too large, or it comes too late.
    pub async fn send(
        &self,
        method: Method,
        uri: Uri,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Option<Bytes>,
    ) -> Result<HttpAnswer, HttpClientError> {
        let mut request = Request::new(Full::new(body.clone().unwrap_or_default()));
        (*request.method_mut(), *request.uri_mut()) = (method, uri);
        request.headers_mut().extend(headers);
        if body.is_some() {
            request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let answered = async {
            let answer = self.client.request(request).await.map_err(|error| HttpClientError::Broken(causes(&error)))?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, LARGEST).collect().await;
            let body = body.map_err(|error| HttpClientError::Broken(error.to_string()))?.to_bytes();
            let body = serde_json::from_slice(&body).unwrap_or_default();
            Ok(HttpAnswer { status: parts.status, headers: parts.headers, body })
        };
        tokio::time::timeout(self.patience, answered).await.map_err(|_| HttpClientError::Late(self.patience))?
    }
}

/// An error with its causes, which say what it was.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
