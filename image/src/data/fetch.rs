//! The import method `web-download`: an image's bytes from a URL.
//!
//! Whoever may make an image could otherwise have this cloud ask for whatever it can reach. So only hosts and ports are asked
//! that the configuration names, and where such a host sends elsewhere nobody follows.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Empty};
use novella_rest::{ApiError, HttpClientError, Verify, connections};
use uuid::Uuid;

use super::{
    receive::{Most, receive},
    transitions::kept,
};
use crate::{
    ImageConfig, Images,
    db::{Image, objects::Object},
};

/// How long an answer may be waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Where bytes come from.
#[derive(Debug)]
pub(super) struct Source(Uri);

impl Source {
    /// A URL that may be asked for.
    ///
    /// # Errors
    /// 400.
    pub(super) fn allowed(uri: &str, config: &ImageConfig) -> Result<Self, ApiError> {
        let refused = || ApiError::bad_request(format!("URI for web-download does not pass filtering: {uri}"));
        let parsed: Uri = uri.parse().map_err(|_| refused())?;
        let port = match (parsed.scheme_str(), parsed.port_u16()) {
            (Some("http"), None) => 80,
            (Some("https"), None) => 443,
            (Some("http" | "https"), Some(port)) => port,
            _ => return Err(refused()),
        };
        let host = parsed.host().unwrap_or_default();
        let known = config.web_download_hosts.iter().any(|known| known.eq_ignore_ascii_case(host));
        let named = parsed.authority().is_some_and(|authority| authority.as_str().contains('@'));
        if !known || named || !config.web_download_ports.contains(&port) {
            return Err(refused());
        }
        Ok(Self(parsed))
    }
}

/// Fetches an image's bytes into a store.
///
/// # Errors
/// Why they can't be the image's, in words for its task.
pub(super) async fn fetch(
    images: &Images,
    image: &Image,
    (store, object): (&str, Uuid),
    Source(uri): &Source,
    most: &Most,
    idle: Duration,
) -> Result<Object, String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let client = connections::<Empty<Bytes>>(&uri.to_string(), &Verify::System).map_err(|error| said(&error))?;
    let asked = Request::builder().method(Method::GET).uri(uri.clone()).body(Empty::new());
    let asked = client.request(asked.map_err(|error| said(&error))?);
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, asked).await;
    let answer = answer.map_err(|_| "The server did not answer.".to_owned())?;
    let answer = answer.map_err(|error| HttpClientError::from(error).to_string())?;
    if !answer.status().is_success() {
        return Err(format!("The server answered {}.", answer.status()));
    }
    let body = answer.into_body().into_data_stream().boxed();
    let received = receive(images, (store, object), body, most, idle).await.map_err(|error| said(&error))?;
    let mut object = kept(images, image, (store, object), received);
    match object.refusal.take() {
        Some(refusal) => Err(refusal),
        None => Ok(object),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_and_ports_that_are_named_are_asked() {
        let config = ImageConfig {
            web_download_hosts: vec!["images.example.org".into(), "192.0.2.7".into()],
            web_download_ports: vec![80, 443, 8080],
            ..ImageConfig::default()
        };
        for uri in
            ["http://images.example.org/a.qcow2", "https://IMAGES.example.org:443/a?b=c", "http://192.0.2.7:8080/"]
        {
            assert!(Source::allowed(uri, &config).is_ok(), "{uri}");
        }
        for uri in [
            "http://example.org/a",
            "http://images.example.org:22/a",
            "http://images.example.org.evil.example/a",
            "http://images.example.org@169.254.169.254/a",
            "http://user@images.example.org/a",
            "ftp://images.example.org/a",
            "file:///etc/shadow",
            "images.example.org",
            "http://[::1]/a",
            "",
        ] {
            let text = Source::allowed(uri, &config).unwrap_err().to_string();
            assert_eq!(text, format!("URI for web-download does not pass filtering: {uri}"));
        }
        assert!(Source::allowed("http://images.example.org/a", &ImageConfig::default()).is_err());
    }
}
