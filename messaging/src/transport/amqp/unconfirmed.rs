//! The messages of one channel that the broker has not confirmed yet.
//!
//! The broker says that a mandatory message could not be routed by sending it back before its
//! confirm. The client library attaches a message that came back to *some* confirm that arrives at
//! that moment, not always its own. So messages that came back are recognised by their id, and a
//! confirm counts only after every confirm that may carry its message has been looked at. Confirms
//! are resolved in batches under a lock; having held that lock afterwards ([`Unconfirmed::barrier`])
//! means that the batch is complete.

use std::collections::{BTreeMap, HashSet};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::stream::{FuturesUnordered, Stream};
use futures_util::task::AtomicWaker;
use futures_util::{FutureExt, future::BoxFuture};
use lapin::options::BasicPublishOptions;
use lapin::{Channel, Confirmation};

use super::publisher::PendingPublication;

/// What the broker said to one message.
#[derive(Debug)]
pub(super) enum ConfirmOutcome {
    /// It has it.
    Acked,
    /// No queue takes it.
    Returned,
    /// It refused to keep it.
    Nacked,
}

type ConfirmResult = (u64, lapin::Result<Confirmation>);

/// Messages sent and not confirmed, in the order they were sent.
pub(super) struct Unconfirmed {
    channel: Channel,
    results: FuturesUnordered<BoxFuture<'static, ConfirmResult>>,
    pending: BTreeMap<u64, PendingPublication>,
    next: u64,
    /// Ids of messages that came back.
    returned: HashSet<String>,
    /// Confirms seen, but not yet known to be complete.
    unmatched: Vec<(u64, Confirmation)>,
    /// What ended the channel.
    failure: Option<lapin::Error>,
    waker: Arc<RecordingWaker>,
}

impl Unconfirmed {
    pub(super) fn new(channel: Channel) -> Self {
        Self {
            channel,
            results: FuturesUnordered::new(),
            pending: BTreeMap::new(),
            next: 0,
            returned: HashSet::new(),
            unmatched: Vec::new(),
            failure: None,
            waker: Arc::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Sends a message without waiting.
    pub(super) fn send(&mut self, pending: PendingPublication) {
        let number = self.next;
        self.next += 1;
        let channel = self.channel.clone();
        let (exchange, key, body, properties) =
            (pending.exchange.clone(), pending.key.clone(), pending.body.clone(), pending.properties.clone());
        let options = BasicPublishOptions { mandatory: pending.mandatory, immediate: false };
        let mut result: BoxFuture<'static, ConfirmResult> = Box::pin(async move {
            let confirm = match channel.basic_publish(exchange, key, options, &body, properties).await {
                Ok(confirm) => confirm.await,
                Err(error) => Err(error),
            };
            (number, confirm)
        });
        self.pending.insert(number, pending);
        // Polled at once and here: the first poll hands the frames over, so the order of sending is
        // the order of the calls.
        match (&mut result).now_or_never() {
            Some(result) => self.results.push(Box::pin(std::future::ready(result))),
            None => self.results.push(result),
        }
    }

    /// Waits for outcomes. An error means that the channel is gone; what is still in flight is to
    /// be taken with [`Unconfirmed::into_pending`].
    pub(super) async fn outcomes(&mut self) -> lapin::Result<Vec<(PendingPublication, ConfirmOutcome)>> {
        if self.unmatched.is_empty() {
            poll_fn(|context| self.collect(context)).await;
        }
        if self.unmatched.is_empty()
            && let Some(error) = &self.failure
        {
            return Err(error.clone());
        }
        let matched = std::mem::take(&mut self.unmatched);
        self.barrier();
        // What was sent back is known now for all of `matched`; confirms that turn up only here
        // wait for the next round.
        poll_fn(|context| Poll::Ready(self.collect(context).is_ready())).await;
        let outcomes = matched.into_iter().filter_map(|(number, confirmation)| {
            let pending = self.pending.remove(&number)?;
            let outcome = if self.returned.remove(&pending.id) {
                ConfirmOutcome::Returned
            } else if confirmation.is_nack() {
                ConfirmOutcome::Nacked
            } else {
                ConfirmOutcome::Acked
            };
            Some((pending, outcome))
        });
        Ok(outcomes.collect())
    }

    /// All that was not confirmed, in the order it was sent.
    pub(super) fn into_pending(self) -> Vec<PendingPublication> {
        self.pending.into_values().collect()
    }

    /// Takes every result that is there; pending if there is none.
    fn collect(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.waker.task.register(context.waker());
        let waker = Waker::from(Arc::clone(&self.waker));
        let mut listening = Context::from_waker(&waker);
        loop {
            self.waker.woken.store(false, Ordering::SeqCst);
            match Pin::new(&mut self.results).poll_next(&mut listening) {
                Poll::Ready(Some((number, Ok(Confirmation::Ack(message))))) => {
                    self.note(number, message, Confirmation::Ack(None))
                }
                Poll::Ready(Some((number, Ok(Confirmation::Nack(message))))) => {
                    self.note(number, message, Confirmation::Nack(None))
                }
                // The channel was opened with confirms.
                Poll::Ready(Some((number, Ok(Confirmation::NotRequested)))) => {
                    self.note(number, None, Confirmation::Ack(None))
                }
                Poll::Ready(Some((_, Err(error)))) => self.failure = Some(error),
                Poll::Ready(None) => break,
                Poll::Pending if self.waker.woken.load(Ordering::SeqCst) => {}
                Poll::Pending => break,
            }
        }
        if self.unmatched.is_empty() && self.failure.is_none() { Poll::Pending } else { Poll::Ready(()) }
    }

    fn note(&mut self, number: u64, returned: Option<lapin::message::BasicReturnMessage>, confirmation: Confirmation) {
        if let Some(id) = returned.and_then(|message| message.properties.message_id().as_ref().map(|id| id.to_string()))
        {
            self.returned.insert(id);
        }
        self.unmatched.push((number, confirmation));
    }

    /// Returns after every confirm that was being resolved is resolved: this call takes the lock
    /// under which that is done.
    fn barrier(&self) {
        let _ = self.channel.wait_for_confirms().now_or_never();
    }
}

/// Passes a wake-up on, and remembers it: the set pauses after some number of futures although more are ready, and says so
/// only by waking its task.
#[derive(Default)]
struct RecordingWaker {
    woken: AtomicBool,
    task: AtomicWaker,
}

impl Wake for RecordingWaker {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        self.task.wake();
    }
}
