//! Which requests run and which were completed lately, so that a repetition is recognised.

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};

/// How many completed requests are remembered. A repetition comes right after a broken connection, so a few seconds'
/// worth suffice.
const REMEMBERED: usize = 4096;

/// What to do with a delivery.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing<D> {
    /// Handle it, then [`Progress::end`] it.
    New(D),
    /// Its work is done: acknowledge it.
    Completed(D),
    /// The same request is being handled at this moment (its connection broke, so the broker delivered it again): it was
    /// put with the first and comes out of [`Progress::end`].
    Running,
}

/// The table of requests of one server, by their ids: a copy that another server made of what runs here is the same
/// request. `D` is a delivery.
#[derive(Debug)]
pub(super) struct Progress<D> {
    running: HashMap<Arc<str>, Vec<D>>,
    completed: HashSet<Arc<str>>,
    /// The same ids, oldest first.
    order: VecDeque<Arc<str>>,
}

impl<D> Progress<D> {
    pub(super) fn new() -> Self {
        Self { running: HashMap::default(), completed: HashSet::default(), order: VecDeque::new() }
    }

    /// Looks at a delivery and, if it is new, notes that it runs.
    pub(super) fn begin(&mut self, id: &Arc<str>, delivery: D) -> Standing<D> {
        if self.completed.contains(id) {
            return Standing::Completed(delivery);
        }
        if let Some(repetitions) = self.running.get_mut(id) {
            repetitions.push(delivery);
            return Standing::Running;
        }
        self.running.insert(Arc::clone(id), Vec::new());
        Standing::New(delivery)
    }

    /// Takes a repetition of what runs that `fits`.
    pub(super) fn take_repetition(&mut self, id: &str, fits: impl Fn(&D) -> bool) -> Option<D> {
        let repetitions = self.running.get_mut(id)?;
        let place = repetitions.iter().position(fits)?;
        Some(repetitions.swap_remove(place))
    }

    /// Ends what runs; returns the deliveries of the same request that came meanwhile, to be settled like the first.
    pub(super) fn end(&mut self, id: &Arc<str>, completed: bool) -> Vec<D> {
        if completed && self.completed.insert(Arc::clone(id)) {
            self.order.push_back(Arc::clone(id));
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.completed.remove(&oldest);
            }
        }
        self.running.remove(id).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repetition_of_a_running_request_is_settled_with_the_first() {
        let mut progress = Progress::new();
        assert_eq!(progress.begin(&"a".into(), 1), Standing::New(1));
        assert_eq!(progress.begin(&"a".into(), 2), Standing::Running);
        assert_eq!(progress.end(&"a".into(), true), vec![2]);
        assert_eq!(progress.begin(&"a".into(), 3), Standing::Completed(3));
    }

    #[test]
    fn a_repetition_can_stand_in_for_the_first() {
        let mut progress = Progress::new();
        for delivery in 1..=3 {
            progress.begin(&"a".into(), delivery);
        }
        assert_eq!(progress.take_repetition("a", |delivery| *delivery == 3), Some(3));
        assert_eq!(progress.take_repetition("a", |delivery| *delivery == 3), None);
        assert_eq!(progress.take_repetition("b", |_| true), None);
        assert_eq!(progress.end(&"a".into(), true), vec![2]);
    }

    #[test]
    fn a_failed_request_may_come_again() {
        let mut progress = Progress::new();
        assert_eq!(progress.begin(&"a".into(), 1), Standing::New(1));
        assert!(progress.end(&"a".into(), false).is_empty());
        assert_eq!(progress.begin(&"a".into(), 2), Standing::New(2));
    }

    #[test]
    fn only_the_latest_are_remembered() {
        let mut progress = Progress::new();
        for number in 0..=REMEMBERED {
            let id = number.to_string().into();
            progress.begin(&id, number);
            progress.end(&id, true);
        }
        assert_eq!(progress.begin(&"0".into(), 7), Standing::New(7));
        assert_eq!(progress.begin(&"1".into(), 8), Standing::Completed(8));
    }
}
