//! How the API of a test is configured, and what a process with such an API serves.

use std::{path::Path, sync::Arc};

use axum::Router;
use novella_api::{
    Api, ApiConfig, CLOUD, COMPUTE, QuotaConfig,
    neighbours::{Images, Projects},
};
use novella_common::{config::ServiceConfig, db::Database, service::Readiness};
use novella_identity::{IDENTITY, Identity, IdentityConfig, SecurityComplianceConfig};
use novella_image::{IMAGE as IMAGES, ImageConfig, Stores};
use novella_messaging::Transport;
use novella_rest::{Server, Service, policy::Policy};

use super::{BusHere, ProjectsHere, identity_config, images::ImagesHere, many_servers};

/// How the API of a test is configured.
#[derive(Clone)]
pub struct Settings {
    pub config: ApiConfig,
    pub quota: QuotaConfig,
    pub service: ServiceConfig,
    pub identity: IdentityConfig,
    pub security_compliance: SecurityComplianceConfig,
    pub image: ImageConfig,
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
            policies: Vec::new(),
        }
    }
}

impl Settings {
    /// What a process with such an API serves; the bytes of images are in `folder`.
    pub fn router(&self, database: &Database, transport: &Transport, folder: &Path) -> Router {
        let Self { config, quota, service, identity, security_compliance, image, policies } = self.clone();
        let identity = Identity::new(database.clone(), config.token_ttl, identity, security_compliance);
        let store = Stores::open(&image, folder).unwrap();
        let images = novella_image::Images::new(database.clone(), store, image);
        let others: (Arc<dyn Images>, Arc<dyn Projects>) =
            (Arc::new(ImagesHere::new(images.clone())), Arc::new(ProjectsHere(identity.clone())));
        let rest = config.rest();
        let bus = Arc::new(BusHere(transport.clone()));
        let api = Api::new(database.clone(), transport, others, bus, config, quota, service);
        let readiness = Readiness::new().bus(transport).database(database);
        let server = Server::new(rest, Arc::new(identity.clone()));
        let server = policies.iter().fold(server, |server, (service, file)| {
            server.policy(service.kind, Policy::read(&service.policy, Path::new("policy.yaml"), file).unwrap())
        });
        server
            .service(&COMPUTE, api.clone(), novella_api::compute::operations())
            .service(&IDENTITY, identity, novella_identity::operations())
            .service(&IMAGES, images, novella_image::operations())
            .service(&CLOUD, api, novella_api::cloud::operations())
            .router(readiness)
    }
}
