//! Asks other services: HTTP/1.1, with TLS or without, with connections that are kept. The one client of this program, for
//! Identity elsewhere, for the store of images and the hosts they are fetched from, and for the command line.

mod verify;

use std::{fmt, io, time::Duration};

use axum::body::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use novella_common::tls::TlsError;
use serde_json::Value;
use tokio_rustls::rustls;

pub use verify::Verify;

/// The largest answer that is read, in bytes, where nobody says otherwise.
const LARGEST: usize = 4 << 20;

/// How long it may take until a connection is there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(30);

/// Connections to other services, for requests whose bodies are a `B`.
pub type Connections<B> = Client<HttpsConnector<HttpConnector>, B>;

/// Connections to whatever this URL leads to.
///
/// # Errors
/// The URL is none of a service, or nobody's certificate can be believed as `verify` says.
pub fn connections<B>(url: &str, verify: &Verify) -> Result<Connections<B>, HttpClientError>
where
    B: Body + Send,
    B::Data: Send,
{
    let malformed = || HttpClientError::Url(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| malformed())?;
    let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https") && uri.host().is_some());
    let tls = verify.config(scheme.ok_or_else(malformed)? == "https")?;
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector);
    Ok(Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).build(connector))
}

/// A client of one service. Clones share its connections.
#[derive(Clone)]
pub struct HttpClient {
    connections: Connections<Full<Bytes>>,
    timeout: Duration,
    largest: usize,
}

/// An answer.
#[derive(Debug)]
pub struct HttpAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// All of its body.
    pub body: Bytes,
}

impl HttpAnswer {
    /// Its body as JSON: null if there is none, or it is no JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
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
    /// It is not who it says, or nobody knows who has signed its certificate.
    #[error("its certificate is not believed: {0}")]
    Untrusted(rustls::Error),
    /// It did not answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Late(Duration),
    /// It could not be reached, or ended in the middle of its answer.
    #[error("{0}")]
    Broken(String),
}

impl From<hyper_util::client::legacy::Error> for HttpClientError {
    fn from(error: hyper_util::client::legacy::Error) -> Self {
        match tls_fault(&error) {
            Some(fault @ rustls::Error::InvalidCertificate(_)) => Self::Untrusted(fault.clone()),
            _ => Self::Broken(causes(&error)),
        }
    }
}

impl HttpClient {
    /// For the service at this URL. Each answer may take as long as `timeout`.
    ///
    /// # Errors
    /// As [`connections`].
    pub fn new(url: &str, verify: &Verify, timeout: Duration) -> Result<Self, HttpClientError> {
        Ok(Self { connections: connections(url, verify)?, timeout, largest: LARGEST })
    }

    /// Reads answers of so many bytes.
    #[must_use]
    pub const fn largest(mut self, bytes: usize) -> Self {
        self.largest = bytes;
        self
    }

    /// Sends a request, with a body if there is one, of JSON unless the headers say what it is, and reads the answer.
    ///
    /// # Errors
    /// There is no answer, or it is too large.
    pub async fn send(
        &self,
        method: Method,
        uri: Uri,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Option<Bytes>,
    ) -> Result<HttpAnswer, HttpClientError> {
        let answered = async { self.read(self.ask(method, uri, headers, body).await?).await };
        tokio::time::timeout(self.timeout, answered).await.map_err(|_| HttpClientError::Late(self.timeout))?
    }

    /// The same, and leaves the answer's body to be read as it comes.
    ///
    /// # Errors
    /// No answer begins.
    pub async fn open(
        &self,
        method: Method,
        uri: Uri,
        headers: Vec<(HeaderName, HeaderValue)>,
    ) -> Result<Response<Incoming>, HttpClientError> {
        let answered = self.ask(method, uri, headers, None);
        tokio::time::timeout(self.timeout, answered).await.map_err(|_| HttpClientError::Late(self.timeout))?
    }

    /// Reads an answer to its end.
    ///
    /// # Errors
    /// It has none, or is too large.
    pub async fn read(&self, answer: Response<Incoming>) -> Result<HttpAnswer, HttpClientError> {
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, self.largest).collect().await;
        let body = body.map_err(|error| HttpClientError::Broken(error.to_string()))?.to_bytes();
        Ok(HttpAnswer { status: parts.status, headers: parts.headers, body })
    }

    async fn ask(
        &self,
        method: Method,
        uri: Uri,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Option<Bytes>,
    ) -> Result<Response<Incoming>, HttpClientError> {
        let mut request = Request::new(Full::new(body.clone().unwrap_or_default()));
        (*request.method_mut(), *request.uri_mut()) = (method, uri);
        request.headers_mut().extend(headers);
        if body.is_some() {
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().entry(header::CONTENT_TYPE).or_insert(json);
        }
        Ok(self.connections.request(request).await?)
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// What TLS says of it, if that is why.
fn tls_fault<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(fault) = cause.downcast_ref() {
            return Some(fault);
        }
        next = match cause.downcast_ref::<io::Error>() {
            // Its own `source` leaves out what it is made of.
            Some(error) => error.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static)),
            None => cause.source(),
        };
    }
    None
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
