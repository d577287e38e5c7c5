//! RabbitMQ's management API: what AMQP does not tell about a virtual host.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, Result, bail};
use novella_common::config::SecretUrl;
use novella_messaging::{BindingReport, BusReport, ExchangeReport, Permissions, QueueReport};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// An operator waits for this; a broker that is down is to be noticed soon.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// To delete a virtual host takes long if it has many queues.
const DELETE_TIMEOUT: Duration = Duration::from_secs(600);
/// How often it is asked for: RabbitMQ closes the connection of a request that takes a minute, and what it has not deleted by
/// then is left.
const DELETE_ATTEMPTS: u32 = 10;

/// The management API, for the virtual host of a bus.
#[derive(Debug)]
pub(crate) struct Management {
    http: reqwest::Client,
    url: Url,
    /// As it stands in a path.
    vhost: String,
    /// For texts.
    shown: String,
}

#[derive(Deserialize)]
struct Queue {
    name: String,
    // Absent until the queue has been counted for the first time.
    #[serde(default)]
    messages_ready: u64,
    #[serde(default)]
    messages_unacknowledged: u64,
}

#[derive(Deserialize)]
struct Exchange {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Binding {
    source: String,
    destination: String,
    destination_type: String,
    routing_key: String,
}

impl Management {
    /// The API at `url`, for the virtual host that `bus` names; with the user of `bus` if `url` has none.
    pub(crate) fn new(url: &SecretUrl, bus: &SecretUrl) -> Result<Self> {
        let shown = url.to_string();
        let expected = "expected http://user:password@host:15672";
        let mut parsed: Url =
            url.expose().parse().with_context(|| format!("bus.management_url {shown}; {expected}"))?;
        if parsed.scheme() != "http" {
            bail!("bus.management_url {shown} begins with {}:; {expected}", parsed.scheme());
        }
        // Of several brokers the first will do: they share the virtual host.
        let first = first_broker(bus.expose());
        let bus: Url = first.parse().with_context(|| format!("bus.url {bus}"))?;
        if parsed.username().is_empty()
            && (parsed.set_username(bus.username()).is_err() || parsed.set_password(bus.password()).is_err())
        {
            bail!("bus.management_url {shown} names no host; {expected}");
        }
        let vhost = match bus.path().strip_prefix('/').unwrap_or_default() {
            "" => "%2F".to_owned(),
            path => path.replace('/', "%2F"),
        };
        Ok(Self { http: reqwest::Client::builder().timeout(REQUEST_TIMEOUT).build()?, url: parsed, vhost, shown })
    }

    /// All that is in the virtual host. The consumers are not counted.
    pub(super) async fn list(&self) -> Result<BusReport> {
        let (queues, exchanges, bindings) = tokio::try_join!(
            self.get::<Vec<Queue>>("queues", "disable_stats=true&enable_queue_totals=true"),
            self.get::<Vec<Exchange>>("exchanges", ""),
            self.get::<Vec<Binding>>("bindings", ""),
        )?;
        let queues = queues.into_iter().map(|queue| QueueReport {
            name: queue.name,
            ready: queue.messages_ready,
            unacked: Some(queue.messages_unacknowledged),
            consumers: 0,
        });
        // The default exchange and the broker's own ones are in every virtual host.
        let exchanges = exchanges
            .into_iter()
            .filter(|exchange| !exchange.name.is_empty() && !exchange.name.starts_with("amq."))
            .map(|exchange| ExchangeReport { name: exchange.name, kind: exchange.kind });
        let bindings = bindings
            .into_iter()
            .filter(|binding| !binding.source.is_empty() && binding.destination_type == "queue")
            .map(|binding| BindingReport {
                exchange: binding.source,
                routing_key: binding.routing_key,
                queue: binding.destination,
            });
        let mut report = BusReport {
            queues: queues.collect(),
            exchanges: exchanges.collect(),
            bindings: bindings.collect(),
            complete: true,
        };
        report.queues.sort();
        report.exchanges.sort();
        report.bindings.sort();
        Ok(report)
    }

    async fn get<T: DeserializeOwned>(&self, what: &str, query: &str) -> Result<T> {
        let mut url = self.api(&format!("{what}/{}", self.vhost));
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        let answer = self.send(self.http.get(url)).await?;
        answer.json().await.map_err(reqwest::Error::without_url).context("RabbitMQ's management API answers strangely")
    }

