//! Receiving: a channel that consumes a set of queues, and is made again whenever something takes
//! it away.
//!
//! | what happens | what is done |
//! | --- | --- |
//! | the connection is lost | with the next one: declare and consume again |
//! | the channel is closed by an error | on a new channel: declare and consume again |
//! | a consumer is cancelled (its queue was deleted, a node left) | that queue is declared and consumed again |
//! | an exchange or a binding is deleted, which nobody is told | all is declared again every [`REASSERT`] |

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{BoxStream, SelectAll};
use futures_util::{StreamExt, stream};
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueDeleteOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection};
use tokio::sync::{mpsc, oneshot, watch};

use super::acks::Acks;
use super::handle::{self, FAREWELL, Handle, Phase};
use super::hearing::Ear;
use super::link::{self, Address, State};
use super::{faults, topology};
use crate::error::MessagingError;
use crate::transport::subscriber::{Control, Delivery, Subscriber};
use crate::transport::{Lifetime, QueueSpec, Subscription, TransportOptions};

/// How often exchanges, queues and bindings are declared again, in case somebody deleted one.
const REASSERT: Duration = Duration::from_secs(15);
/// How often a listener on standby looks whether the queue is free, where the broker cannot tell
/// it.
const STANDBY: Duration = Duration::from_secs(1);

/// How many messages more are taken from the start where the limit cannot be changed later: for failed casts that wait
/// for their next attempt, and requests that wait for their method's turn.
const ALLOWANCE: u16 = 16;

/// Starts a subscription; returns when it consumes all its queues, or fails if that takes longer
/// than `patience`.
pub(super) async fn start(
    state: watch::Receiver<State>,
    address: Address,
    options: TransportOptions,
    subscription: Subscription,
    ear: Ear,
    patience: Duration,
) -> Result<Subscriber, MessagingError> {
    subscription.queues.iter().try_for_each(topology::check)?;
    // As many messages as the prefetch allows can be in it.
    let (sender, deliveries) = mpsc::unbounded_channel();
    let (phase, follow) = watch::channel(Phase::Consuming);
    let (prefetch, window) = watch::channel(subscription.prefetch);
    let (started, start) = oneshot::channel();
    let queues = subscription
        .queues
        .into_iter()
        .map(|spec| Queue { name: spec.name.as_str().into(), spec, exclusive: false })
        .collect();
    let task = Task {
        state,
        address,
        options,
        queues,
        phase: follow,
        window,
        sender: Some(sender),
        started: Some(started),
        ear,
    };
    tokio::spawn(task.run());
    match tokio::time::timeout(patience, start).await {
        Ok(Ok(Ok(()))) => Ok(Subscriber { deliveries, control: Arc::new(Control::Amqp(Handle::new(phase, prefetch))) }),
        Ok(Ok(Err(error))) => Err(error),
        Ok(Err(_)) => Err(MessagingError::Closed),
        Err(_) => {
            Err(MessagingError::Disconnected { waited: patience, reason: "the queues could not be consumed".into() })
        }
    }
}

struct Queue {
    spec: QueueSpec,
    name: Arc<str>,
    /// It should have a single active consumer, but was declared without: then the consumer claims
    /// it for itself.
    exclusive: bool,
}

struct Task {
    state: watch::Receiver<State>,
    address: Address,
    options: TransportOptions,
    queues: Vec<Queue>,
    phase: watch::Receiver<Phase>,
    window: watch::Receiver<u16>,
    /// Gone when nothing more will be delivered.
    sender: Option<mpsc::UnboundedSender<Delivery>>,
    /// Gone when the start was reported.
    started: Option<oneshot::Sender<Result<(), MessagingError>>>,
    /// Where it says whether it hears anything.
    ear: Ear,
}

/// The consumer tag of a subscription's queue.
fn tag(number: usize) -> ShortString {
    ShortString::try_new((number + 1).to_string()).unwrap_or_default()
}

/// What a consumer says; the number is the queue's.
enum Event {
    Delivered(usize, Box<lapin::message::Delivery>),
    /// No more comes from it.
    Ended(usize),
}

struct Session {
    connection: Arc<Connection>,
    channel: Channel,
    acks: Arc<Acks>,
    events: SelectAll<BoxStream<'static, Event>>,
}

/// Why a session ended.
enum End {
    Broken(String),
    /// Another consumer has a queue to itself.
    Standby,
    Over,
}

