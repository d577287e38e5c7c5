//! How the API of a test is configured, and what a process with such an API serves.

use std::{path::Path, sync::Arc};

use axum::Router;
use novella_api::{Api, ApiConfig, CLOUD, COMPUTE, QuotaConfig, neighbours::Neighbours};
use novella_common::{config::ServiceConfig, db::Database, service::Readiness};
use novella_identity::{IDENTITY, Identity, IdentityConfig, SecurityComplianceConfig};
use novella_image::{IMAGE as IMAGES, ImageConfig, Stores};
use novella_messaging::Transport;
use novella_neighbours::{ImagesHere, NetworkingApiHere, NetworksHere, ProjectsHere};
use novella_network::{NETWORK, NetworkConfig, Networking};
use novella_rest::{Authenticator, Server, Service, policy::Policy};

use super::{
    BusHere, identity_config, many_servers,
    networks::{Counted, Questions},
};

/// How the API of a test is configured.
#[derive(Clone)]
pub struct Settings {
    pub config: ApiConfig,
    pub quota: QuotaConfig,
    pub service: ServiceConfig,
    pub identity: IdentityConfig,
    pub security_compliance: SecurityComplianceConfig,
    pub image: ImageConfig,
    /// Compute's questions to Networking.
    pub questions: Arc<Questions>,
    /// Policy files.
    pub policies: Vec<(&'static Service, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            config: ApiConfig::default(),
            quota: many_servers(),
            service: ServiceConfig::default(),
            identity: identity_config(),
            security_compliance: SecurityComplianceConfig::default(),
            image: ImageConfig::default(),
            questions: Arc::default(),
            policies: Vec::new(),
        }
    }
}

impl Settings {
    /// What a process with such an API serves; the bytes of images are in `folder`.
    pub fn router(&self, database: &Database, transport: &Transport, folder: &Path) -> Router {
        let Self { config, quota, service, identity, security_compliance, image, policies, questions } = self.clone();
        let identity = Identity::new(database.clone(), config.token_ttl, identity, security_compliance);
        let store = Stores::open(&image, folder).unwrap();
        let images = novella_image::Images::new(database.clone(), store, image);
        let networking = Networking::new(database.clone(), NetworkConfig::default());
        let rest = config.rest();
        let tokens: Arc<dyn Authenticator> = Arc::new(identity.clone());
        let described = |service: &Service| Policy::of(service.policy).unwrap();
        let neighbours = Neighbours {
            images: Arc::new(ImagesHere::new(images.clone(), Arc::clone(&tokens), described(&IMAGES))),
            projects: Arc::new(ProjectsHere(identity.clone())),
            networks: Arc::new(Counted { networks: NetworksHere::new(networking.clone()), questions }),
            networking: Arc::new(NetworkingApiHere::new(networking.clone(), rest.clone(), tokens, described(&NETWORK))),
        };
        let bus = Arc::new(BusHere(transport.clone()));
        let api = Api::new(database.clone(), transport, neighbours, bus, config, quota, service);
        let readiness = Readiness::new().bus(transport).database(database);
        let server = Server::new(rest, Arc::new(identity.clone()));
        let server = policies.iter().fold(server, |server, (service, file)| {
            server.policy(service.kind, Policy::read(service.policy, Path::new("policy.yaml"), file).unwrap())
        });
        server
            .service(&COMPUTE, api.clone(), novella_api::compute::operations())
            .service(&IDENTITY, identity, novella_identity::operations())
            .service(&IMAGES, images, novella_image::operations())
            .service(&NETWORK, networking, novella_network::operations())
            .service(&CLOUD, api, novella_api::cloud::operations())
            .router(readiness)
    }
}
