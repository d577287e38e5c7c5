//! What handlers stand on: the database, the ways to the other services, the configuration.

use std::{ops::Deref, sync::Arc};

use novella_common::{
    config::ServiceConfig,
    db::Database,
    service::{Readiness, ServiceIdentity},
};
use novella_compute::rpcapi::ComputeClient;
use novella_conductor::rpcapi::ConductorClient;
use novella_messaging::Transport;
use novella_scheduler::rpcapi::SchedulerClient;

use crate::{
    config::ApiConfig,
    identity::{PasswordChecks, TokenCache},
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
    pub(crate) config: ApiConfig,
    pub(crate) service: ServiceConfig,
    pub(crate) readiness: Readiness,
    pub(crate) tokens: TokenCache,
    pub(crate) passwords: PasswordChecks,
}

impl Api {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        database: Database,
        transport: &Transport,
        config: ApiConfig,
        service: ServiceConfig,
        _identity: &ServiceIdentity,
    ) -> Self {
        Self(Arc::new(Parts {
            scheduler: SchedulerClient::new(transport),
            conductor: ConductorClient::new(transport),
            compute: ComputeClient::new(transport),
            readiness: Readiness::new().bus(transport).database(&database),
            database,
            config,
            service,
            tokens: TokenCache::default(),
            passwords: PasswordChecks::default(),
        }))
    }
}

impl Deref for Api {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
