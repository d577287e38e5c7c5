//! Taking notifications: in batches, in order, each again until it is acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::{Priority, queue, route};
use crate::error::MessagingError;
use crate::serializer::Serializer;
use crate::target::Target;
use crate::transport::{Content, Delivery, QueueSpec, Subscriber, Subscription, Transport};
use crate::wire::NotificationMessage;

/// The pause after a malformed notification could not be dead-lettered.
const DEAD_LETTER_RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A notification as a listener sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// Identifies the notification over repeated deliveries.
    pub message_id: String,
    /// Who sent it.
    pub publisher_id: String,
    /// What happened, for instance `compute.instance.create.end`.
    pub event_type: String,
    /// How urgent it is.
    pub priority: Priority,
    /// The facts.
    pub payload: Value,
    /// When it was sent by the sender's clock: UTC, `2026-11-20 17:26:49.340149`.
    pub timestamp: String,
    /// The sender's context.
    pub context: Map<String, Value>,
}

impl Notification {
    fn read(content: &Content, serializer: Option<&dyn Serializer>) -> Result<Self, MessagingError> {
        let message = content.notification()?;
        let priority = message.priority.parse()?;
        let NotificationMessage { message_id, publisher_id, event_type, mut payload, timestamp, mut context, .. } =
            Arc::unwrap_or_clone(message);
        if let Some(serializer) = serializer {
            context = serializer.deserialize_context(context);
            payload = serializer.deserialize_entity(&context, payload)?;
        }
        Ok(Self { message_id, publisher_id, event_type, priority, payload, timestamp, context })
    }
}

/// Takes notifications in batches. Dropping it returns what is not acknowledged. [`Notifier`](super::Notifier) has an
/// example of both.
#[derive(Debug)]
pub struct NotificationListener {
    transport: Transport,
    serializer: Option<Arc<dyn Serializer>>,
    subscriber: Subscriber,
    /// How many were taken from the subscription.
    taken: u64,
    /// Taken, and given back by a batch: to be taken again before anything newer, so that the order
    /// holds. Through the queue they would come after what is here already.
    again: BTreeMap<u64, Unacknowledged>,
    given_back: mpsc::UnboundedReceiver<Vec<Unacknowledged>>,
    /// For the batches to give back by.
    give_back: mpsc::UnboundedSender<Vec<Unacknowledged>>,
}

/// A notification that is not acknowledged yet.
#[derive(Debug)]
struct Unacknowledged {
    /// Counts up in the order in which the listener got them.
    sequence: u64,
    notification: Notification,
    delivery: Delivery,
}

impl NotificationListener {
    /// Prepares a listener on `topic`, by default for [`Priority::Info`].
    pub fn builder(transport: &Transport, topic: &str) -> NotificationListenerBuilder {
        NotificationListenerBuilder {
            transport: transport.clone(),
            targets: vec![Target::new(topic)],
            priorities: Vec::new(),
            pool: None,
            serializer: None,
            single_active_consumer: false,
            prefetch: 500,
        }
    }

    /// Waits for a notification, then takes what else is already here, at most `max` in all, in the
    /// order of the queue. `None` once the listener is stopped. A message that is no notification
    /// is dead-lettered and does not hold up the others.
    ///
    /// May be dropped while it waits; nothing is lost by that.
    pub async fn next_batch(&mut self, max: usize) -> Option<Batch> {
        let mut batch = Batch::new(self.give_back.clone());
        while batch.is_empty() {
            while let Ok(items) = self.given_back.try_recv() {
                self.keep(items);
            }
            tokio::select! {
                biased;
                Some(items) = self.given_back.recv() => self.keep(items),
                delivery = self.subscriber.next(), if self.again.is_empty() => {
                    self.take(delivery?, &mut batch).await;
                }
                () = std::future::ready(()), if !self.again.is_empty() => {}
            }
            while batch.len() < max.max(1) {
                let Some((_, unacknowledged)) = self.again.pop_first() else {
                    break;
                };
                batch.push(unacknowledged);
            }
        }
        while batch.len() < max {
            let Some(delivery) = self.subscriber.try_next() else {
                break;
            };
            self.take(delivery, &mut batch).await;
        }
        Some(batch)
    }

