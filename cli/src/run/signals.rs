//! Ctrl-C and SIGTERM ask a process to stop; a second one does not wait.

use std::{future::Future, time::Duration};

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What is said where a stop did not come to its end.
const GOES_ON: &str = "what was under way goes on at the next start";

/// After so long a stop says what it waits for.
const NOTICE: Duration = Duration::from_secs(1);

/// How much longer than the grace a stop may take: for what comes after the work that the grace is for, which is to say
/// goodbye and to close the bus and the database. What kills a process that does not stop is to wait longer still
/// (`stop_grace_period`, `terminationGracePeriodSeconds`).
const MARGIN: Duration = Duration::from_secs(15);

/// The two signals, listened to from the moment this is made.
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    pub(crate) fn listen() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("listening for Ctrl-C")?,
            terminate: signal(SignalKind::terminate()).context("listening for SIGTERM")?,
        })
    }

    /// The same for a process that no terminal is to end, as the leader of a session of its own.
    pub(crate) fn listen_in_background() -> Result<Self> {
        let signals = Self::listen()?;
        rustix::process::setsid().context("leaving the terminal's session")?;
        Ok(signals)
    }

    /// Resolves at the next signal.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Runs `stop` to its end, but no longer than `grace` and a [margin](MARGIN), and not on after another signal.
    pub(crate) async fn finish(mut self, stop: impl Future<Output = ()>, grace: Duration) -> Result<()> {
        tracing::info!("stopping");
        let longest = grace.saturating_add(MARGIN);
        let notice = async {
            tokio::time::sleep(NOTICE).await;
            tracing::warn!(
                "stopping: waiting for builds, copies and answers under way, {} s at most; what a build still has to do \
                 goes on at the next start, a copy is undone. A second Ctrl-C or SIGTERM ends at once",
                grace.as_secs_f64()
            );
            std::future::pending::<Result<()>>().await
        };
        tokio::select! {
            never = notice => never,
            ended = tokio::time::timeout(longest, stop) => {
                if ended.is_err() {
                    bail!("not everything had ended after {} s; {GOES_ON}", longest.as_secs_f64());
                }
                tracing::info!("stopped");
                Ok(())
            }
            () = self.next() => bail!("stopped at once on a second signal; {GOES_ON}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_after_a_step_that_takes_the_whole_grace_is_reached() {
        let grace = Duration::from_secs(30);
        let stop = async {
            tokio::time::sleep(grace).await;
            // Goodbye is said, and the bus is closed.
            tokio::time::sleep(Duration::from_secs(5)).await;
        };
        StopSignals::listen().unwrap().finish(stop, grace).await.unwrap();
    }
}
