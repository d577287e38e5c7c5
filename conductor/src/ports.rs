//! Ports of instances that end are given back to Networking.
//!
//! | of | when |
//! | --- | --- |
//! | an instance that its host has removed | before it is marked as deleted, so that whoever sees it gone can delete its network |
//! | one that was deleted in another way, or could not be built | at the next search |
//!
//! An instance's row says that it may have ports (`has_ports`) before the first is asked for, and until the last is given
//! back. So what dies in between leaves work that is found, and no port without an owner.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use novella_common::{
    db::{
        DbError,
        instances::{self, ports},
    },
    ids::InstanceUuid,
    networks::{self, NetworkError},
};

use crate::shared::Shared;

/// How many instances' ports are given back together.
const BATCH: usize = 200;

/// How long Networking may take to do so.
const NETWORKING_TIMEOUT: Duration = Duration::from_secs(30);

/// Gives ports back.
pub(crate) struct Ports {
    shared: Arc<Shared>,
}

impl Ports {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Gives back the ports of instances that have left their hosts, and marks them as deleted, in the background. If this
    /// conductor dies, the search for deletions without a host finds them.
    pub(crate) fn delete_without(self: &Arc<Self>, left: Vec<InstanceUuid>) {
        if left.is_empty() {
            return;
        }
        let this = Arc::clone(self);
        self.shared.shutdown.spawn(async move {
            for part in left.chunks(BATCH) {
                if let Err(error) = this.delete(part).await {
                    tracing::warn!(%error, instances = part.len(), "their deletion is left to the search");
                }
            }
        });
    }

    async fn delete(&self, left: &[InstanceUuid]) -> Result<(), DbError> {
        let owners = {
            let mut connection = self.shared.database.read().await?;
            ports::of_gone(&mut connection, left).await?
        };
        let given_back = self.give_back(&owners).await.is_ok();
        let mut transaction = self.shared.database.begin().await?;
        instances::lock_in_order(&mut transaction, left).await?;
        let left = ports::left_hosts(&mut transaction, left).await?;
        instances::mark_deleted(&mut transaction, &left).await?;
        if given_back {
            ports::none_left(&mut transaction, &left).await?;
        }
        transaction.commit().await
    }

    /// Gives back what nobody has given back.
    pub(crate) async fn search(&self) -> Result<(), DbError> {
        loop {
            let settled = Timestamp::now() - ports::SETTLED_AFTER;
            let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
            let found = {
                let mut connection = self.shared.database.read().await?;
                ports::to_give_back(&mut connection, settled, limit).await?
            };
            if found.is_empty() {
                return Ok(());
            }
            let together = self.give_back(&found).await;
            let mut instances: Vec<InstanceUuid> = Vec::new();
            match &together {
                Ok(()) => instances.extend(found.iter().map(|(instance, _)| *instance)),
                // It may be the fault of one of them, which the others need not bear.
                Err(NetworkError::Refused { .. }) if found.len() > 1 => {
                    for owner in &found {
                        if self.give_back(std::slice::from_ref(owner)).await.is_ok() {
                            instances.push(owner.0);
                        }
                    }
                }
                Err(_) => {}
            }
            let mut transaction = self.shared.database.begin().await?;
            instances::lock_in_order(&mut transaction, &instances).await?;
            ports::given_back(&mut transaction, &instances, settled).await?;
            transaction.commit().await?;
            if together.is_err() || found.len() < BATCH {
                return Ok(());
            }
        }
    }

    /// Has Networking take all of them.
    async fn give_back(&self, owners: &[(InstanceUuid, Vec<String>)]) -> Result<(), NetworkError> {
        let given_back = networks::within(NETWORKING_TIMEOUT, self.shared.networks.deallocate(owners)).await;
        given_back.inspect_err(|error| {
            tracing::warn!(%error, instances = owners.len(), "ports are given back later");
        })
    }
}
