//! The compute hosts of one machine, with a conductor that does as the test says.

use std::{ops::Deref, sync::Arc, time::Duration};

use novella_common::{
    models::Binary,
    service::{ServiceIdentity, Shutdown},
};
use novella_compute::{ComputeConfig, ComputeService, Stores, virt::fake::FakeConfig};
use novella_fakes::FakeConductor;
pub(crate) use novella_fakes::{Row, ctx, server};

/// A conductor, its bus and its rows, and the files of one machine's hosts.
#[derive(Clone)]
pub(crate) struct Cloud {
    conductor: FakeConductor,
    pub(crate) stores: Arc<Stores>,
    /// Between two heartbeats.
    pub(crate) beat: Duration,
}

impl Deref for Cloud {
    type Target = FakeConductor;

    fn deref(&self) -> &FakeConductor {
        &self.conductor
    }
}

/// A configuration without delays.
pub(crate) fn instant() -> ComputeConfig {
    ComputeConfig { fake: FakeConfig::instant(), lost_build_after: Duration::from_millis(10), ..Default::default() }
}

impl Cloud {
    pub(crate) async fn new() -> Self {
        Self::with(Stores::ephemeral().unwrap()).await
    }

    pub(crate) async fn with(stores: Stores) -> Self {
        Self { conductor: FakeConductor::new().await, stores: Arc::new(stores), beat: Duration::from_secs(10) }
    }

    /// The same rows and bus with other files: a host that starts on them has lost its own.
    pub(crate) fn on(&self, stores: Stores) -> Self {
        Self { stores: Arc::new(stores), ..self.clone() }
    }

    /// The same rows and bus with this directory's files, as soon as their last user has let go of them.
    pub(crate) async fn reopened(self, path: &std::path::Path) -> Self {
        let without_files = self.on(Stores::ephemeral().unwrap());
        drop(self);
        loop {
            match Stores::open(path) {
                Ok(stores) => return without_files.on(stores),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Starts a host and waits until it works.
    pub(crate) async fn start(&self, host: &str, config: ComputeConfig) -> ComputeService {
        let service = self.start_only(host, config, &Shutdown::new()).await;
        assert!(service.ready().await);
        service
    }

    pub(crate) async fn start_only(&self, host: &str, config: ComputeConfig, shutdown: &Shutdown) -> ComputeService {
        let identity = ServiceIdentity::new(Binary::Compute, host);
        ComputeService::start(&self.transport, identity, config, self.stores.clone(), self.beat, shutdown.clone())
            .await
            .unwrap()
    }
}
