//! One compute host as a service: how it starts, what it waits for, how it stops.
//!
//! ```text
//!   start ─▶ serves ComputeControl, says hello ──reconciled──▶ serves Compute, ready ──shutdown──▶ stopped
//! ```
//!
//! Until a conductor has reconciled the host, the messages of `Compute` wait in their queue. Dropping the service ends
//! it as a crash would: what was under way is in the journal.

use std::{path::PathBuf, sync::Arc, time::Duration};

use novella_common::{
    faults::Faults,
    ids::HostIdentity,
    models::{Inventory, Resources},
    reports::{Fact, Hello},
    service::{Check, ServiceIdentity, Shutdown},
    traces,
};
use novella_messaging::{MessagingError, RpcServer, Target, Transport};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    config::ComputeConfig,
    identity::{self, IdentityError},
    journal::Journal,
    manager::{Host, Manager, State},
    reporter::{Outbox, Reporter},
    rpcapi::{
        ComputeControlEndpoint, ComputeEndpoint, ComputeLiveMigrationEndpoint, ComputeMigrationEndpoint, control_server,
    },
    store::{Store, StoreError},
    virt::{
        AnyDriver,
        fake::{FakeDriver, Hub, MigrationAddress, Peers},
    },
};

/// How long to wait before hello is said again: at first, and at most.
const HELLO: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// How many messages of a host are worked on at once. Builds and migrations leave their slot at once, so this is for
/// power operations and consoles.
const CONCURRENCY: usize = 64;

/// Why a compute host can't start.
#[derive(Debug, thiserror::Error)]
pub enum ComputeStartError {
    /// The configuration does not fit.
    #[error("[compute] {0}")]
    Config(String),
    /// The state directory can't be made.
    #[error("the state directory {path} can't be made: {reason}")]
    StateDir {
        /// `compute.state_dir`.
        path: PathBuf,
        /// The file system's.
        reason: std::io::Error,
    },
    /// The state can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The host's identity can't be read or made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The bus can't be used.
    #[error(transparent)]
    Bus(#[from] MessagingError),
}

/// What all compute hosts of a process share: their files, and the listener for incoming migrations.
///
/// Outlives each of them, so that a host can be stopped and started again.
#[derive(Debug)]
pub struct Stores {
    journal: Arc<Store>,
    hypervisor: Arc<Store>,
    hub: Arc<Hub>,
    /// That of the folder; none without one.
    identity: Option<HostIdentity>,
    faults: Option<Faults>,
}

impl Stores {
    /// Opens, or makes, the state in a directory. One process at a time can have it open.
    ///
    /// # Errors
    /// The directory can't be made, or a file in it can't be opened.
    pub fn open(state_dir: &std::path::Path) -> Result<Self, ComputeStartError> {
        std::fs::create_dir_all(state_dir)
            .map_err(|reason| ComputeStartError::StateDir { path: state_dir.to_owned(), reason })?;
        Ok(Self {
            journal: Arc::new(Store::open(&state_dir.join("journal.redb"))?),
            hypervisor: Arc::new(Store::open(&state_dir.join("fake-hypervisor.redb"))?),
            hub: Arc::new(Hub::new()),
            // After the journal, which only one process can have open.
            identity: Some(identity::of_folder(state_dir)?),
            faults: None,
        })
    }

    /// State that is gone with the process.
    ///
    /// # Errors
    /// The writer's thread can't be started.
    pub fn ephemeral() -> Result<Self, ComputeStartError> {
        Ok(Self {
            journal: Arc::new(Store::in_memory()?),
            hypervisor: Arc::new(Store::in_memory()?),
            hub: Arc::new(Hub::new()),
            identity: None,
            faults: None,
        })
    }

    /// Lets these faults fire on the hosts.
    #[must_use]
    pub fn faults(self, faults: Option<Faults>) -> Self {
        Self { faults, ..self }
    }

