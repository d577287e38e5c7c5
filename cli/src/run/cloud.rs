//! A whole cloud in one process: the in-process bus, one database file, each service as it runs by itself elsewhere.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use novella_api::ApiService;
use novella_common::{
    db::Database,
    models::Binary,
    service::{Grace, Readiness, ServiceIdentity, Shutdown},
};
use novella_compute::{ComputeService, Stores};
use novella_conductor::{ConductorConfig, ConductorService};
use novella_messaging::Transport;
use novella_scheduler::SchedulerService;

use super::{
    faults, hosts, listener, policies, rest,
    seed::{self, SeedFile},
};
use crate::config::Config;

/// A cloud that runs.
pub(crate) struct Cloud {
    /// Where the API listens.
    pub address: SocketAddr,
    api: Shutdown,
    hosts: Shutdown,
    // Dropped, a compute host stops where it stands.
    computes: Vec<ComputeService>,
    conductor: ConductorService,
    scheduler: SchedulerService,
    transport: Transport,
    database: Database,
    grace: Duration,
}

/// Starts everything and waits until the hosts take work.
///
/// # Errors
/// The first part that can't be started; the text says which and why.
pub(crate) async fn start(
    config: &Config,
    hosts: u16,
    state: Option<&Path>,
    images: &Path,
    seed: &SeedFile,
) -> Result<Cloud> {
    // The address first: whoever starts a second cloud on it should hear so before anything is touched.
    let policies = policies::load(config)?;
    let listener = listener::open(config).await?;
    // Then the hosts' files, which one process at a time can hold.
    let stores = match state {
        Some(folder) => Stores::open(folder).with_context(|| {
            format!("can't open the hosts' state in {}; does another novella use it?", folder.display())
        })?,
        None => Stores::ephemeral()?,
    };
    let images = novella_image::Stores::open(&config.image, images)?;
    let database = Database::connect(&config.database).await?;
    database.migrate().await?;
    seed::run(&database, config, seed).await?;
    let bus = &config.bus;
    let transport = Transport::connect(bus.url.expose(), bus.transport_options("novella-up"))
        .await
        .with_context(|| format!("can't connect to the bus {}", bus.url))?;

    let name = config.host()?;
    let identity = |binary| ServiceIdentity::new(binary, name.clone());
    // From the right to the left: who is asked is there before who asks.
    let scheduler = SchedulerService::start(
        database.clone(),
        transport.clone(),
        rest::networks(config, &database)?,
        identity(Binary::Scheduler),
        config.scheduler.clone(),
        config.service.clone(),
        &Shutdown::new(),
    )
    .await
    .context("scheduler")?;
    // The in-process bus is new, so nothing is in any queue: what was there when the last process ended is cast again.
    let conductor = ConductorService::start(
        database.clone(),
        transport.clone(),
        rest::networks(config, &database)?,
        identity(Binary::Conductor),
        // Its hosts are itself.
        ConductorConfig { auto_approve: true, ..config.conductor.clone() },
        config.service.clone(),
        transport.is_in_process(),
        &Shutdown::new(),
    )
    .await
    .context("conductor")?;

    let hosts_shutdown = Shutdown::new();
    let faults = faults::start(config.faults, &transport, &name, &hosts_shutdown).await?;
    let stores = Arc::new(stores.faults(faults.clone()));
    let names = (1..=hosts).map(|number| format!("host-{number}")).collect();
    let computes = hosts::start(names, config, &stores, &transport, &hosts_shutdown).await?;
    let api_shutdown = Shutdown::new();
    listener::reload_on_hangup(listener.tls.as_ref(), &api_shutdown)?;
    let router = rest::router(config, &database, &transport, images, policies, faults, &api_shutdown)?;
    let api = ApiService::start(
        listener,
        router,
        database.clone(),
        config.service.clone(),
        identity(Binary::Api),
        &api_shutdown,
    )
    .await
    .context("api")?;
    for service in &computes {
        service.ready().await;
    }
    Ok(Cloud {
        address: api.address(),
        api: api_shutdown,
        hosts: hosts_shutdown,
        computes,
        conductor,
        scheduler,
        transport,
        database,
        grace: config.service.graceful_shutdown_timeout,
    })
}

impl Cloud {
    /// What the whole cloud needs to be ready.
    pub(crate) fn readiness(&self) -> Readiness {
        let mut readiness = Readiness::new().and(self.scheduler.readiness()).and(self.conductor.readiness());
        for service in &self.computes {
            readiness = readiness.part(format!("host {}", service.identity().host), service.check());
        }
        readiness
    }

    /// The bus that all parts share.
    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Stops everything, from the left to the right: no new requests, then no new work, then the work itself. All of it
    /// shares one grace.
    pub(crate) async fn stop(self) {
        let grace = Grace::begin(self.grace);
        self.api.request();
        self.api.finished(grace.left()).await;
        self.scheduler.stop_within(grace).await;
        self.hosts.request();
        self.hosts.finished(grace.left()).await;
        drop(self.computes);
        // Last, since it writes down what the hosts still had to say.
        self.conductor.stop_within(grace).await;
        self.transport.close().await;
        self.database.close().await;
    }
}
