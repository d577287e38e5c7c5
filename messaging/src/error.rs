//! What can go wrong, in terms of what a caller can do about it.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::target::Version;
use crate::wire::Failure;

/// Why a message could not be sent, answered or read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MessagingError {
    /// A call got no answer in time. The work may or may not have been done: ask, or repeat what is
    /// idempotent.
    #[error(
        "no answer to `{method}` from {target} within {} s (message {message_id}); the server may be down, slow or have \
         done the work nevertheless",
        after.as_secs_f64()
    )]
    Timeout {
        /// The method called.
        method: String,
        /// Whom it was sent to.
        target: String,
        /// How long the caller waited.
        after: Duration,
        /// The `_msg_id` of the request, to find it in a server's log.
        message_id: String,
    },

    /// No queue takes this message: no server of that name ever listened here. It was not sent.
    #[error(
        "no queue takes messages for `{routing_key}` (exchange `{exchange}`): no such server ever listened on this bus; \
         check the topic and the server's name"
    )]
    Unroutable {
        /// The exchange it was published to.
        exchange: String,
        /// Its routing key: the topic, or topic.server.
        routing_key: String,
    },

    /// The bus could not be reached in time. Whether the message was accepted is not known if the
    /// connection broke after it was sent.
    #[error("the bus was not reachable for {} s: {reason}; the transport keeps trying to reconnect", waited.as_secs_f64())]
    Disconnected {
        /// How long the sender waited for a connection.
        waited: Duration,
        /// The last failure.
        reason: String,
    },

    /// The broker (or a full queue) takes no messages at present.
    #[error("the bus took no messages for {} s: {reason}; free its memory or disk, or start a consumer", waited.as_secs_f64())]
    Blocked {
        /// How long the sender waited.
        waited: Duration,
        /// What the broker said.
        reason: String,
    },

    /// The broker took the message but refused to keep it.
    #[error("the broker refused the message for `{routing_key}`: {reason}")]
    Refused {
        /// The routing key of the message.
        routing_key: String,
        /// What the broker said.
        reason: String,
    },

    /// The method needs a version that the peer (or the client's version cap) does not have.
    #[error(
        "`{method}` needs version {requested}, which is not supported: {reason}; upgrade that side or cap the version"
    )]
    UnsupportedVersion {
        /// The method.
        method: String,
        /// The version it needs.
        requested: Version,
        /// Who does not support it.
        reason: String,
    },

    /// The server has no such method.
    #[error("{target} has no RPC method `{method}`")]
    NoSuchMethod {
        /// The method.
        method: String,
        /// Whom it was sent to.
        target: String,
    },

    /// The handler failed with an error that is not of the contract's own error type.
    #[error("the remote side failed with {0}")]
    Remote(Box<Failure>),

    /// A layer of the client's middleware refused or ended the request.
    #[error("the request did not pass the client's middleware: {reason}")]
    Middleware {
        /// What the layer said.
        reason: String,
    },

    /// A message, an argument or a result is not of the form that was agreed.
    #[error("malformed message: {what}")]
    Malformed {
        /// Which part, and what was expected.
        what: String,
    },

    /// The transport's URL cannot be used.
    #[error(
        "the transport URL is not valid: {reason}; expected amqp://user:password@host:port/vhost (or amqps://, or \
         rabbit:// as oslo.messaging has it) or memory://"
    )]
    InvalidUrl {
        /// What is wrong with it, without the password.
        reason: String,
    },

    /// An option of the transport cannot be used.
    #[error("the option `{option}` is not valid: {reason}")]
    InvalidOption {
        /// Its name.
        option: String,
        /// What is wrong with its value.
        reason: String,
    },

    /// The broker knows the user but not the right, or does not know the user.
    #[error("the broker at {address} refused access: {reason}; check user, password, virtual host and permissions")]
    AccessRefused {
        /// Host and port.
        address: String,
        /// What the broker said.
        reason: String,
    },

    /// The first connection could not be made.
    #[error("cannot connect to the broker at {address}: {reason}")]
    ConnectionFailed {
        /// Host and port.
        address: String,
        /// What failed.
        reason: String,
    },

    /// An exchange or queue exists with other properties than the ones declared here.
    #[error(
        "{what} exists with other properties: {reason}; all peers of a virtual host must agree, see `amqp_durable_queues` and `rabbit_quorum_queue`"
    )]
    DeclaredOtherwise {
        /// The exchange or queue.
        what: String,
        /// What the broker said.
        reason: String,
    },

    /// The transport, server or listener was closed by its owner.
    #[error("the transport is closed")]
    Closed,
}

/// Why a typed call failed: the handler said so in its own error type, or the bus did.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CallError<E> {
    /// The manager's own error.
    #[error("{0}")]
    Remote(E),
    /// Everything else: no answer, no route, another kind of error than the contract names.
    #[error(transparent)]
    Messaging(#[from] MessagingError),
}

impl<E> CallError<E> {
    /// The manager's own error, if that is what it is.
    pub fn remote(&self) -> Option<&E> {
        match self {
            Self::Remote(error) => Some(error),
            Self::Messaging(_) => None,
        }
    }
}

/// An error type that travels: an enum with serde's external tagging (the default of
/// `#[derive(Serialize, Deserialize)]`).
///
/// On the wire the variant's name is the exception's `class`, its fields are `kwargs`, and its
/// `Display` text is `message` and `args[0]`. The caller's side rebuilds the same enum if `module`
/// equals [`RpcError::MODULE`]; otherwise the caller gets [`MessagingError::Remote`].
pub trait RpcError: std::error::Error + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The Python module the error claims to live in, for instance `nova.exception`.
    const MODULE: &'static str;

    /// Whether something that the method needs was away (a database, say): that speaks neither against the message nor
    /// against the server. A cast or fanout that fails so is tried again until it is there, and that is not counted; see
    /// [`TransportOptions::max_deliveries`](crate::TransportOptions::max_deliveries). Not on the wire.
    fn is_temporary(&self) -> bool {
        false
    }
}
