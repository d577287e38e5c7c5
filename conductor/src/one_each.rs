//! At most one task at a time for each of many things.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Remembers for which keys a task runs, and for which it is to run once more because it was asked for meanwhile.
#[derive(Debug)]
pub(crate) struct OneEach<K: Eq + Hash>(Mutex<HashMap<K, bool>>);

/// Held by the task that runs for a key. However the task ends, another one may run then.
#[derive(Debug)]
pub(crate) struct RunGuard<K: Eq + Hash> {
    of: Arc<OneEach<K>>,
    /// Gone when the run has ended.
    key: Option<K>,
}

impl<K: Eq + Hash + Clone> OneEach<K> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(HashMap::new())))
    }

    /// For the caller to run the task. `None`: it runs already, and will run once more.
    pub(crate) fn begin(self: &Arc<Self>, key: K) -> Option<RunGuard<K>> {
        let mut running = self.running();
        if let Some(once_more) = running.get_mut(&key) {
            *once_more = true;
            return None;
        }
        running.insert(key.clone(), false);
        Some(RunGuard { of: Arc::clone(self), key: Some(key) })
    }

    /// Whether the task runs for this key.
    pub(crate) fn runs(&self, key: &K) -> bool {
        self.running().contains_key(key)
    }
}

impl<K: Eq + Hash> OneEach<K> {
    fn running(&self) -> MutexGuard<'_, HashMap<K, bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> RunGuard<K> {
    /// Whether the task that has just run is to run once more; if not, the run has ended.
    pub(crate) fn once_more(&mut self) -> bool {
        let Some(key) = &self.key else { return false };
        let mut running = self.of.running();
        if let Some(once_more) = running.get_mut(key)
            && *once_more
        {
            *once_more = false;
            return true;
        }
        running.remove(key);
        drop(running);
        self.key = None;
        false
    }
}

impl<K: Eq + Hash> Drop for RunGuard<K> {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.of.running().remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_while_it_runs_runs_once_more_and_only_once() {
        let running = OneEach::new();
        let mut guard = running.begin("host-1").unwrap();
        assert!(running.begin("host-1").is_none());
        assert!(running.begin("host-1").is_none());
        assert!(running.begin("host-2").is_some());
        assert!(guard.once_more());
        assert!(!guard.once_more());
        // Another run does not end with what is left of this one.
        let another = running.begin("host-1").unwrap();
        drop(guard);
        assert!(running.runs(&"host-1"));
        drop(another);
    }

    #[test]
    fn a_task_that_breaks_off_leaves_its_key_to_others() {
        let running = OneEach::new();
        let guard = running.begin("host-1").unwrap();
        let broken = std::thread::spawn(move || {
            let _guard = guard;
            panic!("as a task may");
        });
        assert!(broken.join().is_err());
        assert!(!running.runs(&"host-1"));
        assert!(running.begin("host-1").is_some());
    }
}
