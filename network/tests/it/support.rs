//! Networking and Identity on a database of the test's own.

use std::sync::Arc;

use axum::{Router, body::Body};
use http::{Method, Request};
use novella_common::{
    config::{DatabaseConfig, Secret, SecretUrl},
    db::Database,
    service::Readiness,
};
use novella_identity::{IDENTITY, Identity, IdentityConfig, SecurityComplianceConfig, seed};
use novella_network::{NETWORK, NetworkConfig, Networking};
use novella_rest::{RestConfig, Server};
pub use novella_testing::On;
use serde_json::{Value, json};
use tower::ServiceExt;

const PASSWORD: &str = "s3cret";

/// Each behaviour on both databases.
macro_rules! on_both {
    ($($(#[$attribute:meta])* async fn $name:ident($cloud:ident: Cloud) $body:block)*) => {
        $(async fn $name($cloud: Cloud) $body)*
        mod on_sqlite {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] $(#[$attribute])* async fn $name() {
                super::$name(Cloud::new(On::Sqlite).await).await;
            })*
        }
        mod on_postgres {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] $(#[$attribute])* async fn $name() {
                super::$name(Cloud::new(On::Postgres).await).await;
            })*
        }
    };
}

pub struct Cloud {
    pub database: Database,
    router: Router,
    // Last, so that it is dropped after everything that uses it.
    _own: novella_testing::Database,
}

async fn connect(url: &str) -> Database {
    let config = DatabaseConfig { url: SecretUrl::new(url), ..DatabaseConfig::default() };
    Database::connect(&config).await.unwrap()
}

/// Passwords are hashed in no time: every test asks for tokens.
fn identity_config() -> IdentityConfig {
    IdentityConfig {
        password_hash_memory_kib: 8,
        password_hash_iterations: 1,
        password_hash_lanes: 1,
        ..IdentityConfig::default()
    }
}

async fn prepare(url: String) {
    let database = connect(&url).await;
    database.migrate().await.unwrap();
    let password = Some(Secret::new(PASSWORD));
    let seeds = seed::SeedConfig {
        admin_password: password.clone(),
        demo_password: password,
        catalog: [&IDENTITY, &NETWORK].map(|service| service.catalog_entry()).to_vec(),
        password_cost: identity_config().password_cost(),
        ..Default::default()
    };
    seed::run(&database, &seeds).await.unwrap();
    database.close().await;
}

impl Cloud {
    pub async fn new(on: On) -> Self {
        let own = novella_testing::Database::prepared(on, prepare).await;
        let database = connect(own.url()).await;
        let hour = std::time::Duration::from_secs(3600);
        let identity = Identity::new(database.clone(), hour, identity_config(), SecurityComplianceConfig::default());
        let config = NetworkConfig { dns_domain: "example.org.".into(), ..NetworkConfig::default() };
        let router = Server::new(RestConfig::default(), Arc::new(identity.clone()))
            .service(&IDENTITY, identity, novella_identity::operations())
            .service(&NETWORK, Networking::new(database.clone(), config), novella_network::operations())
            .router(Readiness::new().database(&database));
        Self { database, router, _own: own }
    }

    /// An administrator, in the project `admin`.
    pub async fn admin(&self) -> Client {
        self.login("admin", "admin").await
    }

    /// A member of the project `demo`.
    pub async fn demo(&self) -> Client {
        self.login("demo", "demo").await
    }

    async fn login(&self, user: &str, project: &str) -> Client {
        let domain = json!({"id": "default"});
        let user = json!({"name": user, "domain": domain, "password": PASSWORD});
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": project, "domain": domain}},
        }});
        let anonymous = Client { router: self.router.clone(), token: None, project: String::new() };
        let request = Request::post("/identity/v3/auth/tokens").header("host", "cloud.test");
        let request = request.header("content-type", "application/json").body(Body::from(body.to_string())).unwrap();
        let response = anonymous.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 201);
        let token = response.headers()["x-subject-token"].to_str().unwrap().to_owned();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        let project = body["token"]["project"]["id"].as_str().unwrap().to_owned();
        Client { token: Some(token), project, ..anonymous }
    }
}

/// Somebody who sends requests.
#[derive(Clone)]
pub struct Client {
    router: Router,
    token: Option<String>,
    /// The project that the token is for.
    pub project: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Null if there is none.
    pub body: Value,
}

impl Answer {
    /// The type of an error.
    pub fn kind(&self) -> &str {
        self.body["NeutronError"]["type"].as_str().unwrap_or_default()
    }

    /// The text of an error.
    pub fn message(&self) -> &str {
        self.body["NeutronError"]["message"].as_str().unwrap_or_default()
    }
}

impl Client {
    /// Somebody without a token.
    pub fn without_token(other: &Self) -> Self {
        Self { token: None, ..other.clone() }
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>, headers: &[(&str, &str)]) -> Answer {
        let mut request =
            Request::builder().method(method).uri(format!("/networking/v2.0{path}")).header("host", "cloud.test");
        if let Some(token) = &self.token {
            request = request.header("x-auth-token", token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = request.header("content-type", "application/json").body(body).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        assert!(status < 500, "{path}: {status} {body}");
        Answer { status, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, &[]).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(body), &[]).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, Some(body), &[]).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None, &[]).await
    }

    /// Makes one, and returns it. `many` is the last part of the path.
    pub async fn make(&self, path: &str, one: &str, values: Value) -> Value {
        let answer = self.post(path, &json!({ one: values })).await;
        assert_eq!(answer.status, 201, "{:?}", answer.body);
        answer.body[one].clone()
    }

    /// A network, and its id.
    pub async fn network(&self, values: Value) -> String {
        id(&self.make("/networks", "network", values).await)
    }

    /// A subnet of a network, and its id.
    pub async fn subnet(&self, network: &str, cidr: &str) -> String {
        let version = if cidr.contains(':') { 6 } else { 4 };
        let values = json!({"network_id": network, "ip_version": version, "cidr": cidr});
        id(&self.make("/subnets", "subnet", values).await)
    }

    /// A port on a network.
    pub async fn port(&self, network: &str, values: Value) -> Value {
        let mut all = json!({"network_id": network});
        for (name, value) in values.as_object().unwrap() {
            all[name] = value.clone();
        }
        self.make("/ports", "port", all).await
    }
}

/// The id of what was made.
pub fn id(thing: &Value) -> String {
    thing["id"].as_str().unwrap().to_owned()
}

/// The texts under a key, in order.
pub fn texts(list: &Value, key: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
}
