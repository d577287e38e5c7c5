//! Sending: one channel, many messages in flight, every one confirmed or failed.
//!
//! A task owns the channel. Messages wait in a bounded queue while there is no connection or the
//! broker is blocked. When the channel breaks, what was not confirmed is sent again on the next
//! one, *one at a time*: so a message that breaks channels is found and failed, and the others get
//! through.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lapin::options::ConfirmSelectOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel};
use tokio::sync::{mpsc, oneshot, watch};

use super::connection::{self, Address, ConnectionState};
use super::established::{self, Established};
use super::topology::{self, Exchange, Refusals};
use super::unconfirmed::{ConfirmOutcome, Unconfirmed};
use super::{errors, properties};
use crate::error::MessagingError;
use crate::transport::{Publication, QueueSpec, Route, TransportOptions};
use crate::wire;

/// How many messages may wait for the task, and how many for the broker's confirm. Further senders
/// wait.
const MAX_WAITING: usize = 1024;
const MAX_UNCONFIRMED: usize = 2048;
/// A message that was alone on this many channels that broke is what breaks them.
const BROKEN_CHANNELS: u32 = 2;

/// A message ready to be sent.
pub(super) struct PendingPublication {
    pub(super) exchange: ShortString,
    pub(super) key: ShortString,
    pub(super) body: Bytes,
    pub(super) properties: BasicProperties,
    pub(super) mandatory: bool,
    /// The AMQP message id: what a returned message is recognised by.
    pub(super) id: String,
    route: Route,
    declare: Option<Box<QueueSpec>>,
    /// How often it was alone on a channel that broke, or its queue was missing.
    failures: u32,
    done: oneshot::Sender<Result<(), MessagingError>>,
}

/// Tells how a message fared.
pub(super) type Confirmed = oneshot::Receiver<Result<(), MessagingError>>;

impl PendingPublication {
    /// `user` is whom the message says that it is from.
    pub(super) fn new(
        publication: &Publication,
        user: Option<&ShortString>,
        max_bytes: usize,
    ) -> Result<(Self, Confirmed), MessagingError> {
        let Publication { route, message, mandatory, declare } = publication;
        if let Some(spec) = declare {
            topology::check(spec)?;
        }
        // oslo.messaging leaves a fanout's routing key empty.
        let key = if let Route::Fanout { .. } = route { "" } else { route.key() };
        let (done, confirmed) = oneshot::channel();
        let id = wire::new_id();
        let body = message.content.encode()?;
        if body.len() > max_bytes {
            let reason = format!("it has {} bytes, of which {max_bytes} are permitted (max_message_bytes)", body.len());
            return Err(MessagingError::Refused { routing_key: route.key().to_owned(), reason });
        }
        let pending = Self {
            exchange: topology::name(&route.exchange())?,
            key: topology::name(key)?,
            body,
            properties: properties::of(message, route, &id, user),
            mandatory: *mandatory,
            id,
            route: route.clone(),
            declare: declare.clone(),
            failures: 0,
            done,
        };
        Ok((pending, confirmed))
    }

    /// Whether nobody waits for it any more, so that it need not be sent again.
    fn is_abandoned(&self) -> bool {
        self.done.is_closed()
    }

    fn finish(self, result: Result<(), MessagingError>) {
        // Whoever waited may have given up.
        let _ = self.done.send(result);
    }
}

/// The sending end. Dropping it lets what is under way finish.
#[derive(Debug)]
pub(super) struct Publisher {
    pending: mpsc::Sender<PendingPublication>,
}

impl Publisher {
    pub(super) fn start(
        state: watch::Receiver<ConnectionState>,
        address: Address,
        options: TransportOptions,
        refusals: Arc<Refusals>,
    ) -> Self {
        let (pending, waiting) = mpsc::channel(MAX_WAITING);
        let task =
            PublisherTask { state, address, options, refusals, waiting, to_resend: VecDeque::new(), broken_by: None };
        tokio::spawn(task.run());
        Self { pending }
    }

