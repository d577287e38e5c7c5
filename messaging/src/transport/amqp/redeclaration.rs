//! When a subscription declares again what it needs.

use std::time::Duration;

use super::connection;

/// How many of a transport's subscriptions declare all again in a second at most.
const MAX_PER_SECOND: f64 = 10.0;

/// The pauses between declarations: long ones after those that succeed, since each is work for the broker; short and growing
/// ones after those that fail, since nothing comes from a queue that can't be declared and health says so until it can.
pub(super) struct RedeclarationSchedule {
    interval: Duration,
    max_backoff: Duration,
    /// Those after failures, since the last success.
    backoff: Option<Box<dyn Iterator<Item = Duration> + Send>>,
}

impl RedeclarationSchedule {
    /// Declares each `interval` while that succeeds, and pauses up to `max_backoff` after failures.
    pub(super) fn new(interval: Duration, max_backoff: Duration) -> Self {
        Self { interval, max_backoff, backoff: None }
    }

    /// The pause after a success, or before the first time; of a transport with so many subscriptions.
    pub(super) fn after_success(&mut self, subscriptions: usize) -> Duration {
        self.backoff = None;
        #[expect(clippy::cast_precision_loss, reason = "a number of subscriptions")]
        let at_most = Duration::from_secs_f64(subscriptions as f64 / MAX_PER_SECOND);
        self.interval.max(at_most).mul_f64(rand::random_range(0.5..1.0))
    }

    /// The pause after a failure.
    pub(super) fn after_failure(&mut self) -> Duration {
        let backoff = self.backoff.get_or_insert_with(|| Box::new(connection::backoff(self.max_backoff)));
        backoff.next().unwrap_or(self.max_backoff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_tried_again_soon_and_what_succeeded_after_the_interval() {
        let (interval, longest) = (Duration::from_secs(30), Duration::from_secs(5));
        let mut schedule = RedeclarationSchedule::new(interval, longest);
        for _ in 0..2 {
            assert!(schedule.after_success(1) >= interval / 2);
            assert!(schedule.after_failure() <= Duration::from_millis(100));
            let later: Vec<_> = (0..12).map(|_| schedule.after_failure()).collect();
            assert!(later.iter().all(|pause| *pause <= longest) && later[11] >= longest / 2, "{later:?}");
        }
    }

    #[test]
    fn many_subscriptions_declare_less_often_each() {
        let mut schedule = RedeclarationSchedule::new(Duration::from_secs(30), Duration::from_secs(5));
        assert!(schedule.after_success(1) <= Duration::from_secs(30));
        assert!(schedule.after_success(1000) >= Duration::from_secs(50));
    }
}