    /// Creates a virtual host, of which the API's user has all rights.
    pub(crate) async fn create_vhost(&self, name: &str) -> Result<()> {
        self.send(self.http.put(self.api(&format!("vhosts/{name}")))).await?;
        let rights = serde_json::json!({ "configure": ".*", "write": ".*", "read": ".*" });
        let user = self.url.username();
        self.send(self.http.put(self.api(&format!("permissions/{name}/{user}"))).json(&rights)).await.map(drop)
    }

    /// Deletes a virtual host with all that is in it.
    pub(crate) async fn delete_vhost(&self, name: &str) -> Result<()> {
        let path = format!("vhosts/{name}");
        let mut attempt = 1;
        loop {
            match self.answer_to(self.http.delete(self.api(&path)).timeout(DELETE_TIMEOUT)).await {
                // The attempt before has come to its end after all.
                Ok(answer) if attempt > 1 && answer.status() == StatusCode::NOT_FOUND => return Ok(()),
                Ok(answer) => return self.accepted(answer).map(drop),
                Err(error) if attempt == DELETE_ATTEMPTS => return Err(error),
                Err(error) => tracing::debug!(%error, "RabbitMQ is asked again to delete the virtual host"),
            }
            attempt += 1;
        }
    }

    /// Whether there is a user of this name that `novella bus grant` may have made: one that looks after the broker, or is
    /// somebody in another virtual host, it must not touch.
    pub(crate) async fn has_user(&self, user: &str) -> Result<bool> {
        let path = format!("users/{}", segment(user));
        let Some(found) = self.find(&path).await? else { return Ok(false) };
        // A list; a text up to RabbitMQ 3.8.
        let tagged = found["tags"].as_array().map_or(found["tags"] != "", |tags| !tags.is_empty());
        if tagged {
            bail!("the broker's user {user} has tags ({}): it is not one that this command has made", found["tags"]);
        }
        let permissions = self.find(&format!("{path}/permissions")).await?.unwrap_or_default();
        let elsewhere =
            permissions.as_array().into_iter().flatten().filter_map(|permission| permission["vhost"].as_str());
        if let Some(elsewhere) = elsewhere.into_iter().find(|vhost| !segment(vhost).eq_ignore_ascii_case(&self.vhost)) {
            bail!(
                "the broker's user {user} is of the virtual host {elsewhere}; two clouds on one broker need other names"
            );
        }
        Ok(true)
    }

    /// Makes a user, or gives one that is there another password.
    pub(crate) async fn put_user(&self, user: &str, password: &str) -> Result<()> {
        self.put(&format!("users/{}", segment(user)), &json!({ "password": password, "tags": "" })).await
    }

    /// Permits a user this and nothing else in the virtual host.
    pub(crate) async fn permit(&self, user: &str, permissions: &Permissions) -> Result<()> {
        let (vhost, user) = (&self.vhost, segment(user));
        for topic in permissions.topics() {
            let permission = json!({ "exchange": topic.exchange, "write": topic.write, "read": topic.read });
            self.put(&format!("topic-permissions/{vhost}/{user}"), &permission).await?;
        }
        let permission = json!({
            "configure": permissions.configure(),
            "write": permissions.write(),
            "read": permissions.read(),
        });
        self.put(&format!("permissions/{vhost}/{user}"), &permission).await
    }

    /// Bounds how many connections and channels a user may open.
    pub(crate) async fn limit_user(&self, user: &str, connections: u32, channels: u32) -> Result<()> {
        for (limit, value) in [("max-connections", connections), ("max-channels", channels)] {
            self.put(&format!("user-limits/{}/{limit}", segment(user)), &json!({ "value": value })).await?;
        }
        Ok(())
    }

    /// Deletes a user; the broker closes its connections. False if there was none.
    pub(crate) async fn delete_user(&self, user: &str) -> Result<bool> {
        if !self.has_user(user).await? {
            return Ok(false);
        }
        self.send(self.http.delete(self.api(&format!("users/{}", segment(user))))).await.map(|_| true)
    }

    /// Sets a policy on the queues that `pattern` names.
    pub(crate) async fn set_policy(&self, name: &str, pattern: &str, definition: &Value) -> Result<()> {
        let policy = json!({ "pattern": pattern, "definition": definition, "apply-to": "queues" });
        self.put(&format!("policies/{}/{name}", self.vhost), &policy).await
    }

