//! The life of a request, from the queue to its acknowledgement.

use std::any::Any;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures_util::FutureExt;
use serde_json::Value;
use tokio::sync::{RwLock, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::attempts::{self, Unacknowledged};
use super::concurrency_limiter::{ConcurrencyLimiter, MAX_WAIT, Permit};
use super::deduplicator::{Deduplicator, Occurrence};
use super::pipeline::Pipeline;
use super::reply;
use crate::error::MessagingError;
use crate::excerpt::Excerpt;
use crate::target::Target;
use crate::trace::{self, Handling, MessageTrace};
use crate::transport::{Content, Delivery, Message, PrefetchHandle, Publication, Route, Transport, Why};
use crate::wire::{Failure, ReplyTo, RequestMessage};

/// What the handlers of a server share.
pub(super) struct RequestHandler {
    transport: Transport,
    /// The topic that it serves, and the server's own name: who does something, in traces.
    service: Arc<str>,
    host: Option<Arc<str>>,
    pipeline: Pipeline,
    limiter: ConcurrencyLimiter,
    deduplicator: Mutex<Deduplicator<Delivery>>,
    /// Shared by those who replace a message by its counted copy. A copy waits until they are through: one that kills
    /// the process must find the original gone, or it would be delivered and counted from the same number for ever.
    replacing: RwLock<()>,
    abandoning: CancellationToken,
}

/// How a request ended, as far as its message is concerned.
enum Disposition {
    /// Its work is done, or its error is with the caller.
    Completed,
    /// It is to be tried again, for this reason.
    Failed(String),
    /// What its work needs is away, for this reason.
    Unavailable(String),
    /// Its answer could not be sent (the bus is away): back to the queue.
    Unanswered,
    /// It never began, because the server stops, the broker has it back, or it had to wait too long.
    NotStarted,
    /// The time for stopping is over. It goes back when the subscription ends.
    Abandoned,
}

impl RequestHandler {
    pub(super) fn new(
        transport: Transport,
        target: &Target,
        pipeline: Pipeline,
        limits: HashMap<String, Semaphore>,
        prefetch: PrefetchHandle,
        concurrency: u16,
    ) -> Self {
        Self {
            transport,
            service: target.topic.as_str().into(),
            host: target.server.as_deref().map(Into::into),
            pipeline,
            limiter: ConcurrencyLimiter::new(limits, concurrency, prefetch),
            deduplicator: Mutex::new(Deduplicator::new()),
            replacing: RwLock::new(()),
            abandoning: CancellationToken::new(),
        }
    }

    /// To be cancelled when no more messages are taken.
    pub(super) fn stopping(&self) -> &CancellationToken {
        self.limiter.stopping()
    }

    /// Lets nothing begin any more, before all is aborted.
    pub(super) fn close(&self) {
        self.limiter.close();
    }

    /// To be cancelled when there is no more time for what runs.
    pub(super) fn abandoning(&self) -> &CancellationToken {
        &self.abandoning
    }

    fn deduplicator(&self) -> MutexGuard<'_, Deduplicator<Delivery>> {
        self.deduplicator.lock().unwrap_or_else(PoisonError::into_inner)
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
            Err(error) => return Box::pin(self.dead_letter(delivery, error.to_string())).await,
        };
        // Of the highest level, so that its fields are in all lines that a filter lets through.
        let span = tracing::error_span!(
            "rpc",
            method = %Excerpt(&request.method),
            request_id = request.context.get("request_id").and_then(|id| id.as_str()).map(|id| tracing::field::display(Excerpt(id))),
            version = %request.version,
        );
        self.process_request(delivery, request).instrument(span).await;
    }

    async fn process_request(&self, mut delivery: Delivery, request: Arc<RequestMessage>) {
        // So that copies of it are written anew, without what was dropped in reading: a peer's credential.
        delivery.message.content = Content::Request(Arc::clone(&request));
        if delivery.message.is_suspect() {
            drop(Box::pin(self.replacing.write()).await);
        }
        let (id, attempts_before) = (&request.unique_id, delivery.message.deliveries);
        let occurrence = self.deduplicator().begin(id, delivery);
        let mut delivery = match occurrence {
            Occurrence::New(delivery) => delivery,
            Occurrence::Running => return,
            Occurrence::Completed(delivery) => {
                metrics::counter!("rpc_redelivered_total", "outcome" => "completed_before").increment(1);
                return delivery.ack();
            }
        };
        if delivery.redelivered {
            return Box::pin(self.deliver_anew(delivery, id)).await;
        }
        let mut disposition = self.attempt(&request, &mut delivery).await;
        if let Disposition::Unavailable(reason) = disposition {
            disposition = Box::pin(self.attempt_until_available(&request, &mut delivery, reason)).await;
        }
        if let Disposition::Failed(reason) = &disposition {
            tracing::warn!(method = %Excerpt(&request.method), reason = %Excerpt(reason), "a cast failed");
            Box::pin(self.limiter.back_off_if_few_wait(attempts_before)).await;
        }
        let duplicates = self.deduplicator().end(id, matches!(disposition, Disposition::Completed));
        match disposition {
            Disposition::Completed if delivery.message.is_suspect() => {
                let marker = attempts::marker(&delivery, id);
                settle(delivery, duplicates, Delivery::ack);
                Box::pin(attempts::end(&self.transport, &marker)).await;
            }
            Disposition::Completed => settle(delivery, duplicates, Delivery::ack),
            Disposition::Unanswered => settle(delivery, duplicates, Delivery::requeue),
            Disposition::NotStarted | Disposition::Unavailable(_) => {
                Box::pin(self.give_back(delivery, duplicates, id)).await;
            }
            Disposition::Abandoned => {}
            Disposition::Failed(reason) => Box::pin(self.try_again(delivery, duplicates, id, reason, false)).await,
        }
    }

    /// Replaces a message that somebody has not acknowledged by a copy, which counts one delivery more if its work had
    /// begun. A copy also if it had not: some brokers drop what comes back too often.
    async fn deliver_anew(&self, mut delivery: Delivery, id: &Arc<str>) {
        let started = Instant::now();
        let mut attempts = 0;
        let before = loop {
            match attempts::before(&self.transport, &delivery, id).await {
                Ok(before) => break Some(before),
                Err(error) => tracing::warn!(%error, "it could not be looked up whether a message was begun"),
            }
            self.limiter.back_off(attempts).await;
            attempts += 1;
            if delivery.is_void() || self.stopping().is_cancelled() || started.elapsed() > MAX_WAIT {
                break None;
            }
        };
        let outcome = match before {
            Some(Unacknowledged::InDoubt) => "in_doubt",
            Some(Unacknowledged::NotBegun) => "not_begun",
            Some(Unacknowledged::InVain) => "counted",
            None => "given_back",
        };
        metrics::counter!("rpc_redelivered_total", "outcome" => outcome).increment(1);
        let duplicates = self.deduplicator().end(id, false);
        match before {
            // Not a reason to pause: whoever had it before is gone, or gave it back.
            Some(Unacknowledged::InVain) => {
                let reason = "it was delivered before to a server that did not finish it".to_owned();
                return self.try_again(delivery, duplicates, id, reason, true).await;
            }
            Some(Unacknowledged::InDoubt) => delivery.message.in_doubt = true,
            Some(Unacknowledged::NotBegun) => {}
            None => return settle(delivery, duplicates, Delivery::requeue),
        }
        let copy = again(&delivery, delivery.message.clone());
        self.replace(copy, delivery, duplicates, None).await;
    }

    /// Attempts a cast again and again until what it needs is there. It waits here and not in its queue, where each
    /// attempt would cost a copy.
    async fn attempt_until_available(
        &self,
        request: &Arc<RequestMessage>,
        delivery: &mut Delivery,
        mut reason: String,
    ) -> Disposition {
        let started = Instant::now();
        let mut attempts = 0;
        loop {
            tracing::warn!(method = request.method, reason, "a cast waits for what it needs");
            self.limiter.back_off(attempts).await;
            attempts += 1;
            if self.stopping().is_cancelled() || started.elapsed() > MAX_WAIT {
                return Disposition::Unavailable(reason);
            }
            match self.attempt(request, delivery).await {
                Disposition::Unavailable(again) => reason = again,
                ended => return ended,
            }
        }
    }

    /// Waits for a permit, runs the method, and answers a call. Callers that asked for them get heartbeats meanwhile.
    async fn attempt(&self, request: &Arc<RequestMessage>, delivery: &mut Delivery) -> Disposition {
        let work = self.run_when_permitted(request, delivery);
        let started = match reply::heartbeat_interval(request.reply_to.as_ref()) {
            Some((reply_to, every)) => tokio::select! {
                started = work => started,
                never = Box::pin(reply::send_heartbeats(&self.transport, reply_to, every)) => match never {},
            },
            None => work.await,
        };
        // The permit is kept until the answer is sent, which bounds how many are on their way.
        let (_permit, outcome) = match started {
            Ok(ended) => ended,
            Err(disposition) => return disposition,
        };
        match (&request.reply_to, outcome) {
            (Some(reply_to), outcome) => match self.reply(reply_to, outcome).await {
                Ok(()) => Disposition::Completed,
                Err(error) => {
                    tracing::warn!(%error, "an answer could not be sent; the request goes back to its queue");
                    Disposition::Unanswered
                }
            },
            (None, Ok(_)) => Disposition::Completed,
            (None, Err(failure)) if failure.is_temporary => Disposition::Unavailable(failure.to_string()),
            (None, Err(failure)) => Disposition::Failed(failure.to_string()),
        }
    }

    /// Sends the answer. Once the server stops, no longer than any message.
    async fn reply(&self, reply_to: &ReplyTo, outcome: Result<Value, Box<Failure>>) -> Result<(), MessagingError> {
        let publish_timeout = self.transport.options().publish_timeout;
        let stopped = async {
            self.stopping().cancelled().await;
            tokio::time::sleep(publish_timeout).await;
        };
        tokio::select! {
            biased;
            sent = reply::send(&self.transport, reply_to, outcome) => sent,
            () = stopped => {
                let reason = "the server stops".to_owned();
                Err(MessagingError::Disconnected { waited: publish_timeout, reason })
            }
        }
    }

    /// Runs the method once it has a permit; an error if it does not come to its end.
    async fn run_when_permitted(
        &self,
        request: &Arc<RequestMessage>,
        delivery: &mut Delivery,
    ) -> Result<(Permit<'_>, Result<Value, Box<Failure>>), Disposition> {
        let permit = self.limiter.acquire(&request.method).await.ok_or(Disposition::NotStarted)?;
        // While it waited its connection may have been lost; then the broker delivers it again, here or elsewhere.
        // Those that came here stand in for it. Without a look at this there would be more running than the prefetch
        // allows.
        if delivery.is_void() {
            let duplicate = self.deduplicator().take_duplicate(&request.unique_id, |other| !other.is_void());
            *delivery = duplicate.ok_or(Disposition::NotStarted)?;
        }
        if delivery.message.is_suspect() {
            Box::pin(attempts::begin(&self.transport, delivery, &request.unique_id)).await;
        }
        tokio::select! {
            // Most methods are through when they are looked at first.
            biased;
            outcome = self.run(request, delivery.message.sender.clone(), delivery.message.trace) => Ok((permit, outcome)),
            () = self.abandoning.cancelled() => Err(Disposition::Abandoned),
        }
    }

    /// Runs the method; a panic is a failure like others.
    async fn run(
        &self,
        request: &Arc<RequestMessage>,
        sender: Option<Arc<str>>,
        trace: Option<MessageTrace>,
    ) -> Result<Value, Box<Failure>> {
        tracing::debug!("a request begins");
        let handling = Handling::begin(&request.context, trace, &self.service, self.host.as_ref());
        let current = handling.as_ref().map(|handling| handling.current.clone());
        let work = trace::within(current, self.pipeline.run(request, sender));
        let outcome = match AssertUnwindSafe(work).catch_unwind().await {
            Ok(outcome) => outcome,
            Err(panic) => {
                let text = panic_text(&*panic);
                tracing::error!(panic = text, "a method panicked");
                Err(Failure::panicked(&request.method, text))
            }
        };
        if let Some(handling) = handling {
            let error = outcome.as_ref().err().map(|failure| Excerpt(&failure.to_string()).to_string());
            handling.end(&Excerpt(&request.method).to_string(), error);
        }
        let label = match &outcome {
            Ok(_) => "ok",
            Err(failure) if failure.module == crate::failure::DISPATCHER_MODULE => "unsupported",
            Err(_) => "error",
        };
        if let (Some(_), Err(failure)) = (&request.reply_to, &outcome) {
            // Its caller decides how bad that is.
            tracing::info!(error = %Excerpt(&failure.to_string()), "a call failed");
        }
        tracing::debug!(outcome = label, "a request ended");
        // An unknown method's name is the sender's invention, and each would be a series of its
        // own.
        let method = if label == "unsupported" { "unknown".to_owned() } else { request.method.clone() };
        metrics::counter!("rpc_server_handled_total", "method" => method, "outcome" => label).increment(1);
        outcome
    }

    /// Returns what counts as never begun, by a copy that counts no delivery more. The broker's own way would mark it as
    /// one that somebody failed to finish.
    async fn give_back(&self, delivery: Delivery, duplicates: Vec<Delivery>, id: &str) {
        if are_void(&delivery, &duplicates) {
            return;
        }
        let copy = again(&delivery, delivery.message.clone());
        if delivery.message.is_suspect() {
            attempts::end(&self.transport, &attempts::marker(&delivery, id)).await;
        }
        match self.transport.publish(copy).await {
            Ok(()) => settle(delivery, duplicates, Delivery::ack),
            Err(error) => {
                tracing::debug!(%error, "a message goes back as one that was delivered before");
                settle(delivery, duplicates, Delivery::requeue);
            }
        }
    }

    /// Replaces the message by a copy that counts one delivery more, or dead-letters it if that were
    /// too many. If its server died over it, a delivery in doubt counts as well.
    async fn try_again(
        &self,
        delivery: Delivery,
        duplicates: Vec<Delivery>,
        id: &str,
        reason: String,
        server_died: bool,
    ) {
        let all = || duplicates.iter().chain([&delivery]).map(|delivery| &delivery.message);
        let in_doubt = all().any(|message| message.in_doubt);
        let counted = all().map(|message| message.deliveries).max().unwrap_or_default();
        let deliveries = counted.saturating_add(1 + u32::from(in_doubt && server_died));
        let message = Message { deliveries, in_doubt: in_doubt && !server_died, ..delivery.message.clone() };
        let marker = delivery.message.is_suspect().then(|| attempts::marker(&delivery, id));
        let successor = if deliveries >= self.transport.options().max_deliveries {
            let reason = format!("delivered {deliveries} times in vain; last: {reason}");
            Transport::dead_letter(message, &delivery.queue, Why::InVain, reason)
        } else {
            again(&delivery, message)
        };
        self.replace(successor, delivery, duplicates, marker).await;
    }

    async fn dead_letter(&self, delivery: Delivery, reason: String) {
        let letter = Transport::dead_letter(delivery.message.clone(), &delivery.queue, Why::Unreadable, reason);
        self.replace(letter, delivery, Vec::new(), None).await;
    }

    /// Sends what takes a message's place, then acknowledges the message. Tries for long: given back, the message would
    /// only come again at once, and a quorum queue drops what was given back too often. The marker of what it replaces
    /// goes with it.
    async fn replace(
        &self,
        successor: Publication,
        delivery: Delivery,
        duplicates: Vec<Delivery>,
        marker: Option<String>,
    ) {
        let started = Instant::now();
        for attempts in 0.. {
            // Then the broker delivers it again, and doing this now as well would double it.
            if are_void(&delivery, &duplicates) {
                return;
            }
            let replacing = self.replacing.read().await;
            match self.transport.publish(successor.clone()).await {
                Ok(()) => {
                    let settlement = delivery.settlement();
                    settle(delivery, duplicates, Delivery::ack);
                    settlement.arrived().await;
                    if let Some(marker) = marker {
                        attempts::end(&self.transport, &marker).await;
                    }
                    return;
                }
                Err(error) => {
                    let queue = &*delivery.queue;
                    tracing::warn!(%error, queue, "a message could not be moved; trying again");
                }
            }
            drop(replacing);
            self.limiter.back_off(attempts).await;
            if self.stopping().is_cancelled() || started.elapsed() > MAX_WAIT {
                break;
            }
        }
        settle(delivery, duplicates, Delivery::requeue);
    }
}

/// A copy that takes the message's place in its queue.
fn again(delivery: &Delivery, message: Message) -> Publication {
    let route = Route::Again { queue: Arc::clone(&delivery.queue) };
    Publication::mandatory(route, Message { is_copy: true, ..message })
}

/// Whether the broker has taken back all of them.
fn are_void(delivery: &Delivery, duplicates: &[Delivery]) -> bool {
    delivery.is_void() && duplicates.iter().all(Delivery::is_void)
}

fn settle(delivery: Delivery, duplicates: Vec<Delivery>, how: fn(Delivery)) {
    how(delivery);
    duplicates.into_iter().for_each(how);
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}