    /// Keeps what a batch gave back for the next one.
    fn keep(&mut self, items: Vec<Unacknowledged>) {
        // What came by a connection that is lost comes again by the next.
        let items = items.into_iter().filter(|unacknowledged| !unacknowledged.delivery.is_void());
        self.again.extend(items.map(|unacknowledged| (unacknowledged.sequence, unacknowledged)));
    }

    async fn take(&mut self, delivery: Delivery, batch: &mut Batch) {
        // It comes again, and in the order of the queue, with what was in hand when the connection was lost.
        if delivery.is_void() {
            return;
        }
        let error = match Notification::read(&delivery.message.content, self.serializer.as_deref()) {
            Ok(notification) => {
                self.taken += 1;
                return batch.push(Unacknowledged { sequence: self.taken, notification, delivery });
            }
            Err(error) => error.to_string(),
        };
        let malformed = Unsettled(Some(delivery));
        if let Some(delivery) = &malformed.0 {
            let letter = Transport::dead_letter(delivery.message.clone(), &delivery.queue, error);
            if let Err(error) = self.transport.publish(letter).await {
                tracing::warn!(%error, "a malformed notification could not be dead-lettered; it goes back");
                // It comes again at once.
                return tokio::time::sleep(DEAD_LETTER_RETRY_PAUSE).await;
            }
        }
        malformed.ack();
    }

    /// Takes no more notifications. What was taken but not acknowledged goes back to the queue, all at once: given back
    /// one by one, a quorum queue may have it in another order.
    pub async fn stop(self) {
        self.subscriber.close().await;
    }
}

/// What a listener will be.
#[derive(Debug)]
#[must_use]
pub struct NotificationListenerBuilder {
    transport: Transport,
    targets: Vec<Target>,
    priorities: Vec<Priority>,
    pool: Option<String>,
    serializer: Option<Arc<dyn Serializer>>,
    single_active_consumer: bool,
    prefetch: u16,
}

impl NotificationListenerBuilder {
    /// Listens to this priority; may be given several times. Order holds within each.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priorities.push(priority);
        self
    }

    /// Listens to this target's topic, too, at its exchange: to several services at once, each of which has a control
    /// exchange of its own.
    ///
    /// ```
    /// # use novella_messaging::{NotificationListener, Target, Transport, TransportOptions};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let options = TransportOptions { control_exchange: "nova".into(), ..TransportOptions::default() };
    /// # let transport = Transport::connect("memory://", options).await?;
    /// let listener = NotificationListener::builder(&transport, "notifications")
    ///     .target(Target::new("notifications").exchange("neutron"))
    ///     .target(Target::new("notifications").exchange("glance"))
    ///     .start()
    ///     .await?;
    /// # listener.stop().await; Ok(()) }
    /// ```
    pub fn target(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }

    /// Listens in a pool: listeners of the same pool share the notifications, and each pool gets all of them, from when
    /// its first listener ever started. Without a pool, all listeners of a topic share. The pool's name is its queue's.
    ///
    /// A notifier makes the queue of the topic itself as well, in which what no listener without a pool takes remains.
    pub fn pool(mut self, pool: impl Into<String>) -> Self {
        self.pool = Some(pool.into());
        self
    }

    /// Has payloads and contexts pass through `serializer`.
    pub fn serializer(mut self, serializer: Arc<dyn Serializer>) -> Self {
        self.serializer = Some(serializer);
        self
    }

    /// Whether only one of all the listeners gets notifications while the others stand by, so that
    /// their order holds. On RabbitMQ this holds among listeners that ask for it; the notifiers should say it too
    /// ([`Notifier::single_active_consumer`](super::Notifier::single_active_consumer)).
    pub fn single_active_consumer(mut self, only_one: bool) -> Self {
        self.single_active_consumer = only_one;
        self
    }

    /// How many notifications of each priority may be unacknowledged at once, which bounds a batch; in process, of all
    /// priorities together. Default 500.
    pub fn prefetch(mut self, prefetch: u16) -> Self {
        self.prefetch = prefetch.max(1);
        self
    }

    /// Declares the queues and consumes them.
    ///
    /// # Errors
    /// If the queues exist with other properties, access is refused, or the bus cannot be reached.
    pub async fn start(self) -> Result<NotificationListener, MessagingError> {
        let mut priorities = self.priorities;
        if priorities.is_empty() {
            priorities.push(Priority::Info);
        }
        let mut queues: Vec<QueueSpec> = Vec::new();
        for (priority, target) in
            priorities.iter().flat_map(|priority| self.targets.iter().map(move |it| (*priority, it)))
        {
            let queue = queue(route(&self.transport, target, priority), self.single_active_consumer);
            // Topics of the same name share a queue, whatever their exchanges.
            match queues.iter_mut().find(|other| other.name == queue.name) {
                Some(same) => same.bound_to.extend(queue.bound_to),
                None => queues.push(queue),
            }
        }
        if let Some(pool) = self.pool
            && let Some(first) = queues.pop()
        {
            let bound_to = queues.drain(..).flat_map(|queue| queue.bound_to).chain(first.bound_to.clone()).collect();
            queues.push(QueueSpec { name: pool, bound_to, ..first });
        }
        let subscription = Subscription { queues, prefetch: self.prefetch };
        let subscriber = self.transport.subscribe(subscription).await?;
        // Bounded by the prefetch, like all that is not acknowledged.
        let (give_back, given_back) = mpsc::unbounded_channel();
        Ok(NotificationListener {
            transport: self.transport,
            serializer: self.serializer,
            subscriber,
            taken: 0,
            again: BTreeMap::new(),
            given_back,
            give_back,
        })
    }
}

