//! Ctrl-C and SIGTERM ask a process to stop; a second one does not wait.

use std::{future::Future, time::Duration};

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What is said where a stop did not come to its end.
const GOES_ON: &str = "what was under way goes on at the next start";

/// After so long a stop says what it waits for.
const NOTICE: Duration = Duration::from_secs(1);

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

    /// Runs `stop` to its end, but no longer than `grace`, and not on after another signal.
    pub(crate) async fn finish(mut self, stop: impl Future<Output = ()>, grace: Duration) -> Result<()> {
        tracing::info!("stopping");
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
            ended = tokio::time::timeout(grace, stop) => {
                if ended.is_err() {
                    bail!("not everything had ended after {} s; {GOES_ON}", grace.as_secs_f64());
                }
                tracing::info!("stopped");
                Ok(())
            }
            () = self.next() => bail!("stopped at once on a second signal; {GOES_ON}"),
        }
    }
}
