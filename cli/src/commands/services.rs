//! `novella api`, `scheduler`, `conductor`, `compute`: one service in this process.

use std::{future::Future, net::SocketAddr, pin::Pin, sync::Arc};

use anyhow::{Context, Result, bail};
use clap::Args;
use novella_api::ApiService;
use novella_common::{
    db::Database,
    faults::Faults,
    models::Binary,
    service::{Grace, Readiness, ServiceIdentity, Shutdown, serve_management},
    telemetry,
    traces::history,
};
use novella_compute::Stores;
use novella_conductor::ConductorService;
use novella_messaging::Transport;
use novella_scheduler::SchedulerService;

use crate::{
    GlobalOptions,
    clouds::{CloudFolder, make_files_private},
    config::{Config, Flags},
    run::{faults, figures, hosts, listener, policies, rest, signals::StopSignals, traces},
};

#[derive(Debug, Args)]
pub(crate) struct ServiceOptions {
    /// This service's name among those of its kind; for a compute host, the host's [default: the machine's name]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Where /healthz, /readyz and /metrics are served [default: 127.0.0.1, port 8781 for a scheduler, 8782 for a
    /// conductor, 8783 for a compute host, 8784 for an API]
    #[arg(long, value_name = "ADDR:PORT")]
    management: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct ApiOptions {
    #[command(flatten)]
    service: ServiceOptions,
    /// Where the API listens [default: 127.0.0.1:8774]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct ComputeOptions {
    #[command(flatten)]
    service: ServiceOptions,
    /// Run so many simulated hosts in this process, named NAME-1, NAME-2, ... (fake driver only)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=20_000))]
    hosts: Option<u16>,
}

pub(crate) async fn api(global: &GlobalOptions, options: ApiOptions) -> Result<()> {
    let process = Process::prepare(global, Binary::Api, options.service, options.listen)?;
    process
        .run(async |process, transport| {
            let config = &process.config;
            let policies = policies::load(config)?;
            let listener = listener::open(config).await?;
            listener::reload_on_hangup(listener.tls.as_ref(), &process.shutdown)?;
            let database = process.database().await?;
            let faults = process.faults(&transport).await?;
            let images = novella_image::Stores::open(&config.image, &CloudFolder::find(&process.global)?.images())?;
            let router = rest::router(config, &database, &transport, images, policies, faults, &process.shutdown)?;
            ApiService::start(
                listener,
                router,
                database.clone(),
                config.service.clone(),
                process.identity.clone(),
                &process.shutdown,
            )
            .await?;
            let readiness = Readiness::new().bus(&transport).database(&database);
            Ok(Started { readiness, stop: Box::pin(database_closed(database)) })
        })
        .await
}

pub(crate) async fn scheduler(global: &GlobalOptions, options: ServiceOptions) -> Result<()> {
    let process = Process::prepare(global, Binary::Scheduler, options, None)?;
    process
        .run(async |process, transport| {
            let database = process.database().await?;
            let service = SchedulerService::start(
                database.clone(),
                transport.clone(),
                rest::networks(&process.config, &database)?,
                process.identity.clone(),
                process.config.scheduler.clone(),
                process.config.service.clone(),
                &Shutdown::new(),
            )
            .await?;
            Ok(Started { readiness: service.readiness(), stop: Box::pin(service.stop()) })
        })
        .await
}

pub(crate) async fn conductor(global: &GlobalOptions, options: ServiceOptions) -> Result<()> {
    let process = Process::prepare(global, Binary::Conductor, options, None)?;
    process
        .run(async |process, transport| {
            let database = process.database().await?;
            let service = ConductorService::start(
                database.clone(),
                transport.clone(),
                rest::networks(&process.config, &database)?,
                process.identity.clone(),
                process.config.conductor.clone(),
                process.config.service.clone(),
                false,
                &Shutdown::new(),
            )
            .await?;
            Ok(Started { readiness: service.readiness(), stop: Box::pin(service.stop()) })
        })
        .await
}

pub(crate) async fn compute(global: &GlobalOptions, options: ComputeOptions) -> Result<()> {
    let process = Process::prepare(global, Binary::Compute, options.service, None)?;
    process
        .run(async |process, transport| {
            let config = &process.config;
            let name = &process.identity.host;
            let folder = match &config.compute.state_dir {
                Some(folder) => folder.clone(),
                None => CloudFolder::find(&process.global)?.path().join("hosts").join(name),
            };
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("can't make the state folder {}; set compute.state_dir", folder.display()))?;
            let stores = Stores::open(&folder).with_context(|| {
                format!("can't open the host's state in {}; does another process use it?", folder.display())
            })?;
            let stores = Arc::new(stores.faults(process.faults(&transport).await?));
            let names = match options.hosts {
                None => vec![name.clone()],
                Some(count) => (1..=count).map(|number| format!("{name}-{number}")).collect(),
            };
            let services = hosts::start(names, config, &stores, &transport, &process.shutdown).await?;
            let mut readiness = Readiness::new().bus(&transport);
            for service in &services {
                readiness = readiness.part(format!("host {}", service.identity().host), service.check());
            }
            // Dropped, a host stops where it stands: kept until the end.
            Ok(Started { readiness, stop: Box::pin(async move { drop(services) }) })
        })
        .await
}

