//! The bus on RabbitMQ.
//!
//! A transport sends and consumes on different connections, so that a broker that stops taking messages can still hand
//! some out. It sends on one (by two channels, see [`publisher`]: fanouts, and copies that take a message's place, go by many
//! exchanges, which are declared first, and are to hold up nothing else). It consumes on as many as it needs (a channel for
//! each server, listener and the reply queue, see [`subscription`] and [`connection_pool`]). What is there it asks on one
//! more, see [`asking`]. Each connection recovers by itself, see [`connection`].

use std::sync::Arc;
use std::time::Duration;

use lapin::options::BasicGetOptions;
use lapin::types::ShortString;
use tokio::sync::{OnceCell, mpsc};
use tokio_util::task::TaskTracker;

use super::message::Fetched;
use super::subscriber::Control;
use super::{
    Health, Lifetime, MarkerRequest, Publication, QueueSpec, Replies, Route, Subscriber, Subscription, TransportOptions,
};
use crate::error::MessagingError;
use crate::inspection::{BusReport, QueueReport};

mod acks;
mod asking;
mod connection;
mod connection_pool;
mod consumers;
mod errors;
mod established;
mod handle;
mod markers;
mod properties;
mod publisher;
mod redeclaration;
mod subscription;
mod subscription_health;
mod topology;
mod unconfirmed;
mod url;

use acks::Acks;
use asking::Asking;
use connection::{Address, ConnectionState, RecoveringConnection};
use connection_pool::ConnectionPool;
use established::Established;
pub(super) use handle::{AmqpReceipt, AmqpSettlement, SubscriptionHandle};
use properties::Intake;
use publisher::{PendingPublication, Publisher};
use subscription::{Known, Recipient, UnreadableReplies};
use subscription_health::SubscriptionHealth;
use topology::Refusals;

/// How many answers may be on their way to the calls that wait for them.
const REPLY_PREFETCH: u16 = 1000;

/// A connection to RabbitMQ.
#[derive(Debug)]
pub(super) struct AmqpBus {
    options: TransportOptions,
    /// Whom the broker knows this transport as; none if that depends on the node.
    user: Option<ShortString>,
    refusals: Arc<Refusals>,
    sending: RecoveringConnection,
    receiving: ConnectionPool,
    receiving_address: Address,
    asking: Asking,
    messages: Publisher,
    fanouts_and_copies: Publisher,
    replies: Arc<Replies>,
    /// Set when the reply queue is consumed, from the first call on.
    reply_subscription: OnceCell<SubscriptionHandle>,
    subscription_health: SubscriptionHealth,
    /// What [`AmqpBus::close`] waits for.
    under_way: TaskTracker,
}

