//! Servers show what Networking says of them, also where nobody has told of a change: from time to time some are asked about,
//! one after the other through all of them.
//!
//! Networking tells of what it changes, and then a server shows it at once. What is told can be lost: a process ends between
//! its commit and the telling, a Networking elsewhere can't reach this cloud, or tells nothing. Nova calls this healing
//! (`_heal_instance_info_cache` in nova/compute/manager.py, 34.0.0), and each of its compute hosts does it.

use std::sync::Arc;

use novella_common::{
    db::instances::network_refresh::{Place, RefreshError, at_rest_after, refresh},
    ids::InstanceUuid,
};

use crate::{reconcile::Reconciler, shared::Shared};

/// How many hosts' servers are looked through at most for those that are asked about together.
const HOSTS: usize = 100;

/// Goes through the servers that are at rest on the hosts that this conductor looks after, again and again.
pub(crate) struct NetworkRefresh {
    shared: Arc<Shared>,
    reconciler: Arc<Reconciler>,
    /// Behind the last one that was asked about; `None`: at the beginning.
    place: Option<Place>,
}

impl NetworkRefresh {
    pub(crate) fn new(shared: Arc<Shared>, reconciler: Arc<Reconciler>) -> Self {
        Self { shared, reconciler, place: None }
    }

    /// Asks about some each `network_refresh_interval`, until stopping is asked for.
    pub(crate) async fn run(mut self) {
        let interval = self.shared.config.network_refresh_interval;
        let shutdown = self.shared.shutdown.clone();
        if interval.is_zero() {
            return;
        }
        while shutdown.pause(interval).await {
            let some = self.some();
            tokio::select! {
                asked = some => if let Err(error) = asked {
                    tracing::warn!(%error, "Networking does not say what servers have; it is asked later");
                },
                () = shutdown.requested() => return,
            }
        }
    }

    async fn some(&mut self) -> Result<(), RefreshError> {
        let mut hosts = self.reconciler.hosts_to_look_after().await?;
        hosts.sort_unstable();
        hosts.retain(|host| self.place.as_ref().is_none_or(|(last, _)| host >= last));
        let are_all = hosts.len() <= HOSTS;
        hosts.truncate(HOSTS);
        let most = self.shared.config.network_refresh_batch.max(1);
        let found = {
            let mut connection = self.shared.database.read().await?;
            let limit = i64::try_from(most).unwrap_or(i64::MAX);
            at_rest_after(&mut connection, &hosts, self.place.as_ref(), limit).await?
        };
        let instances: Vec<InstanceUuid> = found.iter().map(|(_, instance)| *instance).collect();
        if !instances.is_empty() {
            refresh(&self.shared.database, &*self.shared.networks, &instances).await?;
        }
        self.place = match found.last() {
            Some(last) if found.len() >= most => Some(last.clone()),
            _ if are_all => None,
            _ => hosts.pop().map(|host| (host, InstanceUuid(uuid::Uuid::max()))),
        };
        Ok(())
    }
}