impl Task {
    async fn run(mut self) {
        let mut pauses = link::pauses(self.options.rabbit_interval_max);
        loop {
            let Some(connection) = self.connection().await else {
                break;
            };
            let end = match faults::answered(self.open(connection)).await {
                Ok(session) => {
                    pauses = link::pauses(self.options.rabbit_interval_max);
                    self.ear.regain();
                    self.report(Ok(()));
                    self.follow(session).await
                }
                Err(error) if faults::is_taken(&error) && self.queues.iter().any(|queue| queue.exclusive) => {
                    End::Standby
                }
                Err(error) => match (self.permanent(&error), self.started.is_some()) {
                    // The caller is to know; later, all that can be done is to try again.
                    (Some(error), true) => return self.report(Err(error)),
                    _ => End::Broken(error.to_string()),
                },
            };
            let pause = match end {
                End::Over => break,
                End::Standby => {
                    self.ear.regain();
                    self.report(Ok(()));
                    STANDBY.mul_f64(rand::random_range(0.75..1.25))
                }
                End::Broken(reason) => {
                    tracing::warn!(reason, queue = self.label(), "consuming was interrupted; starting again");
                    self.ear.lose(&format!("`{}` is not consumed: {reason}", self.label()));
                    pauses.next().unwrap_or_default()
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
    async fn connection(&mut self) -> Option<Arc<Connection>> {
        loop {
            match &*self.state.borrow_and_update() {
                State::Up { connection, .. } if *self.phase.borrow() == Phase::Consuming => {
                    return Some(Arc::clone(connection));
                }
                State::Closed => return None,
                State::Up { .. } | State::Down { .. } => {}
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
        self.queues.first().map_or("", |queue| &queue.name)
    }

    fn permanent(&self, error: &lapin::Error) -> Option<MessagingError> {
        let names: Vec<_> = self.queues.iter().map(|queue| format!("`{}`", queue.name)).collect();
        faults::permanent(error, &format!("one of the queues {} or its exchange", names.join(", ")), &self.address)
    }

    async fn open(&mut self, connection: Arc<Connection>) -> lapin::Result<Session> {
        let channel = connection.create_channel().await?;
        let acks = Acks::new(channel.clone());
        let mut session = Session { connection, channel, acks, events: SelectAll::new() };
        self.limit(&session.channel).await?;
        self.declare(&session.connection, 0..self.queues.len()).await?;
        for number in 0..self.queues.len() {
            self.consume(&mut session, number).await?;
        }
        Ok(session)
    }

    /// Several queues share one limit, and it can be changed while consuming; the broker can do
    /// both only for whole channels.
    fn qos(&self) -> BasicQosOptions {
        BasicQosOptions { global: self.queues.len() > 1 && !self.each_has_its_own_limit() }
    }

    /// Quorum queues refuse a limit over whole channels. Then each queue has one of its own, which cannot be changed
    /// while consuming; the server works on no more at once for that, it only may hold more.
    fn each_has_its_own_limit(&self) -> bool {
        self.queues.iter().any(|queue| topology::is_quorum(queue.spec.lifetime, &self.options))
    }

    /// Sets how many messages may be unacknowledged from now on.
    async fn limit(&mut self, channel: &Channel) -> lapin::Result<()> {
        let mut prefetch = *self.window.borrow_and_update();
        if self.each_has_its_own_limit() {
            prefetch = prefetch.saturating_add(ALLOWANCE);
        }
        channel.basic_qos(prefetch, self.qos()).await
    }

    async fn consume(&self, session: &mut Session, number: usize) -> lapin::Result<()> {
        let queue = &self.queues[number];
        let options = BasicConsumeOptions { exclusive: queue.exclusive, ..Default::default() };
        let name = ShortString::try_new(&*queue.name).unwrap_or_default();
        let consumer = session.channel.basic_consume(name, tag(number), options, FieldTable::default()).await?;
        let events = consumer
            // An error ends the consumer; what it was, the channel and the connection know as well.
            .filter_map(move |delivery| {
                std::future::ready(delivery.ok().map(|delivery| Event::Delivered(number, Box::new(delivery))))
            })
            .chain(stream::once(std::future::ready(Event::Ended(number))));
        session.events.push(events.boxed());
        Ok(())
    }

    /// Declares queues, on a channel of their own: a declaration that fails breaks the channel, and
    /// that must not hit what is being worked on.
    async fn declare(&mut self, connection: &Connection, numbers: Range<usize>) -> lapin::Result<()> {
        let mut channel = connection.create_channel().await?;
        for queue in &mut self.queues[numbers] {
            match topology::declare_queue(&channel, &queue.spec, &self.options).await {
                Err(error) if queue.spec.single_active && faults::is_declared_otherwise(&error) => {
                    channel = connection.create_channel().await?;
                    queue.spec.single_active = false;
                    topology::declare_queue(&channel, &queue.spec, &self.options).await?;
                    tracing::info!(
                        queue = &*queue.name,
                        "the queue was declared without a single active consumer; claiming it exclusively instead"
                    );
                    queue.exclusive = true;
                }
                declared => declared?,
            }
        }
        channel.close(200, "OK".into()).await
    }

    /// Passes deliveries on until the session ends one way or another.
    async fn follow(&mut self, mut session: Session) -> End {
        let mut reassert = tokio::time::interval_at(
            tokio::time::Instant::now() + REASSERT.mul_f64(rand::random_range(0.5..1.0)),
            REASSERT,
        );
        loop {
            tokio::select! {
                changed = self.phase.changed() => {
                    let phase = changed.is_ok().then(|| *self.phase.borrow_and_update());
                    match phase {
                        Some(Phase::Consuming) => {}
                        Some(Phase::Cancelled) => self.drain(&mut session).await,
                        Some(Phase::Ended) => return self.end(&session.acks, true).await,
                        None => return self.end(&session.acks, false).await,
                    }
                }
                event = session.events.next() => match event {
                    Some(Event::Delivered(number, delivery)) => {
                        self.deliver(&session.acks, number, delivery);
                    }
                    Some(Event::Ended(number)) => {
                        if let Err(reason) = self.consume_again(&mut session, number).await {
                            return End::Broken(reason);
                        }
                    }
                    // Drained after a cancel: what is left is to wait for the end.
                    None if self.sender.is_none() => {
                        if self.phase.wait_for(|phase| *phase == Phase::Ended).await.is_err() {
                            return self.end(&session.acks, false).await;
                        }
                        return self.end(&session.acks, true).await;
                    }
                    None => return End::Broken("no consumer is left".into()),
                },
                Ok(()) = self.window.changed() => {
                    if let Err(error) = faults::answered(self.limit(&session.channel)).await {
                        return End::Broken(error.to_string());
                    }
                }
                _ = reassert.tick() => self.reassert(&session.connection).await,
            }
        }
    }

    /// A consumer's stream has ended: either with its channel, or by itself.
    async fn consume_again(&mut self, session: &mut Session, number: usize) -> Result<(), String> {
        if !session.channel.status().connected() {
            return Err("the channel was closed".into());
        }
        let queue = &*self.queues[number].name;
        tracing::warn!(queue, "the broker cancelled a consumer; declaring and consuming again");
        let again = async {
            self.declare(&session.connection, number..number + 1).await?;
            self.consume(session, number).await
        };
        faults::answered(again).await.map_err(|error| error.to_string())
    }

    async fn reassert(&mut self, connection: &Connection) {
        if let Err(error) = faults::answered(self.declare(connection, 0..self.queues.len())).await {
            tracing::warn!(%error, queue = self.label(), "the queues could not be declared again");
        }
    }

    fn deliver(&self, acks: &Arc<Acks>, number: usize, delivery: Box<lapin::message::Delivery>) {
        let Some(sender) = &self.sender else { return };
        let delivery = handle::delivery(acks, &self.queues[number].name, *delivery);
        // A receiver that is gone ends the subscription, which returns the message.
        let _ = sender.send(delivery);
    }

    /// Has the broker send no more, and passes on what it had sent already.
    async fn drain(&mut self, session: &mut Session) {
        let quiet = async {
            for number in 0..self.queues.len() {
                session.channel.basic_cancel(tag(number), BasicCancelOptions::default()).await?;
            }
            // Each consumer's stream ends after what came before its cancellation.
            while let Some(event) = session.events.next().await {
                if let Event::Delivered(number, delivery) = event {
                    self.deliver(&session.acks, number, delivery);
                }
            }
            lapin::Result::Ok(())
        };
        if !matches!(tokio::time::timeout(FAREWELL, quiet).await, Ok(Ok(()))) {
            tracing::debug!(queue = self.label(), "the consumers were gone before they could be cancelled");
        }
        self.sender = None;
    }

    /// Says goodbye: what is not settled goes back, and the transient queues are deleted if the
    /// subscription ends for good.
    async fn end(&mut self, acks: &Acks, delete: bool) -> End {
        let channel = acks.channel();
        let farewell = async {
            acks.flush();
            if delete {
                for queue in self.queues.iter().filter(|queue| queue.spec.lifetime == Lifetime::Transient) {
                    let name = ShortString::try_new(&*queue.name).unwrap_or_default();
                    channel.queue_delete(name, QueueDeleteOptions::default()).await?;
                }
            }
            channel.close(200, "OK".into()).await
        };
        if let Ok(Err(error)) = tokio::time::timeout(FAREWELL, farewell).await {
            tracing::debug!(%error, "the channel was gone before it could be closed");
        }
        self.sender = None;
        End::Over
    }
}
