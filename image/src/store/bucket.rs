//! How a bucket of S3 is asked: by the client that everything else is asked by, in place of `object_store`'s own.

use std::time::Duration;

use async_trait::async_trait;
use http_body_util::BodyExt;
use novella_rest::{Connections, Verify, connections};
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
        HttpResponseBody, HttpService,
    },
};

/// How long it may take until an answer begins.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Connects to a bucket at this URL, or at Amazon's.
#[derive(Debug)]
pub(super) struct Connector(pub(super) Option<String>);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let failed = |source| object_store::Error::Generic { store: "S3", source };
        let url = self.0.as_deref().unwrap_or("https://s3.amazonaws.com");
        let connections = connections(url, &Verify::System).map_err(|error| failed(error.into()))?;
        Ok(HttpClient::new(Bucket(connections)))
    }
}

#[derive(Debug)]
struct Bucket(Connections<HttpRequestBody>);

#[async_trait]
impl HttpService for Bucket {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, self.0.request(request)).await;
        let answer = answer.map_err(|late| HttpError::new(HttpErrorKind::Timeout, late))?.map_err(|error| {
            let kind = if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Interrupted };
            HttpError::new(kind, error)
        })?;
        let (parts, body) = answer.into_parts();
        let body = body.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error));
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}
