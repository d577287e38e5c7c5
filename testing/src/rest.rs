//! A client of OpenStack's APIs for tests, and a router that listens, for it to ask.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// A router that listens on a port of its own, until it is dropped.
#[derive(Debug)]
pub struct Serving {
    url: String,
    task: JoinHandle<()>,
}

impl Serving {
    /// Starts to listen.
    ///
    /// # Panics
    /// If there is no port.
    pub async fn new(router: axum::Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, task }
    }

    /// Where, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Somebody who asks an API.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    token: Option<String>,
    about: Value,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Null if there is none.
    pub body: Value,
}

impl Answer {
    /// The body of an answer with this status.
    ///
    /// # Panics
    /// If it has another.
    pub fn with(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    fn error(&self, key: &str) -> &str {
        let error = self.body.as_object().and_then(|body| body.values().next());
        error.and_then(|error| error[key].as_str()).unwrap_or_default()
    }

    /// The type of an error.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.error("type")
    }

    /// The text of an error.
    #[must_use]
    pub fn message(&self) -> &str {
        self.error("message")
    }
}

impl Client {
    /// A user of the default domain in the project of this name, who asks at `url`, with a token of the Identity at
    /// `identity`.
    ///
    /// # Panics
    /// If Identity refuses.
    pub async fn login(identity: &str, url: &str, (user, password): (&str, &str), project: &str) -> Self {
        let http = reqwest::Client::new();
        let domain = json!({"id": "default"});
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {
                "user": {"name": user, "domain": domain, "password": password},
            }},
            "scope": {"project": {"name": project, "domain": domain}},
        }});
        let answer = http.post(format!("{identity}/auth/tokens")).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 201);
        let token = Some(answer.headers()["x-subject-token"].to_str().unwrap().to_owned());
        let mut body: Value = answer.json().await.unwrap();
        Self { http, url: url.to_owned(), token, about: body["token"].take() }
    }

    /// The same, asking elsewhere.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    /// Somebody without a token.
    #[must_use]
    pub fn without_token(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    /// The token's text.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// What Identity says of the token.
    #[must_use]
    pub fn about(&self) -> &Value {
        &self.about
    }

    /// The id of the project that the token is for.
    ///
    /// # Panics
    /// If it is for none.
    #[must_use]
    pub fn project(&self) -> &str {
        self.about["project"]["id"].as_str().unwrap()
    }

    /// Sends any request.
    ///
    /// # Panics
    /// If there is no answer, or one of a server that has failed.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        for (name, value) in self.token().map(|token| ("x-auth-token", token)).iter().chain(headers) {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        assert!(status < 500, "{path}: {status} {text}");
        Answer { status, body: serde_json::from_str(&text).unwrap_or_default() }
    }

    /// Asks for what there is.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, &[]).await
    }

    /// Asks for something new.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(body), &[]).await
    }

    /// Asks for a change.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, Some(body), &[]).await
    }

    /// Asks to delete something.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None, &[]).await
    }

    /// Makes one thing, and returns it.
    ///
    /// # Panics
    /// If that is refused.
    pub async fn make(&self, path: &str, one: &str, values: Value) -> Value {
        self.post(path, &json!({ one: values })).await.with(201)[one].take()
    }

    /// Makes a network of Networking's; its id.
    pub async fn network(&self, values: Value) -> String {
        id(&self.make("/networks", "network", values).await)
    }

    /// Makes a subnet of a network; its id.
    pub async fn subnet(&self, network: &str, cidr: &str) -> String {
        let version = if cidr.contains(':') { 6 } else { 4 };
        let values = json!({"network_id": network, "ip_version": version, "cidr": cidr});
        id(&self.make("/subnets", "subnet", values).await)
    }

    /// Makes a port on a network.
    ///
    /// # Panics
    /// If `values` is no object.
    pub async fn port(&self, network: &str, mut values: Value) -> Value {
        values["network_id"] = network.into();
        self.make("/ports", "port", values).await
    }
}

/// The id of what was made.
///
/// # Panics
/// If it has none.
#[must_use]
pub fn id(thing: &Value) -> String {
    thing["id"].as_str().unwrap().to_owned()
}