    async fn put(&self, path: &str, body: &Value) -> Result<()> {
        self.send(self.http.put(self.api(path)).json(body)).await.map(drop)
    }

    /// What is at this path, if anything is.
    async fn find(&self, path: &str) -> Result<Option<Value>> {
        let answer = self.answer_to(self.http.get(self.api(path))).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = self.accepted(answer)?;
        let found = answer.json().await.map_err(reqwest::Error::without_url);
        found.map(Some).context("RabbitMQ's management API answers strangely")
    }

    fn api(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/api/{path}", url.path().trim_end_matches('/')));
        url
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        self.accepted(self.answer_to(request).await?)
    }

    async fn answer_to(&self, request: RequestBuilder) -> Result<Response> {
        let answer = request.send().await.map_err(reqwest::Error::without_url);
        answer.with_context(|| format!("get RabbitMQ's management API {} (bus.management_url) to answer", self.shown))
    }

    fn accepted(&self, answer: Response) -> Result<Response> {
        let status = answer.status();
        if !status.is_success() {
            bail!(
                "let RabbitMQ's management API {} (bus.management_url) answer: it refuses with {status}; its user needs \
                 the tag `management` (to create virtual hosts and users, `administrator`) and rights on this virtual host",
                self.shown
            );
        }
        Ok(answer)
    }
}

/// A name as it stands in a path.
fn segment(name: &str) -> String {
    const ESCAPED: &[u8] = b"%/?#[]@!$&'()*+,;=:|\\\"<>^`{} ";
    let mut segment = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_graphic() && !ESCAPED.contains(&byte) {
            segment.push(byte.into());
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

/// `scheme://user:password@host-1,user:password@host-2/vhost` without the second.
pub(crate) fn first_broker(url: &str) -> String {
    let hosts = url.find("://").map_or(0, |scheme| scheme + 3);
    let end = url[hosts..].find(['/', '?']).map_or(url.len(), |length| hosts + length);
    let first = url[hosts..end].split(',').next().unwrap_or_default();
    format!("{}{first}{}", &url[..hosts], &url[end..])
}

/// What was listed, with the exact counts of what still exists.
pub(super) fn joined(listed: BusReport, exact: BusReport) -> BusReport {
    let mut exact: HashMap<String, QueueReport> =
        exact.queues.into_iter().map(|queue| (queue.name.clone(), queue)).collect();
    let queues = listed.queues.into_iter().filter_map(|queue| {
        let now = exact.remove(&queue.name)?;
        Some(QueueReport { unacked: queue.unacked, ..now })
    });
    BusReport { queues: queues.collect(), ..listed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn management(url: &str, bus: &str) -> Result<Management> {
        Management::new(&SecretUrl::new(url), &SecretUrl::new(bus))
    }

    #[test]
    fn the_virtual_host_is_that_of_the_bus_and_so_is_the_user_unless_another_is_named() {
        let at = |bus: &str| management("http://h:15672", bus).unwrap();
        assert_eq!(at("amqp://u:p@h").vhost, "%2F");
        assert_eq!(at("amqp://u:p@h/").vhost, "%2F");
        assert_eq!(at("amqp://u:p@h/%2f").vhost, "%2f");
        assert_eq!(at("amqp://u:p@h/cloud").vhost, "cloud");
        assert_eq!(at("amqp://u:p@h/").url.as_str(), "http://u:p@h:15672/");
        assert_eq!(at("rabbit://u:p@h:5672,w:q@h2/cloud").url.as_str(), "http://u:p@h:15672/");
        assert_eq!(at("rabbit://u:p@h:5672,w:q@h2/cloud").vhost, "cloud");
        assert_eq!(management("http://v:q@h:15672", "amqp://u:p@h/").unwrap().url.as_str(), "http://v:q@h:15672/");
    }

    #[test]
    fn a_url_that_does_not_fit_is_refused_without_its_password() {
        for url in ["https://u:hush@h", "u:hush@h", "http://u:hush@"] {
            let error = format!("{:#}", management(url, "amqp://h/").unwrap_err());
            assert!(error.contains("expected http://"), "{error}");
        }
        let error = format!("{:#}", management("https://u:hush@h", "amqp://h/").unwrap_err());
        assert!(!error.contains("hush"), "{error}");
    }
}