/// What every service process has.
struct Process {
    global: GlobalOptions,
    config: Config,
    identity: ServiceIdentity,
    shutdown: Shutdown,
    signals: StopSignals,
    management: SocketAddr,
}

impl Process {
    fn prepare(
        global: &GlobalOptions,
        binary: Binary,
        options: ServiceOptions,
        listen: Option<SocketAddr>,
    ) -> Result<Self> {
        let signals = StopSignals::listen()?;
        let flags = Flags::default()
            .set("host", options.host)?
            .set("management.listen", options.management)?
            .set("api.listen", listen)?;
        let (config, _) = Config::load(global, &flags)?;
        telemetry::init_logging(&config.log)?;
        figures::collect()?;
        traces::begin(&config.telemetry)?;
        make_files_private();
        listener::raise_file_limit();
        let identity = ServiceIdentity::new(binary, config.host()?);
        let management = config.management.listen.unwrap_or_else(|| {
            let port = match binary {
                Binary::Scheduler => 8781,
                Binary::Conductor => 8782,
                Binary::Compute => 8783,
                Binary::Api => 8784,
            };
            SocketAddr::from(([127, 0, 0, 1], port))
        });
        Ok(Self { global: global.clone(), config, identity, shutdown: Shutdown::new(), signals, management })
    }

    async fn database(&self) -> Result<Database> {
        let database = Database::connect(&self.config.database).await?;
        database.check_schema().await?;
        let telemetry = &self.config.telemetry;
        let rows = if telemetry.spans == 0 { 0 } else { telemetry.history };
        history::begin(database.clone(), rows, &self.shutdown);
        Ok(database)
    }

    /// The faults of this process, if they are enabled.
    async fn faults(&self, transport: &Transport) -> Result<Option<Faults>> {
        let name = format!("{}.{}", self.identity.binary, self.identity.host);
        faults::start(self.config.faults, transport, &name, &self.shutdown).await
    }

    /// Connects to the bus, starts the service, and runs it until a signal comes.
    async fn run<F>(self, start: F) -> Result<()>
    where
        F: AsyncFnOnce(&Self, Transport) -> Result<Started>,
    {
        let bus = &self.config.bus;
        let name = format!("{}:{}", self.identity.binary, self.identity.host);
        let transport = Transport::connect(bus.url.expose(), bus.transport_options(&name))
            .await
            .with_context(|| format!("can't connect to the bus {}", bus.url))?;
        if transport.is_in_process() {
            bail!(
                "the bus {} is inside this process, where no other service can reach it: set \
                 NOVELLA_BUS__URL=amqp://user:password@host:5672/, or start all services at once with `novella up`",
                bus.url
            );
        }
        // A connection that just ends leaves its reply queue for as long as one that may come back.
        let Started { readiness, stop } = match start(&self, transport.clone()).await {
            Ok(started) => started,
            Err(error) => {
                transport.close().await;
                return Err(error);
            }
        };
        let management_shutdown = Shutdown::new();
        let management =
            serve_management(self.management, readiness, &management_shutdown).await.with_context(|| {
                format!("can't listen on {}; choose another address with --management", self.management)
            })?;
        tracing::info!(
            binary = %self.identity.binary,
            host = self.identity.host,
            incarnation = %self.identity.incarnation,
            %management,
            "started"
        );
        let Self { mut signals, shutdown, config, .. } = self;
        signals.next().await;
        let grace = config.service.graceful_shutdown_timeout;
        let shared = Grace::begin(grace);
        let stop_all = async {
            shutdown.request();
            shutdown.finished(shared.left()).await;
            stop.await;
            transport.close().await;
            management_shutdown.request();
            management_shutdown.finished(shared.left()).await;
        };
        signals.finish(stop_all, grace).await
    }
}

/// A service that has been started: what its health depends on, and how it is stopped once `Process::shutdown` has been
/// asked for.
struct Started {
    readiness: Readiness,
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
}

async fn database_closed(database: Database) {
    database.close().await;
}