    fn failure(&self) -> Option<StoreError> {
        self.journal.failure().or_else(|| self.hypervisor.failure())
    }

    /// What `config` asks for.
    ///
    /// # Errors
    /// Those of [`Stores::open`].
    pub fn of(config: &ComputeConfig) -> Result<Self, ComputeStartError> {
        match &config.state_dir {
            Some(state_dir) => Self::open(state_dir),
            None => Self::ephemeral(),
        }
    }
}

/// A compute host that has been started.
#[derive(Debug)]
pub struct ComputeService {
    identity: ServiceIdentity,
    ready: watch::Receiver<bool>,
    stores: Arc<Stores>,
    /// Keeps everything moving; dropped, everything stops where it stands.
    _life: DropGuard,
}

impl ComputeService {
    /// Starts a host. Returns when it can be reconciled; [`ComputeService::ready`] tells when it works.
    ///
    /// The host sends a heartbeat each `report_interval`. It stops when `shutdown` is asked for;
    /// [`Shutdown::finished`] then waits for it.
    ///
    /// # Errors
    /// The configuration does not fit, the state can't be read, or the bus can't be used.
    pub async fn start(
        transport: &Transport,
        identity: ServiceIdentity,
        config: ComputeConfig,
        shared: Arc<Stores>,
        report_interval: Duration,
        shutdown: Shutdown,
    ) -> Result<Self, ComputeStartError> {
        let life = CancellationToken::new();
        let guard = life.clone().drop_guard();
        let driver = open_driver(&identity.host, &config, &shared, life.clone()).await?;
        let inventory = inventory(&identity.host, &config, &driver);
        let outbox = Arc::new(Outbox::default());
        let journal = Arc::new(Journal::open(&shared.journal, &identity.host, outbox.clone()).await?);
        let stopping = CancellationToken::new();
        let manager = Manager::new(Host {
            name: identity.host.clone(),
            incarnation: identity.incarnation,
            driver,
            journal,
            inventory: inventory.clone(),
            builds: Semaphore::new(config.max_concurrent_builds),
            lost_build_after: config.lost_build_after,
            life: life.clone(),
            stopping: stopping.clone(),
            state: State::default(),
        });
        let target = Target::new("compute-control").server(control_server(&identity.host, shared.identity));
        let control = RpcServer::builder(transport, target)
            .endpoint(ComputeControlEndpoint::new(Arc::new(manager.clone())))
            .only_by_name()
            .start()
            .await?;

        let (ready, is_ready) = watch::channel(false);
        let run = Run {
            transport: transport.clone(),
            identity: identity.clone(),
            inventory,
            manager,
            outbox,
            report_interval,
            shutdown: shutdown.clone(),
            stopping,
            ready,
            stores: shared.clone(),
        };
        shutdown.spawn(async move {
            life.run_until_cancelled(run.run(control)).await;
            // What has not ended within its grace must not go on behind the back of a service that has.
            life.cancel();
        });
        Ok(Self { identity, ready: is_ready, stores: shared, _life: guard })
    }

    /// Resolves when the host has been reconciled and serves. Says whether it does: not if it was stopped before.
    pub async fn ready(&self) -> bool {
        self.ready.clone().wait_for(|ready| *ready).await.is_ok()
    }

    /// Whether the host has been reconciled and serves.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// For `/readyz`: whether the host works, and if not, why.
    #[must_use]
    pub fn check(&self) -> Check {
        let (host, ready, stores) = (self.identity.host.clone(), self.ready.clone(), Arc::downgrade(&self.stores));
        Arc::new(move || {
            let failure = stores.upgrade().and_then(|stores| stores.failure());
            let state = match failure {
                Some(failure) => Err(failure.to_string()),
                None if *ready.borrow() => Ok(()),
                None => Err(format!("host {host} waits for a conductor to reconcile it")),
            };
            Box::pin(async move { state })
        })
    }

