//! Taking notifications: in batches, in order, each again until it is acknowledged.
//!
//! ```text
//! delivered ─┬─ cannot be read, or is too large ─────────────────────────▶ dead_letters, with all the others that can't
//!            ├─ the first time, or again here: with others, in a batch ──▶ acknowledged, or given back
//!            └─ redelivered, ┬─ marked max_deliveries times ─────────────▶ dead_letters
//!               had elsewhere └─ else: marked, and in a batch by itself ──▶ acknowledged, and its markers removed
//! ```
//!
//! What kills each listener that takes it is found by that: after a crash each notification that was in hand is taken
//! alone. What comes again because its connection was lost has killed nobody: a listener that has had it in hand, and lives
//! on, takes it with others. Who gives one back on purpose wants it again, however often.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::{Priority, queue, route};
use crate::error::MessagingError;
use crate::excerpt::Excerpt;
use crate::latest_ids::LatestIds;
use crate::serializer::Serializer;
use crate::server::attempts::marker_name;
use crate::target::Target;
use crate::transport::{Delivery, MarkerRequest, QueueSpec, Subscriber, Subscription, Transport, Why, dead_letters};
use crate::wire::NotificationMessage;

/// The pause after notifications could not be set aside.
const SET_ASIDE_RETRY_PAUSE: Duration = Duration::from_secs(1);
/// A batch that has this many bytes is large enough: read, a message may take thirty times its bytes.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;
/// So many that can't be read are set aside at once.
const MAX_SET_ASIDE: usize = 1000;

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
    /// The broker's user that sent it, which the broker has checked; all else is the sender's word. `None` if it did not say
    /// (oslo.messaging's peers and earlier versions don't), and in process.
    pub sender: Option<Arc<str>>,
}

