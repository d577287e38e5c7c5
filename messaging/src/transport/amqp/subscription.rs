//! Receiving: a channel that consumes a set of queues, and is made again whenever something takes
//! it away.
//!
//! | what happens | what is done |
//! | --- | --- |
//! | the connection is lost | with the next one: declare and consume again |
//! | the channel is closed by an error | on a new channel: declare and consume again |
//! | a consumer is cancelled (its queue was deleted, a node left) | that queue is declared and consumed again |
//! | an exchange or a binding is deleted, which nobody is told | all is declared again every [`redeclare_interval`](TransportOptions::redeclare_interval), see [`redeclaration`](super::redeclaration); while that fails, health says so, and it is tried again after a growing pause |
//! | a queue is deleted and declared by somebody else at once: RabbitMQ may move its consumers to the new one, without a word, and forget them when that one is deleted | the same; a queue that turns out to have no consumer is consumed again |
//! | the connection has no room for another channel | another connection is used, see [`connection_pool`](super::connection_pool) |
//! | the connection stands, but something above failed | health says so; again, after a growing pause |

use std::collections::HashSet;
use std::ops::Range;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future;
use lapin::options::QueueDeleteOptions;
use lapin::types::ShortString;
use tokio::sync::{mpsc, oneshot, watch};

use super::connection::{self, Address, ConnectionState};
use super::connection_pool::{ConnectionLease, DeclaringPermit};
use super::consumers::{ConsumedQueue, Consumer, ConsumerEvent, Consumers};
use super::errors;
use super::established::Established;
use super::handle::{self, CLOSE_TIMEOUT, Phase, SubscriptionHandle};
use super::properties::Intake;
use super::redeclaration::RedeclarationSchedule;
use super::subscription_health::HealthEntry;
use super::topology::{self, Declared, Refusals};
use crate::error::MessagingError;
use crate::excerpt::Excerpt;
use crate::transport::subscriber::Delivery;
use crate::transport::{Lifetime, QueueSpec, Replies, Subscription, TransportOptions};

/// How often a listener on standby looks whether the queue is free, where the broker cannot tell
/// it.
const STANDBY_INTERVAL: Duration = Duration::from_secs(1);

/// Starts a subscription; returns when it consumes all its queues, or fails if that takes longer
/// than `timeout`.
pub(super) async fn start(
    lease: ConnectionLease,
    subscription: Subscription,
    recipient: Recipient,
    health: Arc<HealthEntry>,
    known: Known,
    timeout: Duration,
) -> Result<SubscriptionHandle, MessagingError> {
    subscription.queues.iter().try_for_each(topology::check)?;
    let (phase, follow) = watch::channel(Phase::Consuming);
    let (prefetch, prefetch_target) = watch::channel(subscription.prefetch);
    let (started, start) = oneshot::channel();
    let queues = subscription
        .queues
        .into_iter()
        .map(|spec| SubscribedQueue {
            consumed: ConsumedQueue { name: spec.name.as_str().into(), exclusive: false },
            spec,
        })
        .collect();
    let task = SubscriptionTask {
        state: lease.state(),
        lease,
        address: known.address,
        options: known.options,
        queues,
        phase: follow,
        prefetch: subscription.prefetch,
        prefetch_target,
        recipient: Some(recipient),
        started: Some(started),
        health: Arc::clone(&health),
        besides: subscription.besides,
        declared_otherwise: HashSet::new(),
        refusals: known.refusals,
        intake: Intake { user: known.user, limit: subscription.max_message_bytes },
    };
    tokio::spawn(task.run());
    match tokio::time::timeout(timeout, start).await {
        Ok(Ok(Ok(()))) => Ok(SubscriptionHandle::new(phase, prefetch)),
        Ok(Ok(Err(error))) => Err(error),
        Ok(Err(_)) => Err(MessagingError::Closed),
        Err(_) => {
            let reason = health.reason().unwrap_or_else(|| "there was no connection".into());
            Err(MessagingError::Disconnected { waited: timeout, reason })
        }
    }
}

/// What a transport knows of its broker and its user.
pub(super) struct Known {
    pub(super) address: Address,
    pub(super) options: TransportOptions,
    pub(super) user: Option<ShortString>,
    pub(super) refusals: Arc<Refusals>,
}

/// Who gets the deliveries.
pub(super) enum Recipient {
    Subscriber(mpsc::UnboundedSender<Delivery>),
    /// The calls that wait for them, without a task in between.
    Replies(Arc<Replies>, UnreadableReplies),
}

