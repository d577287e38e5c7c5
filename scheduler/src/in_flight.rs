//! What this process is working on.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use novella_common::ids::InstanceUuid;

/// The instances that handlers of this process are working on, so that a message which comes twice is worked on once.
/// Two schedulers can't both win for another reason: the compare-and-swap in the row.
#[derive(Clone, Debug, Default)]
pub(crate) struct InFlight(Arc<Mutex<HashSet<InstanceUuid>>>);

impl InFlight {
    /// Begins to work on an instance; `None` if a handler already does.
    pub(crate) fn begin(&self, instance: InstanceUuid) -> Option<Working> {
        let new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(instance);
        new.then(|| Working { all: self.clone(), instance })
    }
}

/// Ends the work when dropped, also by a panic.
#[derive(Debug)]
pub(crate) struct Working {
    all: InFlight,
    instance: InstanceUuid,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.instance);
    }
}
