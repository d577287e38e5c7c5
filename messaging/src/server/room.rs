//! Who may run, who waits, and how much more is taken from the broker meanwhile.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::transport::Window;

/// The pause before a failed cast's second attempt; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// At most this many messages wait aside; more take the place of others, and failed casts among them are tried again
/// without a pause. It bounds what a server holds.
const MOST_WAITING: u16 = 1000;

/// A server's places for requests.
pub(super) struct Room {
    /// For methods of which only so many may run at once.
    limits: HashMap<String, Semaphore>,
    /// One for each handler that may run.
    slots: Semaphore,
    concurrency: u16,
    window: Window,
    /// Failed casts that wait for their next attempt, and requests that wait for their method's turn. The broker is
    /// asked for as many messages more, so that waiting takes no handler's place.
    waiting: AtomicU16,
    /// Ends all waiting: there is no time left for it.
    stopping: CancellationToken,
}

/// A request's place, for as long as it is held.
pub(super) struct Place<'a> {
    /// None for methods without a limit.
    _turn: Option<SemaphorePermit<'a>>,
    _slot: SemaphorePermit<'a>,
}

impl Room {
    pub(super) fn new(limits: HashMap<String, Semaphore>, concurrency: u16, window: Window) -> Self {
        Self {
            limits,
            slots: Semaphore::new(concurrency.into()),
            concurrency,
            window,
            waiting: AtomicU16::new(0),
            stopping: CancellationToken::new(),
        }
    }

    /// Told when the server takes no more messages.
    pub(super) fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Waits until one more request may run, and one more of this method; `None` if the server stops before that.
    pub(super) async fn place(&self, method: &str) -> Option<Place<'_>> {
        let turn = match self.limits.get(method) {
            None => None,
            Some(limit) => Some(match limit.try_acquire() {
                Ok(permit) => permit,
                Err(_) => {
                    let _aside = self.step_aside();
                    self.unless_stopping(limit).await?
                }
            }),
        };
        let slot = match self.slots.try_acquire() {
            Ok(slot) => slot,
            Err(_) => self.unless_stopping(&self.slots).await?,
        };
        Some(Place { _turn: turn, _slot: slot })
    }

    async fn unless_stopping<'a>(&self, places: &'a Semaphore) -> Option<SemaphorePermit<'a>> {
        tokio::select! {
            permit = places.acquire() => permit.ok(),
            () = self.stopping.cancelled() => None,
        }
    }

    /// Waits a while before another attempt, growing with the number of those before.
    pub(super) async fn pause(&self, attempts_before: u32) {
        let pause = FIRST_PAUSE.saturating_mul(1 << attempts_before.min(16)).min(LONGEST_PAUSE);
        let (_aside, crowded) = self.step_aside();
        if crowded {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.stopping.cancelled() => {}
        }
    }

    /// Makes room for another message while this one waits. Whether too many wait already for that.
    fn step_aside(&self) -> (Aside<'_>, bool) {
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed) + 1;
        let crowded = waiting > MOST_WAITING;
        if !crowded {
            self.window.set(self.concurrency.saturating_add(waiting));
        }
        (Aside(self), crowded)
    }
}

/// Counts a waiting message for as long as it waits, also if its task is aborted.
struct Aside<'a>(&'a Room);

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        let waiting = self.0.waiting.fetch_sub(1, Ordering::Relaxed) - 1;
        if waiting < MOST_WAITING {
            self.0.window.set(self.0.concurrency.saturating_add(waiting));
        }
    }
}
