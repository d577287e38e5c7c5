//! A client of the cloud's own API, for the commands that look at a running cloud.

mod credentials;
mod events;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use axum::{
    body::Bytes,
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri},
};
use novella_common::config::SecretUrl;
use novella_rest::{HttpAnswer, HttpClient, HttpClientError, Verify};
use serde_json::{Value, json};

pub(crate) use credentials::{Credentials, verify_here};
pub(crate) use events::Event;

/// The microversion whose answers these commands read: the first in which the list of migrations takes `changes-since`.
const MICROVERSION: &str = "compute 2.59";

/// How long an answer may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// The largest answer that is read, in bytes: a list of some ten thousands.
const LARGEST: usize = 256 << 20;

/// A client with a token.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: HttpClient,
    /// The public endpoint of each service type in the catalog.
    endpoints: Arc<BTreeMap<String, String>>,
    token: HeaderValue,
    /// What Identity said of the token.
    document: Arc<Value>,
}

impl Client {
    /// Asks for a token.
    pub(crate) async fn connect(credentials: &Credentials) -> Result<Self> {
        let Credentials { auth_url, username, password, project, verify } = credentials;
        let url = SecretUrl::new(format!("{auth_url}/auth/tokens"));
        let http = client(auth_url, verify)?;
        let domain = json!({ "id": "default" });
        let body = json!({ "auth": {
            "identity": { "methods": ["password"], "password": { "user": {
                "name": username, "domain": domain, "password": password.expose(),
            } } },
            "scope": { "project": { "name": project, "domain": domain } },
        } });
        let answer = http.send(Method::POST, uri(url.expose())?, Vec::new(), Some(body.to_string().into())).await;
        let answer = answer.map_err(|error| unreachable(&url, error))?;
        if answer.status == StatusCode::UNAUTHORIZED {
            bail!("{url} refuses user '{username}': wrong password or project");
        }
        let answer = succeeded(answer, "/auth/tokens")?;
        let token = answer.headers.get("x-subject-token");
        let mut token = token.with_context(|| format!("{url} answered without a token"))?.clone();
        token.set_sensitive(true);
        let document = answer.json();
        let endpoints = endpoints(&document);
        if !endpoints.contains_key("compute") {
            bail!("the catalog of {url} names no compute endpoint");
        }
        // One without TLS knows nobody whom to believe.
        let other = endpoints.values().find(|endpoint| is_https(endpoint)).filter(|_| !is_https(auth_url));
        let http = other.map_or(Ok(http), |endpoint| client(endpoint, verify))?;
        Ok(Self { http, endpoints: Arc::new(endpoints), token, document: Arc::new(document) })
    }

    /// The token.
    pub(crate) fn token(&self) -> &str {
        self.token.to_str().unwrap_or_default()
    }

    /// The id of the project that it works in.
    pub(crate) fn project(&self) -> &str {
        self.document["token"]["project"]["id"].as_str().unwrap_or_default()
    }

    /// What Identity said of its token: whose it is, for what, with which roles.
    pub(crate) fn token_document(&self) -> &Value {
        &self.document["token"]
    }