/// Replies that could not be read: a peer may send any number of them.
#[derive(Debug, Default)]
pub(super) struct UnreadableReplies(Mutex<(Option<Instant>, u64)>);

impl UnreadableReplies {
    /// Counts one, and says so in the log, for all that came within a second.
    fn note(&self, error: &MessagingError, sender: Option<&str>) {
        metrics::counter!("bus_set_aside_total", "reason" => "reply").increment(1);
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.1 += 1;
        if noted.0.is_none_or(|last| last.elapsed() > Duration::from_secs(1)) {
            let (count, error) = (std::mem::take(&mut noted.1), error.to_string());
            noted.0 = Some(Instant::now());
            tracing::warn!(count, error = %Excerpt(&error), sender, "replies could not be read; they are dropped");
        }
    }
}

impl Recipient {
    fn take(&self, delivery: Delivery) {
        match self {
            // A receiver that is gone ends the subscription, which returns the message.
            Self::Subscriber(sender) => drop(sender.send(delivery)),
            Self::Replies(replies, unreadable) => {
                match delivery.message.content.reply() {
                    Ok(reply) => replies.deliver(reply),
                    Err(error) => unreadable.note(&error, delivery.message.sender.as_deref()),
                }
                delivery.ack();
            }
        }
    }
}

struct SubscribedQueue {
    spec: QueueSpec,
    /// Exclusive if it should have a single active consumer, but was declared without: then the consumer claims it for
    /// itself.
    consumed: ConsumedQueue,
}

struct SubscriptionTask {
    lease: ConnectionLease,
    /// Of the lease's connection.
    state: watch::Receiver<ConnectionState>,
    address: Address,
    options: TransportOptions,
    queues: Vec<SubscribedQueue>,
    phase: watch::Receiver<Phase>,
    /// How many messages each queue may bring at once, at first.
    prefetch: u16,
    /// And at this moment, if that is more.
    prefetch_target: watch::Receiver<u16>,
    /// Gone when nothing more will be delivered.
    recipient: Option<Recipient>,
    /// Gone when the start was reported.
    started: Option<oneshot::Sender<Result<(), MessagingError>>>,
    /// Where it reports whether it consumes.
    health: Arc<HealthEntry>,
    refusals: Arc<Refusals>,
    intake: Intake,
    /// Declared as well, and not consumed.
    besides: Vec<QueueSpec>,
    /// Those of them that are there with other properties, and so are only bound.
    declared_otherwise: HashSet<String>,
}

struct SubscriptionSession {
    connection: Established,
    consumers: Consumers,
}

/// Why a session ended.
enum SubscriptionExit {
    Broken(String),
    /// Another consumer has a queue to itself.
    Standby,
    Over,
}

