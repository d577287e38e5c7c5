//! Requests that wait for an answer of a compute host: only so many for each host, so that one that hangs keeps nobody
//! waiting but those who ask it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How many requests wait for each host.
#[derive(Clone, Debug)]
pub(crate) struct HostCalls {
    limit: usize,
    waiting: Arc<Mutex<HashMap<String, usize>>>,
}

/// One request that waits. Dropped, it does so no longer.
#[derive(Debug)]
pub(crate) struct HostCall {
    host: String,
    calls: HostCalls,
}

impl HostCalls {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, waiting: Arc::default() }
    }

    /// One more for this host; `None` if as many wait for it as may.
    pub(crate) fn begin(&self, host: &str) -> Option<HostCall> {
        let mut waiting = self.lock();
        let count = waiting.get(host).copied().unwrap_or(0);
        if count >= self.limit {
            return None;
        }
        waiting.insert(host.to_owned(), count + 1);
        Some(HostCall { host: host.to_owned(), calls: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        // Each change is one call.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for HostCall {
    fn drop(&mut self) {
        let mut waiting = self.calls.lock();
        match waiting.get_mut(&self.host) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                waiting.remove(&self.host);
            }
        }
    }
}