/// A delivery that goes back if nothing is decided about it.
struct Unsettled(Option<Delivery>);

impl Unsettled {
    fn ack(mut self) {
        if let Some(delivery) = self.0.take() {
            delivery.ack();
        }
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        if let Some(delivery) = self.0.take() {
            delivery.requeue();
        }
    }
}

/// Notifications in hand. Dropped without [`Batch::ack`], they go back.
#[derive(Debug)]
#[must_use = "a batch that is dropped goes back to the queue"]
pub struct Batch {
    notifications: Vec<Notification>,
    /// Sequence and delivery of each.
    deliveries: Vec<(u64, Delivery)>,
    give_back: mpsc::UnboundedSender<Vec<Unacknowledged>>,
}

impl Batch {
    fn new(give_back: mpsc::UnboundedSender<Vec<Unacknowledged>>) -> Self {
        Self { notifications: Vec::new(), deliveries: Vec::new(), give_back }
    }

    fn push(&mut self, unacknowledged: Unacknowledged) {
        self.notifications.push(unacknowledged.notification);
        self.deliveries.push((unacknowledged.sequence, unacknowledged.delivery));
    }

    fn len(&self) -> usize {
        self.notifications.len()
    }

    fn is_empty(&self) -> bool {
        self.notifications.is_empty()
    }

    /// In the order of the queue.
    #[must_use]
    pub fn notifications(&self) -> &[Notification] {
        &self.notifications
    }

    /// They are written down and need not come again. Returns without waiting for the broker: if the connection breaks at
    /// this moment, they do come again.
    pub async fn ack(mut self) {
        let settlement = self.deliveries.last().map(|(_, delivery)| delivery.settlement());
        self.deliveries.drain(..).for_each(|(_, delivery)| delivery.ack());
        if let Some(settlement) = settlement {
            settlement.begin();
        }
    }

    /// They come again, before any newer ones: at once from the same listener, which had better
    /// wait for what was missing first, or from the next if this one is gone.
    pub async fn requeue(self) {
        drop(self);
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if self.deliveries.is_empty() {
            return;
        }
        let notifications = self.notifications.drain(..);
        let items: Vec<Unacknowledged> = notifications
            .zip(self.deliveries.drain(..))
            .map(|(notification, (sequence, delivery))| Unacknowledged { sequence, notification, delivery })
            .collect();
        // A listener that is gone has returned them to the queue already.
        let _ = self.give_back.send(items);
    }
}
