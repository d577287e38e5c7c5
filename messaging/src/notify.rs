//! Notifications: facts for whoever is interested, kept in a queue until somebody is.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::contract::context_fields;
use crate::error::MessagingError;
use crate::transport::{Content, Delivery, Lifetime, Message, Publication, QueueSpec, Route, Subscriber, Subscription, Transport};
use crate::wire::{self, NotificationMessage};

/// How urgent a notification is. Each priority of a topic has a queue of its own, `<topic>.<priority>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// For the record.
    Audit,
    /// For developers.
    Debug,
    /// What usually happens.
    Info,
    /// What should not happen too often.
    Warn,
    /// What failed.
    Error,
    /// What needs somebody now.
    Critical,
    /// A measurement.
    Sample,
}

impl Priority {
    /// The lower-case name, as in the queue's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Sample => "sample",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Priority {
    type Err = MessagingError;

    /// Reads either case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        use Priority::{Audit, Critical, Debug, Error, Info, Sample, Warn};
        [Audit, Debug, Info, Warn, Error, Critical, Sample]
            .into_iter()
            .find(|priority| priority.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| MessagingError::Malformed { what: format!("`{text}` is no notification priority") })
    }
}

/// The queue of a topic's priority. It is made by whoever comes first, so that nothing is lost before a listener ever started.
fn queue(transport: &Transport, topic: &str, priority: Priority) -> QueueSpec {
    let name = format!("{topic}.{priority}");
    let route = Route::Topic { exchange: transport.exchange(None).into(), key: name.as_str().into() };
    QueueSpec { name, lifetime: Lifetime::Lasting, bound_to: Some(route) }
}

/// Sends notifications. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Notifier {
    transport: Transport,
    topic: String,
    publisher_id: String,
}

impl Notifier {
    /// A notifier that signs as `publisher_id`, for instance `compute.host-1`.
    #[must_use]
    pub fn new(transport: &Transport, topic: &str, publisher_id: &str) -> Self {
        Self { transport: transport.clone(), topic: topic.to_owned(), publisher_id: publisher_id.to_owned() }
    }

    /// Sends one notification; returns when the bus has it in safe keeping.
    ///
    /// # Errors
    /// If the payload or context cannot be serialised, or the bus does not take the message.
    pub async fn notify<C: Serialize, P: Serialize>(&self, priority: Priority, ctx: &C, event_type: &str, payload: &P) -> Result<(), MessagingError> {
        let payload = serde_json::to_value(payload)
            .map_err(|error| MessagingError::Malformed { what: format!("the payload of `{event_type}` cannot be serialised: {error}") })?;
        self.transport.publish(self.publication(priority, context_fields(ctx)?, event_type.to_owned(), payload)).await
    }

    /// Sends many notifications in this order and waits for the bus only once all are under way. After an error any of them may or may not have been
    /// sent.
    ///
    /// # Errors
    /// As [`Notifier::notify`].
    pub async fn notify_many<C: Serialize, E: Into<String>>(
        &self,
        priority: Priority,
        ctx: &C,
        events: impl IntoIterator<Item = (E, Value)>,
    ) -> Result<(), MessagingError> {
        let context = context_fields(ctx)?;
        let publications =
            events.into_iter().map(|(event_type, payload)| self.publication(priority, context.clone(), event_type.into(), payload)).collect();
        self.transport.publish_all(publications).await
    }

    /// [`Notifier::notify`] with [`Priority::Info`].
    ///
    /// # Errors
    /// As [`Notifier::notify`].
    pub async fn info<C: Serialize, P: Serialize>(&self, ctx: &C, event_type: &str, payload: &P) -> Result<(), MessagingError> {
        self.notify(Priority::Info, ctx, event_type, payload).await
    }

    /// [`Notifier::notify`] with [`Priority::Warn`].
    ///
    /// # Errors
    /// As [`Notifier::notify`].
    pub async fn warn<C: Serialize, P: Serialize>(&self, ctx: &C, event_type: &str, payload: &P) -> Result<(), MessagingError> {
        self.notify(Priority::Warn, ctx, event_type, payload).await
    }

    /// [`Notifier::notify`] with [`Priority::Error`].
    ///
    /// # Errors
    /// As [`Notifier::notify`].
    pub async fn error<C: Serialize, P: Serialize>(&self, ctx: &C, event_type: &str, payload: &P) -> Result<(), MessagingError> {
        self.notify(Priority::Error, ctx, event_type, payload).await
    }

    /// [`Notifier::notify_many`] with [`Priority::Info`].
    ///
    /// # Errors
    /// As [`Notifier::notify`].
    pub async fn info_many<C: Serialize, E: Into<String>>(
        &self,
        ctx: &C,
        events: impl IntoIterator<Item = (E, Value)>,
    ) -> Result<(), MessagingError> {
        self.notify_many(Priority::Info, ctx, events).await
    }

