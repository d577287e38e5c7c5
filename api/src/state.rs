//! What handlers stand on: the database, the ways to the other services and components, the configuration.

use std::{fmt, ops::Deref, sync::Arc};

use novella_common::{
    config::ServiceConfig,
    db::{Connection, Database, DbError, listening},
    images::Images,
    models::FreshSince,
    networking_api::NetworkingApi,
    networks::Networks,
    projects::Projects,
};
use novella_compute::rpcapi::{ComputeClient, ComputeLiveMigrationClient};
use novella_conductor::rpcapi::ConductorClient;
use novella_messaging::Transport;
use novella_scheduler::rpcapi::SchedulerClient;

use crate::{
    cloud::Feed,
    compute::ServerWriter,
    config::{ApiConfig, QuotaConfig},
    host_calls::HostCalls,
    neighbours::{Bus, Neighbours},
};

/// What every handler is given. Clones share it.
#[derive(Clone)]
pub struct Api(Arc<Parts>);

/// The parts of [`Api`].
pub struct Parts {
    pub(crate) database: Database,
    pub(crate) scheduler: SchedulerClient,
    pub(crate) conductor: ConductorClient,
    pub(crate) compute: ComputeClient,
    pub(crate) live_migration: ComputeLiveMigrationClient,
    /// Who waits for an answer of `compute`.
    pub(crate) host_calls: HostCalls,
    pub(crate) images: Arc<dyn Images>,
    pub(crate) networks: Arc<dyn Networks>,
    pub(crate) networking: Arc<dyn NetworkingApi>,
    pub(crate) transport: Transport,
    /// What AMQP does not tell of it.
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) server_writer: ServerWriter,
    /// What changes, for those who follow it.
    pub(crate) feed: Feed,
    pub(crate) projects: Arc<dyn Projects>,
    pub(crate) config: ApiConfig,
    pub(crate) quota: QuotaConfig,
    pub(crate) service: ServiceConfig,
}

impl Api {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        database: Database,
        transport: &Transport,
        neighbours: Neighbours,
        bus: Arc<dyn Bus>,
        config: ApiConfig,
        quota: QuotaConfig,
        service: ServiceConfig,
    ) -> Self {
        let Neighbours { images, projects, networks, networking } = neighbours;
        Self(Arc::new(Parts {
            scheduler: SchedulerClient::new(transport),
            conductor: ConductorClient::new(transport),
            compute: ComputeClient::new(transport),
            live_migration: ComputeLiveMigrationClient::new(transport),
            host_calls: HostCalls::new(config.max_calls_per_host),
            images,
            networks,
            networking,
            transport: transport.clone(),
            bus,
            server_writer: ServerWriter::default(),
            feed: Feed::new(database.clone(), service.clone(), config.max_event_streams),
            projects,
            database,
            config,
            quota,
            service,
        }))
    }
}

impl Parts {
    /// Since when a service must have been heard to count as up.
    pub(crate) async fn fresh_since(&self, connection: &mut Connection) -> Result<FreshSince, DbError> {
        listening::fresh_since(connection, self.service.service_down_time).await
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

impl Deref for Api {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
