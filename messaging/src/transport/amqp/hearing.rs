//! Which subscriptions cannot consume at the moment, and why: a connection that stands is no proof
//! that anything is heard on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The table of a transport's deaf subscriptions. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Hearing(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    next: u64,
    deaf: BTreeMap<u64, (Instant, String)>,
}

impl Hearing {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place in the table for one subscription.
    pub(super) fn register(&self) -> Ear {
        let mut table = self.lock();
        table.next += 1;
        Ear { number: table.next, hearing: self.clone() }
    }

    /// Since when some subscription hears nothing, and why.
    pub(super) fn deaf(&self) -> Option<(Instant, String)> {
        self.lock().deaf.values().min_by_key(|(since, _)| *since).cloned()
    }
}

/// One subscription's place; it is cleared when the subscription ends.
#[derive(Debug)]
pub(super) struct Ear {
    number: u64,
    hearing: Hearing,
}

impl Ear {
    /// It hears nothing, for this reason.
    pub(super) fn lose(&self, reason: &str) {
        let mut table = self.hearing.lock();
        let entry = table.deaf.entry(self.number).or_insert_with(|| (Instant::now(), String::new()));
        entry.1 = reason.to_owned();
    }

    /// Why it hears nothing, if so.
    pub(super) fn reason(&self) -> Option<String> {
        self.hearing.lock().deaf.get(&self.number).map(|(_, reason)| reason.clone())
    }

    /// It hears again.
    pub(super) fn regain(&self) {
        self.hearing.lock().deaf.remove(&self.number);
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.regain();
    }
}
