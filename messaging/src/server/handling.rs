//! What a server does with one delivery, from the queue to its acknowledgement.

use std::any::Any;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::Value;
use tokio::sync::{RwLock, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::progress::{Attempt, Progress, Standing};
use super::work::Work;
use crate::error::MessagingError;
use crate::transport::{Content, Delivery, Message, Publication, Route, Transport, Window};
use crate::wire::{self, Failure, ReplyMessage, ReplyTo, RequestMessage};

/// The pause before a failed cast's second attempt; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// At most this many messages wait aside; more take the place of others, and failed casts among them are tried again
/// without a pause. It bounds what a server holds.
const MOST_WAITING: u16 = 1000;
/// How often, and how long apart, an answer is tried again whose reply queue is missing: its owner
/// may be about to declare it again.
const REPLY_ATTEMPTS: u32 = 20;
const REPLY_PAUSE: Duration = Duration::from_millis(250);
/// Callers that want signs of life more often than this each half interval get none.
const SHORTEST_SIGN: Duration = Duration::from_secs(1);

/// What the handlers of a server share.
pub(super) struct Handling {
    transport: Transport,
    work: Work,
    /// For methods of which only so many may run at once.
    limits: HashMap<String, Semaphore>,
    progress: Mutex<Progress<Delivery>>,
    /// Shared by those who replace a message by its counted copy. A copy waits until they are through: one that kills
    /// the process must find the original gone, or it would be delivered and counted from the same number for ever.
    replacing: RwLock<()>,
    /// Tells the pauses before another attempt that there is no time left for them.
    stopping: CancellationToken,
    window: Window,
    concurrency: u16,
    /// One for each handler that may run.
    slots: Semaphore,
    /// Failed casts that wait for their next attempt, and requests that wait for their method's turn. The broker is
    /// asked for as many messages more, so that waiting takes no handler's place.
    waiting: AtomicU16,
}

/// How a request ended, as far as its message is concerned.
enum Ending {
    /// Its work is done, or its error is with the caller.
    Completed,
    /// It is to be tried again, for this reason.
    Failed(String),
    /// Nothing could be done about it now (the bus is away): back to the queue.
    Returned,
}

impl Handling {
    pub(super) fn new(
        transport: Transport,
        work: Work,
        limits: HashMap<String, Semaphore>,
        window: Window,
        concurrency: u16,
    ) -> Self {
        Self {
            transport,
            work,
            limits,
            progress: Mutex::new(Progress::new()),
            replacing: RwLock::new(()),
            stopping: CancellationToken::new(),
            window,
            concurrency,
            slots: Semaphore::new(concurrency.into()),
            waiting: AtomicU16::new(0),
        }
    }

    pub(super) fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    fn progress(&self) -> MutexGuard<'_, Progress<Delivery>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a delivery to its end.
    pub(super) async fn process(self: Arc<Self>, delivery: Delivery) {
        if delivery.is_void() {
            return;
        }
        let request = match delivery.message.content.request() {
            Ok(request) => request,
            // What happens seldom is boxed here and below: it would make every handler's task some
            // times larger.
            Err(error) => return Box::pin(self.set_aside(delivery, error.to_string())).await,
        };
        if delivery.message.deliveries > 0 {
            drop(Box::pin(self.replacing.write()).await);
        }
        let attempt: Attempt = (Arc::clone(&request.unique_id), delivery.message.deliveries);
        let standing = self.progress().begin(&attempt, delivery);
        let delivery = match standing {
            Standing::New(delivery) => delivery,
            Standing::Running => return,
            Standing::Completed(delivery) => {
                metrics::counter!("rpc_redelivered_total", "outcome" => "completed_before").increment(1);
                return delivery.ack();
            }
        };
        if delivery.redelivered {
            metrics::counter!("rpc_redelivered_total", "outcome" => "counted").increment(1);
            // Not a reason to pause: whoever had it before is gone, or gave it back.
            let reason = "it was delivered before to a server that did not finish it".to_owned();
            let repetitions = self.progress().end(&attempt, false);
            return Box::pin(self.try_again(delivery, repetitions, reason)).await;
        }
        // A lost connection's deliveries come again while their handlers still run, so for that moment
        // there are more of them than the prefetch allows.
        let turn = self.turn(&request.method).await;
        let ending = match self.slots.acquire().await {
            Ok(_slot) if turn.is_some() && !delivery.is_void() => self.handle(&request).await,
            _ => Ending::Returned,
        };
        drop(turn);
        if let Ending::Failed(reason) = &ending {
            tracing::warn!(method = request.method, reason, "a cast failed");
            Box::pin(self.pause(attempt.1)).await;
        }
        let repetitions = self.progress().end(&attempt, matches!(ending, Ending::Completed));
        match ending {
            Ending::Completed => settle(delivery, repetitions, Delivery::ack),
            Ending::Returned => settle(delivery, repetitions, Delivery::requeue),
            Ending::Failed(reason) => Box::pin(self.try_again(delivery, repetitions, reason)).await,
        }
    }

    /// Runs the method and answers a call.
    async fn handle(self: &Arc<Self>, request: &Arc<RequestMessage>) -> Ending {
        let span = tracing::info_span!(
            "rpc",
            method = %request.method,
            request_id = request.context.get("request_id").and_then(|id| id.as_str()),
            version = %request.version,
        );
        let outcome = self.run(request).instrument(span).await;
        let label = match &outcome {
            Ok(_) => "ok",
            Err(failure) if failure.module == crate::failure::DISPATCHER_MODULE => "unsupported",
            Err(_) => "error",
        };
        // An unknown method's name is the sender's invention, and each would be a series of its
        // own.
        let method = if label == "unsupported" { "unknown".to_owned() } else { request.method.clone() };
        metrics::counter!("rpc_server_handled_total", "method" => method, "outcome" => label).increment(1);
        match (&request.reply_to, outcome) {
            (Some(reply_to), outcome) => self.reply(reply_to, outcome).await,
            (None, Ok(_)) => Ending::Completed,
            (None, Err(failure)) => {
                Ending::Failed(format!("{}.{}: {}", failure.module, failure.class, failure.message))
            }
        }
    }

    /// Runs the method; a panic is a failure like others. Callers that asked for them get signs of
    /// life meanwhile.
    async fn run(&self, request: &Arc<RequestMessage>) -> Result<Value, Box<Failure>> {
        let work = AssertUnwindSafe(self.work.run(request)).catch_unwind();
        let result = match request.reply_to.as_ref().and_then(|reply_to| Some((reply_to, reply_to.monitor? / 2))) {
            Some((reply_to, every)) if every >= SHORTEST_SIGN => {
                tokio::select! {
                    result = work => result,
                    never = Box::pin(self.signs_of_life(reply_to, every)) => match never {},
                }
            }
            _ => work.await,
        };
        result.unwrap_or_else(|panic| Err(Failure::panicked(&request.method, panic_text(&*panic))))
    }

    async fn signs_of_life(&self, reply_to: &ReplyTo, every: Duration) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(every).await;
            if let Err(error) = self.transport.publish(answer(reply_to, Ok(Value::Null), false)).await {
                tracing::debug!(%error, "a sign of life did not reach the caller");
            }
        }
    }

    async fn reply(self: &Arc<Self>, reply_to: &ReplyTo, outcome: Result<Value, Box<Failure>>) -> Ending {
        let publication = answer(reply_to, outcome, true);
        match self.transport.publish(publication.clone()).await {
            Ok(()) => Ending::Completed,
            // The work is done, so the request is not kept for the answer's sake.
            Err(MessagingError::Unroutable { .. }) if !self.transport.is_in_process() => {
                let transport = self.transport.clone();
                tokio::spawn(reply_late(transport, publication));
                Ending::Completed
            }
            Err(MessagingError::Unroutable { .. }) => {
                tracing::info!(queue = &*reply_to.queue, "a caller is gone before its answer came");
                Ending::Completed
            }
            Err(error) => {
                tracing::warn!(%error, "an answer could not be sent; the request goes back to its queue");
                Ending::Returned
            }
        }
    }

    /// Waits until one more of this method may run; `None` if the server stops before that.
    async fn turn(&self, method: &str) -> Option<Turn<'_>> {
        let Some(limit) = self.limits.get(method) else {
            return Some(Turn { _permit: None });
        };
        if let Ok(permit) = limit.try_acquire() {
            return Some(Turn { _permit: Some(permit) });
        }
        let _aside = self.step_aside();
        tokio::select! {
            permit = limit.acquire() => Some(Turn { _permit: Some(permit.ok()?) }),
            () = self.stopping.cancelled() => None,
        }
    }

    /// Makes room for another message while this one waits. Whether too many wait already for that.
    fn step_aside(&self) -> (Waiting<'_>, bool) {
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed) + 1;
        let crowded = waiting > MOST_WAITING;
        if !crowded {
            self.window.set(self.concurrency.saturating_add(waiting));
        }
        (Waiting(self), crowded)
    }

    /// Waits a while before another attempt, growing with the number of those before.
    async fn pause(&self, attempts_before: u32) {
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

    /// Replaces the message by a copy that counts one delivery more, or sets it aside if that were
    /// too many.
    async fn try_again(&self, delivery: Delivery, repetitions: Vec<Delivery>, reason: String) {
        let deliveries = delivery.message.deliveries.saturating_add(1);
        let queue = Arc::clone(&delivery.queue);
        let message = Message { deliveries, ..delivery.message.clone() };
        let _replacing = self.replacing.read().await;
        let sent = if deliveries >= self.transport.options().max_deliveries {
            self.transport
                .set_aside(message, &queue, format!("delivered {deliveries} times in vain; last: {reason}"))
                .await
        } else {
            let route = Route::Queue { name: Arc::clone(&queue) };
            self.transport.publish(Publication::mandatory(route, message)).await
        };
        let settlement = delivery.settlement();
        self.settle_by(sent, delivery, repetitions).await;
        settlement.arrived().await;
    }

    async fn set_aside(&self, delivery: Delivery, reason: String) {
        let sent = self.transport.set_aside(delivery.message.clone(), &delivery.queue, reason).await;
        self.settle_by(sent, delivery, Vec::new()).await;
    }

    /// Acknowledges a message that has found another place; else returns it.
    async fn settle_by(&self, sent: Result<(), MessagingError>, delivery: Delivery, repetitions: Vec<Delivery>) {
        match sent {
            Ok(()) => settle(delivery, repetitions, Delivery::ack),
            Err(error) => {
                tracing::warn!(%error, queue = %delivery.queue, "a message could not be moved and goes back to its queue");
                // The broker would deliver it again at once, and this fail again at once.
                self.pause(0).await;
                settle(delivery, repetitions, Delivery::requeue);
            }
        }
    }
}

