//! Limits how many requests run at once, and asks the broker for more messages while some of them only wait.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::transport::PrefetchHandle;

/// The backoff before a failed cast's second attempt; it doubles with each further one.
const MIN_BACKOFF: Duration = Duration::from_millis(100);
/// No backoff is longer.
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// For at most this many waiting messages the broker is asked for others. Above it, waiting messages take the place of
/// others, and failed casts are tried again without a backoff. It bounds what a server holds.
const MAX_WAITING: u16 = 1000;
/// No message waits longer: after half an hour a broker closes the channel of a consumer that does not acknowledge.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(15 * 60);

/// A server's limits on the requests that run at once.
pub(super) struct ConcurrencyLimiter {
    /// For methods of which only so many may run at once.
    methods: HashMap<String, Semaphore>,
    /// For all requests together.
    total: Semaphore,
    concurrency: u16,
    prefetch: PrefetchHandle,
    /// How many messages wait: failed casts for their next attempt, requests for the permit of their method. The broker
    /// is asked for as many messages more, so that a waiting message takes no other's place.
    waiting: Mutex<u16>,
    /// Ends all waiting, because the server stops.
    stopping: CancellationToken,
}

/// The right of one request to run, for as long as it is held.
pub(super) struct Permit<'a> {
    /// None for methods without a limit.
    _method: Option<SemaphorePermit<'a>>,
    _total: SemaphorePermit<'a>,
}

impl ConcurrencyLimiter {
    pub(super) fn new(methods: HashMap<String, Semaphore>, concurrency: u16, prefetch: PrefetchHandle) -> Self {
        Self {
            methods,
            total: Semaphore::new(concurrency.into()),
            concurrency,
            prefetch,
            waiting: Mutex::new(0),
            stopping: CancellationToken::new(),
        }
    }

    /// Cancelled when the server takes no more messages.
    pub(super) fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Waits until one more request may run, and one more of this method; `None` if that takes too long, or the server
    /// stops first.
    pub(super) async fn acquire(&self, method: &str) -> Option<Permit<'_>> {
        if self.stopping.is_cancelled() {
            return None;
        }
        let of_method = match self.methods.get(method) {
            None => None,
            Some(limit) => Some(match limit.try_acquire() {
                Ok(permit) => permit,
                Err(_) => {
                    let _waiting = self.count_waiting();
                    self.acquire_unless_stopping(limit).await?
                }
            }),
        };
        let total = match self.total.try_acquire() {
            Ok(permit) => permit,
            Err(_) => self.acquire_unless_stopping(&self.total).await?,
        };
        Some(Permit { _method: of_method, _total: total })
    }

    async fn acquire_unless_stopping<'a>(&self, semaphore: &'a Semaphore) -> Option<SemaphorePermit<'a>> {
        tokio::select! {
            // A stop cuts off what runs as well, and so brings a permit in the same moment.
            biased;
            () = self.stopping.cancelled() => None,
            permit = tokio::time::timeout(MAX_WAIT, semaphore.acquire()) => match permit.ok()? {
                Ok(permit) => Some(permit),
                // To be told that there is no permit, it would give its message back, which nobody does who dies.
                Err(_closed) => std::future::pending().await,
            },
        }
    }

    /// Lets nothing begin any more: whoever waits for a permit waits until it is aborted. Otherwise a permit that one
    /// aborted task drops would let another begin, which is aborted next.
    pub(super) fn close(&self) {
        self.methods.values().chain([&self.total]).for_each(Semaphore::close);
    }

    /// Waits before another attempt at a message; the backoff grows with the number of attempts before.
    pub(super) async fn back_off(&self, attempts_before: u32) {
        let _waiting = self.count_waiting();
        self.sleep(attempts_before).await;
    }

    /// The same for a failed cast; it does not wait if too many messages wait already.
    pub(super) async fn back_off_if_few_wait(&self, attempts_before: u32) {
        let waiting = self.count_waiting();
        if !waiting.too_many {
            self.sleep(attempts_before).await;
        }
    }

    async fn sleep(&self, attempts_before: u32) {
        let backoff = MIN_BACKOFF.saturating_mul(1 << attempts_before.min(16)).min(MAX_BACKOFF);
        tokio::select! {
            () = tokio::time::sleep(backoff) => {}
            () = self.stopping.cancelled() => {}
        }
    }

    /// Counts a message as waiting until the guard is dropped.
    fn count_waiting(&self) -> WaitingGuard<'_> {
        WaitingGuard { limiter: self, too_many: self.change_waiting(|waiting| waiting + 1) > MAX_WAITING }
    }

    /// Changes the number of waiting messages and sets the prefetch accordingly. Both are done under the lock, so that
    /// the prefetch follows the last change.
    fn change_waiting(&self, change: impl FnOnce(u16) -> u16) -> u16 {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        *waiting = change(*waiting);
        self.prefetch.set(self.concurrency.saturating_add((*waiting).min(MAX_WAITING)));
        *waiting
    }
}

/// Counts one waiting message, also if its task is aborted.
struct WaitingGuard<'a> {
    limiter: &'a ConcurrencyLimiter,
    too_many: bool,
}

impl Drop for WaitingGuard<'_> {
    fn drop(&mut self) {
        self.limiter.change_waiting(|waiting| waiting - 1);
    }
}
