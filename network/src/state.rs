//! What the handlers stand on.

use std::{fmt, ops::Deref, sync::Arc};

use jiff::Timestamp;
use novella_common::db::Database;

use crate::config::NetworkConfig;

/// The Networking component. Clones share it.
#[derive(Clone)]
pub struct Networking(Arc<Parts>);

/// The parts of [`Networking`].
pub struct Parts {
    pub(crate) database: Database,
    pub(crate) config: NetworkConfig,
    /// When it started.
    pub(crate) since: Timestamp,
}

impl Networking {
    /// On this database.
    #[must_use]
    pub fn new(database: Database, config: NetworkConfig) -> Self {
        Self(Arc::new(Parts { database, config, since: Timestamp::now() }))
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
