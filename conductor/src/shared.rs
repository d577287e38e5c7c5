//! What all parts of a conductor stand on.

use std::{sync::Arc, time::Duration};

use novella_common::{
    config::ServiceConfig,
    db::{Database, DbError, listening},
    ids::Incarnation,
    models::FreshSince,
    networks::Networks,
    service::{ServiceIdentity, Shutdown},
};
use novella_compute::rpcapi::{ComputeControlClient, ComputeLiveMigrationClient, ComputeMigrationClient};
use novella_messaging::Transport;
use novella_scheduler::rpcapi::SchedulerClient;

use crate::ConductorConfig;

/// What all parts of a conductor stand on.
pub(crate) struct Shared {
    pub(crate) database: Database,
    pub(crate) scheduler: SchedulerClient,
    pub(crate) live_migration: ComputeLiveMigrationClient,
    pub(crate) migration: ComputeMigrationClient,
    pub(crate) control: ComputeControlClient,
    /// Where the ports of instances are.
    pub(crate) networks: Arc<dyn Networks>,
    /// Whom the broker knows this conductor as.
    pub(crate) bus_user: Option<String>,
    /// Its name among conductors.
    pub(crate) host: String,
    /// This run: what rows that this conductor works on name as their owner.
    pub(crate) incarnation: Incarnation,
    pub(crate) config: ConductorConfig,
    pub(crate) report_interval: Duration,
    pub(crate) service_down_time: Duration,
    /// How long a server that was put aside is kept; zero: none is put aside.
    pub(crate) reclaim_instance_interval: Duration,
    /// Counts the spawned tasks and tells them to stop.
    pub(crate) shutdown: Shutdown,
}

impl Shared {
    pub(crate) fn new(
        database: Database,
        transport: &Transport,
        networks: Arc<dyn Networks>,
        identity: &ServiceIdentity,
        config: ConductorConfig,
        service: &ServiceConfig,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            database,
            scheduler: SchedulerClient::new(transport),
            live_migration: ComputeLiveMigrationClient::new(transport),
            migration: ComputeMigrationClient::new(transport),
            // What these say is said again at the host's next round.
            control: ComputeControlClient::new(transport).transient(),
            networks,
            bus_user: transport.user().map(str::to_owned),
            host: identity.host.clone(),
            incarnation: identity.incarnation,
            config,
            report_interval: service.report_interval,
            service_down_time: service.service_down_time,
            reclaim_instance_interval: service.reclaim_instance_interval,
            shutdown,
        }
    }

    /// Whoever was heard before this moment only counts as gone.
    pub(crate) async fn fresh_since(&self) -> Result<FreshSince, DbError> {
        let mut connection = self.database.read().await?;
        listening::fresh_since(&mut connection, self.service_down_time).await
    }
}
