//! Notifications: facts for whoever is interested, kept in a queue until somebody is.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::contract::context_fields;
use crate::error::MessagingError;
use crate::serializer::Serializer;
use crate::target::Target;
use crate::transport::{Content, Lifetime, Message, Publication, QueueSpec, Route, Transport};
use crate::wire::{self, NotificationMessage};

mod listener;

pub use listener::{Batch, Notification, NotificationListener, NotificationListenerBuilder};

/// How urgent a notification is. Each priority of a topic has a queue of its own,
/// `<topic>.<priority>`.
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

/// The queue of a topic's priority. It is made by whoever comes first and may make it, so that nothing is lost
/// before a listener ever started. A notifier that may not sends nothing until it is there.
fn queue(route: Route, single_active: bool) -> QueueSpec {
    QueueSpec {
        name: route.key().to_owned(),
        lifetime: Lifetime::Lasting,
        bound_to: vec![route],
        single_active,
        if_permitted: false,
    }
}

/// The way to it.
fn route(transport: &Transport, target: &Target, priority: Priority) -> Route {
    let exchange = transport.exchange(target.exchange.as_deref()).into();
    Route::Topic { exchange, key: format!("{}.{priority}", target.topic).into() }
}

/// Sends notifications. Cheap to clone.
///
/// ```
/// use novella_messaging::{NotificationListener, Notifier, Transport, TransportOptions};
/// use serde_json::json;
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let transport = Transport::connect("memory://", TransportOptions::default()).await?;
/// let ctx = json!({ "request_id": "req-1" });
///
/// // Kept in a queue until somebody listens, so the order of these two does not matter.
/// let notifier = Notifier::new(&transport, "notifications", "compute.host-1");
/// notifier.info(&ctx, "compute.instance.create.end", &json!({ "uuid": "5c1f" })).await?;
///
/// let mut listener = NotificationListener::builder(&transport, "notifications").start().await?;
/// if let Some(batch) = listener.next_batch(100).await {
///     for notification in batch.notifications() {
///         assert_eq!(notification.event_type, "compute.instance.create.end");
///     }
///     // Only once they are written down; a batch that is dropped comes again.
///     batch.ack().await;
/// }
/// # listener.stop().await; Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Notifier {
    transport: Transport,
    targets: Vec<Target>,
    publisher_id: String,
    serializer: Option<Arc<dyn Serializer>>,
    single_active_consumer: bool,
}

impl Notifier {
    /// A notifier that signs as `publisher_id`, for instance `compute.host-1`.
    #[must_use]
    pub fn new(transport: &Transport, topic: &str, publisher_id: &str) -> Self {
        Self::to(transport, Target::new(topic), publisher_id)
    }

    /// The same by this target's exchange: one that only those may send by who have something to notify of.
    #[must_use]
    pub fn to(transport: &Transport, target: Target, publisher_id: &str) -> Self {
        Self {
            transport: transport.clone(),
            targets: vec![target],
            publisher_id: publisher_id.to_owned(),
            serializer: None,
            single_active_consumer: false,
        }
    }

    /// Sends each notification to this topic, too.
    #[must_use]
    pub fn topic(mut self, topic: &str) -> Self {
        self.targets.push(Target::new(topic));
        self
    }

    /// Has payloads and contexts pass through `serializer`.
    #[must_use]
    pub fn serializer(mut self, serializer: Arc<dyn Serializer>) -> Self {
        self.serializer = Some(serializer);
        self
    }

    /// Says that the topic's listeners ask for a single active consumer. Whoever comes first declares the queue, so
    /// both sides should say the same.
    #[must_use]
    pub fn single_active_consumer(mut self, only_one: bool) -> Self {
        self.single_active_consumer = only_one;
        self
    }

    /// Sends one notification; returns when the bus has it in safe keeping.
    ///
    /// # Errors
    /// If the payload or context cannot be serialised, or the bus does not take the message.
    pub async fn notify<C: Serialize, P: Serialize>(
        &self,
        priority: Priority,
        ctx: &C,
        event_type: &str,
        payload: &P,
    ) -> Result<(), MessagingError> {
        let payload = serde_json::to_value(payload).map_err(|error| MessagingError::Malformed {
            what: format!("the payload of `{event_type}` cannot be serialised: {error}"),
        })?;
        let publications = self.publications(priority, context_fields(ctx)?, event_type.to_owned(), payload)?;
        self.transport.publish_all(publications).await
    }

    /// Sends many notifications in this order and waits for the bus only once all are under way.
    /// After an error any of them may or may not have been sent.
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
        let mut publications = Vec::new();
        for (event_type, payload) in events {
            publications.extend(self.publications(priority, context.clone(), event_type.into(), payload)?);
        }
        self.transport.publish_all(publications).await
    }

    /// [`Notifier::notify`] with [`Priority::Info`].
    ///
    /// # Errors
    /// As [`Notifier::notify`].
    pub async fn info<C: Serialize, P: Serialize>(
        &self,
        ctx: &C,
        event_type: &str,
        payload: &P,
    ) -> Result<(), MessagingError> {
        self.notify(Priority::Info, ctx, event_type, payload).await
    }

    /// [`Notifier::notify`] with [`Priority::Warn`].
    ///
    /// # Errors
    /// As [`Notifier::notify`].
    pub async fn warn<C: Serialize, P: Serialize>(
        &self,
        ctx: &C,
        event_type: &str,
        payload: &P,
    ) -> Result<(), MessagingError> {
        self.notify(Priority::Warn, ctx, event_type, payload).await
    }

    /// [`Notifier::notify`] with [`Priority::Error`].
    ///
    /// # Errors
    /// As [`Notifier::notify`].
    pub async fn error<C: Serialize, P: Serialize>(
        &self,
        ctx: &C,
        event_type: &str,
        payload: &P,
    ) -> Result<(), MessagingError> {
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

    /// One for each topic.
    fn publications(
        &self,
        priority: Priority,
        mut context: Map<String, Value>,
        event_type: String,
        mut payload: Value,
    ) -> Result<Vec<Publication>, MessagingError> {
        wire::remove_credentials(&mut context);
        if let Some(serializer) = &self.serializer {
            payload = serializer.serialize_entity(&context, payload)?;
            context = serializer.serialize_context(context);
            // Once more: the serializer may have added one.
            wire::remove_credentials(&mut context);
        }
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
        let message = Message::new(Content::Notification(message.into()));
        let publication = |target| {
            let route = route(&self.transport, target, priority);
            let queue = queue(route.clone(), self.single_active_consumer);
            Publication { declare: Some(Box::new(queue)), ..Publication::mandatory(route, message.clone()) }
        };
        Ok(self.targets.iter().map(publication).collect())
    }
}
