//! At most one task at a time for each of many things.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
};

/// Remembers for which keys a task runs, and for which it is to run once more because it was asked for meanwhile.
#[derive(Debug)]
pub(crate) struct OneEach<K>(Mutex<HashMap<K, bool>>);

impl<K: Eq + Hash + Clone> OneEach<K> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// Whether the caller is to run the task. If it runs already, it will run once more.
    pub(crate) fn begin(&self, key: &K) -> bool {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match running.get_mut(key) {
            Some(once_more) => {
                *once_more = true;
                false
            }
            None => {
                running.insert(key.clone(), false);
                true
            }
        }
    }

    /// Whether the task that has just run is to run once more; if not, it has ended.
    pub(crate) fn once_more(&self, key: &K) -> bool {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(once_more) = running.get_mut(key)
            && *once_more
        {
            *once_more = false;
            return true;
        }
        running.remove(key);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_while_it_runs_runs_once_more_and_only_once() {
        let running = OneEach::new();
        assert!(running.begin(&"host-1"));
        assert!(!running.begin(&"host-1"));
        assert!(!running.begin(&"host-1"));
        assert!(running.begin(&"host-2"));
        assert!(running.once_more(&"host-1"));
        assert!(!running.once_more(&"host-1"));
        assert!(running.begin(&"host-1"));
    }
}
