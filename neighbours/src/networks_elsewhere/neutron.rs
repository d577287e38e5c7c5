//! Requests to a Networking API over HTTP, and what its answers mean.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Method, StatusCode};
use novella_common::networks::NetworkError;
use novella_rest::{HttpAnswer, HttpClientError, keystone::Keystone};
use serde_json::Value;
use tokio::sync::Mutex;

pub(super) use crate::service_elsewhere::As;
use crate::service_elsewhere::{Away, ServiceElsewhere};

/// How long what it can do is believed.
const KNOWN_FOR: Duration = Duration::from_secs(300);

/// Ids in one query: a URL of 8 KiB is what servers take.
pub(super) const IDS_AT_ONCE: usize = 100;

/// Pages of one list at most: a server that always names a next one has no end.
const MOST_PAGES: usize = 1000;

/// A Networking API.
pub(super) struct Neutron {
    service: ServiceElsewhere,
    extensions: Mutex<Option<(BTreeSet<String>, Instant)>>,
}

impl From<Away> for NetworkError {
    fn from(away: Away) -> Self {
        Self::Unavailable(away.to_string())
    }
}

/// It can't be asked.
fn unavailable(why: impl ToString) -> NetworkError {
    NetworkError::Unavailable(why.to_string())
}

/// The path of a query that has one of these values for a parameter.
pub(super) fn query<'v>(path: &str, name: &str, values: impl IntoIterator<Item = &'v str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for value in values {
        query.append_pair(name, value);
    }
    let joint = if path.contains('?') { '&' } else { '?' };
    format!("{path}{joint}{}", query.finish())
}

impl Neutron {
    pub(super) fn new(
        url: Option<&str>,
        authority: Option<&Path>,
        keystone: Arc<Keystone>,
    ) -> Result<Self, HttpClientError> {
        let service = ServiceElsewhere::new("network", url, authority, Some(keystone))?;
        Ok(Self { service, extensions: Mutex::default() })
    }

    /// Whether it has an extension.
    pub(super) async fn has(&self, alias: &str) -> Result<bool, NetworkError> {
        let mut known = self.extensions.lock().await;
        if let Some((extensions, since)) = &*known
            && since.elapsed() < KNOWN_FOR
        {
            return Ok(extensions.contains(alias));
        }
        let answer = self.get(As::Service, "/extensions").await?;
        let extensions = answer["extensions"].as_array().into_iter().flatten();
        let extensions = extensions.filter_map(|extension| extension["alias"].as_str()).map(ToOwned::to_owned);
        let extensions: BTreeSet<String> = extensions.collect();
        let has = extensions.contains(alias);
        *known = Some((extensions, Instant::now()));
        Ok(has)
    }

    /// Sends a request, and reads what it comes to.
    pub(super) async fn ask(
        &self,
        who: As<'_>,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, NetworkError> {
        let url = format!("{}{path}", versioned(&self.service.base().await?));
        read(self.service.send(who, method, &url, body).await?)
    }

    pub(super) async fn get(&self, who: As<'_>, path: &str) -> Result<Value, NetworkError> {
        self.ask(who, Method::GET, path, None).await
    }

    /// All of a list, page by page if it comes so.
    pub(super) async fn list(&self, who: As<'_>, path: &str) -> Result<Vec<Value>, NetworkError> {
        let (collection, _) = path.split_once('?').unwrap_or((path, ""));
        let key = collection.trim_start_matches('/').replace('-', "_");
        let links = format!("{key}_links");
        let (mut path, mut found) = (path.to_owned(), Vec::new());
        for _ in 0..MOST_PAGES {
            let mut answer = self.get(who, &path).await?;
            if let Some(Value::Array(page)) = answer.get_mut(&key).map(Value::take) {
                found.extend(page);
            }
            let mut links = answer[&links].as_array().into_iter().flatten();
            let next = links.find(|link| link["rel"] == "next").and_then(|link| link["href"].as_str());
            // Where it is is known; a proxy in front of it may have another idea of that than we.
            let Some((_, query)) = next.and_then(|href| href.split_once('?')) else { return Ok(found) };
            path = format!("{collection}?{query}");
        }
        Err(unavailable("a list has no end"))
    }

    /// Those of a list whose `name` has one of these values.
    pub(super) async fn list_by(
        &self,
        who: As<'_>,
        path: &str,
        name: &str,
        values: &[&str],
    ) -> Result<Vec<Value>, NetworkError> {
        let mut found = Vec::new();
        for values in values.chunks(IDS_AT_ONCE) {
            found.extend(self.list(who, &query(path, name, values.iter().copied())).await?);
        }
        Ok(found)
    }
}

/// With the version of the API, which catalogs leave out.
fn versioned(url: &str) -> String {
    if url.ends_with("/v2.0") { url.to_owned() } else { format!("{url}/v2.0") }
}

/// What an answer says.
fn read(answer: HttpAnswer) -> Result<Value, NetworkError> {
    let (status, body) = (answer.status, answer.json());
    if status.is_success() {
        return Ok(body);
    }
    let error = &body["NeutronError"];
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let message = text(&error["message"]).or_else(|| text(error)).or_else(|| text(&body["message"]));
    let message = message.unwrap_or_else(|| status.to_string());
    if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED {
        return Err(unavailable(message));
    }
    let kind = text(&error["type"]).unwrap_or_else(|| match status {
        StatusCode::NOT_FOUND => "HTTPNotFound".to_owned(),
        StatusCode::CONFLICT => "HTTPConflict".to_owned(),
        StatusCode::FORBIDDEN => "PolicyNotAuthorized".to_owned(),
        _ => "HTTPError".to_owned(),
    });
    Err(NetworkError::Refused { status: status.as_u16(), kind, message })
}

/// Leaves out that something is refused so: it is so already.
pub(super) fn but(result: Result<Value, NetworkError>, statuses: &[u16]) -> Result<Value, NetworkError> {
    match result {
        Err(NetworkError::Refused { status, .. }) if statuses.contains(&status) => Ok(Value::Null),
        result => result,
    }
}