impl AmqpBus {
    pub(super) async fn connect(
        url: &str,
        options: TransportOptions,
        replies: Arc<Replies>,
    ) -> Result<Self, MessagingError> {
        let brokers: Arc<[_]> = url::parse(url, &options)?.into();
        let tls = connection::tls(&options).await?;
        let address = |purpose: &str| Address {
            brokers: Arc::clone(&brokers),
            name: format!("{} ({purpose})", options.connection_name),
            tls: tls.clone(),
            max_backoff: options.rabbit_interval_max,
        };
        let (sending_address, receiving_address, asking) =
            (address("sending"), address("receiving"), Asking::new(address("asking")));
        let sending = RecoveringConnection::connect(sending_address.clone()).await?;
        let receiving = ConnectionPool::connect(receiving_address.clone()).await?;
        let refusals = Arc::<Refusals>::default();
        let publisher =
            || Publisher::start(sending.state(), sending_address.clone(), options.clone(), Arc::clone(&refusals));
        let (messages, fanouts_and_copies) = (publisher(), publisher());
        Ok(Self {
            options,
            user: url::user(&brokers),
            refusals,
            sending,
            receiving,
            receiving_address,
            asking,
            messages,
            fanouts_and_copies,
            replies,
            reply_subscription: OnceCell::new(),
            subscription_health: SubscriptionHealth::default(),
            under_way: TaskTracker::new(),
        })
    }

    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_ref().map(ShortString::as_str)
    }

    /// The worst of all connections' and all subscriptions' states.
    pub(super) fn health(&self) -> Health {
        let mut health = match self.subscription_health.oldest_failure() {
            Some((since, reason)) => Health::Reconnecting { since, reason },
            None => Health::Connected,
        };
        for state in std::iter::once(self.sending.state()).chain(self.receiving.states()).chain(self.asking.state()) {
            match &*state.borrow() {
                ConnectionState::Down { since, reason } => {
                    return Health::Reconnecting { since: *since, reason: reason.clone() };
                }
                ConnectionState::Up { blocked: Some(reason), .. } if health == Health::Connected => {
                    health = Health::Blocked { reason: reason.clone() };
                }
                ConnectionState::Connecting | ConnectionState::Up { .. } | ConnectionState::Closed => {}
            }
        }
        health
    }

    /// Sends all, in order, then waits for all, so long. The first failure is the answer.
    pub(super) async fn publish_all(
        &self,
        publications: &[Publication],
        timeout: Duration,
    ) -> Result<(), MessagingError> {
        let _token = self.under_way.token();
        let send = async {
            let mut confirms = Vec::with_capacity(publications.len());
            for publication in publications {
                let (pending, confirmed) =
                    PendingPublication::new(publication, self.user.as_ref(), self.options.max_message_bytes)?;
                let publisher = match publication.route {
                    Route::Fanout { .. } | Route::Again { .. } => &self.fanouts_and_copies,
                    _ => &self.messages,
                };
                publisher.hand_over(pending).await?;
                confirms.push(confirmed);
            }
            let mut result = Ok(());
            for confirmed in confirms {
                result = result.and(confirmed.await.unwrap_or(Err(MessagingError::Closed)));
            }
            result
        };
        tokio::time::timeout(timeout, send).await.unwrap_or_else(|_| {
            let state = self.sending.state();
            Err(why_not(&state.borrow(), timeout, "the broker did not confirm the message"))
        })
    }

    pub(super) async fn subscribe(
        &self,
        subscription: Subscription,
        timeout: Duration,
    ) -> Result<Subscriber, MessagingError> {
        // As many messages as the prefetch allows can be in it.
        let (sender, deliveries) = mpsc::unbounded_channel();
        let handle = self.start_subscription(subscription, Recipient::Subscriber(sender), timeout).await?;
        Ok(Subscriber { deliveries, control: Arc::new(Control::Amqp(handle)) })
    }

    async fn start_subscription(
        &self,
        subscription: Subscription,
        recipient: Recipient,
        timeout: Duration,
    ) -> Result<SubscriptionHandle, MessagingError> {
        subscription::start(
            self.receiving.lease(),
            subscription,
            recipient,
            Arc::new(self.subscription_health.register()),
            Known {
                address: self.receiving_address.clone(),
                options: self.options.clone(),
                user: self.user.clone(),
                refusals: Arc::clone(&self.refusals),
            },
            timeout,
        )
        .await
    }

    /// Takes up to `max` messages that are in the queue now.
    pub(super) async fn fetch(&self, spec: &QueueSpec, max: usize) -> Result<Fetched, MessagingError> {
        let what = format!("the queue `{}`", spec.name);
        self.ask(&what, |connection| self.try_fetch(connection, spec, max)).await
    }

    async fn try_fetch(&self, connection: Established, spec: &QueueSpec, max: usize) -> lapin::Result<Fetched> {
        let channel = connection.create_channel().await?;
        let channel = match topology::declare_queues(&connection, channel, &[spec], &self.options, &self.refusals).await
        {
            // It is there, which is enough to take from it.
            Err(error) if errors::is_declared_otherwise(&error) => connection.create_channel().await?,
            declared => declared?.channel,
        };
        let intake = Intake { user: self.user.clone(), limit: self.options.max_message_bytes };
        let acks = Acks::new(&connection, channel.clone());
        let name: Arc<str> = spec.name.as_str().into();
        let mut deliveries = Vec::new();
        while deliveries.len() < max {
            let queue = ShortString::try_new(&*name).unwrap_or_default();
            let Some(got) = channel.basic_get(queue, BasicGetOptions::default()).await? else {
                break;
            };
            deliveries.push(handle::delivery(&acks, &name, got.delivery, &intake));
        }
        // Closing the channel returns what is not settled, and it is closed when the last of its
        // handles is dropped.
        Ok(Fetched { deliveries: deliveries.into_iter(), _hold: Box::new(acks) })
    }

    /// Sets, looks up or removes a marker.
    pub(super) async fn mark(&self, name: &str, request: MarkerRequest) -> Result<bool, MessagingError> {
        // Many may want this at once, after a crash; they wait their turn, for as long as it takes.
        let permit = self.asking.channel().await;
        let what = format!("the queue `{name}`");
        self.ask(&what, async |connection| {
            let channel = permit.channel(&connection).await?;
            let found = markers::mark(&connection, &channel, name, request).await?;
            if channel.status().connected() {
                permit.put_back(&connection, channel);
            }
            Ok(found)
        })
        .await
    }

    /// Asks for each of these queues by its name.
    pub(super) async fn look_at(&self, queues: &[&str]) -> Result<BusReport, MessagingError> {
        let queues = self.ask("a queue", |connection| try_look_at(connection, queues)).await?;
        Ok(BusReport { queues, ..BusReport::default() })
    }

    /// Asks the broker about `what` over a connection that is up, within the timeout of a publish. If the connection is
    /// lost before the answer, it is asked again over the next.
    async fn ask<T, A>(&self, what: &str, question: impl Fn(Established) -> A) -> Result<T, MessagingError>
    where
        A: Future<Output = lapin::Result<T>>,
    {
        let timeout = self.options.publish_timeout;
        let answer = async {
            loop {
                let connection = self.asking.up().await?;
                let error = match connection.answer(question(connection.clone())).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => error,
                };
                if let Some(error) = errors::permanent(&error, what, self.asking.address()) {
                    return Err(error);
                }
                if errors::is_rejection(&error) || !connection.is_gone().await {
                    return Err(MessagingError::Disconnected { waited: Duration::ZERO, reason: error.to_string() });
                }
                tracing::debug!(%error, what, "the connection was lost before the answer; asking again");
            }
        };
        tokio::time::timeout(timeout, answer).await.unwrap_or_else(|_| {
            let state = self.asking.state().unwrap_or_else(|| self.sending.state());
            Err(why_not(&state.borrow(), timeout, "the broker did not answer"))
        })
    }

    /// Returns when the reply queue is consumed.
    pub(super) async fn ensure_reply_queue(&self) -> Result<(), MessagingError> {
        let start = async || {
            let spec = QueueSpec {
                name: self.replies.queue().to_string(),
                lifetime: Lifetime::Transient,
                bound_to: vec![Route::Reply { queue: Arc::clone(self.replies.queue()) }],
                single_active: false,
                if_permitted: false,
            };
            let max_message_bytes = self.options.max_message_bytes;
            let subscription =
                Subscription { queues: vec![spec], besides: Vec::new(), prefetch: REPLY_PREFETCH, max_message_bytes };
            let recipient = Recipient::Replies(Arc::clone(&self.replies), UnreadableReplies::default());
            self.start_subscription(subscription, recipient, self.options.publish_timeout).await
        };
        self.reply_subscription.get_or_try_init(start).await.map(drop)
    }

    /// Waits for the messages under way, deletes the reply queue, then closes the connections.
    pub(super) async fn close(&self) {
        self.under_way.close();
        self.under_way.wait().await;
        if let Some(subscription) = self.reply_subscription.get() {
            subscription.end().await;
        }
        tokio::join!(self.sending.close(), self.receiving.close(), self.asking.close());
    }
}