    /// Hands a message over for sending. Messages are sent in the order of these calls.
    pub(super) async fn hand_over(&self, pending: PendingPublication) -> Result<(), MessagingError> {
        self.pending.send(pending).await.map_err(|_| MessagingError::Closed)
    }
}

struct PublisherTask {
    state: watch::Receiver<ConnectionState>,
    address: Address,
    options: TransportOptions,
    refusals: Arc<Refusals>,
    waiting: mpsc::Receiver<PendingPublication>,
    /// Sent on a channel that broke before they were confirmed.
    to_resend: VecDeque<PendingPublication>,
    /// What broke the last one.
    broken_by: Option<lapin::Error>,
}

/// A channel for sending, and what is known to exist on its connection.
struct PublisherSession {
    connection: Established,
    /// The connection's number.
    number: u64,
    unconfirmed: Unconfirmed,
    /// For declarations, which break their channel when they fail.
    declaring: Option<Channel>,
    exchanges: HashSet<Exchange>,
    queues: HashSet<String>,
}

/// Why a session ended.
enum PublisherExit {
    /// The channel or connection broke.
    Broken(lapin::Error),
    /// Nobody can hand over messages any more, and all are confirmed.
    Finished,
}

impl PublisherTask {
    async fn run(mut self) {
        let mut backoff = connection::backoff(self.options.rabbit_interval_max);
        while let Some((connection, number)) = self.connection().await {
            let mut session = match PublisherSession::open(connection, number).await {
                Ok(session) => session,
                Err(error) => {
                    tracing::debug!(%error, "no channel for sending");
                    tokio::time::sleep(backoff.next().unwrap_or_default()).await;
                    continue;
                }
            };
            let end = match self.resend(&mut session).await {
                Ok(()) => {
                    backoff = connection::backoff(self.options.rabbit_interval_max);
                    self.send(&mut session).await
                }
                Err(error) => PublisherExit::Broken(error),
            };
            match end {
                PublisherExit::Finished => return,
                PublisherExit::Broken(error) => {
                    let mut unconfirmed = session.unconfirmed.into_pending();
                    if !errors::is_rejection(&error) {
                        // The network's doing, not the message's.
                        unconfirmed
                            .iter_mut()
                            .for_each(|pending| pending.failures = pending.failures.saturating_sub(1));
                    }
                    if !unconfirmed.is_empty() {
                        let count = unconfirmed.len();
                        tracing::warn!(%error, count, "messages are sent again: their channel broke");
                    }
                    // They were sent before those that had to be sent again already.
                    unconfirmed.into_iter().rev().for_each(|pending| self.to_resend.push_front(pending));
                    self.broken_by = Some(error);
                    // A connection that broke is noticed a moment later; without a pause this would
                    // spin until then.
                    tokio::time::sleep(backoff.next().unwrap_or_default().min(Duration::from_secs(1))).await;
                }
            }
        }
        self.waiting.close();
        while let Some(pending) = self.to_resend.pop_front() {
            pending.finish(Err(MessagingError::Closed));
        }
        while let Some(pending) = self.waiting.recv().await {
            pending.finish(Err(MessagingError::Closed));
        }
    }

    /// Waits for a connection that takes messages; `None` when there will be none, or nothing to
    /// send.
    async fn connection(&mut self) -> Option<(Established, u64)> {
        loop {
            match &*self.state.borrow_and_update() {
                ConnectionState::Up { connection, number, blocked: None } => {
                    return Some((connection.clone(), *number));
                }
                ConnectionState::Closed => return None,
                ConnectionState::Connecting | ConnectionState::Up { .. } | ConnectionState::Down { .. } => {}
            }
            self.state.changed().await.ok()?;
        }
    }

