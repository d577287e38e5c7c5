//! Who may run, who waits, and how much more is taken from the broker meanwhile.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
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
/// Nothing is kept waiting longer: after half an hour a broker closes the channel of whoever does not acknowledge.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

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
    waiting: Mutex<u16>,
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
            waiting: Mutex::new(0),
            stopping: CancellationToken::new(),
        }
    }

    /// Told when the server takes no more messages.
    pub(super) fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Waits until one more request may run, and one more of this method; `None` if that takes too long, or the server
    /// stops before.
    pub(super) async fn place(&self, method: &str) -> Option<Place<'_>> {
        if self.stopping.is_cancelled() {
            return None;
        }
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
            permit = tokio::time::timeout(LONGEST_WAIT, places.acquire()) => permit.ok()?.ok(),
            () = self.stopping.cancelled() => None,
        }
    }

    /// Waits a while before another attempt at a message, growing with the number of those before.
    pub(super) async fn pause(&self, attempts_before: u32) {
        let _aside = self.step_aside();
        self.rest(attempts_before).await;
    }

    /// The same for a failed cast; where too many wait already, it does not wait.
    pub(super) async fn pause_unless_crowded(&self, attempts_before: u32) {
        let aside = self.step_aside();
        if !aside.crowded {
            self.rest(attempts_before).await;
        }
    }

    async fn rest(&self, attempts_before: u32) {
        let pause = FIRST_PAUSE.saturating_mul(1 << attempts_before.min(16)).min(LONGEST_PAUSE);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.stopping.cancelled() => {}
        }
    }

    /// Makes room for another message while this one waits, unless too many do.
    fn step_aside(&self) -> Aside<'_> {
        Aside { room: self, crowded: self.count(|waiting| waiting + 1) > MOST_WAITING }
    }

    /// Counts those who wait, and widens the window or narrows it accordingly; both at once, so that the last count is
    /// the one that counts.
    fn count(&self, change: impl FnOnce(u16) -> u16) -> u16 {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        *waiting = change(*waiting);
        self.window.set(self.concurrency.saturating_add((*waiting).min(MOST_WAITING)));
        *waiting
    }
}

/// Counts a waiting message for as long as it waits, also if its task is aborted.
struct Aside<'a> {
    room: &'a Room,
    crowded: bool,
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        self.room.count(|waiting| waiting - 1);
    }
}