impl Notification {
    /// With the id by which a repetition is known.
    fn read(delivery: &Delivery, serializer: Option<&dyn Serializer>) -> Result<(Self, String), MessagingError> {
        let message = delivery.message.content.notification()?;
        let priority = message.priority.parse()?;
        let NotificationMessage {
            message_id,
            publisher_id,
            event_type,
            mut payload,
            timestamp,
            mut context,
            unique_id,
            ..
        } = Arc::unwrap_or_clone(message);
        if let Some(serializer) = serializer {
            context = serializer.deserialize_context(context);
            payload = serializer.deserialize_entity(&context, payload)?;
        }
        let sender = delivery.message.sender.clone();
        Ok((Self { message_id, publisher_id, event_type, priority, payload, timestamp, context, sender }, unique_id))
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
    /// What it has had in hand.
    known: LatestIds,
    /// Taken, and left for the next batch.
    left: Option<Delivery>,
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
    /// Those of the deliveries that ended badly, and of this one after them.
    markers: Vec<String>,
    /// It is to be in a batch by itself.
    alone: bool,
}

/// One that is to be set aside, and why.
type SetAside = (Unsettled, Why, String);

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
            max_message_bytes: transport.options().max_message_bytes,
        }
    }

    /// Waits for a notification, then takes what else is already here, at most `max` in all, in the
    /// order of the queue. `None` once the listener is stopped. A message that is no notification
    /// is dead-lettered and does not hold up the others.
    ///
    /// May be dropped while it waits; nothing is lost by that.
    pub async fn next_batch(&mut self, max: usize) -> Option<Batch> {
        let max = max.max(1);
        let mut batch = Batch::new(self.transport.clone(), self.give_back.clone());
        let mut unreadable = Vec::new();
        loop {
            while let Ok(items) = self.given_back.try_recv() {
                self.keep(items).await;
            }
            while batch.len() < max && batch.takes_more() {
                let Some((_, first)) = self.again.first_key_value() else {
                    break;
                };
                // By itself.
                if first.alone && !batch.is_empty() {
                    break;
                }
                if let Some(marker) = first.markers.last()
                    && let Err(error) = self.transport.mark(marker, MarkerRequest::Set).await
                {
                    tracing::warn!(%error, "that a notification is taken again could not be marked");
                }
                if let Some((_, first)) = self.again.pop_first() {
                    batch.push(first);
                }
            }
            if batch.is_empty() {
                let delivery = match self.left.take() {
                    Some(delivery) => Some(delivery),
                    None => tokio::select! {
                        biased;
                        Some(items) = self.given_back.recv() => {
                            self.keep(items).await;
                            continue;
                        }
                        delivery = self.subscriber.next() => delivery,
                    },
                };
                self.take(delivery?, &mut batch, &mut unreadable).await;
            }
            while self.again.is_empty() && self.left.is_none() && batch.len() < max && batch.takes_more() {
                if unreadable.len() >= MAX_SET_ASIDE {
                    break;
                }
                let Some(delivery) = self.subscriber.try_next() else {
                    break;
                };
                // By itself.
                if self.is_doubtful(&delivery) && !batch.is_empty() {
                    self.left = Some(delivery);
                    break;
                }
                self.take(delivery, &mut batch, &mut unreadable).await;
            }
            if !unreadable.is_empty() {
                self.set_aside(std::mem::take(&mut unreadable), batch.is_empty()).await;
            }
            if !batch.is_empty() {
                return Some(batch);
            }
        }
    }

    /// Keeps what a batch gave back for the next one. It was not taken in vain, so it does not count.
    async fn keep(&mut self, items: Vec<Unacknowledged>) {
        // What came by a connection that is lost comes again by the next.
        let (lost, kept): (Vec<_>, Vec<_>) =
            items.into_iter().partition(|unacknowledged| unacknowledged.delivery.is_void());
        let last_marker = |unacknowledged: &Unacknowledged| unacknowledged.markers.last().cloned();
        let markers: Vec<String> = lost.iter().chain(&kept).filter_map(last_marker).collect();
        self.again.extend(kept.into_iter().map(|unacknowledged| (unacknowledged.sequence, unacknowledged)));
        remove(&self.transport, markers).await;
    }

    /// Whether whoever had this may have died of it.
    fn is_doubtful(&self, delivery: &Delivery) -> bool {
        let is_known = |message: Arc<NotificationMessage>| self.known.contains(&message.unique_id);
        delivery.redelivered && !delivery.message.content.notification().is_ok_and(is_known)
    }

    async fn take(&mut self, delivery: Delivery, batch: &mut Batch, unreadable: &mut Vec<SetAside>) {
        let alone = self.is_doubtful(&delivery);
        // It comes again, and in the order of the queue, with what was in hand when the connection was lost.
        if delivery.is_void() {
            if let Ok(message) = delivery.message.content.notification() {
                self.known.insert(&*message.unique_id);
            }
            return;
        }
        let read = Notification::read(&delivery, self.serializer.as_deref());
        let delivery = Unsettled(Some(delivery));
        let (notification, id) = match read {
            Ok(read) => read,
            Err(error) => return unreadable.push((delivery, Why::Unreadable, error.to_string())),
        };
        let mut markers = Vec::new();
        if let Some(redelivered) = delivery.0.as_ref().filter(|_| alone) {
            match self.mark(&redelivered.queue, &id, &mut markers).await {
                Ok(true) => {}
                Ok(false) => {
                    let reason = format!("delivered {} times in vain: nobody acknowledged it", markers.len() + 1);
                    remove(&self.transport, markers).await;
                    return unreadable.push((delivery, Why::InVain, reason));
                }
                // Better taken too often than never.
                Err(error) => tracing::warn!(%error, "that a notification is taken again could not be marked"),
            }
        }
        if let Some(delivery) = delivery.keep() {
            self.taken += 1;
            self.known.insert(&*id);
            batch.push(Unacknowledged { sequence: self.taken, notification, delivery, markers, alone });
        }
    }

    /// Marks that a notification is taken once more; false if it was too often already. The first delivery, of which there
    /// is no marker, counts.
    async fn mark(&self, queue: &str, id: &str, markers: &mut Vec<String>) -> Result<bool, MessagingError> {
        for attempt in 1..self.transport.options().max_deliveries.max(2) {
            let marker = marker_name(queue, id, attempt);
            let is_set = self.transport.mark(&marker, MarkerRequest::Look).await?;
            markers.push(marker);
            if let (false, Some(marker)) = (is_set, markers.last()) {
                self.transport.mark(marker, MarkerRequest::Set).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Moves notifications to the dead letters, all at once: one at a time, somebody who sends many that can't be read
    /// would hold up all others.
    async fn set_aside(&self, items: Vec<SetAside>, nothing_else_to_do: bool) {
        let of = |item: &SetAside| {
            item.0.0.as_ref().map(|delivery| (Arc::clone(&delivery.queue), delivery.message.sender.clone()))
        };
        if let Some((queue, sender)) = items.first().and_then(of) {
            let (count, reason) = (items.len(), Excerpt(&items[0].2));
            tracing::warn!(
                queue = &*queue,
                count,
                first_sender = sender.as_deref(),
                first_reason = %reason,
                "notifications are moved to the dead letters"
            );
        }
        let letters = items.iter().filter_map(|(delivery, why, reason)| {
            let delivery = delivery.0.as_ref()?;
            let (message, queue) = (delivery.message.clone(), &delivery.queue);
            Some(Transport::dead_letter_untold(message, queue, *why, reason.clone()))
        });
        if let Err(error) = self.transport.publish_all(letters.collect()).await {
            tracing::warn!(%error, "notifications could not be moved to the dead letters; they go back");
            drop(items);
            // They come again at once.
            if nothing_else_to_do {
                tokio::time::sleep(SET_ASIDE_RETRY_PAUSE).await;
            }
            return;
        }
        items.into_iter().for_each(|(delivery, ..)| delivery.ack());
    }

    /// Takes no more notifications. What was taken but not acknowledged goes back to the queue, all at once: given back
    /// one by one, a quorum queue may have it in another order.
    pub async fn stop(mut self) {
        while let Ok(items) = self.given_back.try_recv() {
            self.keep(items).await;
        }
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
    max_message_bytes: usize,
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

    /// Sets aside notifications with more bytes than this, without reading them. Times the prefetch, this is how much
    /// memory those take that wait. Default: the transport's `max_message_bytes`.
    pub fn max_message_bytes(mut self, max_message_bytes: usize) -> Self {
        self.max_message_bytes = max_message_bytes;
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
        let subscription = Subscription {
            queues,
            // Those who may not declare it have to find it there.
            besides: vec![dead_letters()],
            prefetch: self.prefetch,
            max_message_bytes: self.max_message_bytes,
        };
        let subscriber = self.transport.subscribe(subscription).await?;
        // Bounded by the prefetch, like all that is not acknowledged.
        let (give_back, given_back) = mpsc::unbounded_channel();
        Ok(NotificationListener {
            transport: self.transport,
            serializer: self.serializer,
            subscriber,
            taken: 0,
            known: LatestIds::default(),
            left: None,
            again: BTreeMap::new(),
            given_back,
            give_back,
        })
    }
}

/// A delivery that goes back if nothing is decided about it.
struct Unsettled(Option<Delivery>);

impl Unsettled {
    /// Something is decided about it.
    fn keep(mut self) -> Option<Delivery> {
        self.0.take()
    }

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
    /// Sequence, delivery and markers of each.
    deliveries: Vec<(u64, Delivery, Vec<String>)>,
    bytes: usize,
    /// One is in it that is to be alone.
    alone: bool,
    transport: Transport,
    give_back: mpsc::UnboundedSender<Vec<Unacknowledged>>,
}

impl Batch {
    fn new(transport: Transport, give_back: mpsc::UnboundedSender<Vec<Unacknowledged>>) -> Self {
        let (notifications, deliveries) = (Vec::new(), Vec::new());
        Self { notifications, deliveries, bytes: 0, alone: false, transport, give_back }
    }

    fn push(&mut self, unacknowledged: Unacknowledged) {
        let Unacknowledged { sequence, notification, delivery, markers, alone } = unacknowledged;
        self.bytes += delivery.message.content.size();
        self.alone |= alone;
        self.notifications.push(notification);
        self.deliveries.push((sequence, delivery, markers));
    }

    fn takes_more(&self) -> bool {
        !self.alone && self.bytes < MAX_BATCH_BYTES
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
        let settlement = self.deliveries.last().map(|(_, delivery, _)| delivery.settlement());
        let mut markers = Vec::new();
        for (_, delivery, own) in self.deliveries.drain(..) {
            delivery.ack();
            markers.extend(own);
        }
        if let Some(settlement) = settlement {
            settlement.begin();
        }
        if !markers.is_empty() {
            let transport = self.transport.clone();
            tokio::spawn(async move { remove(&transport, markers).await });
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
            .map(|(notification, (sequence, delivery, markers))| Unacknowledged {
                sequence,
                notification,
                delivery,
                markers,
                alone: self.alone,
            })
            .collect();
        // A listener that is gone has returned them to the queue already.
        let _ = self.give_back.send(items);
    }
}

/// Removes markers. One that is left expires.
async fn remove(transport: &Transport, markers: Vec<String>) {
    for marker in markers {
        if let Err(error) = transport.mark(&marker, MarkerRequest::Remove).await {
            tracing::debug!(%error, marker, "a marker is left to expire");
        }
    }
}
