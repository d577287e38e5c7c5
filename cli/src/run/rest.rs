//! The REST services of this process on one port: Compute, Identity, Image and Networking, each a component that knows none
//! of the others. What Compute asks of the others is put together here.

use std::sync::Arc;

use axum::Router;
use futures_util::future::BoxFuture;
use novella_api::{
    Api, CLOUD, COMPUTE,
    neighbours::{Bus, ImageRecord, Images, Projects},
};
use novella_common::{
    RequestContext,
    db::Database,
    faults::Faults,
    service::{Readiness, Shutdown},
};
use novella_identity::{IDENTITY, Identity};
use novella_image::{IMAGE, Store};
use novella_messaging::{BusReport, Transport};
use novella_network::{NETWORK, Networking};
use novella_rest::{ApiError, CatalogEntry, Server};

use crate::config::Config;

/// What is served, for the catalog.
pub(crate) fn catalog() -> Vec<CatalogEntry> {
    [&COMPUTE, &IDENTITY, &IMAGE, &NETWORK, &CLOUD].map(|service| service.catalog_entry()).to_vec()
}

/// All services as one router. What they do from time to time goes on until `shutdown` is requested.
pub(crate) fn router(
    config: &Config,
    database: &Database,
    transport: &Transport,
    images: Store,
    faults: Option<Faults>,
    shutdown: &Shutdown,
) -> Router {
    let identity = Identity::new(
        database.clone(),
        config.api.token_ttl,
        config.identity.clone(),
        config.security_compliance.clone(),
    );
    identity.sweep_tokens(shutdown);
    let images = novella_image::Images::new(database.clone(), images, config.image.clone());
    images.sweep(shutdown);
    let compute = Api::new(
        database.clone(),
        transport,
        (Arc::new(ImagesHere(images.clone())), Arc::new(ProjectsHere(identity.clone()))),
        Arc::new(BusHere(crate::bus::Bus::of_process(transport, &config.bus))),
        config.api.clone(),
        config.quota.clone(),
        config.service.clone(),
    );
    let readiness = Readiness::new().bus(transport).database(database);
    Server::new(config.api.rest(), Arc::new(identity.clone()))
        .faults(faults)
        .service(&COMPUTE, compute.clone(), novella_api::compute::operations())
        .service(&IDENTITY, identity, novella_identity::operations())
        .service(&IMAGE, images, novella_image::operations())
        .service(&NETWORK, networking(config, database), novella_network::operations())
        .service(&CLOUD, compute, novella_api::cloud::operations())
        .page(novella_web::router())
        .router(readiness)
}

fn networking(config: &Config, database: &Database) -> Networking {
    Networking::new(database.clone(), config.network.clone())
}

/// Networking alone, whose tokens are those of the Identity that has the same database.
pub(crate) fn network_router(
    config: &Config,
    database: &Database,
    transport: &Transport,
    faults: Option<Faults>,
    shutdown: &Shutdown,
) -> Router {
    let identity = Identity::new(
        database.clone(),
        config.api.token_ttl,
        config.identity.clone(),
        config.security_compliance.clone(),
    );
    identity.sweep_tokens(shutdown);
    Server::new(config.api.rest(), Arc::new(identity))
        .faults(faults)
        .service(&NETWORK, networking(config, database), novella_network::operations())
        .router(Readiness::new().bus(transport).database(database))
}

/// Image alone, with the Identity of the same database for its tokens.
pub(crate) fn image_alone(config: &Config, database: &Database, store: Store, shutdown: &Shutdown) -> Router {
    let identity = Identity::new(
        database.clone(),
        config.api.token_ttl,
        config.identity.clone(),
        config.security_compliance.clone(),
    );
    identity.sweep_tokens(shutdown);
    let images = novella_image::Images::new(database.clone(), store, config.image.clone());
    images.sweep(shutdown);
    Server::new(config.api.rest(), Arc::new(identity))
        .service(&IMAGE, images, novella_image::operations())
        .router(Readiness::new().database(database))
}

/// The bus that this process is on.
struct BusHere(crate::bus::Bus);

impl Bus for BusHere {
    fn report(&self, queues: Vec<String>) -> BoxFuture<'_, Result<(BusReport, Option<String>), ApiError>> {
        Box::pin(async {
            let known: Vec<String> = crate::bus::known_queues().into_iter().chain(queues).collect();
            match self.0.overview(&known).await {
                Ok(overview) => Ok((overview.report, overview.missing)),
                Err(error) => Err(ApiError::Unavailable(format!("The bus can't be asked: {error:#}"))),
            }
        })
    }
}

/// The Identity component of the same process, likewise.
struct ProjectsHere(Identity);

impl Projects for ProjectsHere {
    fn exists<'a>(&'a self, _: &'a RequestContext, id: &'a str) -> BoxFuture<'a, Result<bool, ApiError>> {
        Box::pin(self.0.has_project(id))
    }
}

/// The Image component of the same process, asked by Compute without a detour over HTTP.
struct ImagesHere(novella_image::Images);

impl Images for ImagesHere {
    fn find_many<'a>(
        &'a self,
        context: &'a RequestContext,
        ids: Vec<String>,
    ) -> BoxFuture<'a, Result<Vec<ImageRecord>, ApiError>> {
        Box::pin(async move {
            let found = self.0.find_many(context, ids).await?;
            Ok(found
                .into_iter()
                .map(|image| ImageRecord {
                    id: image.id,
                    status: image.status.to_string(),
                    size: image.size,
                    min_disk_gb: image.min_disk_gb,
                    min_ram_mb: image.min_ram_mb,
                    properties: image.properties,
                })
                .collect())
        })
    }
}
