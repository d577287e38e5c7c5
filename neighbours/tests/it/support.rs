//! Networking and Identity on a database of the test's own, listening.

use std::sync::Arc;

use novella_common::{
    config::{DatabaseConfig, Secret, SecretUrl},
    db::Database,
    networks::Networks,
    service::Readiness,
};
use novella_identity::{IDENTITY, Identity, IdentityConfig, SecurityComplianceConfig, seed};
use novella_neighbours::NetworksHere;
use novella_network::{DeviceWatcher, NETWORK, NetworkConfig, Networking};
use novella_rest::{RestConfig, Server};
pub(crate) use novella_testing::On;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::suite::{
    elsewhere::elsewhere,
    world::{Rest, World},
};

const PASSWORD: &str = "s3cret";

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

/// Stops with the test.
struct Serving(JoinHandle<()>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The components, and where they listen.
pub(crate) struct Components {
    pub(crate) database: Database,
    pub(crate) networking: Networking,
    pub(crate) url: String,
    // Last, so that it is dropped after everything that uses it.
    _serving: Serving,
    _own: novella_testing::Database,
}

impl Components {
    /// With somebody who is told what has changed for devices.
    pub(crate) async fn watched(on: On, watcher: impl FnOnce(&Database) -> Option<Arc<dyn DeviceWatcher>>) -> Self {
        let own = novella_testing::Database::prepared(on, prepare).await;
        let database = connect(own.url()).await;
        let hour = std::time::Duration::from_secs(3600);
        let identity = Identity::new(database.clone(), hour, identity_config(), SecurityComplianceConfig::default());
        let (kept, config) = (database.clone(), NetworkConfig::default());
        let networking = match watcher(&database) {
            Some(watcher) => Networking::watched(kept, config, watcher),
            None => Networking::new(kept, config),
        };
        let router = Server::new(RestConfig::default(), Arc::new(identity.clone()))
            .service(&IDENTITY, identity, novella_identity::operations())
            .service(&NETWORK, networking.clone(), novella_network::operations())
            .router(Readiness::new().database(&database));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { database, networking, url, _serving: Serving(serving), _own: own }
    }

    pub(crate) async fn start(on: On) -> Self {
        Self::watched(on, |_| None).await
    }

    pub(crate) async fn world(self, networks: Arc<dyn Networks>) -> World {
        World {
            networks,
            admin: Rest::login(&self.url, "admin", "admin", PASSWORD).await,
            demo: Rest::login(&self.url, "demo", "demo", PASSWORD).await,
            kept: Box::new(self),
        }
    }
}

impl World {
    /// With the component of the same process.
    pub(crate) async fn here(on: On) -> Self {
        let components = Components::start(on).await;
        let networks = Arc::new(NetworksHere::new(components.networking.clone()));
        components.world(networks).await
    }

    /// With one elsewhere.
    pub(crate) async fn elsewhere(on: On) -> Self {
        let components = Components::start(on).await;
        let url = format!("{}/networking", components.url);
        let networks = elsewhere(&components.url, &url, PASSWORD).await;
        components.world(networks).await
    }

    /// What the test has started.
    pub(crate) fn components(&self) -> &Components {
        self.kept.downcast_ref().unwrap()
    }
}