    /// Sends what broke with its channel, one at a time.
    async fn resend(&mut self, session: &mut PublisherSession) -> lapin::Result<()> {
        while let Some(mut pending) = self.to_resend.pop_front() {
            if pending.is_abandoned() {
                continue;
            }
            match session.prepare(&pending, &self.address, &self.options, &self.refusals).await {
                Ok(None) => {}
                Ok(Some(error)) => {
                    pending.finish(Err(error));
                    continue;
                }
                Err(error) => {
                    self.to_resend.push_front(pending);
                    return Err(error);
                }
            }
            pending.failures += 1;
            if pending.failures > BROKEN_CHANNELS {
                let error = self.why_refused(&pending);
                pending.finish(Err(error));
                continue;
            }
            session.unconfirmed.send(pending);
            // One that is not confirmed in its time holds up no others: its queue may have lost its majority.
            let timeout = tokio::time::Instant::now() + self.options.publish_timeout;
            while !session.unconfirmed.is_empty()
                && let Some(outcomes) = tokio::select! {
                    outcomes = session.unconfirmed.outcomes() => Some(outcomes),
                    () = session.connection.until_lost() => Some(Err(established::gone())),
                    () = tokio::time::sleep_until(timeout) => None,
                }
            {
                for (pending, outcome) in outcomes? {
                    self.settle(session, pending, outcome);
                }
            }
        }
        Ok(())
    }

    /// What is wrong with a message that breaks channels.
    fn why_refused(&self, pending: &PendingPublication) -> MessagingError {
        let reason = self.broken_by.as_ref().map_or_else(|| "it breaks the channel".to_owned(), ToString::to_string);
        if self.broken_by.as_ref().is_some_and(errors::is_forbidden) {
            return MessagingError::AccessRefused { address: self.address.hosts_and_ports(), reason };
        }
        MessagingError::Refused { routing_key: pending.route.key().to_owned(), reason }
    }

    async fn send(&mut self, session: &mut PublisherSession) -> PublisherExit {
        let mut pending = Vec::new();
        let (mut blocked, mut closed) = (false, false);
        loop {
            if closed && session.unconfirmed.is_empty() {
                return PublisherExit::Finished;
            }
            let free = MAX_UNCONFIRMED.saturating_sub(session.unconfirmed.len());
            tokio::select! {
                biased;
                outcomes = session.unconfirmed.outcomes(), if !session.unconfirmed.is_empty() => match outcomes {
                    Ok(outcomes) => outcomes.into_iter().for_each(|(pending, outcome)| self.settle(session, pending, outcome)),
                    Err(error) => return PublisherExit::Broken(error),
                },
                changed = self.state.changed() => match (changed, &*self.state.borrow_and_update()) {
                    (Ok(()), ConnectionState::Up { blocked: reason, number, .. }) if *number == session.number => blocked = reason.is_some(),
                    _ => return PublisherExit::Broken(established::gone()),
                },
                count = self.waiting.recv_many(&mut pending, free), if free > 0 && !blocked && !closed => closed = count == 0,
            }
            // A queue that was missing is declared again for these.
            pending.splice(0..0, self.to_resend.drain(..));
            let mut batch = std::mem::take(&mut pending).into_iter();
            while let Some(pending) = batch.next() {
                // Its sender was told that it failed, so it had better not arrive.
                if pending.is_abandoned() {
                    continue;
                }
                match session.prepare(&pending, &self.address, &self.options, &self.refusals).await {
                    Ok(None) => session.unconfirmed.send(pending),
                    Ok(Some(error)) => pending.finish(Err(error)),
                    Err(error) => {
                        self.to_resend.push_back(pending);
                        self.to_resend.extend(batch);
                        return PublisherExit::Broken(error);
                    }
                }
            }
        }
    }

