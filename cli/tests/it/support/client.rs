//! A client of the API that asserts what it expects.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::cloud::{LIMIT, wait_for};

/// A client with a token.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    endpoint: String,
    token: String,
}

/// The microversion that all requests ask for.
const MICROVERSION: &str = "compute 2.34";

impl Client {
    pub async fn connect(endpoint: &str, user: &str, password: &str, project: &str) -> Self {
        Self::connect_by(&format!("{endpoint}/identity/v3"), endpoint, user, password, project).await
    }

    /// The same with a token of the Identity at this URL.
    pub async fn connect_by(identity: &str, endpoint: &str, user: &str, password: &str, project: &str) -> Self {
        let http = reqwest::Client::builder().timeout(LIMIT).build().unwrap();
        let domain = json!({ "id": "default" });
        let body = json!({ "auth": {
            "identity": { "methods": ["password"], "password": { "user": {
                "name": user, "domain": domain, "password": password } } },
            "scope": { "project": { "name": project, "domain": domain } } } });
        let url = format!("{identity}/auth/tokens");
        let begun = Instant::now();
        let answer = loop {
            let answer = http.post(&url).json(&body).send().await.unwrap();
            // Its database may be coming back just now.
            if answer.status() != StatusCode::SERVICE_UNAVAILABLE || begun.elapsed() > LIMIT {
                break answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!(answer.status(), StatusCode::CREATED);
        let token = answer.headers()["x-subject-token"].to_str().unwrap().to_owned();
        Self { http, endpoint: endpoint.to_owned(), token }
    }

    /// Its token, as it is sent.
    pub fn secret(&self) -> &str {
        &self.token
    }

    /// The same with another token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// Any request at a path of the compute API; the status and the body, `null` where there is none.
    pub async fn request(&self, method: Method, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        self.try_request(method, path, body).await.unwrap()
    }

    /// The same, where the API may be gone.
    pub async fn try_request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), reqwest::Error> {
        let answer = self.send(method, path, body).await?;
        let status = answer.status();
        let bytes = answer.bytes().await?;
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Ok((status, body))
    }

    /// The same; the answer as it comes.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<reqwest::Response, reqwest::Error> {
        let mut request = self
            .http
            .request(method, format!("{}/compute/v2.1{path}", self.endpoint))
            .header("X-Auth-Token", &self.token)
            .header("OpenStack-API-Version", MICROVERSION);
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await
    }

    /// The own token, for requests that nobody else makes.
    pub fn token_text(&self) -> &str {
        &self.token
    }

    /// What Identity says of the own token.
    pub async fn token(&self) -> Value {
        let request = self.http.get(format!("{}/identity/v3/auth/tokens", self.endpoint));
        let request = request.header("X-Auth-Token", &self.token).header("X-Subject-Token", &self.token);
        request.send().await.unwrap().json().await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.request(Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "GET {path}: {body}");
        body
    }

    /// The ids of what is there to boot from.
    pub async fn image(&self) -> String {
        let url = format!("{}/image/v2/images?name=cirros", self.endpoint);
        let answer = self.http.get(url).header("X-Auth-Token", &self.token).send().await.unwrap();
        let list: Value = answer.json().await.unwrap();
        list["images"][0]["id"].as_str().unwrap().to_owned()
    }

    /// Asks for a server; 202 at once.
    pub async fn create(&self, name: &str, metadata: Value) -> String {
        let (status, body) =
            self.request(Method::POST, "/servers", Some(&self.create_body(name, metadata).await)).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
        body["server"]["id"].as_str().unwrap().to_owned()
    }

    pub async fn create_body(&self, name: &str, metadata: Value) -> Value {
        json!({ "server": { "name": name, "flavorRef": "1", "imageRef": self.image().await, "metadata": metadata } })
    }

    pub async fn server(&self, id: &str) -> Value {
        self.get(&format!("/servers/{id}")).await["server"].clone()
    }

    pub async fn host_of(&self, id: &str) -> String {
        self.server(id).await["OS-EXT-SRV-ATTR:host"].as_str().unwrap_or_default().to_owned()
    }

    /// An action; 202 at once.
    pub async fn action(&self, id: &str, action: Value) {
        let (status, body) = self.request(Method::POST, &format!("/servers/{id}/action"), Some(&action)).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{action}: {body}");
    }

    pub async fn live_migrate(&self, id: &str, host: Option<&str>) {
        self.action(id, json!({ "os-migrateLive": { "host": host, "block_migration": "auto" } })).await;
    }

    pub async fn delete(&self, id: &str) {
        let (status, body) = self.request(Method::DELETE, &format!("/servers/{id}"), None).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{body}");
    }

    /// Waits until the server is at rest in this status; fails if it comes to rest in another.
    pub async fn wait_for_status(&self, id: &str, wanted: &str) -> Value {
        let settled = self.wait_until_settled(id).await;
        assert_eq!(settled["status"], wanted, "{settled}");
        settled
    }

    /// Waits until nothing is being done to the server.
    pub async fn wait_until_settled(&self, id: &str) -> Value {
        let begun = Instant::now();
        loop {
            let server = self.server(id).await;
            if server["OS-EXT-STS:task_state"].is_null() && server["status"] != "BUILD" {
                return server;
            }
            assert!(begun.elapsed() < LIMIT, "the server does not settle: {server}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    pub async fn wait_for_task(&self, id: &str, task: &str) {
        wait_for(&format!("task_state {task}"), async || self.server(id).await["OS-EXT-STS:task_state"] == task).await;
    }

    pub async fn wait_until_gone(&self, id: &str) {
        wait_for("a deleted server to be gone", async || {
            self.request(Method::GET, &format!("/servers/{id}"), None).await.0 == StatusCode::NOT_FOUND
        })
        .await;
    }
}
