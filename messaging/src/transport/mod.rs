//! The connection to a bus: RabbitMQ, or one within the process. What stands above (client, server,
//! notifier, listener) does not know which.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::MessagingError;
use crate::excerpt::Excerpt;
use crate::inspection::BusReport;

mod amqp;
mod memory;
pub(crate) mod message;
mod options;
mod replies;
mod subscriber;

pub(crate) use message::{
    Content, DEAD_LETTERS, DEAD_LETTERS_EXCHANGE, DeathRecord, Fetched, Lifetime, MAX_DEAD_LETTERS,
    MAX_DEAD_LETTERS_BYTES, Message, Publication, QueueSpec, REPLY_EXCHANGE, Route, Subscription, dead_letters,
};
pub use options::TransportOptions;
pub(crate) use replies::{PendingReply, Replies};
pub(crate) use subscriber::{Delivery, PrefetchHandle, Subscriber};

/// The most that is kept of a reason to dead-letter a message, in bytes. A peer's error can be of any length.
const MAX_REASON_BYTES: usize = 4096;

/// How long a marker lasts that nobody removes: longer than the half hour that a broker waits for an acknowledgement.
const MARKER_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// What to do about a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MarkerRequest {
    Set,
    Look,
    Remove,
}

/// Why a message is set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// It can't be read, or is too large to be.
    Unreadable,
    /// It was delivered too often.
    InVain,
}

/// Whether messages flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// They do.
    Connected,
    /// The connection is lost, or a queue cannot be consumed; the transport tries to get it back,
    /// for ever.
    Reconnecting {
        /// When it was lost.
        since: Instant,
        /// The last failure.
        reason: String,
    },
    /// The broker is connected but takes no messages (memory or disk alarm).
    Blocked {
        /// What the broker said.
        reason: String,
    },
}

/// A connection to a bus; cheap to clone, shared by all clones.
#[derive(Debug, Clone)]
pub struct Transport {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: TransportOptions,
    replies: Arc<Replies>,
    backend: Backend,
}

#[derive(Debug)]
enum Backend {
    Memory(Arc<memory::MemoryBus>),
    Amqp(Box<amqp::AmqpBus>),
}

impl Transport {
    /// Connects to the bus that `url` names.
    ///
    /// `amqp://user:password@host:port/vhost` and `amqps://...` reach RabbitMQ (no path, or `/`,
    /// means the virtual host `/`). So does oslo.messaging's `transport_url`: `rabbit://` is `amqp://`, `?ssl=1` makes it
    /// `amqps://`, and of several hosts with commas between them, each `user:password@host:port`, the first that answers
    /// is used, and the next when that one is lost. `memory://` makes a new bus within the process, private to this
    /// transport and its clones; `memory://name` joins the bus of that name in this process, which
    /// lives as long as any transport on it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use novella_messaging::{Health, Transport, TransportOptions};
    ///
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let options = TransportOptions { rpc_response_timeout: Duration::from_secs(10), ..TransportOptions::default() };
    /// let transport = Transport::connect("memory://", options).await?;
    /// assert_eq!(transport.health(), Health::Connected);
    /// transport.close().await;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// At once and for good if the URL, the credentials or the virtual host are wrong or nothing
    /// listens there. A transport that was once connected, on the other hand, never gives up.
    pub async fn connect(url: &str, options: TransportOptions) -> Result<Transport, MessagingError> {
        let replies = Arc::new(Replies::new());
        let backend = match url.split_once("://") {
            Some(("memory", name)) => {
                let bus = memory::MemoryBus::named(name.trim_matches('/'), options.memory_queue_limit);
                bus.add_reply_queue(&replies);
                Backend::Memory(bus)
            }
            Some(("amqp" | "amqps" | "rabbit", _)) => {
                Backend::Amqp(Box::new(amqp::AmqpBus::connect(url, options.clone(), Arc::clone(&replies)).await?))
            }
            Some((scheme, _)) => {
                return Err(MessagingError::InvalidUrl { reason: format!("unknown scheme `{scheme}`") });
            }
            None => {
                return Err(MessagingError::InvalidUrl { reason: "it has no scheme".into() });
            }
        };
        Ok(Self { inner: Arc::new(Inner { options, replies, backend }) })
    }

    /// Whether messages flow at the moment.
    #[must_use]
    pub fn health(&self) -> Health {
        match &self.inner.backend {
            Backend::Memory(_) => Health::Connected,
            Backend::Amqp(bus) => bus.health(),
        }
    }

    /// Whether the bus is within this process, so that its messages end with the process.
    #[must_use]
    pub fn is_in_process(&self) -> bool {
        matches!(self.inner.backend, Backend::Memory(_))
    }

    /// Waits for what is being sent, deletes the transport's reply queue, then disconnects. Calls in flight fail with
    /// [`MessagingError::Closed`], servers and listeners end; what they had not finished is
    /// delivered again, so they are better stopped before.
    pub async fn close(&self) {
        self.inner.replies.close();
        match &self.inner.backend {
            Backend::Memory(bus) => bus.disconnect(self.reply_queue()),
            Backend::Amqp(bus) => bus.close().await,
        }
    }

    /// The options it was made with.
    #[must_use]
    pub fn options(&self) -> &TransportOptions {
        &self.inner.options
    }

