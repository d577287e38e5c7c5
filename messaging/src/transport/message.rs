//! What the transports carry: a message, its route, and its delivery to whoever consumes it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::subscriber::Delivery;
use crate::error::MessagingError;
use crate::trace::MessageTrace;
use crate::wire::{self, NotificationMessage, ReplyMessage, RequestMessage};

/// The queue for messages that were dead-lettered.
pub(crate) const DEAD_LETTERS: &str = "dead_letters";

/// The exchange by which they get there. Its routing key is the queue that a letter comes from, so that the broker can
/// say who may set aside messages of which queues.
pub(crate) const DEAD_LETTERS_EXCHANGE: &str = "novella_dead_letters";

/// The exchange for answers. Its routing key is the caller's reply queue, whose name nobody can guess: so who may write
/// to it reaches callers, and no other queue.
pub(crate) const REPLY_EXCHANGE: &str = "novella_replies";

/// The most dead letters that are kept, and the most bytes of them: the oldest go first.
pub(crate) const MAX_DEAD_LETTERS: u32 = 10_000;
pub(crate) const MAX_DEAD_LETTERS_BYTES: u32 = 128 * 1024 * 1024;

/// The queue of dead letters as all declare it.
pub(crate) fn dead_letters() -> QueueSpec {
    QueueSpec {
        name: DEAD_LETTERS.into(),
        lifetime: Lifetime::Permanent,
        // Whatever queue they come from.
        bound_to: vec![Route::DeadLetter { queue: "#".into() }],
        single_active: false,
        if_permitted: false,
    }
}

/// A message's content: structured within the process, bytes when it came from (or is not
/// understood by) the wire.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Request(Arc<RequestMessage>),
    Reply(Arc<ReplyMessage>),
    Notification(Arc<NotificationMessage>),
    Encoded(Bytes),
    /// The beginning of a message that was larger than is permitted; the rest was dropped unread.
    Cut {
        beginning: Bytes,
        /// Of the whole, in bytes.
        size: usize,
        limit: usize,
    },
}

impl Content {
    /// The bytes for the wire.
    pub(crate) fn encode(&self) -> Result<Bytes, MessagingError> {
        match self {
            Self::Request(request) => request.encode().map(Into::into),
            Self::Reply(reply) => reply.encode().map(Into::into),
            Self::Notification(notification) => notification.encode().map(Into::into),
            Self::Encoded(bytes) => Ok(bytes.clone()),
            Self::Cut { beginning, .. } => Ok(beginning.clone()),
        }
    }

    /// The bytes that came; none of what never left the process.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Encoded(bytes) => bytes.len(),
            Self::Cut { beginning, .. } => beginning.len(),
            Self::Request(_) | Self::Reply(_) | Self::Notification(_) => 0,
        }
    }

    /// The same without what reading drops: a peer's credential. What cannot be read at all is left as it is.
    pub(crate) fn without_credentials(self) -> Self {
        match self {
            Self::Encoded(body) => Self::Encoded(wire::without_credentials(&body).map_or(body, Into::into)),
            structured => structured,
        }
    }

    pub(crate) fn request(&self) -> Result<Arc<RequestMessage>, MessagingError> {
        match self {
            Self::Request(request) => Ok(Arc::clone(request)),
            Self::Encoded(bytes) => RequestMessage::decode(bytes).map(Arc::new),
            Self::Cut { size, limit, .. } => Err(too_large(*size, *limit)),
            Self::Reply(_) | Self::Notification(_) => Err(not_a("RPC request")),
        }
    }

    pub(crate) fn reply(&self) -> Result<Arc<ReplyMessage>, MessagingError> {
        match self {
            Self::Reply(reply) => Ok(Arc::clone(reply)),
            Self::Encoded(bytes) => ReplyMessage::decode(bytes).map(Arc::new),
            Self::Cut { size, limit, .. } => Err(too_large(*size, *limit)),
            Self::Request(_) | Self::Notification(_) => Err(not_a("reply")),
        }
    }

    pub(crate) fn notification(&self) -> Result<Arc<NotificationMessage>, MessagingError> {
        match self {
            Self::Notification(notification) => Ok(Arc::clone(notification)),
            Self::Encoded(bytes) => NotificationMessage::decode(bytes).map(Arc::new),
            Self::Cut { size, limit, .. } => Err(too_large(*size, *limit)),
            Self::Request(_) | Self::Reply(_) => Err(not_a("notification")),
        }
    }
}

fn not_a(kind: &str) -> MessagingError {
    MessagingError::Malformed { what: format!("the message in this queue is not a {kind}") }
}

pub(crate) fn too_large(size: usize, limit: usize) -> MessagingError {
    MessagingError::Malformed {
        what: format!("it has {size} bytes, of which {limit} are permitted (max_message_bytes)"),
    }
}

/// Why, when and from where a message was dead-lettered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DeathRecord {
    pub(crate) reason: String,
    pub(crate) queue: String,
    /// UTC, RFC 3339.
    pub(crate) time: String,
    /// How many bytes the message had, if only its beginning was kept.
    pub(crate) cut: Option<u64>,
    /// It came by a way on which the broker does not vouch for the queue.
    pub(crate) doubtful: bool,
}

/// Messages taken from a queue one by one. Dropping it returns those that were not settled.
pub(crate) struct Fetched {
    pub(super) deliveries: std::vec::IntoIter<Delivery>,
    /// The channel or subscription by which they were taken; what is not settled goes back when it
    /// ends.
    pub(super) _hold: Box<dyn std::any::Any + Send>,
}

