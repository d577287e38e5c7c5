//! Which subscriptions cannot consume at the moment, and why. A connection that is up does not prove that its
//! subscriptions consume.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The failing subscriptions of a transport. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct SubscriptionHealth(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    next: u64,
    failing: BTreeMap<u64, (Instant, String)>,
}

impl SubscriptionHealth {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An entry for one more subscription.
    pub(super) fn register(&self) -> HealthEntry {
        let mut table = self.lock();
        table.next += 1;
        HealthEntry { number: table.next, subscriptions: self.clone() }
    }

    /// The failure that has lasted longest: since when, and why.
    pub(super) fn oldest_failure(&self) -> Option<(Instant, String)> {
        self.lock().failing.values().min_by_key(|(since, _)| *since).cloned()
    }
}

/// The health of one subscription. It counts no more when dropped.
#[derive(Debug)]
pub(super) struct HealthEntry {
    number: u64,
    subscriptions: SubscriptionHealth,
}

impl HealthEntry {
    /// The subscription does not consume, for this reason.
    pub(super) fn fail(&self, reason: &str) {
        let mut table = self.subscriptions.lock();
        let entry = table.failing.entry(self.number).or_insert_with(|| (Instant::now(), String::new()));
        entry.1 = reason.to_owned();
    }

    /// Why it does not consume; `None` if it does.
    pub(super) fn reason(&self) -> Option<String> {
        self.subscriptions.lock().failing.get(&self.number).map(|(_, reason)| reason.clone())
    }

    /// The subscription consumes again.
    pub(super) fn recover(&self) {
        self.subscriptions.lock().failing.remove(&self.number);
    }
}

impl Drop for HealthEntry {
    fn drop(&mut self) {
        self.recover();
    }
}
