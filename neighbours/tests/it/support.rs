//! Identity, Image and Networking on a database of the test's own, listening.

use std::sync::Arc;

use novella_common::{
    config::{DatabaseConfig, Secret, SecretUrl},
    db::Database,
    networks::Networks,
    service::Readiness,
};
use novella_identity::{IDENTITY, Identity, IdentityConfig, SecurityComplianceConfig, seed};
use novella_image::{IMAGE, ImageConfig, Images, Stores};
use novella_neighbours::NetworksHere;
use novella_network::{DeviceWatcher, NETWORK, NetworkConfig, Networking};
use novella_rest::{RestConfig, Server};
pub(crate) use novella_testing::On;
use novella_testing::rest::Serving;
use tempfile::TempDir;

use crate::suite::{
    elsewhere::elsewhere,
    world::{Rest, World},
};

pub(crate) const PASSWORD: &str = "s3cret";

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

/// Each behaviour of a component that is asked in two ways, for the one of the same process, `Here`, and for one `Elsewhere`,
/// on each database.
macro_rules! of_each_kind {
    ($(async fn $name:ident($asked:ident: Asked) $body:block)*) => {
        $(async fn $name($asked: Asked) $body)*
        mod here {
            use super::Here;
            novella_testing::on_both! { $(async fn $name(here: Here) { super::$name(here.0).await; })* }
        }
        mod elsewhere {
            use super::Elsewhere;
            novella_testing::on_both! { $(async fn $name(elsewhere: Elsewhere) { super::$name(elsewhere.0).await; })* }
        }
    };
}

pub(crate) use of_each_kind;

/// The components, and where they listen.
pub(crate) struct Components {
    pub(crate) database: Database,
    pub(crate) identity: Identity,
    pub(crate) images: Images,
    pub(crate) networking: Networking,
    serving: Serving,
    _folder: TempDir,
    // Last, so that it is dropped after everything that uses it.
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
        let (folder, config) = (TempDir::new().unwrap(), ImageConfig::default());
        let images = Images::new(database.clone(), Stores::open(&config, folder.path()).unwrap(), config);
        let router = Server::new(RestConfig::default(), Arc::new(identity.clone()))
            .service(&IDENTITY, identity.clone(), novella_identity::operations())
            .service(&IMAGE, images.clone(), novella_image::operations())
            .service(&NETWORK, networking.clone(), novella_network::operations())
            .router(Readiness::new().database(&database));
        let serving = Serving::new(router).await;
        Self { database, identity, images, networking, serving, _folder: folder, _own: own }
    }

    pub(crate) async fn start(on: On) -> Self {
        Self::watched(on, |_| None).await
    }

    /// The URL of a component, as its clients know it.
    pub(crate) fn url(&self, component: &str) -> String {
        format!("{}/{component}", self.serving.url())
    }

    /// The URLs of Identity and of Networking.
    fn urls(&self) -> (String, String) {
        (self.url("identity/v3"), self.url("networking"))
    }

    /// Somebody in the project of the same name.
    pub(crate) async fn login(&self, user: &str) -> Rest {
        let (identity, networking) = self.urls();
        Rest::login(&identity, &networking, user, PASSWORD).await
    }

    pub(crate) async fn world(self, networks: Arc<dyn Networks>) -> World {
        let (identity, networking) = self.urls();
        World::new(networks, (&identity, &networking), PASSWORD, Box::new(self)).await
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
        let (identity, networking) = components.urls();
        let networks = elsewhere(&identity, &networking, PASSWORD).await;
        components.world(networks).await
    }

    /// What the test has started.
    pub(crate) fn components(&self) -> &Components {
        self.kept.downcast_ref().unwrap()
    }
}
