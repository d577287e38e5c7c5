//! The messages, and their form on the wire: oslo.messaging's, envelope 2.0, which a RabbitMQ
//! shared with Python peers carries.
//!
//! Plain data and plain functions. Decoding is lenient where peers differ (unknown fields, missing
//! optional ones, the 1.0 envelope) and total: whatever the bytes, the answer is a message or
//! [`MessagingError::Malformed`].

use std::sync::Arc;
use std::time::Duration;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::error::MessagingError;
use crate::target::Version;
use crate::transport::REPLY_EXCHANGE;

mod envelope;

use envelope::{Fields, open, seal, take_string};

/// What precedes each field of the caller's context in a message.
const CONTEXT_PREFIX: &str = "_context_";
/// The context's field that is a credential: never sent, and dropped when a peer sent it.
const AUTH_TOKEN: &str = "auth_token";

/// A new id as oslo.messaging forms them: a random UUID's 32 hexadecimal digits.
pub(crate) fn new_id() -> String {
    // From the thread's generator: `Uuid::new_v4` asks the operating system each time, which costs
    // more than a whole cast.
    uuid::Builder::from_random_bytes(rand::random()).into_uuid().simple().to_string()
}

/// Where the answer to a call goes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ReplyTo {
    /// `_msg_id`: what the answer refers to.
    pub(crate) message_id: Arc<str>,
    /// `_reply_q`: the queue the caller consumes.
    pub(crate) queue: Arc<str>,
    /// `_reply_exchange`: whether the caller has bound it to the exchange for answers. oslo.messaging's callers have not:
    /// theirs is reached by the default exchange.
    pub(crate) by_exchange: bool,
    /// `_timeout`: the caller wants a heartbeat at least this often while the method runs.
    pub(crate) monitor: Option<Duration>,
}

/// A call, a cast or a fanout.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RequestMessage {
    pub(crate) method: String,
    pub(crate) namespace: Option<String>,
    pub(crate) version: Version,
    pub(crate) args: Map<String, Value>,
    /// The caller's context, without the prefix its fields have on the wire.
    pub(crate) context: Map<String, Value>,
    /// Present on calls.
    pub(crate) reply_to: Option<ReplyTo>,
    pub(crate) unique_id: Arc<str>,
}

/// An answer, or (with `ending` false) a heartbeat of a call still running.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ReplyMessage {
    pub(crate) message_id: Arc<str>,
    pub(crate) unique_id: String,
    pub(crate) outcome: Result<Value, Box<Failure>>,
    pub(crate) ending: bool,
}

/// A remote exception.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Failure {
    /// The exception's class; for a Rust error the variant's name.
    pub class: String,
    /// The module it lives in.
    pub module: String,
    /// Its text.
    pub message: String,
    /// The traceback's lines.
    pub traceback: Vec<String>,
    /// The constructor's positional arguments; for a Rust error its text alone.
    pub args: Vec<Value>,
    /// The constructor's named arguments; for a Rust error the variant's fields.
    pub kwargs: Map<String, Value>,
    /// See [`RpcError::is_temporary`](crate::RpcError::is_temporary). Known where it happened only: it does not travel.
    pub is_temporary: bool,
}

/// A notification as it travels.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NotificationMessage {
    pub(crate) message_id: String,
    pub(crate) publisher_id: String,
    pub(crate) event_type: String,
    /// Upper case on the wire (`INFO`).
    pub(crate) priority: String,
    pub(crate) payload: Value,
    /// UTC, `2026-11-20 17:26:49.340149`.
    pub(crate) timestamp: String,
    pub(crate) unique_id: String,
    pub(crate) context: Map<String, Value>,
}

fn malformed(what: impl Into<String>) -> MessagingError {
    MessagingError::Malformed { what: what.into() }
}

/// Takes what would let its bearer act for the user out of a context: the bus carries who asks, never a credential.
/// oslo.messaging sends the user's token along with each message.
pub(crate) fn remove_credentials(context: &mut Map<String, Value>) {
    context.remove(AUTH_TOKEN);
}

/// A message that somebody sent a credential in, written without; `None` if there is none in it.
pub(crate) fn without_credentials(body: &[u8]) -> Option<Vec<u8>> {
    let mut message: Map<String, Value> = open(body).ok()?;
    message.remove(&format!("{CONTEXT_PREFIX}{AUTH_TOKEN}"))?;
    seal(&message).ok()
}

impl RequestMessage {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, MessagingError> {
        seal(self)
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, MessagingError> {
        let mut message: Fields = open(body)?;
        let method = message.require_string("method")?;
        let args = match message.own.remove("args") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(args)) => args,
            Some(_) => {
                return Err(malformed(format!("the `args` of `{method}` are not an object")));
            }
        };
        let version = match message.take_string("version")? {
            Some(version) => version.parse()?,
            None => Version::default(),
        };
        let namespace = message.take_string("namespace")?;
        let reply_to = match (message.take_string("_msg_id")?, message.take_string("_reply_q")?) {
            (Some(message_id), Some(queue)) => Some(ReplyTo {
                message_id: message_id.into(),
                queue: queue.into(),
                // No other: a server sends nowhere for a caller's word.
                by_exchange: message.own.get("_reply_exchange").and_then(Value::as_str) == Some(REPLY_EXCHANGE),
                monitor: message
                    .own
                    .get("_timeout")
                    .and_then(Value::as_f64)
                    .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            }),
            _ => None,
        };
        // Without an id of its own a message cannot be told from its repetition; a new id at least
        // never collides.
        let unique_id = message.take_string("_unique_id")?.unwrap_or_else(new_id).into();
        Ok(Self { method, namespace, version, args, context: message.context, reply_to, unique_id })
    }
}