impl Iterator for Fetched {
    type Item = Delivery;

    fn next(&mut self) -> Option<Delivery> {
        self.deliveries.next()
    }
}

/// A message with what travels beside its content.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) content: Content,
    /// How often it was delivered before, in vain: the header `x-novella-deliveries`.
    pub(crate) deliveries: u32,
    /// One more delivery was not acknowledged, of which nobody knows whether its work had begun: the header
    /// `x-novella-in-doubt`.
    pub(crate) in_doubt: bool,
    /// Not worth writing to a disk: a broker that restarts has it no more (delivery mode 1).
    pub(crate) is_transient: bool,
    /// Not worth delivering later than this after it was sent.
    pub(crate) expiration: Option<Duration>,
    pub(crate) death: Option<Box<DeathRecord>>,
    /// The broker's user that sent it, as the broker has checked; of a copy, who sent the original. `None` if it did not
    /// say, and for what never left the process.
    pub(crate) sender: Option<Arc<str>>,
    /// It takes the place of one that was received, whose `sender` it keeps.
    pub(crate) is_copy: bool,
    /// What it is a part of: the headers `traceparent` and `tracestate`.
    pub(crate) trace: Option<MessageTrace>,
}

impl Message {
    pub(crate) fn new(content: Content) -> Self {
        Self {
            content,
            deliveries: 0,
            in_doubt: false,
            is_transient: false,
            expiration: None,
            death: None,
            sender: None,
            is_copy: false,
            trace: None,
        }
    }

    /// Whether a delivery of it ended badly, so that its next beginning is to be marked.
    pub(crate) fn is_suspect(&self) -> bool {
        self.deliveries > 0 || self.in_doubt
    }
}

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Route {
    /// By a control exchange to the queue bound to this key.
    Topic { exchange: Arc<str>, key: Arc<str> },
    /// To every queue bound to the topic's fanout exchange.
    Fanout { topic: Arc<str> },
    /// Straight into a queue, by the default exchange. Who may do that reaches every queue, so it is for operators, and for
    /// answers to peers that know no other way.
    Queue { name: Arc<str> },
    /// To the caller that consumes this queue.
    Reply { queue: Arc<str> },
    /// Into the queue that it was taken from, by an exchange of that queue's own.
    Again { queue: Arc<str> },
    /// Among the dead letters; it was taken from this queue.
    DeadLetter { queue: Arc<str> },
}

impl Route {
    /// The exchange's name; empty for the default one.
    pub(crate) fn exchange(&self) -> String {
        match self {
            Self::Topic { exchange, .. } => exchange.to_string(),
            Self::Fanout { topic } => crate::target::Target::fanout_exchange(topic),
            Self::Queue { .. } => String::new(),
            Self::Reply { .. } => REPLY_EXCHANGE.to_owned(),
            Self::Again { queue } => format!("again_{queue}"),
            Self::DeadLetter { .. } => DEAD_LETTERS_EXCHANGE.to_owned(),
        }
    }

    /// The routing key, for errors.
    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Topic { key, .. } => key,
            Self::Fanout { topic } => topic,
            Self::Queue { name } => name,
            Self::Reply { queue } | Self::Again { queue } | Self::DeadLetter { queue } => queue,
        }
    }

    pub(crate) fn unroutable(&self) -> MessagingError {
        MessagingError::Unroutable { exchange: self.exchange(), routing_key: self.key().to_owned() }
    }
}

/// A message on its way out.
#[derive(Debug, Clone)]
pub(crate) struct Publication {
    pub(crate) route: Route,
    pub(crate) message: Message,
    /// Whether it is an error when no queue takes it.
    pub(crate) mandatory: bool,
    /// The queue is to exist before the message is sent.
    pub(crate) declare: Option<Box<QueueSpec>>,
}

impl Publication {
    /// A message that must reach a queue.
    pub(crate) fn mandatory(route: Route, message: Message) -> Self {
        Self { route, message, mandatory: true, declare: None }
    }
}

/// How long a queue lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Lifetime {
    /// It stays, with its messages, whatever happens.
    Permanent,
    /// It stays, with its messages, while nobody consumes; over the broker's restart if the transport's
    /// `amqp_durable_queues` says so.
    Lasting,
    /// It belongs to one consumer and vanishes some time after it.
    Transient,
}

/// A queue and its binding, as its users declare it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct QueueSpec {
    pub(crate) name: String,
    pub(crate) lifetime: Lifetime,
    /// What is routed into it besides messages addressed to its name.
    pub(crate) bound_to: Vec<Route>,
    /// Only one of its consumers gets messages; another takes over when that one goes.
    pub(crate) single_active: bool,
    /// It is done without where the user may not declare it.
    pub(crate) if_permitted: bool,
}

/// What a consumer asks for.
#[derive(Debug, Clone)]
pub(crate) struct Subscription {
    pub(crate) queues: Vec<QueueSpec>,
    /// Declared with them, and not consumed.
    pub(crate) besides: Vec<QueueSpec>,
    /// How many messages of each queue may be unacknowledged at once; in process, of all of them together.
    pub(crate) prefetch: u16,
    /// Of a message with more bytes only the beginning is kept.
    pub(crate) max_message_bytes: usize,
}
