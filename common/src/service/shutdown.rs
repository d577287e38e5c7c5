//! How a service stops: one token that all tasks watch, one tracker that counts them.
//!
//! ```text
//!   running ──request()──▶ stopping ──all tracked tasks ended, or the grace is over──▶ stopped
//! ```

use std::{future::Future, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Asked for once, seen by all. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// Nothing has been asked for yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A part of a process that can be stopped by itself, and is stopped with the whole.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { token: self.token.child_token(), tasks: TaskTracker::new() }
    }

    /// Asks all to stop.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// Whether stopping was asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Resolves when stopping is asked for.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// Runs a task that [`Shutdown::finished`] waits for. The task watches [`Shutdown::requested`] itself.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(task);
    }

    /// Waits until all tasks have ended, at most `grace`. Says whether they have.
    pub async fn finished(&self, grace: Duration) -> bool {
        self.tasks.close();
        tokio::time::timeout(grace, self.tasks.wait()).await.is_ok()
    }

    /// Waits for `period`, or until stopping is asked for. Says whether to go on.
    pub async fn pause(&self, period: Duration) -> bool {
        tokio::select! {
            () = self.token.cancelled() => false,
            () = tokio::time::sleep(period) => true,
        }
    }
}
