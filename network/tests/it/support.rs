//! Networking and Identity on a database of the test's own.

use std::sync::Arc;

use novella_common::{
    config::{DatabaseConfig, Secret, SecretUrl},
    db::Database,
    service::Readiness,
};
use novella_identity::{IDENTITY, Identity, IdentityConfig, SecurityComplianceConfig, seed};
use novella_network::{NETWORK, NetworkConfig, Networking};
use novella_rest::{RestConfig, Server};
pub use novella_testing::rest::{Answer, Client, id};
use novella_testing::{On, rest::Serving};
use serde_json::Value;

const PASSWORD: &str = "s3cret";

pub struct Cloud {
    pub database: Database,
    serving: Serving,
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
        Self { database, serving: Serving::new(router).await, _own: own }
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
        let url = self.serving.url();
        let identity = format!("{url}/identity/v3");
        Client::login(&identity, &format!("{url}/networking/v2.0"), (user, PASSWORD), project).await
    }
}

/// The texts under a key, in order.
pub fn texts(list: &Value, key: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
}
