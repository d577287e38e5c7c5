//! The conductor as a service: starts, says that it is there, stops.

use std::{sync::Arc, time::Duration};

use novella_common::{
    config::ServiceConfig,
    db::{Database, DbError, takeover},
    networks::Networks,
    service::{self, Grace, Readiness, ServiceIdentity, Shutdown},
    traces,
};
use novella_messaging::{MessagingError, RpcServer, Target, Transport};

use crate::{
    ConductorConfig,
    gauges::Gauges,
    manager::ConductorManager,
    network_refresh::NetworkRefresh,
    ports::Ports,
    reconcile::Reconciler,
    reports::{self, Reports},
    rpcapi::{ConductorClient, ConductorEndpoint},
    shared::Shared,
    takeover::Takeover,
    tasks::Tasks,
};

/// Why a conductor could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database can't be written.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The bus refuses.
    #[error(transparent)]
    Messaging(#[from] MessagingError),
}

/// A running conductor.
pub struct ConductorService {
    server: RpcServer,
    shared: Arc<Shared>,
    shutdown: Shutdown,
    readiness: Readiness,
    grace: Duration,
}

impl ConductorService {
    /// Writes the service's row, then serves topic `conductor` and listens to reports.
    ///
    /// `bus_was_empty`: whether whatever had been cast before is lost, because the bus lived in a process that has
    /// ended. Then all that waits is cast again at once.
    ///
    /// # Errors
    /// See [`StartError`].
    #[allow(clippy::too_many_arguments, reason = "what a conductor stands on, each told by its type")]
    pub async fn start(
        database: Database,
        transport: Transport,
        networks: Arc<dyn Networks>,
        identity: ServiceIdentity,
        config: ConductorConfig,
        service_config: ServiceConfig,
        bus_was_empty: bool,
        shutdown: &Shutdown,
    ) -> Result<Self, StartError> {
        let shutdown = shutdown.child();
        service::announce(&database, &identity).await?;
        // The heartbeat must outlive the tasks, so that what they still hold is not taken for orphaned.
        service::keep_alive(database.clone(), identity.clone(), service_config.report_interval, &shutdown);
        let concurrency = config.concurrency.max(1);
        let shared = Arc::new(Shared::new(
            database.clone(),
            &transport,
            networks,
            &identity,
            config,
            &service_config,
            shutdown.clone(),
        ));
        let reconciler = Arc::new(Reconciler::new(Arc::clone(&shared)));
        let tasks = Arc::new(Tasks::new(Arc::clone(&shared), Arc::clone(&reconciler)));
        let ports = Arc::new(Ports::new(Arc::clone(&shared)));
        let reports =
            Reports::new(Arc::clone(&shared), Arc::clone(&reconciler), Arc::clone(&tasks), Arc::clone(&ports));
        reports.start(&transport).await?;
        reports::send_echoes(&transport, identity.host.clone(), service_config.report_interval, &shutdown);
        shutdown.spawn(Arc::clone(&reconciler).run());
        let takeover = Takeover::new(Arc::clone(&shared), Arc::clone(&reconciler), Arc::clone(&tasks), ports);
        let manager = Arc::new(ConductorManager::new(Arc::clone(&shared), tasks));
        let target = Target::new(ConductorClient::TOPIC).server(identity.host.clone());
        let server = RpcServer::builder(&transport, target)
            .endpoint(ConductorEndpoint::new(manager))
            .endpoint(traces::endpoint())
            .concurrency(concurrency)
            .start()
            .await?;
        shutdown.spawn(takeover.run(bus_was_empty));
        shutdown.spawn(NetworkRefresh::new(Arc::clone(&shared), Arc::clone(&reconciler)).run());
        shutdown.spawn(Gauges::new(Arc::clone(&shared), transport.clone()).run());
        tracing::info!(host = identity.host, incarnation = %identity.incarnation, "conductor started");
        Ok(Self {
            server,
            shared,
            shutdown,
            readiness: Readiness::new().bus(&transport).database(&database),
            grace: service_config.graceful_shutdown_timeout,
        })
    }

    /// What it needs to be ready.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Takes no more requests and reports, and stops its tasks between two steps; another conductor goes on with them.
    pub async fn stop(self) {
        let grace = Grace::begin(self.grace);
        self.stop_within(grace).await;
    }

    /// The same within what is left of a grace.
    pub async fn stop_within(self, grace: Grace) {
        let Self { server, shared, shutdown, .. } = self;
        server.stop(grace.left()).await;
        shutdown.request();
        shutdown.finished(grace.left()).await;
        if let Err(error) = retire(&shared).await {
            tracing::warn!(%error, "what was in hand is taken over only when the last heartbeat is old");
        }
        tracing::info!("conductor stopped");
    }
}

async fn retire(shared: &Shared) -> Result<(), DbError> {
    let mut connection = shared.database.write().await?;
    takeover::retire(&mut connection, shared.incarnation).await
}
