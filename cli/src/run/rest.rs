//! The REST services of this process on one port: Compute, Identity and Image, each a component that knows none of the
//! others. What Compute asks of the others is put together here.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use axum::Router;
use futures_util::future::BoxFuture;
use novella_api::{
    Api, ApiConfig, COMPUTE,
    neighbours::{ImageRecord, Images, Projects},
};
use novella_common::{
    RequestContext,
    db::Database,
    faults::Faults,
    service::{Readiness, Shutdown},
};
use novella_identity::{IDENTITY, Identity};
use novella_image::IMAGE;
use novella_messaging::Transport;
use novella_rest::{ApiError, Authenticator, CatalogEntry, Server, keystone::Keystone};

use super::policies::ServicePolicy;
use crate::config::Config;

/// What is served, for the catalog.
pub(crate) fn catalog() -> Vec<CatalogEntry> {
    [&COMPUTE, &IDENTITY, &IMAGE].map(|service| service.catalog_entry()).to_vec()
}

/// The Identity component of this process. What it does from time to time goes on until `shutdown` is requested.
fn identity_here(config: &Config, database: &Database, shutdown: &Shutdown) -> Identity {
    let identity = Identity::new(
        database.clone(),
        config.api.token_ttl,
        config.identity.clone(),
        config.security_compliance.clone(),
    );
    identity.sweep_tokens(shutdown);
    identity
}

/// The Identity service elsewhere, if the configuration names one.
fn identity_elsewhere(config: &ApiConfig) -> Result<Option<Arc<Keystone>>> {
    let Some(keystone) = config.keystone() else { return Ok(None) };
    if keystone.password.expose().is_empty() {
        bail!(
            "api.identity_url is set, but api.identity_password is not: whose tokens are valid there is asked by a user"
        );
    }
    Ok(Some(Arc::new(Keystone::new(keystone).context("api.identity_url")?)))
}

/// The services with their policies.
fn with_policies(server: Server, policies: Vec<ServicePolicy<'_>>) -> Server {
    let policies = policies.into_iter();
    policies.fold(server, |server, ServicePolicy { service, policy, .. }| server.policy(service.kind, policy))
}

/// Identity alone.
pub(crate) fn identity_router(
    config: &Config,
    database: &Database,
    policies: Vec<ServicePolicy<'_>>,
    shutdown: &Shutdown,
) -> Router {
    let identity = identity_here(config, database, shutdown);
    with_policies(Server::new(config.api.rest(), Arc::new(identity.clone())), policies)
        .service(&IDENTITY, identity, novella_identity::operations())
        .router(Readiness::new().database(database))
}

/// All services as one router; Identity only if it is not elsewhere. What they do from time to time goes on until
/// `shutdown` is requested.
///
/// # Errors
/// What the configuration says of an Identity elsewhere can't be used.
pub(crate) fn router(
    config: &Config,
    database: &Database,
    transport: &Transport,
    policies: Vec<ServicePolicy<'_>>,
    faults: Option<Faults>,
    shutdown: &Shutdown,
) -> Result<Router> {
    let (here, authenticator, projects): (_, Arc<dyn Authenticator>, Arc<dyn Projects>) =
        match identity_elsewhere(&config.api)? {
            Some(keystone) => (None, Arc::clone(&keystone) as _, Arc::new(ProjectsElsewhere(keystone))),
            None => {
                let identity = identity_here(config, database, shutdown);
                (Some(identity.clone()), Arc::new(identity.clone()), Arc::new(ProjectsHere(identity)))
            }
        };
    let images = novella_image::Images::new(database.clone());
    let compute = Api::new(
        database.clone(),
        transport,
        (Arc::new(ImagesHere(images.clone())), projects),
        config.api.clone(),
        config.quota.clone(),
        config.service.clone(),
    );
    let readiness = Readiness::new().bus(transport).database(database);
    let server = with_policies(Server::new(config.api.rest(), authenticator).faults(faults), policies);
    let server = server.service(&COMPUTE, compute, novella_api::compute::operations());
    let server = match here {
        Some(identity) => server.service(&IDENTITY, identity, novella_identity::operations()),
        None => server,
    };
    Ok(server.service(&IMAGE, images, novella_image::operations()).router(readiness))
}

/// The Identity component of the same process, likewise.
struct ProjectsHere(Identity);

impl Projects for ProjectsHere {
    fn exists<'a>(&'a self, _: &'a RequestContext, id: &'a str) -> BoxFuture<'a, Result<bool, ApiError>> {
        Box::pin(self.0.has_project(id))
    }
}

/// An Identity service elsewhere, likewise.
struct ProjectsElsewhere(Arc<Keystone>);

impl Projects for ProjectsElsewhere {
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
                    status: image.status,
                    size: image.size,
                    min_disk_gb: image.min_disk_gb,
                    min_ram_mb: image.min_ram_mb,
                    properties: image.properties,
                })
                .collect())
        })
    }
}
