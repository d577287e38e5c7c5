//! The scheduler as a service: starts, says that it is there, stops.

use std::{sync::Arc, time::Duration};

use novella_common::{
    config::ServiceConfig,
    db::{Database, DbError, takeover},
    ids::Incarnation,
    networks::Networks,
    service::{self, Grace, Readiness, ServiceIdentity, Shutdown},
    traces,
};
use novella_messaging::{MessagingError, RpcServer, Target, Transport};

use crate::{
    Placer, SchedulerConfig, SchedulerManager, filters,
    rpcapi::{SchedulerClient, SchedulerEndpoint},
};

/// Why a scheduler could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database can't be written.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The bus refuses.
    #[error(transparent)]
    Messaging(#[from] MessagingError),
    /// `scheduler.enabled_filters` holds a name that is no filter's.
    #[error("scheduler.enabled_filters: there is no filter '{name}'; there are {}", known())]
    UnknownFilter {
        /// The name.
        name: String,
    },
}

fn known() -> String {
    filters::DEFAULT.iter().chain(filters::OTHERS).map(|filter| filter.name()).collect::<Vec<_>>().join(", ")
}

/// A running scheduler.
pub struct SchedulerService {
    server: RpcServer,
    database: Database,
    incarnation: Incarnation,
    shutdown: Shutdown,
    readiness: Readiness,
    grace: Duration,
}

impl SchedulerService {
    /// Writes the service's row, then serves topic `scheduler`.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(
        database: Database,
        transport: Transport,
        networks: Arc<dyn Networks>,
        identity: ServiceIdentity,
        config: SchedulerConfig,
        service_config: ServiceConfig,
        shutdown: &Shutdown,
    ) -> Result<Self, StartError> {
        let shutdown = shutdown.child();
        service::announce(&database, &identity).await?;
        service::keep_alive(database.clone(), identity.clone(), service_config.report_interval, &shutdown);
        let placer = Placer::start(database.clone(), identity.incarnation, &config, service_config.service_down_time)
            .map_err(|name| StartError::UnknownFilter { name })?;
        let manager = Arc::new(SchedulerManager::new(placer, &transport, networks));
        let target = Target::new(SchedulerClient::TOPIC).server(identity.host.clone());
        let server = RpcServer::builder(&transport, target)
            .endpoint(SchedulerEndpoint::new(manager))
            .endpoint(traces::endpoint())
            .concurrency(config.concurrency.max(1))
            .start()
            .await?;
        tracing::info!(host = identity.host, incarnation = %identity.incarnation, "scheduler started");
        Ok(Self {
            server,
            shutdown,
            readiness: Readiness::new().bus(&transport).database(&database),
            database,
            incarnation: identity.incarnation,
            grace: service_config.graceful_shutdown_timeout,
        })
    }

    /// What it needs to be ready.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Takes no more requests, finishes those in hand within `graceful_shutdown_timeout`, and ends the heartbeat last,
    /// so that what is still in hand is not taken for orphaned.
    pub async fn stop(self) {
        let grace = Grace::begin(self.grace);
        self.stop_within(grace).await;
    }

    /// The same within what is left of a grace.
    pub async fn stop_within(self, grace: Grace) {
        let Self { server, database, incarnation, shutdown, .. } = self;
        server.stop(grace.left()).await;
        shutdown.request();
        shutdown.finished(grace.left()).await;
        if let Err(error) = retire(&database, incarnation).await {
            tracing::warn!(%error, "what was in hand is taken over only when the last heartbeat is old");
        }
        tracing::info!("scheduler stopped");
    }
}

async fn retire(database: &Database, incarnation: Incarnation) -> Result<(), DbError> {
    let mut connection = database.write().await?;
    takeover::retire(&mut connection, incarnation).await
}
