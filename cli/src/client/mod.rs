//! A client of the cloud's own API, for the commands that look at a running cloud.

mod credentials;
mod events;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use novella_common::config::SecretUrl;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

pub(crate) use credentials::Credentials;
pub(crate) use events::Event;

/// The microversion whose answers these commands read: the first in which the list of migrations takes `changes-since`.
const MICROVERSION: &str = "compute 2.59";

/// A client with a token.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    /// The public endpoint of each service type in the catalog.
    endpoints: Arc<BTreeMap<String, String>>,
    token: String,
    /// What Identity said of the token.
    document: Arc<Value>,
}

impl Client {
    /// Asks for a token.
    pub(crate) async fn connect(credentials: &Credentials) -> Result<Self> {
        if credentials.auth_url.starts_with("https://") {
            bail!(
                "{} speaks TLS, which this command does not: ask the API where it speaks plain HTTP, or use `openstack`",
                credentials.auth_url
            );
        }
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
        let url = SecretUrl::new(format!("{}/auth/tokens", credentials.auth_url));
        let domain = json!({ "id": "default" });
        let body = json!({ "auth": {
            "identity": { "methods": ["password"], "password": { "user": {
                "name": credentials.username, "domain": domain, "password": credentials.password.expose(),
            } } },
            "scope": { "project": { "name": credentials.project, "domain": domain } },
        } });
        let answer = http
            .post(url.expose())
            .json(&body)
            .send()
            .await
            .with_context(|| format!("no cloud answers at {url}; is `novella up` running?"))?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            bail!("{url} refuses user '{}': wrong password or project", credentials.username);
        }
        let answer = succeeded(answer).await?;
        let token = answer
            .headers()
            .get("x-subject-token")
            .and_then(|token| token.to_str().ok())
            .with_context(|| format!("{url} answered without a token"))?
            .to_owned();
        let document: Value = answer.json().await?;
        let endpoints = endpoints(&document);
        if !endpoints.contains_key("compute") {
            bail!("the catalog of {url} names no compute endpoint");
        }
        Ok(Self { http, endpoints: Arc::new(endpoints), token, document: Arc::new(document) })
    }

    /// The token.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// The id of the project that it works in.
    pub(crate) fn project(&self) -> &str {
        self.document["token"]["project"]["id"].as_str().unwrap_or_default()
    }

    /// What Identity said of its token: whose it is, for what, with which roles.
    pub(crate) fn token_document(&self) -> &Value {
        &self.document["token"]
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.endpoints["compute"]))
            .header("X-Auth-Token", &self.token)
            .header("OpenStack-API-Version", MICROVERSION)
    }

    /// `GET path`, relative to the compute endpoint.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.request(Method::GET, path).send().await?;
        Ok(succeeded(answer).await?.json().await?)
    }

    /// `GET path`, and the length of the answer's body, which is read to its end and not understood.
    pub(crate) async fn read(&self, path: &str) -> Result<usize> {
        let answer = self.request(Method::GET, path).send().await?;
        Ok(succeeded(answer).await?.bytes().await?.len())
    }

    /// `GET path`, relative to the endpoint of another service type.
    pub(crate) async fn get_of(&self, service: &str, path: &str) -> Result<Value> {
        let endpoint =
            self.endpoints.get(service).with_context(|| format!("the catalog names no {service} endpoint"))?;
        let answer = self.http.get(format!("{endpoint}{path}")).header("X-Auth-Token", &self.token).send().await?;
        Ok(succeeded(answer).await?.json().await?)
    }

    /// `GET path`, or `None` if there is no such thing.
    pub(crate) async fn find(&self, path: &str) -> Result<Option<Value>> {
        let answer = self.request(Method::GET, path).send().await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(succeeded(answer).await?.json().await?))
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
        let answer = succeeded(self.request(Method::POST, path).json(body).send().await?).await?;
        let bytes = answer.bytes().await?;
        if bytes.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(&bytes)?) }
    }

    /// `PUT path`.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<()> {
        succeeded(self.request(Method::PUT, path).json(body).send().await?).await?;
        Ok(())
    }

    /// `DELETE path`.
    pub(crate) async fn delete(&self, path: &str) -> Result<()> {
        succeeded(self.request(Method::DELETE, path).send().await?).await?;
        Ok(())
    }
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
async fn succeeded(answer: Response) -> Result<Response> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let path = answer.url().path().to_owned();
    let text = answer.text().await.unwrap_or_default();
    // {"badRequest": {"message": ...}}: one key, whatever its name.
    let message = serde_json::from_str::<Value>(&text)
        .ok()
        .and_then(|body| Some(body.as_object()?.values().next()?.get("message")?.as_str()?.to_owned()))
        .unwrap_or(text);
    bail!("{path}: {status}: {message}")
}
