//! One thing at a time for each instance.
//!
//! Who works on an instance holds its [`InstanceLock`]; others wait for it in order. What may begin during other
//! operations (a delete, a hard reboot) takes over: it cancels whoever holds the lock or waits for it, and comes next.

use std::{collections::HashMap, sync::Arc};

use novella_common::ids::InstanceUuid;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

type Entries = Mutex<HashMap<InstanceUuid, Arc<Entry>>>;

/// The locks of the instances that somebody works on or waits for; an instance at rest has none.
#[derive(Debug, Default)]
pub(super) struct InstanceLocks {
    entries: Arc<Entries>,
}

#[derive(Debug, Default)]
struct Entry {
    held: Arc<tokio::sync::Mutex<()>>,
    /// Cancelled, and replaced, by whoever takes over.
    cancelled: Mutex<CancellationToken>,
}

/// Keeps an instance's entry; the entry goes with the last of them.
#[derive(Debug)]
struct Reference {
    entries: Arc<Entries>,
    instance: InstanceUuid,
    entry: Option<Arc<Entry>>,
}

impl Drop for Reference {
    fn drop(&mut self) {
        let mut entries = self.entries.lock();
        self.entry = None;
        // Nobody can get a reference in between: that needs the same lock.
        if entries.get(&self.instance).is_some_and(|entry| Arc::strong_count(entry) == 1) {
            entries.remove(&self.instance);
        }
    }
}

/// The right to work on one instance, until dropped.
#[derive(Debug)]
pub(super) struct InstanceLock {
    // Dropped before the reference, so that the entry is free when it goes.
    _held: OwnedMutexGuard<()>,
    cancelled: CancellationToken,
    _reference: Reference,
}

impl InstanceLock {
    /// Does the work, unless somebody takes over: then it is dropped where it stands, and the answer is `None`.
    pub(super) async fn run<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.cancelled.run_until_cancelled(work).await
    }
}

impl InstanceLocks {
    /// Waits for the instance's lock. `None`: somebody has taken over meanwhile, so there is nothing left to do.
    pub(super) async fn lock(&self, instance: InstanceUuid) -> Option<InstanceLock> {
        let (reference, entry) = self.reference(instance);
        let cancelled = entry.cancelled.lock().clone();
        wait(reference, &entry, cancelled).await
    }

    /// Cancels whoever works on the instance or waits for it, and waits until they are out of the way.
    pub(super) async fn take_over(&self, instance: InstanceUuid) -> Option<InstanceLock> {
        let (reference, entry) = self.reference(instance);
        let cancelled = CancellationToken::new();
        std::mem::replace(&mut *entry.cancelled.lock(), cancelled.clone()).cancel();
        wait(reference, &entry, cancelled).await
    }

    /// Whether nobody works on the instance or waits to.
    pub(super) fn is_free(&self, instance: InstanceUuid) -> bool {
        !self.entries.lock().contains_key(&instance)
    }

    fn reference(&self, instance: InstanceUuid) -> (Reference, Arc<Entry>) {
        let entry = self.entries.lock().entry(instance).or_default().clone();
        (Reference { entries: self.entries.clone(), instance, entry: Some(entry.clone()) }, entry)
    }
}

async fn wait(reference: Reference, entry: &Entry, cancelled: CancellationToken) -> Option<InstanceLock> {
    let held = cancelled.run_until_cancelled(entry.held.clone().lock_owned()).await?;
    // Both may have come at once: the one taken over gives way, and the one who takes over was cancelled by neither.
    (!cancelled.is_cancelled()).then_some(InstanceLock { _held: held, cancelled, _reference: reference })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that can't go on fails there")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_takeover_cancels_the_work_and_those_who_wait() {
        let locks = Arc::new(InstanceLocks::default());
        let instance = InstanceUuid::random();
        let first = locks.lock(instance).await.unwrap();
        let waiting = tokio::spawn({
            let locks = locks.clone();
            async move { locks.lock(instance).await.is_none() }
        });
        tokio::task::yield_now().await;
        let work = tokio::spawn(async move { first.run(std::future::pending::<()>()).await });
        let second = locks.take_over(instance).await.unwrap();
        assert_eq!(work.await.unwrap(), None);
        assert!(waiting.await.unwrap());
        assert_eq!(second.run(async { 1 }).await, Some(1));
        drop(second);
        assert!(locks.is_free(instance));
    }
}
