//! What the handlers stand on.

use std::{fmt, ops::Deref, sync::Arc};

use jiff::Timestamp;
use novella_common::db::Database;

use crate::{config::NetworkConfig, watch::DeviceWatcher};

/// The Networking component. Clones share it.
#[derive(Clone)]
pub struct Networking(Arc<Parts>);

/// The parts of [`Networking`].
pub struct Parts {
    pub(crate) database: Database,
    pub(crate) config: NetworkConfig,
    /// When it started.
    pub(crate) since: Timestamp,
    /// Who is told what has changed for devices.
    pub(crate) watcher: Option<Arc<dyn DeviceWatcher>>,
}

impl Networking {
    /// On this database.
    #[must_use]
    pub fn new(database: Database, config: NetworkConfig) -> Self {
        Self(Arc::new(Parts { database, config, since: Timestamp::now(), watcher: None }))
    }

    /// The same, with somebody who is told what has changed for devices.
    #[must_use]
    pub fn watched(database: Database, config: NetworkConfig, watcher: Arc<dyn DeviceWatcher>) -> Self {
        Self(Arc::new(Parts { database, config, since: Timestamp::now(), watcher: Some(watcher) }))
    }
}

impl fmt::Debug for Networking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Networking").finish_non_exhaustive()
    }
}

impl Deref for Networking {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