    /// The broker's user that this transport is; the broker vouches to others that what it sends is that user's. `None` in
    /// process, and if the nodes of a cluster are reached as different users.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        match &self.inner.backend {
            Backend::Memory(_) => None,
            Backend::Amqp(bus) => bus.user(),
        }
    }

    /// The control exchange for a target that names none.
    pub(crate) fn exchange<'a>(&'a self, own: Option<&'a str>) -> &'a str {
        own.unwrap_or(&self.inner.options.control_exchange)
    }

    /// Sends one message and waits until the bus has taken it over.
    pub(crate) async fn publish(&self, publication: Publication) -> Result<(), MessagingError> {
        self.publish_within(publication, self.inner.options.publish_timeout).await
    }

    /// The same with another time for the bus to take it over.
    pub(crate) async fn publish_within(
        &self,
        publication: Publication,
        timeout: Duration,
    ) -> Result<(), MessagingError> {
        if self.inner.replies.is_closed() {
            return Err(MessagingError::Closed);
        }
        match &self.inner.backend {
            Backend::Memory(bus) => bus.publish(publication, timeout).await,
            // Boxed, like the others below, so that what is sent in process is not moved about in
            // futures made for a broker.
            Backend::Amqp(bus) => Box::pin(bus.publish_all(std::slice::from_ref(&publication), timeout)).await,
        }
    }

    /// Sends many messages in this order, waiting for the bus only once all are on their way.
    pub(crate) async fn publish_all(&self, publications: Vec<Publication>) -> Result<(), MessagingError> {
        if self.inner.replies.is_closed() {
            return Err(MessagingError::Closed);
        }
        match &self.inner.backend {
            Backend::Amqp(bus) => Box::pin(bus.publish_all(&publications, self.inner.options.publish_timeout)).await,
            Backend::Memory(_) => {
                for publication in publications {
                    self.publish(publication).await?;
                }
                Ok(())
            }
        }
    }

    /// Declares the queues and consumes them; returns when messages can flow.
    pub(crate) async fn subscribe(&self, subscription: Subscription) -> Result<Subscriber, MessagingError> {
        if self.inner.replies.is_closed() {
            return Err(MessagingError::Closed);
        }
        match &self.inner.backend {
            Backend::Memory(bus) => Ok(memory::MemoryBus::subscribe(bus, subscription, self.reply_queue())),
            Backend::Amqp(bus) => Box::pin(bus.subscribe(subscription, self.inner.options.rpc_response_timeout)).await,
        }
    }

    /// Takes what is among the dead letters now, at most `max` messages.
    pub(crate) async fn fetch_dead_letters(&self, max: usize) -> Result<Fetched, MessagingError> {
        let spec = message::dead_letters();
        match &self.inner.backend {
            Backend::Memory(bus) => Ok(memory::MemoryBus::fetch(bus, spec, max, self.reply_queue())),
            Backend::Amqp(bus) => Box::pin(bus.fetch(&spec, max)).await,
        }
    }

    /// Sets, looks up or removes a marker: a name that all who are on the bus can see, until it is removed or
    /// [`MARKER_LIFETIME`] is over. Returns whether it was there; unless it was looked up, that may not be known.
    pub(crate) async fn mark(&self, name: &str, request: MarkerRequest) -> Result<bool, MessagingError> {
        match &self.inner.backend {
            Backend::Memory(bus) => Ok(bus.mark(name, request)),
            Backend::Amqp(bus) => Box::pin(bus.mark(name, request)).await,
        }
    }

    /// What is on the bus; on a broker, those of `queues` that exist.
    pub(crate) async fn look_at(&self, queues: &[&str]) -> Result<BusReport, MessagingError> {
        match &self.inner.backend {
            Backend::Memory(bus) => Ok(bus.report()),
            Backend::Amqp(bus) => Box::pin(bus.look_at(queues)).await,
        }
    }

    /// The letter that puts a message into the queue of dead letters, with the reason, the time and the queue it comes
    /// from.
    pub(crate) fn dead_letter(message: Message, queue: &Arc<str>, why: Why, reason: String) -> Publication {
        let sender = message.sender.as_deref();
        tracing::warn!(queue = &**queue, sender, reason = %Excerpt(&reason), "a message is moved to `{DEAD_LETTERS}`");
        Self::dead_letter_untold(message, queue, why, reason)
    }

    /// The same without a word in the log, for one of many.
    pub(crate) fn dead_letter_untold(message: Message, queue: &Arc<str>, why: Why, mut reason: String) -> Publication {
        // A header has to fit into a frame.
        reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
        let label = match (why, &message.content) {
            (Why::Unreadable, Content::Cut { .. }) => "too_large",
            (Why::Unreadable, _) => "unreadable",
            (Why::InVain, _) => "in_vain",
        };
        metrics::counter!("bus_set_aside_total", "reason" => label).increment(1);
        let cut = match &message.content {
            Content::Cut { size, .. } => Some(u64::try_from(*size).unwrap_or(u64::MAX)),
            _ => None,
        };
        let time = jiff::Timestamp::now().to_string();
        let death = DeathRecord { reason, queue: queue.to_string(), time, cut, doubtful: false };
        // An expiration or a restart would make it vanish from there.
        let letter = Message {
            content: message.content.without_credentials(),
            death: Some(Box::new(death)),
            in_doubt: false,
            is_transient: false,
            expiration: None,
            is_copy: true,
            ..message
        };
        let route = Route::DeadLetter { queue: Arc::clone(queue) };
        Publication { declare: Some(Box::new(message::dead_letters())), ..Publication::mandatory(route, letter) }
    }

    /// Makes sure the transport's reply queue is consumed and announces a call on it.
    pub(crate) async fn expect_reply(&self, message_id: &Arc<str>) -> Result<PendingReply, MessagingError> {
        if let Backend::Amqp(bus) = &self.inner.backend {
            Box::pin(bus.ensure_reply_queue()).await?;
        }
        Replies::expect(&self.inner.replies, message_id)
    }

    /// Where answers to this transport's calls go.
    pub(crate) fn reply_queue(&self) -> &Arc<str> {
        self.inner.replies.queue()
    }
}
