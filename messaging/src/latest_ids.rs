//! The ids of the latest messages that something has seen, so that one which comes again is recognised.

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::HashSet;

/// So many are remembered. What comes again comes right after a broken connection: it is more than a broker gives ahead of
/// acknowledgements, and than a server completes in a few seconds.
pub(crate) const CAPACITY: usize = 4096;

/// The latest ids.
#[derive(Debug, Default)]
pub(crate) struct LatestIds {
    ids: HashSet<Arc<str>>,
    /// The oldest first.
    order: VecDeque<Arc<str>>,
}

impl LatestIds {
    pub(crate) fn contains(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// Forgets the oldest if there are too many.
    pub(crate) fn insert(&mut self, id: impl Into<Arc<str>>) {
        let id = id.into();
        if !self.ids.insert(Arc::clone(&id)) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_ids_are_known() {
        let mut latest = LatestIds::default();
        for number in 0..=CAPACITY {
            latest.insert(number.to_string());
            latest.insert(number.to_string());
        }
        assert!(!latest.contains("0") && latest.contains("1") && latest.contains(&CAPACITY.to_string()));
        assert_eq!((latest.ids.len(), latest.order.len()), (CAPACITY, CAPACITY));
    }
}
