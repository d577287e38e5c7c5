//! A virtual host of a test's own, and what an operator or an accident can do to it.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{environment, teardown};

/// The broker tells its management API about connections and counts with a delay. How long to ask again before giving up:
/// far above any delay seen, so that it ends only a test that would wait for ever.
const WAIT_TIMEOUT: Duration = Duration::from_secs(20);
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(50);

/// A virtual host on the RabbitMQ of this run: exchanges, queues and connections that no other test sees. It goes away
/// when dropped, with all of them.
#[derive(Debug)]
pub struct Vhost {
    name: String,
    url: String,
    management: Management,
}

impl Vhost {
    /// A new, empty virtual host.
    ///
    /// # Panics
    /// If `NOVELLA_TEST_AMQP_URL` or `NOVELLA_TEST_RABBITMQ_API` is not set, or the broker refuses.
    pub async fn create() -> Self {
        let name = format!("test-{}", Uuid::new_v4().simple());
        let mut amqp = environment::url(environment::AMQP_URL);
        amqp.set_path(&name);
        let management = Management::new();
        let vhost = Self { name, url: amqp.into(), management };
        vhost.management.expect(Method::PUT, &["vhosts", &vhost.name], None).await;
        let user = vhost.management.root.username().to_owned();
        let everything = json!({ "configure": ".*", "write": ".*", "read": ".*" });
        vhost.management.expect(Method::PUT, &["permissions", &vhost.name, &user], Some(everything)).await;
        vhost
    }

    /// The URL for whoever connects: `amqp://user:password@host:port/vhost`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The name of the virtual host.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Deletes the virtual host: every connection to it is closed, and none can be made again.
    ///
    /// # Panics
    /// If the broker refuses.
    pub async fn delete(&self) {
        self.management.expect(Method::DELETE, &["vhosts", &self.name], None).await;
    }

    /// The names of all queues, sorted.
    ///
    /// # Panics
    /// If the broker refuses.
    pub async fn queues(&self) -> Vec<String> {
        names(&self.management.get(&["queues", &self.name]).await)
    }

    /// What the broker's management API lists at this path.
    ///
    /// # Panics
    /// If the broker refuses, or that is no list.
    pub async fn list(&self, path: &[&str]) -> Vec<Value> {
        objects(&self.management.get(path).await).to_vec()
    }

    /// How many messages a queue holds, delivered but unacknowledged ones included, as of the broker's last count, which
    /// is a fraction of a second old. To wait for a number use [`Self::wait_for_messages`].
    ///
    /// # Panics
    /// If there is no such queue.
    pub async fn messages(&self, queue: &str) -> u64 {
        // Totals of all queues, since a queue asked for by name answers with samples that are seconds old.
        let totals = [("disable_stats", "true"), ("enable_queue_totals", "true")];
        let list = self.management.query(&["queues", &self.name], &totals).await;
        let Some(queue) = objects(&list).iter().find(|object| object["name"] == queue) else {
            panic!("there is no queue {queue}, only {:?}", names(&list));
        };
        // Absent until the queue has been counted for the first time.
        queue["messages"].as_u64().unwrap_or(0)
    }

    /// Returns once the broker counts exactly `count` messages in the queue.
    ///
    /// # Panics
    /// If that does not become true in twenty seconds; the text says how many there are. If there is no such queue.
    pub async fn wait_for_messages(&self, queue: &str, count: u64) {
        let give_up = Instant::now() + WAIT_TIMEOUT;
        loop {
            let found = self.messages(queue).await;
            if found == count {
                return;
            }
            assert!(Instant::now() < give_up, "queue {queue} holds {found} messages, not {count}");
            sleep(BETWEEN_QUESTIONS).await;
        }
    }

    /// Deletes a queue with what is in it, used or not, as an operator can.
    ///
    /// # Panics
    /// If there is no such queue.
    pub async fn delete_queue(&self, name: &str) {
        self.management.expect(Method::DELETE, &["queues", &self.name, name], None).await;
    }

    /// Deletes an exchange, used or not.
    ///
    /// # Panics
    /// If there is no such exchange.
    pub async fn delete_exchange(&self, name: &str) {
        self.management.expect(Method::DELETE, &["exchanges", &self.name, name], None).await;
    }

    /// Has the broker close every connection to this virtual host, and returns how many there were.
    ///
    /// # Panics
    /// If the broker knows of no connection, even after a while: a test that cuts connections and hits none would show
    /// nothing.
    pub async fn close_connections(&self) -> usize {
        let connections = self.connections().await;
        for connection in &connections {
            // One that closed by itself meanwhile is as closed as the others.
            let answer = self.management.send(Method::DELETE, &["connections", connection], None).await;
            let status = answer.status();
            assert!(
                status.is_success() || status == StatusCode::NOT_FOUND,
                "RabbitMQ closes connection {connection} with {status}"
            );
        }
        connections.len()
    }