impl SubscriptionTask {
    async fn run(mut self) {
        let mut backoff = connection::backoff(self.options.rabbit_interval_max);
        loop {
            let Some(connection) = self.connection().await else {
                break;
            };
            let end = match self.open(connection).await {
                Ok(None) => SubscriptionExit::Standby,
                Ok(Some(mut session)) => {
                    backoff = connection::backoff(self.options.rabbit_interval_max);
                    self.health.recover();
                    self.report(Ok(()));
                    let end = self.follow(&mut session).await;
                    if matches!(end, SubscriptionExit::Broken(_)) {
                        session.consumers.acks().flush();
                        // What it holds would stay there for as long as anything that came by it is not settled.
                        let close = session.consumers.channel().close(200, "OK".into());
                        let _ = tokio::time::timeout(CLOSE_TIMEOUT, close).await;
                    }
                    end
                }
                Err(error)
                    if errors::is_consumed_exclusively(&error)
                        && self.queues.iter().any(|queue| queue.consumed.exclusive) =>
                {
                    SubscriptionExit::Standby
                }
                Err(error) if errors::is_channel_limit(&error) && self.lease.relocate() => {
                    self.state = self.lease.state();
                    continue;
                }
                Err(error) => match (self.permanent(&error), self.started.is_some()) {
                    // The caller is to know; later, all that can be done is to try again.
                    (Some(error), true) => return self.report(Err(error)),
                    _ => SubscriptionExit::Broken(error.to_string()),
                },
            };
            let pause = match end {
                SubscriptionExit::Over => break,
                SubscriptionExit::Standby => {
                    self.health.recover();
                    self.report(Ok(()));
                    STANDBY_INTERVAL.mul_f64(rand::random_range(0.75..1.25))
                }
                SubscriptionExit::Broken(reason) => {
                    tracing::warn!(reason, queue = self.label(), "consuming was interrupted; starting again");
                    self.health.fail(&format!("`{}` is not consumed: {reason}", self.label()));
                    backoff.next().unwrap_or_default()
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                over = self.phase.wait_for(|phase| *phase != Phase::Consuming) => {
                    if over.is_err() {
                        break;
                    }
                }
            }
        }
    }

    /// Waits for a connection; `None` if the subscription is over before one comes.
    async fn connection(&mut self) -> Option<Established> {
        loop {
            match &*self.state.borrow_and_update() {
                ConnectionState::Up { connection, .. } if *self.phase.borrow() == Phase::Consuming => {
                    return Some(connection.clone());
                }
                ConnectionState::Closed => return None,
                ConnectionState::Connecting | ConnectionState::Up { .. } | ConnectionState::Down { .. } => {}
            }
            if *self.phase.borrow_and_update() != Phase::Consuming {
                return None;
            }
            tokio::select! {
                changed = self.state.changed() => changed.ok()?,
                changed = self.phase.changed() => changed.ok()?,
            }
        }
    }

    fn report(&mut self, result: Result<(), MessagingError>) {
        if let Some(started) = self.started.take() {
            let _ = started.send(result);
        }
    }

    /// What stands for the subscription in logs.
    fn label(&self) -> &str {
        self.queues.first().map_or("", |queue| &queue.consumed.name)
    }

    fn permanent(&self, error: &lapin::Error) -> Option<MessagingError> {
        let names: Vec<_> = self.queues.iter().map(|queue| format!("`{}`", queue.consumed.name)).collect();
        errors::permanent(error, &format!("one of the queues {} or its exchange", names.join(", ")), &self.address)
    }

    /// Declares and consumes; `None` if another consumer has a queue to itself. To be told so by the broker would cost the
    /// connection a channel each time.
    async fn open(&mut self, connection: Established) -> lapin::Result<Option<SubscriptionSession>> {
        // Many may wait for this, for longer than the broker has for its answers.
        let permit = self.lease.declaring().acquire().await;
        let open = async {
            let (channel, declared) =
                future::join(connection.create_channel(), self.declare(&connection, &permit, 0..self.queues.len()))
                    .await;
            let unconsumed = declared?;
            let channel = channel?;
            let is_taken = |queue: &SubscribedQueue| queue.consumed.exclusive && !unconsumed.contains(&queue.spec.name);
            if self.queues.iter().any(is_taken) {
                channel.close(200, "OK".into()).await?;
                return Ok(None);
            }
            self.declare_besides(&connection).await?;
            self.do_without();
            let mut consumers = Consumers::start(&connection, channel, self.consumed_queues(), self.prefetch).await?;
            let wanted = *self.prefetch_target.borrow_and_update();
            consumers.grow(self.consumed_queues(), wanted).await?;
            Ok(Some(consumers))
        };
        let consumers = connection.answer(open).await?;
        Ok(consumers.map(|consumers| SubscriptionSession { connection, consumers }))
    }

    /// One that is there with other properties, as an earlier version declared it, stays as it is. That is found out once,
    /// since the finding costs the connection a channel.
    async fn declare_besides(&mut self, connection: &Established) -> lapin::Result<()> {
        for spec in &self.besides {
            let (options, refusals) = (&self.options, &*self.refusals);
            let channel = connection.create_channel().await?;
            let declared = if self.declared_otherwise.contains(&spec.name) {
                topology::bind_queue(connection, channel, spec, options, refusals).await
            } else {
                match topology::declare_queues(connection, channel, &[spec], options, refusals).await {
                    Err(error) if errors::is_declared_otherwise(&error) => {
                        self.declared_otherwise.insert(spec.name.clone());
                        let channel = connection.create_channel().await?;
                        topology::bind_queue(connection, channel, spec, options, refusals).await
                    }
                    declared => declared.map(|declared| declared.channel),
                }
            };
            if declared.as_ref().is_err_and(errors::is_missing) {
                self.declared_otherwise.remove(&spec.name);
            }
            match declared {
                Ok(channel) => channel.close(200, "OK".into()).await?,
                // The others have to.
                Err(error) if errors::is_missing(&error) || errors::is_forbidden(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Leaves out the queues that the user may not have and can do without.
    fn do_without(&mut self) {
        let refusals = &self.refusals;
        self.queues.retain(|queue| {
            let forbidden = refusals.forbid(&queue.spec);
            if forbidden {
                tracing::info!(queue = &*queue.consumed.name, "this user does without a queue that it has no right to");
            }
            !forbidden
        });
    }

    /// With their numbers.
    fn consumed_queues(&self) -> impl Iterator<Item = (usize, ConsumedQueue)> {
        self.queues.iter().map(|queue| queue.consumed.clone()).enumerate()
    }

    /// Declares queues, on a channel that is not the consumers': a declaration that fails breaks the channel, and that
    /// must not hit what is being worked on. Returns those that nobody consumes.
    async fn declare(
        &mut self,
        connection: &Established,
        permit: &DeclaringPermit,
        numbers: Range<usize>,
    ) -> lapin::Result<Vec<String>> {
        let channel = permit.channel(connection).await?;
        let specs: Vec<_> = self.queues[numbers.clone()].iter().map(|queue| &queue.spec).collect();
        match topology::declare_queues(connection, channel, &specs, &self.options, &self.refusals).await {
            Ok(Declared { channel, unconsumed }) => {
                permit.put_back(connection, channel);
                Ok(unconsumed)
            }
            Err(error)
                if errors::is_declared_otherwise(&error)
                    && self.queues[numbers.clone()].iter().any(|queue| queue.spec.single_active) =>
            {
                self.declare_each(connection, numbers).await
            }
            Err(error) => Err(error),
        }
    }

    /// Declares queues one after the other, to find those that were declared without a single active consumer.
    async fn declare_each(&mut self, connection: &Established, numbers: Range<usize>) -> lapin::Result<Vec<String>> {
        let mut channel = connection.create_channel().await?;
        let mut unconsumed = Vec::new();
        let (options, refusals) = (&self.options, &*self.refusals);
        for queue in &mut self.queues[numbers] {
            let declared = match topology::declare_queues(connection, channel, &[&queue.spec], options, refusals).await
            {
                Err(error) if queue.spec.single_active && errors::is_declared_otherwise(&error) => {
                    channel = connection.create_channel().await?;
                    queue.spec.single_active = false;
                    let declared =
                        topology::declare_queues(connection, channel, &[&queue.spec], options, refusals).await?;
                    tracing::info!(
                        queue = &*queue.consumed.name,
                        "the queue was declared without a single active consumer; claiming it exclusively instead"
                    );
                    queue.consumed.exclusive = true;
                    declared
                }
                declared => declared?,
            };
            channel = declared.channel;
            unconsumed.extend(declared.unconsumed);
        }
        channel.close(200, "OK".into()).await?;
        Ok(unconsumed)
    }

    /// Passes deliveries on until the session ends one way or another.
    async fn follow(&mut self, session: &mut SubscriptionSession) -> SubscriptionExit {
        let mut schedule =
            RedeclarationSchedule::new(self.options.redeclare_interval, self.options.rabbit_interval_max);
        let mut redeclare = pin!(tokio::time::sleep(schedule.after_success(self.lease.subscriptions())));
        let connection = session.connection.clone();
        let mut gone = pin!(connection.until_gone());
        loop {
            tokio::select! {
                changed = self.phase.changed() => {
                    let phase = changed.is_ok().then(|| *self.phase.borrow_and_update());
                    match phase {
                        Some(Phase::Consuming) => {}
                        Some(Phase::Cancelled) => self.drain(session).await,
                        Some(Phase::Ended) => return self.end(session, true).await,
                        None => return self.end(session, false).await,
                    }
                }
                event = session.consumers.next() => match event {
                    Some(ConsumerEvent::Delivered(queue, delivery)) => self.deliver(session, queue, delivery),
                    Some(ConsumerEvent::Ended(consumer)) => {
                        if let Err(reason) = self.consume_again(session, consumer).await {
                            return SubscriptionExit::Broken(reason);
                        }
                    }
                    // Drained after a cancel: what is left is to wait for the end.
                    None if self.recipient.is_none() => {
                        let ended = self.phase.wait_for(|phase| *phase == Phase::Ended).await.is_ok();
                        return self.end(session, ended).await;
                    }
                    None => return SubscriptionExit::Broken("no consumer is left".into()),
                },
                () = &mut gone, if self.recipient.is_some() => {
                    return SubscriptionExit::Broken("the connection was lost".into());
                }
                Ok(()) = self.prefetch_target.changed(), if self.recipient.is_some() => {
                    let wanted = *self.prefetch_target.borrow_and_update();
                    if let Err(error) = session.connection.answer(session.consumers.grow(self.consumed_queues(), wanted)).await {
                        return SubscriptionExit::Broken(error.to_string());
                    }
                }
                () = &mut redeclare => {
                    let pause = match self.redeclare(session).await {
                        Ok(true) => schedule.after_success(self.lease.subscriptions()),
                        Ok(false) => schedule.after_failure(),
                        Err(error) => return SubscriptionExit::Broken(error.to_string()),
                    };
                    redeclare.as_mut().reset(tokio::time::Instant::now() + pause);
                    // Only now and then, since what is not wanted at this moment may be at the next.
                    let wanted = *self.prefetch_target.borrow();
                    if let Err(error) = session.connection.answer(session.consumers.shrink(wanted)).await {
                        return SubscriptionExit::Broken(error.to_string());
                    }
                }
            }
        }
    }

    /// A consumer has ended: by our wish, with its channel, or by the broker's.
    async fn consume_again(&mut self, session: &mut SubscriptionSession, consumer: Consumer) -> Result<(), String> {
        if !session.consumers.channel().status().connected() {
            return Err("the channel was closed".into());
        }
        if !session.consumers.lacks(consumer) {
            return Ok(());
        }
        let number = consumer.queue;
        let queue = &*self.queues[number].consumed.name;
        tracing::warn!(queue, "the broker lost or cancelled a consumer; declaring and consuming again");
        let permit = self.lease.declaring().acquire().await;
        let again = async {
            self.declare(&session.connection, &permit, number..number + 1).await?;
            session.consumers.replace(consumer, self.queues[number].consumed.clone()).await
        };
        session.connection.answer(again).await.map_err(|error| error.to_string())
    }

    /// Declares all again, and ends the consumers of queues that have lost them, so that these are consumed again. Whether
    /// it could be declared, which health says as well.
    async fn redeclare(&mut self, session: &mut SubscriptionSession) -> lapin::Result<bool> {
        let permit = self.lease.declaring().acquire().await;
        let declared = session
            .connection
            .answer(async {
                let unconsumed = self.declare(&session.connection, &permit, 0..self.queues.len()).await?;
                self.declare_besides(&session.connection).await?;
                Ok(unconsumed)
            })
            .await;
        drop(permit);
        let unconsumed = match declared {
            Ok(unconsumed) => unconsumed,
            Err(error) => {
                tracing::warn!(%error, queue = self.label(), "the queues could not be declared again");
                self.health.fail(&format!("`{}` could not be declared again: {error}", self.label()));
                return Ok(false);
            }
        };
        self.health.recover();
        if self.recipient.is_some() {
            let lost = self.queues.iter().enumerate().filter(|(_, queue)| unconsumed.contains(&queue.spec.name));
            for (number, _) in lost {
                // That it ends is told as if the broker had ended it.
                session.connection.answer(session.consumers.cancel_queue(number)).await?;
            }
        }
        Ok(true)
    }

    fn deliver(&self, session: &SubscriptionSession, queue: usize, delivery: Box<lapin::message::Delivery>) {
        let Some(recipient) = &self.recipient else { return };
        let delivery =
            handle::delivery(session.consumers.acks(), &self.queues[queue].consumed.name, *delivery, &self.intake);
        recipient.take(delivery);
    }

    /// Has the broker send no more, and passes on what it had sent already.
    async fn drain(&mut self, session: &mut SubscriptionSession) {
        let quiet = async {
            session.consumers.cancel().await?;
            // Each consumer's stream ends after what came before its cancellation.
            while let Some(event) = session.consumers.next().await {
                if let ConsumerEvent::Delivered(queue, delivery) = event {
                    self.deliver(session, queue, delivery);
                }
            }
            lapin::Result::Ok(())
        };
        if !matches!(tokio::time::timeout(CLOSE_TIMEOUT, quiet).await, Ok(Ok(()))) {
            tracing::debug!(queue = self.label(), "the consumers were gone before they could be cancelled");
        }
        self.recipient = None;
    }

    /// Closes the channel: what is not settled goes back, and the transient queues are deleted if the
    /// subscription ends for good.
    async fn end(&mut self, session: &mut SubscriptionSession, delete: bool) -> SubscriptionExit {
        let acks = Arc::clone(session.consumers.acks());
        let close = async {
            acks.flush();
            let channel = acks.channel();
            if delete {
                for queue in self.queues.iter().filter(|queue| queue.spec.lifetime == Lifetime::Transient) {
                    let name = ShortString::try_new(&*queue.consumed.name).unwrap_or_default();
                    channel.queue_delete(name, QueueDeleteOptions::default()).await?;
                }
            }
            channel.close(200, "OK".into()).await
        };
        if let Ok(Err(error)) = tokio::time::timeout(CLOSE_TIMEOUT, close).await {
            tracing::debug!(%error, "the channel was gone before it could be closed");
        }
        self.recipient = None;
        SubscriptionExit::Over
    }
}