/// Why something did not come to its end in time on a connection in this state; if that stands, because of what `otherwise`
/// says.
fn why_not(state: &ConnectionState, waited: Duration, otherwise: &str) -> MessagingError {
    match state {
        ConnectionState::Up { blocked: Some(reason), .. } => MessagingError::Blocked { waited, reason: reason.clone() },
        ConnectionState::Up { .. } => MessagingError::Disconnected { waited, reason: otherwise.to_owned() },
        ConnectionState::Down { reason, .. } => MessagingError::Disconnected { waited, reason: reason.clone() },
        ConnectionState::Connecting => MessagingError::Disconnected {
            waited,
            reason: "the broker has not answered to a new connection yet".into(),
        },
        ConnectionState::Closed => MessagingError::Closed,
    }
}

async fn try_look_at(connection: Established, names: &[&str]) -> lapin::Result<Vec<QueueReport>> {
    let mut queues = Vec::new();
    // The broker's "not found" closes the channel that asked, which is why this one serves nothing else.
    let mut channel = connection.create_channel().await?;
    for name in names {
        match topology::look_at(&channel, name).await {
            Ok(queue) => queues.push(queue),
            Err(error) if errors::is_missing(&error) => channel = connection.create_channel().await?,
            Err(error) => return Err(error),
        }
    }
    queues.sort();
    queues.dedup();
    // An error means that it is closed already.
    let _ = channel.close(200, "OK".into()).await;
    Ok(queues)
}