impl Serialize for RequestMessage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut message = serializer.serialize_map(None)?;
        message.serialize_entry("method", &self.method)?;
        message.serialize_entry("args", &self.args)?;
        if let Some(namespace) = &self.namespace {
            message.serialize_entry("namespace", namespace)?;
        }
        message.serialize_entry("version", &format_args!("{}", self.version))?;
        if let Some(reply_to) = &self.reply_to {
            message.serialize_entry("_msg_id", &*reply_to.message_id)?;
            message.serialize_entry("_reply_q", &*reply_to.queue)?;
            message.serialize_entry("_timeout", &reply_to.monitor.map(|every| every.as_secs()))?;
            if reply_to.by_exchange {
                message.serialize_entry("_reply_exchange", REPLY_EXCHANGE)?;
            }
        }
        message.serialize_entry("_unique_id", &*self.unique_id)?;
        envelope::write_context(&mut message, &self.context)?;
        message.end()
    }
}

impl ReplyMessage {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, MessagingError> {
        seal(self)
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, MessagingError> {
        let mut message: Fields = open(body)?;
        let message_id = message.require_string("_msg_id")?.into();
        let outcome = match message.own.remove("failure") {
            None | Some(Value::Null) => Ok(message.own.remove("result").unwrap_or(Value::Null)),
            Some(failure) => Err(Failure::from_json(failure)?),
        };
        Ok(Self {
            message_id,
            outcome,
            ending: message.own.get("ending").and_then(Value::as_bool).unwrap_or(true),
            unique_id: message.take_string("_unique_id")?.unwrap_or_else(new_id),
        })
    }
}

impl Serialize for ReplyMessage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut message = serializer.serialize_map(None)?;
        message.serialize_entry("result", &self.outcome.as_ref().ok())?;
        message
            .serialize_entry("failure", &self.outcome.as_ref().err().map(|failure| failure.to_json().to_string()))?;
        message.serialize_entry("ending", &self.ending)?;
        message.serialize_entry("_msg_id", &*self.message_id)?;
        message.serialize_entry("_unique_id", &self.unique_id)?;
        message.end()
    }
}

impl Failure {
    fn to_json(&self) -> Value {
        serde_json::json!({
            "class": self.class, "module": self.module, "message": self.message,
            "tb": self.traceback, "args": self.args, "kwargs": self.kwargs,
        })
    }

    /// Reads a failure from the JSON text that peers send, or from a plain object.
    fn from_json(failure: Value) -> Result<Box<Self>, MessagingError> {
        let mut fields = match failure {
            Value::String(text) => serde_json::from_str::<Map<String, Value>>(&text)
                .map_err(|error| malformed(format!("`failure` does not hold a JSON object: {error}")))?,
            Value::Object(fields) => fields,
            other => {
                return Err(malformed(format!("`failure` is {other}, expected JSON text")));
            }
        };
        let traceback = match fields.remove("tb") {
            Some(Value::Array(lines)) => {
                lines.into_iter().map(|line| line.as_str().map_or_else(|| line.to_string(), str::to_owned)).collect()
            }
            Some(Value::String(text)) => vec![text],
            _ => Vec::new(),
        };
        Ok(Box::new(Self {
            class: take_string(&mut fields, "class")?.unwrap_or_else(|| "Exception".into()),
            module: take_string(&mut fields, "module")?.unwrap_or_default(),
            message: take_string(&mut fields, "message")?.unwrap_or_default(),
            traceback,
            args: match fields.remove("args") {
                Some(Value::Array(args)) => args,
                _ => Vec::new(),
            },
            kwargs: match fields.remove("kwargs") {
                Some(Value::Object(kwargs)) => kwargs,
                _ => Map::new(),
            },
            is_temporary: false,
        }))
    }
}

impl NotificationMessage {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, MessagingError> {
        seal(self)
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, MessagingError> {
        let mut message: Fields = open(body)?;
        let event_type = message.require_string("event_type")?;
        Ok(Self {
            message_id: message.take_string("message_id")?.unwrap_or_default(),
            publisher_id: message.take_string("publisher_id")?.unwrap_or_default(),
            event_type,
            priority: message.take_string("priority")?.unwrap_or_else(|| "INFO".into()),
            payload: message.own.remove("payload").unwrap_or(Value::Null),
            timestamp: message.take_string("timestamp")?.unwrap_or_default(),
            unique_id: message.take_string("_unique_id")?.unwrap_or_else(new_id),
            context: message.context,
        })
    }
}

impl Serialize for NotificationMessage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut message = serializer.serialize_map(None)?;
        message.serialize_entry("message_id", &self.message_id)?;
        message.serialize_entry("publisher_id", &self.publisher_id)?;
        message.serialize_entry("event_type", &self.event_type)?;
        message.serialize_entry("priority", &self.priority)?;
        message.serialize_entry("payload", &self.payload)?;
        message.serialize_entry("timestamp", &self.timestamp)?;
        message.serialize_entry("_unique_id", &self.unique_id)?;
        envelope::write_context(&mut message, &self.context)?;
        message.end()
    }
}

#[cfg(test)]
mod tests;
