//! Which notifications a listener has had in hand and lives on.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// So many are remembered: more than a broker gives a listener ahead of its acknowledgements.
const CAPACITY: usize = 4096;

/// The latest ids.
#[derive(Debug, Default)]
pub(super) struct KnownIds {
    ids: HashSet<Arc<str>>,
    /// The oldest first.
    order: VecDeque<Arc<str>>,
}

impl KnownIds {
    pub(super) fn contains(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// Forgets the oldest if there are too many.
    pub(super) fn insert(&mut self, id: &str) {
        let id: Arc<str> = id.into();
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
        let mut known = KnownIds::default();
        for number in 0..=CAPACITY {
            known.insert(&number.to_string());
            known.insert(&number.to_string());
        }
        assert!(!known.contains("0") && known.contains("1") && known.contains(&CAPACITY.to_string()));
        assert_eq!((known.ids.len(), known.order.len()), (CAPACITY, CAPACITY));
    }
}
