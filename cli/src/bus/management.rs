//! RabbitMQ's management API: what AMQP does not tell about a virtual host.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, Result, bail};
use novella_common::config::SecretUrl;
use novella_messaging::{BindingReport, BusReport, ExchangeReport, QueueReport};
use reqwest::{RequestBuilder, Response, Url};
use serde::{Deserialize, de::DeserializeOwned};

/// An operator waits for this; a broker that is down is to be noticed soon.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// To delete a virtual host takes long if it has many queues.
const DELETE_TIMEOUT: Duration = Duration::from_secs(600);

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
        self.send(self.http.delete(self.api(&format!("vhosts/{name}"))).timeout(DELETE_TIMEOUT)).await.map(drop)
    }

    fn api(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/api/{path}", url.path().trim_end_matches('/')));
        url
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let answer = request.send().await.map_err(reqwest::Error::without_url);
        let answer = answer
            .with_context(|| format!("get RabbitMQ's management API {} (bus.management_url) to answer", self.shown))?;
        let status = answer.status();
        if !status.is_success() {
            bail!(
                "let RabbitMQ's management API {} (bus.management_url) answer: it refuses with {status}; its user needs \
                 the tag `management` (to create virtual hosts, `administrator`) and rights on this virtual host",
                self.shown
            );
        }
        Ok(answer)
    }
}

/// `scheme://user:password@host-1,user:password@host-2/vhost` without the second.
fn first_broker(url: &str) -> String {
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
