//! The guests of one simulated host, in memory and on disk.

use std::collections::HashMap;

use novella_common::ids::InstanceUuid;
use parking_lot::Mutex;
use std::sync::Arc;
use uuid::Uuid;

use super::{guest::Guest, handover};
use crate::{
    rpcapi::ComputeError,
    store::{Change, Commit, Partition, Store, StoreError},
};

/// The guests. Each change is made under one lock and handed to the disk under it; nothing may be said to anybody on
/// the strength of a change before its commit is durable.
#[derive(Debug)]
pub(super) struct Hypervisor {
    guests: Mutex<HashMap<InstanceUuid, Guest>>,
    partition: Partition,
}

impl Hypervisor {
    /// The guests as an earlier process left them.
    pub(super) async fn open(store: &Arc<Store>, host: &str) -> Result<Self, StoreError> {
        let (partition, found) = Partition::open(store, host).await?;
        let mut guests = HashMap::new();
        for (key, value) in found {
            let uuid = Uuid::from_slice(&key).map_err(|error| partition.damaged(error))?;
            let mut guest: Guest = serde_json::from_slice(&value).map_err(|error| partition.damaged(error))?;
            // Not written back: it comes out the same after the next restart.
            handover::restart(&mut guest.transfer);
            guests.insert(InstanceUuid(uuid), guest);
        }
        Ok(Self { guests: Mutex::new(guests), partition })
    }

    /// Looks at a guest. Do not answer anybody outside with what is seen before [`Hypervisor::barrier`].
    pub(super) fn look<R>(&self, instance: InstanceUuid, look: impl FnOnce(Option<&Guest>) -> R) -> R {
        look(self.guests.lock().get(&instance))
    }

    /// Looks at all guests.
    pub(super) fn all<R>(&self, look: impl Fn(InstanceUuid, &Guest) -> R) -> Vec<R> {
        self.guests.lock().iter().map(|(instance, guest)| look(*instance, guest)).collect()
    }

    /// Changes, makes or removes a guest; an error changes nothing.
    pub(super) fn change(
        &self,
        instance: InstanceUuid,
        change: impl FnOnce(&mut Option<Guest>) -> Result<(), ComputeError>,
    ) -> Result<Commit, ComputeError> {
        let mut guests = self.guests.lock();
        let mut guest = guests.get(&instance).cloned();
        change(&mut guest)?;
        let value = match &guest {
            Some(guest) => Some(serde_json::to_vec(guest).map_err(|error| self.partition.damaged(error))?),
            None => None,
        };
        match guest {
            Some(guest) => guests.insert(instance, guest),
            None => guests.remove(&instance),
        };
        Ok(self.partition.submit(vec![Change { key: instance.0.as_bytes().to_vec(), value }], None))
    }

    /// Durable when everything is that can be seen now.
    pub(super) fn barrier(&self) -> Commit {
        self.partition.barrier()
    }
}

impl From<StoreError> for ComputeError {
    fn from(error: StoreError) -> Self {
        Self::Failed { message: error.to_string() }
    }
}
