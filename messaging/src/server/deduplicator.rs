//! Which requests run and which were completed lately, so that a duplicate is recognised.

use std::sync::Arc;

use foldhash::HashMap;

use crate::latest_ids::LatestIds;

/// What to do with a delivery.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Occurrence<D> {
    /// Handle it, then [`Deduplicator::end`] it.
    New(D),
    /// Its work is done: acknowledge it.
    Completed(D),
    /// The same request is being handled at this moment (its connection broke, so the broker delivered it again): it was
    /// put with the first and comes out of [`Deduplicator::end`].
    Running,
}

/// The table of requests of one server, by their ids: a copy that another server made of what runs here is the same
/// request. `D` is a delivery.
#[derive(Debug)]
pub(super) struct Deduplicator<D> {
    running: HashMap<Arc<str>, Vec<D>>,
    completed: LatestIds,
}

impl<D> Deduplicator<D> {
    pub(super) fn new() -> Self {
        Self { running: HashMap::default(), completed: LatestIds::default() }
    }

    /// Looks at a delivery and, if it is new, notes that it runs.
    pub(super) fn begin(&mut self, id: &Arc<str>, delivery: D) -> Occurrence<D> {
        if self.completed.contains(id) {
            return Occurrence::Completed(delivery);
        }
        if let Some(duplicates) = self.running.get_mut(id) {
            duplicates.push(delivery);
            return Occurrence::Running;
        }
        self.running.insert(Arc::clone(id), Vec::new());
        Occurrence::New(delivery)
    }

    /// Takes a duplicate of what runs that `fits`.
    pub(super) fn take_duplicate(&mut self, id: &str, fits: impl Fn(&D) -> bool) -> Option<D> {
        let duplicates = self.running.get_mut(id)?;
        let index = duplicates.iter().position(fits)?;
        Some(duplicates.swap_remove(index))
    }

    /// Ends what runs; returns the deliveries of the same request that came meanwhile, to be settled like the first.
    pub(super) fn end(&mut self, id: &Arc<str>, completed: bool) -> Vec<D> {
        if completed {
            self.completed.insert(Arc::clone(id));
        }
        self.running.remove(id).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latest_ids::CAPACITY;

    #[test]
    fn a_repetition_of_a_running_request_is_settled_with_the_first() {
        let mut deduplicator = Deduplicator::new();
        assert_eq!(deduplicator.begin(&"a".into(), 1), Occurrence::New(1));
        assert_eq!(deduplicator.begin(&"a".into(), 2), Occurrence::Running);
        assert_eq!(deduplicator.end(&"a".into(), true), vec![2]);
        assert_eq!(deduplicator.begin(&"a".into(), 3), Occurrence::Completed(3));
    }

    #[test]
    fn a_repetition_can_stand_in_for_the_first() {
        let mut deduplicator = Deduplicator::new();
        for delivery in 1..=3 {
            deduplicator.begin(&"a".into(), delivery);
        }
        assert_eq!(deduplicator.take_duplicate("a", |delivery| *delivery == 3), Some(3));
        assert_eq!(deduplicator.take_duplicate("a", |delivery| *delivery == 3), None);
        assert_eq!(deduplicator.take_duplicate("b", |_| true), None);
        assert_eq!(deduplicator.end(&"a".into(), true), vec![2]);
    }

    #[test]
    fn a_failed_request_may_come_again() {
        let mut deduplicator = Deduplicator::new();
        assert_eq!(deduplicator.begin(&"a".into(), 1), Occurrence::New(1));
        assert!(deduplicator.end(&"a".into(), false).is_empty());
        assert_eq!(deduplicator.begin(&"a".into(), 2), Occurrence::New(2));
    }

    #[test]
    fn only_the_latest_are_remembered() {
        let mut deduplicator = Deduplicator::new();
        for number in 0..=CAPACITY {
            let id = number.to_string().into();
            deduplicator.begin(&id, number);
            deduplicator.end(&id, true);
        }
        assert_eq!(deduplicator.begin(&"0".into(), 7), Occurrence::New(7));
        assert_eq!(deduplicator.begin(&"1".into(), 8), Occurrence::Completed(8));
    }
}