    fn endpoint(&self, service: &str) -> Result<&str> {
        let endpoint = self.endpoints.get(service);
        Ok(endpoint.with_context(|| format!("the catalog names no {service} endpoint"))?)
    }

    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        vec![
            (HeaderName::from_static("x-auth-token"), self.token.clone()),
            (HeaderName::from_static("openstack-api-version"), HeaderValue::from_static(MICROVERSION)),
        ]
    }

    /// Asks the endpoint of a service type for `path`. The answer, whatever its status is.
    async fn ask(&self, service: &str, method: Method, path: &str, body: Option<&Value>) -> Result<HttpAnswer> {
        let url = format!("{}{path}", self.endpoint(service)?);
        let body = body.map(|body| Bytes::from(body.to_string()));
        let answer = self.http.send(method, uri(&url)?, self.headers(), body).await;
        answer.map_err(|error| unreachable(&SecretUrl::new(url), error))
    }

    async fn succeed(&self, service: &str, method: Method, path: &str, body: Option<&Value>) -> Result<HttpAnswer> {
        succeeded(self.ask(service, method, path, body).await?, path)
    }

    /// `GET path`, relative to the compute endpoint.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.get_of("compute", path).await
    }

    /// `GET path`, relative to the endpoint of a service type, and the length of the answer's body, which is read to its end
    /// and not understood.
    pub(crate) async fn read_of(&self, service: &str, path: &str) -> Result<usize> {
        Ok(self.succeed(service, Method::GET, path, None).await?.body.len())
    }

    /// `GET path`, relative to the endpoint of another service type.
    pub(crate) async fn get_of(&self, service: &str, path: &str) -> Result<Value> {
        parsed(&self.succeed(service, Method::GET, path, None).await?)
    }

    /// `GET path`, or `None` if there is no such thing.
    pub(crate) async fn find(&self, path: &str) -> Result<Option<Value>> {
        let answer = self.ask("compute", Method::GET, path, None).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        parsed(&succeeded(answer, path)?).map(Some)
    }

    /// Every server of a detailed list with this query, page by page.
    pub(crate) async fn each_server(&self, query: &str, then: &mut (dyn FnMut(&Value) + Send)) -> Result<()> {
        let mut path = format!("/servers/detail?{query}");
        loop {
            let page = self.get(&path).await?;
            page["servers"].as_array().into_iter().flatten().for_each(&mut *then);
            let links = page["servers_links"].as_array().into_iter().flatten();
            let next = links
                .filter(|link| link["rel"] == "next")
                .find_map(|link| link["href"].as_str()?.split_once("/servers/detail"));
            match next {
                Some((_, query)) => path = format!("/servers/detail{query}"),
                None => return Ok(()),
            }
        }
    }

    /// `POST path`. An answer without a body is `null`.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let answer = self.succeed("compute", Method::POST, path, Some(body)).await?;
        if answer.body.is_empty() { Ok(Value::Null) } else { parsed(&answer) }
    }

    /// `PUT path`.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<()> {
        self.succeed("compute", Method::PUT, path, Some(body)).await?;
        Ok(())
    }

    /// `DELETE path`.
    pub(crate) async fn delete(&self, path: &str) -> Result<()> {
        self.succeed("compute", Method::DELETE, path, None).await?;
        Ok(())
    }
}

fn client(url: &str, verify: &Verify) -> Result<HttpClient> {
    Ok(HttpClient::new(url, verify, REQUEST_TIMEOUT)?.largest(LARGEST))
}

fn is_https(url: &str) -> bool {
    url.starts_with("https://")
}

/// An address as it goes on the wire: a name of a server may hold anything.
pub(crate) fn uri(url: &str) -> Result<Uri> {
    let malformed = || format!("'{}' is no URL", SecretUrl::new(url));
    let url = reqwest::Url::parse(url).with_context(malformed)?;
    url.as_str().parse().with_context(malformed)
}

/// Why there is no answer, and what helps.
fn unreachable(url: &SecretUrl, error: HttpClientError) -> anyhow::Error {
    explained(url, error, format!("no cloud answers at {url}; is `novella up` running?"))
}

/// The same with other words for what is no matter of certificates.
pub(crate) fn explained(url: &SecretUrl, error: HttpClientError, otherwise: String) -> anyhow::Error {
    let help = match &error {
        HttpClientError::Untrusted(_) => format!(
            "{url} shows a certificate that is not believed: name the file of the authority that has signed it as \
             `cacert` in clouds.yaml or in OS_CACERT, or believe any certificate with --insecure"
        ),
        _ => otherwise,
    };
    anyhow::Error::new(error).context(help)
}

fn parsed(answer: &HttpAnswer) -> Result<Value> {
    serde_json::from_slice(&answer.body).context("the answer is no JSON")
}

/// The public endpoint of each service type in a token's catalog.
fn endpoints(document: &Value) -> BTreeMap<String, String> {
    document["token"]["catalog"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|service| {
            let public = service["endpoints"].as_array()?.iter().find(|e| e["interface"] == "public")?;
            Some((service["type"].as_str()?.to_owned(), public["url"].as_str()?.trim_end_matches('/').to_owned()))
        })
        .collect()
}

/// The answer, or the error that it holds.
fn succeeded(answer: HttpAnswer, path: &str) -> Result<HttpAnswer> {
    let status = answer.status;
    if status.is_success() {
        return Ok(answer);
    }
    // {"badRequest": {"message": ...}}: one key, whatever its name.
    let message = Some(answer.json())
        .and_then(|body| Some(body.as_object()?.values().next()?.get("message")?.as_str()?.to_owned()))
        .unwrap_or_else(|| String::from_utf8_lossy(&answer.body).into_owned());
    bail!("{path}: {status}: {message}")
}