    fn publication(&self, priority: Priority, context: Map<String, Value>, event_type: String, payload: Value) -> Publication {
        let declare = queue(&self.transport, &self.topic, priority);
        let message = NotificationMessage {
            message_id: uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string(),
            publisher_id: self.publisher_id.clone(),
            event_type,
            priority: priority.as_str().to_ascii_uppercase(),
            payload,
            timestamp: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S%.6f").to_string(),
            unique_id: wire::new_id(),
            context,
        };
        let route = Route::Topic { exchange: self.transport.exchange(None).into(), key: declare.name.as_str().into() };
        Publication { declare: Some(Box::new(declare)), ..Publication::mandatory(route, Message::new(Content::Notification(message.into()))) }
    }
}

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
    fn read(content: &Content) -> Result<Self, MessagingError> {
        let message = content.notification()?;
        let priority = message.priority.parse()?;
        let NotificationMessage { message_id, publisher_id, event_type, payload, timestamp, context, .. } =
            std::sync::Arc::unwrap_or_clone(message);
        Ok(Self { message_id, publisher_id, event_type, priority, payload, timestamp, context })
    }
}

/// Takes notifications in batches. Dropping it returns what is not acknowledged.
#[derive(Debug)]
pub struct NotificationListener {
    transport: Transport,
    subscriber: Subscriber,
}

impl NotificationListener {
    /// Prepares a listener on `topic`, by default for [`Priority::Info`].
    #[must_use]
    pub fn builder(transport: &Transport, topic: &str) -> NotificationListenerBuilder {
        NotificationListenerBuilder {
            transport: transport.clone(),
            topic: topic.to_owned(),
            priorities: Vec::new(),
            single_active_consumer: false,
            prefetch: 500,
        }
    }

    /// Waits for a notification, then takes what else is already here, at most `max` in all, in the order of the queue. `None` once the listener is
    /// stopped. A message that is no notification is set aside and does not hold up the others.
    pub async fn next_batch(&mut self, max: usize) -> Option<Batch> {
        let mut batch = Batch { notifications: Vec::new(), deliveries: Vec::new() };
        while batch.notifications.is_empty() {
            let delivery = self.subscriber.next().await?;
            self.take(delivery, &mut batch).await;
        }
        while batch.notifications.len() < max {
            let Some(delivery) = self.subscriber.try_next() else { break };
            self.take(delivery, &mut batch).await;
        }
        Some(batch)
    }

    async fn take(&self, delivery: Delivery, batch: &mut Batch) {
        match Notification::read(&delivery.message.content) {
            Ok(notification) => {
                batch.notifications.push(notification);
                batch.deliveries.push(delivery);
            }
            Err(error) => match self.transport.set_aside(delivery.message.clone(), &delivery.queue, error.to_string()).await {
                Ok(()) => delivery.ack(),
                Err(error) => {
                    tracing::warn!(%error, "a malformed notification could not be set aside and goes back to its queue");
                    delivery.requeue();
                }
            },
        }
    }

    /// Takes no more notifications. What was taken but not acknowledged goes back to the queue.
    pub async fn stop(mut self) {
        self.subscriber.cancel().await;
        self.subscriber.close().await;
    }
}

/// What a listener will be.
#[derive(Debug)]
#[must_use]
pub struct NotificationListenerBuilder {
    transport: Transport,
    topic: String,
    priorities: Vec<Priority>,
    single_active_consumer: bool,
    prefetch: u16,
}

impl NotificationListenerBuilder {
    /// Listens to this priority; may be given several times. Order holds within each.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priorities.push(priority);
        self
    }

    /// Whether only one of all the listeners gets notifications while the others stand by, so that their order holds. On RabbitMQ this holds
    /// among listeners that ask for it.
    pub fn single_active_consumer(mut self, only_one: bool) -> Self {
        self.single_active_consumer = only_one;
        self
    }

    /// How many notifications may be unacknowledged at once, which bounds a batch. Default 500.
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
        let subscription = Subscription {
            queues: priorities.into_iter().map(|priority| queue(&self.transport, &self.topic, priority)).collect(),
            prefetch: self.prefetch,
            single_active: self.single_active_consumer,
        };
        let subscriber = self.transport.subscribe(subscription).await?;
        Ok(NotificationListener { transport: self.transport, subscriber })
    }
}

/// Notifications in hand. Dropped without [`Batch::ack`], they go back.
#[derive(Debug)]
#[must_use = "a batch that is dropped goes back to the queue"]
pub struct Batch {
    notifications: Vec<Notification>,
    deliveries: Vec<Delivery>,
}

impl Batch {
    /// In the order of the queue.
    #[must_use]
    pub fn notifications(&self) -> &[Notification] {
        &self.notifications
    }

    /// They are written down and need not come again.
    pub async fn ack(mut self) {
        self.deliveries.drain(..).for_each(Delivery::ack);
    }

    /// They go back to their places in the queue.
    pub async fn requeue(self) {
        drop(self);
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.deliveries.drain(..).for_each(Delivery::requeue);
    }
}