    /// Which service this is.
    #[must_use]
    pub fn identity(&self) -> &ServiceIdentity {
        &self.identity
    }
}

async fn open_driver(
    host: &str,
    config: &ComputeConfig,
    shared: &Stores,
    life: CancellationToken,
) -> Result<AnyDriver, ComputeStartError> {
    if config.max_concurrent_builds == 0 {
        return Err(ComputeStartError::Config(
            "max_concurrent_builds is 0; at least 1 build must be able to run".into(),
        ));
    }
    if host.contains('\0') || host.is_empty() {
        return Err(ComputeStartError::Config(format!("'{}' is no host name", host.escape_default())));
    }
    match config.driver.as_str() {
        "fake" => {
            if let Some(problem) = config.fake.problem() {
                return Err(ComputeStartError::Config(problem));
            }
            let peers = Peers::of(&config.migration_tls).map_err(ComputeStartError::Config)?;
            let address = MigrationAddress {
                listen: config.migration_address,
                advertised: config.migration_advertised.clone(),
                peers,
            };
            let faults = shared.faults.clone();
            let (hypervisor, hub, config) = (&shared.hypervisor, &shared.hub, config.fake.clone());
            Ok(FakeDriver::open(hypervisor, hub, host, config, address, faults, life).await?)
        }
        other => Err(ComputeStartError::Config(format!("driver is '{other}'; there is 'fake'"))),
    }
}

fn inventory(host: &str, config: &ComputeConfig, driver: &AnyDriver) -> Inventory {
    let hardware = driver.hardware();
    Inventory {
        total: hardware.total,
        reserved: Resources {
            vcpus: config.reserved_vcpus,
            memory_mb: config.reserved_memory_mb,
            disk_gb: config.reserved_disk_gb,
        },
        ratios: config.ratios,
        hypervisor_type: hardware.hypervisor_type,
        hypervisor_version: hardware.hypervisor_version,
        hypervisor_hostname: host.to_owned(),
        host_ip: config.host_ip.clone(),
        cpu_info: hardware.cpu_info,
        availability_zone: config.availability_zone.clone(),
    }
}

/// A host's life, from its start to its end.
struct Run {
    transport: Transport,
    identity: ServiceIdentity,
    inventory: Inventory,
    manager: Manager,
    outbox: Arc<Outbox>,
    report_interval: Duration,
    shutdown: Shutdown,
    stopping: CancellationToken,
    ready: watch::Sender<bool>,
    stores: Arc<Stores>,
}

impl Run {
    async fn run(self, control: RpcServer) {
        let reporter = Reporter::new(&self.transport, &self.identity.host);
        let quiet = Shutdown::new();
        let alive = async {
            tokio::join!(
                reporter.clone().run(self.outbox.clone(), quiet.clone()),
                self.keep_alive(&reporter),
                async {
                    let serving = self.serve(&reporter).await;
                    self.stop(&reporter, control, serving).await;
                    quiet.request();
                },
                self.watch_guests(),
            )
        };
        alive.await;
    }

    /// Says hello until reconciled, then serves, until stopping is asked for.
    async fn serve(&self, reporter: &Reporter) -> Option<RpcServer> {
        if !self.hello(reporter).await {
            return None;
        }
        let server = self.start_server().await?;
        tracing::info!(host = self.identity.host, "compute host is ready");
        self.ready.send_replace(true);
        self.shutdown.requested().await;
        Some(server)
    }

