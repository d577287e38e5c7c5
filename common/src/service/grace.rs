//! The time that a stop may take.

use std::time::Duration;

use tokio::time::Instant;

/// What each step of a stop is given at least.
const LEAST: Duration = Duration::from_secs(1);

/// The grace of a stop (`graceful_shutdown_timeout`), which its steps share: what one takes the next ones do not get.
#[derive(Clone, Copy, Debug)]
pub struct Grace {
    whole: Duration,
    begun: Instant,
}

impl Grace {
    /// From now on.
    #[must_use]
    pub fn begin(whole: Duration) -> Self {
        Self { whole, begun: Instant::now() }
    }

    /// What the steps before have left of it, and a second at least.
    #[must_use]
    pub fn left(self) -> Duration {
        self.whole.saturating_sub(self.begun.elapsed()).max(LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_a_step_takes_of_the_grace_the_next_ones_do_not_get() {
        let grace = Grace::begin(Duration::from_secs(30));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(grace.left(), Duration::from_secs(20));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(grace.left(), LEAST);
    }
}
