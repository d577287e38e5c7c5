//! The REST services of this process on one port: Compute, Identity, Image and Networking, each a component that knows none
//! of the others. What Compute asks of the others is put together here.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result, bail};
use axum::Router;
use futures_util::future::BoxFuture;
use novella_api::{
    Api, ApiConfig, CLOUD, COMPUTE,
    neighbours::{Bus, Images, Neighbours, Projects},
};
use novella_common::{
    RequestContext,
    db::Database,
    faults::Faults,
    networking_api::NetworkingApi,
    networks::Networks,
    service::{Readiness, Shutdown},
};
use novella_identity::{IDENTITY, Identity};
use novella_image::{IMAGE, Stores};
use novella_messaging::{BusReport, Transport};
use novella_neighbours::{NetworkingApiHere, NetworksElsewhere, NetworksHere, ServersElsewhere, ServersHere};
use novella_network::{NETWORK, Networking};
use novella_rest::{ApiError, Authenticator, CatalogEntry, Server, Service, keystone::Keystone};

use super::{
    images::ImagesHere,
    images_elsewhere::ImagesElsewhere,
    policies::{self, ServicePolicy},
};
use crate::config::Config;

/// In place of a URL: where the catalog says.
const CATALOG: &str = "catalog";

/// What is served, for the catalog. Where a Networking or an Image elsewhere is, administrators say there.
pub(crate) fn catalog(config: &Config) -> Vec<CatalogEntry> {
    let served = [&COMPUTE, &IDENTITY, &IMAGE, &NETWORK, &CLOUD].map(|service| service.catalog_entry());
    let here = |entry: &CatalogEntry| {
        (config.api.network_url.is_none() || entry.kind != NETWORK.kind)
            && (config.api.image_url.is_none() || entry.kind != IMAGE.kind)
    };
    served.into_iter().filter(here).collect()
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

/// Whose tokens are believed, and which projects there are.
struct Tokens {
    /// `None`: Identity is elsewhere.
    identity: Option<Identity>,
    authenticator: Arc<dyn Authenticator>,
    projects: Arc<dyn Projects>,
}

impl Tokens {
    fn of(config: &Config, database: &Database, shutdown: &Shutdown) -> Result<Self> {
        if let Some(keystone) = identity_elsewhere(&config.api)? {
            let projects = Arc::new(ProjectsElsewhere(Arc::clone(&keystone)));
            return Ok(Self { identity: None, authenticator: keystone, projects });
        }
        let identity = identity_here(config, database, shutdown);
        let (authenticator, projects) = (Arc::new(identity.clone()), Arc::new(ProjectsHere(identity.clone())));
        Ok(Self { identity: Some(identity), authenticator, projects })
    }
}

/// The Image component of this process. What it does from time to time goes on until `shutdown` is requested.
fn images_here(config: &Config, database: &Database, stores: Stores, shutdown: &Shutdown) -> novella_image::Images {
    let images = novella_image::Images::new(database.clone(), stores, config.image.clone());
    images.sweep(shutdown);
    images
}

/// The Image elsewhere, if the configuration names one.
fn images_elsewhere(config: &Config) -> Result<Option<ImagesElsewhere>> {
    let Some(url) = &config.api.image_url else { return Ok(None) };
    let url = Some(url.as_str()).filter(|url| *url != CATALOG);
    let keystone = match url {
        Some(_) => None,
        None => Some(
            identity_elsewhere(&config.api)?.context("api.image_url is 'catalog', but api.identity_url is unset")?,
        ),
    };
    let images = ImagesElsewhere::new(url, config.api.image_authority.as_deref(), keystone);
    Ok(Some(images.context("api.image_url")?))
}

/// The Networking component of this process, whose servers show what it changes.
fn networking_here(config: &Config, database: &Database) -> Networking {
    let servers = ServersHere::new(database.clone(), Arc::new(networks_here(config, database)));
    Networking::watched(database.clone(), config.network.clone(), Arc::new(servers))
}

/// Networking by itself. If Identity is elsewhere, so is Compute, and its catalog says where.
fn networking_alone(config: &Config, database: &Database) -> Result<Networking> {
    let Some(keystone) = identity_elsewhere(&config.api)? else { return Ok(networking_here(config, database)) };
    let servers = ServersElsewhere::new(None, config.api.identity_authority.as_deref(), keystone)?;
    Ok(Networking::watched(database.clone(), config.network.clone(), Arc::new(servers)))
}

fn networks_here(config: &Config, database: &Database) -> NetworksHere {
    NetworksHere::new(Networking::new(database.clone(), config.network.clone()))
}

/// The Networking elsewhere, if the configuration names one.
fn networks_elsewhere(config: &Config) -> Result<Option<Arc<NetworksElsewhere>>> {
    let Some(url) = &config.api.network_url else { return Ok(None) };
    let keystone = config.api.network_keystone();
    let keystone = keystone.filter(|keystone| !keystone.password.expose().is_empty()).context(
        "api.network_url is set, but not api.identity_password, or neither api.network_identity_url nor \
         api.identity_url: Networking is asked by a user",
    )?;
    let keystone = Arc::new(Keystone::new(keystone).context("api.network_identity_url")?);
    let url = Some(url.as_str()).filter(|url| *url != CATALOG);
    let networks = NetworksElsewhere::new(url, config.api.network_authority.as_deref(), keystone);
    Ok(Some(Arc::new(networks.context("api.network_url")?)))
}

/// The Networking that Compute asks.
///
/// # Errors
/// What the configuration says of a Networking elsewhere can't be used.
pub(crate) fn networks(config: &Config, database: &Database) -> Result<Arc<dyn Networks>> {
    Ok(match networks_elsewhere(config)? {
        Some(elsewhere) => elsewhere,
        None => Arc::new(networks_here(config, database)),
    })
}

/// The Networking whose API Compute passes on.
fn networking_api(
    config: &Config,
    database: &Database,
    authenticator: &Arc<dyn Authenticator>,
) -> Result<Arc<dyn NetworkingApi>> {
    if let Some(elsewhere) = networks_elsewhere(config)? {
        return Ok(elsewhere);
    }
    let policies = policies::load(config)?;
    let policy = policies.into_iter().find(|policy| policy.service.kind == NETWORK.kind).map(|of| of.policy);
    let networking = networking_here(config, database);
    Ok(Arc::new(NetworkingApiHere::new(networking, config.api.rest(), Arc::clone(authenticator), policy)))
}

/// The services with their policies.
fn with_policies(server: Server, policies: Vec<ServicePolicy<'_>>) -> Server {
    let policies = policies.into_iter();
    policies.fold(server, |server, ServicePolicy { service, policy, .. }| server.policy(service.kind, policy))
}

/// All services as one router; Identity, Image and Networking only if they are not elsewhere. What they do from time to time
/// goes on until `shutdown` is requested.
///
/// # Errors
/// What the configuration says of services elsewhere can't be used.
pub(crate) fn router(
    config: &Config,
    database: &Database,
    transport: &Transport,
    images: Stores,
    policies: Vec<ServicePolicy<'_>>,
    faults: Option<Faults>,
    shutdown: &Shutdown,
) -> Result<Router> {
    let Tokens { identity, authenticator, projects } = Tokens::of(config, database, shutdown)?;
    let (images, asked): (Option<novella_image::Images>, Arc<dyn Images>) = match images_elsewhere(config)? {
        Some(elsewhere) => (None, Arc::new(elsewhere)),
        None => {
            let here = images_here(config, database, images, shutdown);
            (Some(here.clone()), Arc::new(ImagesHere::new(here, &policies)))
        }
    };
    let compute = Api::new(
        database.clone(),
        transport,
        Neighbours {
            images: asked,
            projects,
            networks: networks(config, database)?,
            networking: networking_api(config, database, &authenticator)?,
        },
        Arc::new(BusHere(crate::bus::Bus::of_process(transport, &config.bus))),
        config.api.clone(),
        config.quota.clone(),
        config.service.clone(),
    );
    let server = with_policies(Server::new(config.api.rest(), authenticator).faults(faults), policies).service(
        &COMPUTE,
        compute.clone(),
        novella_api::compute::operations(),
    );
    let server = match identity {
        Some(identity) => server.service(&IDENTITY, identity, novella_identity::operations()),
        None => server,
    };
    let server = match config.api.network_url {
        Some(_) => server,
        None => server.service(&NETWORK, networking_here(config, database), novella_network::operations()),
    };
    let server = match images {
        Some(images) => server.service(&IMAGE, images, novella_image::operations()),
        None => server,
    };
    Ok(server
        .service(&CLOUD, compute, novella_api::cloud::operations())
        .page(novella_web::router())
        .router(Readiness::new().bus(transport).database(database)))
}

/// One component by itself. Its tokens are those of the Identity that has the same database, or of one elsewhere.
///
/// # Errors
/// What the configuration says of an Identity elsewhere can't be used, or the store of images can't.
pub(crate) fn router_of(
    component: Component,
    config: &Config,
    database: &Database,
    images: &Path,
    policies: Vec<ServicePolicy<'_>>,
    shutdown: &Shutdown,
) -> Result<Router> {
    let Tokens { identity, authenticator, .. } = Tokens::of(config, database, shutdown)?;
    let server = with_policies(Server::new(config.api.rest(), authenticator), policies);
    let server = match component {
        Component::Identity => {
            let identity = identity.context("api.identity_url names an Identity elsewhere")?;
            server.service(&IDENTITY, identity, novella_identity::operations())
        }
        Component::Image => {
            let images = images_here(config, database, Stores::open(&config.image, images)?, shutdown);
            server.service(&IMAGE, images, novella_image::operations())
        }
        Component::Network => {
            server.service(&NETWORK, networking_alone(config, database)?, novella_network::operations())
        }
    };
    Ok(server.router(Readiness::new().database(database)))
}

/// A component that can run by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Component {
    Identity,
    Image,
    Network,
}

impl Component {
    pub(crate) fn service(self) -> &'static Service {
        match self {
            Self::Identity => &IDENTITY,
            Self::Image => &IMAGE,
            Self::Network => &NETWORK,
        }
    }
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

/// An Identity service elsewhere, likewise.
struct ProjectsElsewhere(Arc<Keystone>);

impl Projects for ProjectsElsewhere {
    fn exists<'a>(&'a self, _: &'a RequestContext, id: &'a str) -> BoxFuture<'a, Result<bool, ApiError>> {
        Box::pin(self.0.has_project(id))
    }
}
