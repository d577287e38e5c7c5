//! Compute's servers in the same database: they show what Networking says they have.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use novella_common::{
    db::{Database, instances::network_refresh::refresh},
    ids::InstanceUuid,
    networks::Networks,
};
use novella_network::{DeviceChanges, DeviceWatcher};

/// Servers that are looked at together.
const AT_ONCE: usize = 500;

/// Writes into the rows of servers what Networking says of them now.
pub struct ServersHere {
    database: Database,
    networks: Arc<dyn Networks>,
}

impl std::fmt::Debug for ServersHere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServersHere").finish_non_exhaustive()
    }
}

impl ServersHere {
    /// In this database, by what `networks` says.
    #[must_use]
    pub fn new(database: Database, networks: Arc<dyn Networks>) -> Self {
        Self { database, networks }
    }
}

impl DeviceWatcher for ServersHere {
    fn changed(&self, changes: DeviceChanges) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let uuids: Vec<InstanceUuid> = changes.devices.iter().filter_map(|device| device.parse().ok()).collect();
            for uuids in uuids.chunks(AT_ONCE) {
                if let Err(error) = refresh(&self.database, &*self.networks, uuids).await {
                    tracing::error!(%error, servers = uuids.len(), "servers do not show what Networking has changed");
                }
            }
        })
    }
}
