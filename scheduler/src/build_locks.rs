//! One build of an instance at a time in this process.

use std::{
    collections::HashSet,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use novella_common::ids::InstanceUuid;
use tokio::sync::Notify;

/// The instances that handlers of this process are working on: one handler each. A second one waits for the first, since
/// it need not be a repetition: a host may fail a build, and the build be cast again, before the first handler has seen
/// the host's answer.
///
/// Two schedulers can't both win for another reason: the compare-and-swap in the row.
#[derive(Clone, Debug, Default)]
pub(crate) struct BuildLocks(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    instances: Mutex<HashSet<InstanceUuid>>,
    /// Some handler has ended.
    ended: Notify,
}

impl BuildLocks {
    /// Waits until no other handler works on the instance.
    pub(crate) async fn lock(&self, instance: InstanceUuid) -> BuildLock {
        loop {
            let mut ended = pin!(self.0.ended.notified());
            // From here on no end is missed.
            ended.as_mut().enable();
            if self.0.instances.lock().unwrap_or_else(PoisonError::into_inner).insert(instance) {
                return BuildLock { all: self.clone(), instance };
            }
            ended.await;
        }
    }
}

/// Held while a handler works on an instance; let go when dropped, also by a panic.
#[derive(Debug)]
pub(crate) struct BuildLock {
    all: BuildLocks,
    instance: InstanceUuid,
}

impl Drop for BuildLock {
    fn drop(&mut self) {
        self.all.0.instances.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.instance);
        self.all.0.ended.notify_waiters();
    }
}
