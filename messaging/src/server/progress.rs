//! Which requests run and which were completed lately, so that a repetition is recognised.

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};

/// How many completed requests are remembered. A repetition comes right after a broken connection,
/// so a few seconds' worth suffice.
const REMEMBERED: usize = 4096;

/// What to do with a delivery.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing<D> {
    /// Handle it, then [`Progress::end`] it.
    New(D),
    /// Its work is done: acknowledge it.
    Completed(D),
    /// The same message is being handled at this moment (its connection broke, so the broker
    /// delivered it again): it was put with the first and comes out of [`Progress::end`].
    Running,
}

/// A request's identity and how often it was delivered in vain. A copy made for another attempt has
/// the same id but a higher count, so it is never mistaken for a repetition of the attempt that
/// made it.
pub(super) type Attempt = (Arc<str>, u32);

/// The table of requests of one server. `D` is a delivery.
#[derive(Debug)]
pub(super) struct Progress<D> {
    running: HashMap<Attempt, Vec<D>>,
    completed: HashSet<Arc<str>>,
    /// The same ids, oldest first.
    order: VecDeque<Arc<str>>,
}

impl<D> Progress<D> {
    pub(super) fn new() -> Self {
        Self { running: HashMap::default(), completed: HashSet::default(), order: VecDeque::new() }
    }

    /// Looks at a delivery and, if it is new, notes that it runs.
    pub(super) fn begin(&mut self, attempt: &Attempt, delivery: D) -> Standing<D> {
        if self.completed.contains(&attempt.0) {
            return Standing::Completed(delivery);
        }
        if let Some(repetitions) = self.running.get_mut(attempt) {
            repetitions.push(delivery);
            return Standing::Running;
        }
        self.running.insert(attempt.clone(), Vec::new());
        Standing::New(delivery)
    }

    /// Ends an attempt; returns the deliveries of the same message that came meanwhile, to be
    /// settled like the first.
    pub(super) fn end(&mut self, attempt: &Attempt, completed: bool) -> Vec<D> {
        let repetitions = self.running.remove(attempt).unwrap_or_default();
        if completed && self.completed.insert(attempt.0.clone()) {
            self.order.push_back(attempt.0.clone());
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.completed.remove(&oldest);
            }
        }
        repetitions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(id: &str, deliveries: u32) -> Attempt {
        (id.into(), deliveries)
    }

    #[test]
    fn a_repetition_of_a_running_request_is_settled_with_the_first() {
        let mut progress = Progress::new();
        assert_eq!(progress.begin(&attempt("a", 0), 1), Standing::New(1));
        assert_eq!(progress.begin(&attempt("a", 0), 2), Standing::Running);
        assert_eq!(progress.end(&attempt("a", 0), true), vec![2]);
        assert_eq!(progress.begin(&attempt("a", 0), 3), Standing::Completed(3));
    }

    #[test]
    fn a_copy_for_another_attempt_is_not_taken_for_a_repetition() {
        let mut progress = Progress::new();
        assert_eq!(progress.begin(&attempt("a", 0), 1), Standing::New(1));
        assert_eq!(progress.begin(&attempt("a", 1), 2), Standing::New(2));
    }

    #[test]
    fn a_failed_request_may_come_again() {
        let mut progress = Progress::new();
        assert_eq!(progress.begin(&attempt("a", 0), 1), Standing::New(1));
        assert!(progress.end(&attempt("a", 0), false).is_empty());
        assert_eq!(progress.begin(&attempt("a", 0), 2), Standing::New(2));
    }

    #[test]
    fn only_the_latest_are_remembered() {
        let mut progress = Progress::new();
        for number in 0..=REMEMBERED {
            let attempt = attempt(&number.to_string(), 0);
            progress.begin(&attempt, number);
            progress.end(&attempt, true);
        }
        assert_eq!(progress.begin(&attempt("0", 0), 7), Standing::New(7));
        assert_eq!(progress.begin(&attempt("1", 0), 8), Standing::Completed(8));
    }
}