/// A method's turn; over when dropped.
struct Turn<'a> {
    /// None for methods without a limit.
    _permit: Option<SemaphorePermit<'a>>,
}

/// Counts a waiting message for as long as it waits, also if its task is aborted.
struct Waiting<'a>(&'a Handling);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let waiting = self.0.waiting.fetch_sub(1, Ordering::Relaxed) - 1;
        if waiting < MOST_WAITING {
            self.0.window.set(self.0.concurrency.saturating_add(waiting));
        }
    }
}

fn settle(delivery: Delivery, repetitions: Vec<Delivery>, how: fn(Delivery)) {
    how(delivery);
    repetitions.into_iter().for_each(how);
}

fn answer(reply_to: &ReplyTo, outcome: Result<Value, Box<Failure>>, ending: bool) -> Publication {
    let reply =
        ReplyMessage { message_id: Arc::clone(&reply_to.message_id), unique_id: wire::new_id(), outcome, ending };
    Publication::mandatory(
        Route::Queue { name: Arc::clone(&reply_to.queue) },
        Message::new(Content::Reply(reply.into())),
    )
}

/// Tries to deliver an answer for as long as its caller may take to come back.
async fn reply_late(transport: Transport, publication: Publication) {
    for _ in 0..REPLY_ATTEMPTS {
        tokio::time::sleep(REPLY_PAUSE).await;
        match transport.publish(publication.clone()).await {
            Err(MessagingError::Unroutable { .. }) => {}
            Ok(()) => return,
            Err(error) => return tracing::warn!(%error, "an answer could not be sent"),
        }
    }
    tracing::info!(queue = publication.route.key(), "a caller is gone before its answer came");
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}