    fn settle(&mut self, session: &mut PublisherSession, mut pending: PendingPublication, outcome: ConfirmOutcome) {
        match outcome {
            ConfirmOutcome::Acked => pending.finish(Ok(())),
            ConfirmOutcome::Returned => match &pending.declare {
                // It was deleted under us: once more from the start.
                Some(spec) if pending.failures <= BROKEN_CHANNELS => {
                    session.queues.remove(&spec.name);
                    pending.failures += 1;
                    self.to_resend.push_back(pending);
                }
                _ => {
                    let error = pending.route.unroutable();
                    pending.finish(Err(error));
                }
            },
            ConfirmOutcome::Nacked => {
                let routing_key = pending.route.key().to_owned();
                pending.finish(Err(MessagingError::Refused {
                    routing_key,
                    reason: "it answered with a negative confirm (basic.nack)".into(),
                }));
            }
        }
    }
}

impl PublisherSession {
    async fn open(connection: Established, number: u64) -> lapin::Result<Self> {
        let open = async {
            let channel = connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok(channel)
        };
        let channel = connection.answer(open).await?;
        Ok(Self {
            connection,
            number,
            unconfirmed: Unconfirmed::new(channel),
            declaring: None,
            exchanges: HashSet::new(),
            queues: HashSet::new(),
        })
    }

    /// Makes sure that a message's exchange and queue exist. The inner error is the message's own
    /// and would come again.
    async fn prepare(
        &mut self,
        pending: &PendingPublication,
        address: &Address,
        options: &TransportOptions,
        refusals: &Refusals,
    ) -> lapin::Result<Option<MessagingError>> {
        if let Some(exchange) = Exchange::of(&pending.route)
            && !self.exchanges.contains(&exchange)
        {
            let connection = self.connection.clone();
            let declare = async {
                let channel = self.declaring().await?;
                topology::declare_exchange(&connection, channel, &pending.route, options, refusals).await
            };
            match connection.answer(declare).await {
                Ok(channel) => self.declaring = Some(channel),
                Err(error) => {
                    return self.not_prepared(pending, error, &format!("the exchange `{}`", exchange.name), address);
                }
            }
            self.exchanges.insert(exchange);
        }
        if let Some(spec) = &pending.declare
            && !self.queues.contains(&spec.name)
        {
            let connection = self.connection.clone();
            let declare = async {
                let channel = self.declaring().await?;
                let declared = topology::declare_queues(&connection, channel, &[spec], options, refusals).await?;
                Ok(declared.channel)
            };
            let mut declared = connection.answer(declare).await;
            if declared.as_ref().is_err_and(errors::is_declared_otherwise) {
                // Somebody declared it as it needs it (a single active consumer, say), or an earlier version did. It is
                // there; that it is bound is seen to by whoever consumes it, or here.
                self.declaring = None;
                let bind = async {
                    let channel = self.declaring().await?;
                    topology::bind_queue(&connection, channel, spec, options, refusals).await
                };
                declared = connection.answer(bind).await;
            }
            match declared {
                Ok(channel) => self.declaring = Some(channel),
                Err(error) => return self.not_prepared(pending, error, &format!("the queue `{}`", spec.name), address),
            }
            self.queues.insert(spec.name.clone());
        }
        Ok(None)
    }

    /// What a failed declaration means for the message.
    fn not_prepared(
        &mut self,
        pending: &PendingPublication,
        error: lapin::Error,
        what: &str,
        address: &Address,
    ) -> lapin::Result<Option<MessagingError>> {
        self.declaring = None;
        // Whoever may declare it has not done so yet, or its queue is gone.
        if errors::is_missing(&error) {
            return Ok(Some(pending.route.unroutable()));
        }
        errors::permanent(&error, what, address).map(Some).ok_or(error)
    }

    async fn declaring(&mut self) -> lapin::Result<Channel> {
        match &self.declaring {
            Some(channel) if channel.status().connected() => Ok(channel.clone()),
            _ => {
                let channel = self.connection.create_channel().await?;
                self.declaring = Some(channel.clone());
                Ok(channel)
            }
        }
    }
}