    async fn hello(&self, reporter: &Reporter) -> bool {
        let mut reconciled = self.manager.reconciled();
        let mut delay = HELLO.0;
        loop {
            let hello = Hello {
                incarnation: self.identity.incarnation,
                inventory: self.inventory.clone(),
                identity: self.stores.identity,
            };
            if let Err(error) = reporter.send(Fact::Hello(hello)).await {
                tracing::warn!(host = self.identity.host, %error, "hello could not be said yet");
            }
            tokio::select! {
                biased;
                () = self.shutdown.requested() => return false,
                outcome = reconciled.wait_for(|reconciled| *reconciled) => return outcome.is_ok(),
                () = tokio::time::sleep(delay) => {
                    delay = (delay * 2).min(HELLO.1);
                    if delay == HELLO.1 {
                        tracing::warn!(
                            host = self.identity.host,
                            identity = self.stores.identity.map(|identity| identity.to_string()),
                            "no conductor has reconciled this host; if `novella service list` says that it is refused, and \
                             it takes the place of another machine: novella host replace {}",
                            self.identity.host
                        );
                    }
                }
            }
        }
    }

    async fn start_server(&self) -> Option<RpcServer> {
        let manager = Arc::new(self.manager.clone());
        loop {
            let server = RpcServer::builder(&self.transport, Target::new("compute").server(&self.identity.host))
                .endpoint(ComputeEndpoint::new(Arc::clone(&manager)))
                .endpoint(ComputeLiveMigrationEndpoint::new(Arc::clone(&manager)))
                .endpoint(ComputeMigrationEndpoint::new(Arc::clone(&manager)))
                .endpoint(traces::endpoint())
                .concurrency(CONCURRENCY)
                .shared_if_permitted()
                .start()
                .await;
            match server {
                Ok(server) => return Some(server),
                Err(error) => {
                    tracing::warn!(host = self.identity.host, %error, "messages can't be consumed yet");
                    if !self.shutdown.pause(HELLO.0).await {
                        return None;
                    }
                }
            }
        }
    }

    async fn keep_alive(&self, reporter: &Reporter) {
        // Until it serves it says hello.
        let mut ready = self.ready.subscribe();
        tokio::select! {
            _ = ready.wait_for(|ready| *ready) => {}
            () = self.shutdown.requested() => return,
        }
        let (mut delay, mut retry) = (Duration::ZERO, HELLO.0);
        while self.shutdown.pause(delay).await {
            let alive = Fact::Alive { incarnation: self.identity.incarnation };
            delay = match reporter.send(alive).await {
                Ok(()) => {
                    retry = HELLO.0;
                    self.report_interval
                }
                Err(error) => {
                    tracing::warn!(host = self.identity.host, %error, "a heartbeat could not be sent");
                    // Soon, so that it is heard when the bus is back; then less often, since a bus that is there and slow is
                    // not helped by thousands of hosts that send more than ever.
                    let delay = retry.min(self.report_interval);
                    retry = (retry * 2).min(HELLO.1);
                    delay
                }
            };
        }
    }

    /// Once the host is known to be the one of its name: until then nothing that it has is anybody's business.
    async fn watch_guests(&self) {
        let mut reconciled = self.manager.reconciled();
        let watch = async {
            if reconciled.wait_for(|reconciled| *reconciled).await.is_ok() {
                self.manager.clone().watch_guests().await;
            }
        };
        tokio::select! {
            () = watch => {}
            () = self.shutdown.requested() => {}
        }
    }

    /// Says goodbye, takes no more work, lets what is short end, and leaves the rest to the journal. The owner of the shutdown says
    /// how long it waits; this is what a host takes at most.
    async fn stop(&self, reporter: &Reporter, control: RpcServer, server: Option<RpcServer>) {
        self.stopping.cancel();
        let goodbye = Fact::Goodbye { incarnation: self.identity.incarnation };
        if let Err(error) = reporter.send(goodbye).await {
            tracing::warn!(host = self.identity.host, %error, "schedulers may still choose this host for a while");
        }
        if let Some(server) = server {
            server.stop(GRACE).await;
        }
        self.manager.finish(GRACE).await;
        control.stop(GRACE).await;
    }
}

/// How long a stopping host waits for work that has begun.
const GRACE: Duration = Duration::from_secs(10);