    /// The names of the connections to this virtual host, once there is at least one: a connection appears here a
    /// moment after it can be used.
    async fn connections(&self) -> Vec<String> {
        let give_up = Instant::now() + WAIT_TIMEOUT;
        loop {
            let found = names(&self.management.get(&["vhosts", &self.name, "connections"]).await);
            if !found.is_empty() {
                return found;
            }
            assert!(Instant::now() < give_up, "nothing is connected to virtual host {}", self.name);
            sleep(BETWEEN_QUESTIONS).await;
        }
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        let name = self.name.clone();
        teardown::wait_for(format!("virtual host {name}"), move || async move {
            // A client of its own: connections of the other one belong to the test's runtime.
            let request = Management::new().request(Method::DELETE, &["vhosts", &name]);
            match request.send().await {
                // The test has deleted it.
                Ok(answer) if answer.status() == StatusCode::NOT_FOUND => Ok(()),
                answer => answer.and_then(Response::error_for_status).map(drop),
            }
            .map_err(|error| error.without_url().to_string())
        });
    }
}

/// The broker's management API.
#[derive(Debug)]
struct Management {
    http: Client,
    root: Url,
}

impl Management {
    fn new() -> Self {
        Self { http: Client::new(), root: environment::url(environment::RABBITMQ_API) }
    }

    /// A request on the path of these segments. Each is escaped as a whole: names may hold a `/`.
    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.root.clone();
        url.path_segments_mut().expect("an http URL has a path").clear().push("api").extend(path);
        self.http.request(method, url)
    }

    async fn send(&self, method: Method, path: &[&str], body: Option<Value>) -> Response {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer_to(request).await
    }

    async fn expect(&self, method: Method, path: &[&str], body: Option<Value>) -> Response {
        let answer = self.send(method.clone(), path, body).await;
        assert_success(&answer, &method, path);
        answer
    }

    async fn get(&self, path: &[&str]) -> Value {
        self.query(path, &[]).await
    }

    async fn query(&self, path: &[&str], query: &[(&str, &str)]) -> Value {
        let answer = answer_to(self.request(Method::GET, path).query(query)).await;
        assert_success(&answer, &Method::GET, path);
        answer.json().await.expect("JSON from RabbitMQ's management API")
    }
}

async fn answer_to(request: RequestBuilder) -> Response {
    match request.send().await {
        Ok(answer) => answer,
        // The URL holds the password.
        Err(error) => panic!("no answer at {}: {}", environment::RABBITMQ_API, error.without_url()),
    }
}

fn assert_success(answer: &Response, method: &Method, path: &[&str]) {
    let status = answer.status();
    assert!(status.is_success(), "RabbitMQ answers {method} {} with {status}", path.join("/"));
}

fn objects(list: &Value) -> &[Value] {
    list.as_array().expect("a list from RabbitMQ's management API")
}

/// The `name` of each object in a list, sorted.
fn names(list: &Value) -> Vec<String> {
    let names = objects(list).iter().filter_map(|object| object["name"].as_str());
    let mut names: Vec<String> = names.map(Into::into).collect();
    names.sort();
    names
}

#[cfg(test)]
mod on_rabbitmq {
    use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
    use lapin::types::FieldTable;
    use lapin::{BasicProperties, Connection, ConnectionProperties};

    use super::*;

    async fn connect(url: &str) -> lapin::Result<Connection> {
        Connection::connect(url, ConnectionProperties::default()).await
    }

    #[tokio::test]
    async fn what_happens_in_one_virtual_host_is_not_seen_in_another() {
        let (one, other) = (Vhost::create().await, Vhost::create().await);
        let channel = connect(one.url()).await.unwrap().create_channel().await.unwrap();
        let (options, table) = (QueueDeclareOptions::durable(), FieldTable::default());
        channel.queue_declare("a/b c".into(), options, table).await.unwrap();
        assert_eq!(one.queues().await, ["a/b c"]);
        assert!(other.queues().await.is_empty());
        one.delete_queue("a/b c").await;
        assert!(one.queues().await.is_empty());
    }

    #[tokio::test]
    async fn messages_are_counted() {
        let vhost = Vhost::create().await;
        let channel = connect(vhost.url()).await.unwrap().create_channel().await.unwrap();
        let (options, table) = (QueueDeclareOptions::durable(), FieldTable::default());
        channel.queue_declare("q".into(), options, table).await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        for _ in 0..3 {
            let options = BasicPublishOptions::default();
            let properties = BasicProperties::default();
            channel.basic_publish("".into(), "q".into(), options, b"body", properties).await.unwrap().await.unwrap();
        }
        vhost.wait_for_messages("q", 3).await;
    }

    #[tokio::test]
    async fn connections_can_be_cut_and_do_not_outlive_the_virtual_host() {
        let vhost = Vhost::create().await;
        let first = connect(vhost.url()).await.unwrap();
        assert_eq!(vhost.close_connections().await, 1);
        assert!(first.create_channel().await.is_err());

        let second = connect(vhost.url()).await.unwrap();
        let url = vhost.url().to_owned();
        drop(vhost);
        assert!(second.create_channel().await.is_err());
        assert!(connect(&url).await.is_err());
    }
}
