//! The messages, and their form on the wire: oslo.messaging's, envelope 2.0, which a RabbitMQ
//! shared with Python peers carries.
//!
//! Plain data and plain functions. Decoding is lenient where peers differ (unknown fields, missing
//! optional ones, the 1.0 envelope) and total: whatever the bytes, the answer is a message or
//! [`MessagingError::Malformed`].

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::MessagingError;
use crate::target::Version;

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
    /// `_timeout`: the caller wants a sign of life at least this often while the method runs.
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

/// An answer, or (with `ending` false) a sign of life of a call still running.
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

/// The envelope 2.0 around a message: an object whose `oslo.message` is the message as JSON *text*.
fn seal(message: &Map<String, Value>) -> Result<Vec<u8>, MessagingError> {
    #[derive(Serialize)]
    struct Envelope<'a> {
        #[serde(rename = "oslo.version")]
        version: &'a str,
        #[serde(rename = "oslo.message")]
        message: String,
    }
    let message = serde_json::to_string(message).map_err(|error| malformed(error.to_string()))?;
    serde_json::to_vec(&Envelope { version: "2.0", message }).map_err(|error| malformed(error.to_string()))
}

/// Opens either envelope: 2.0, or 1.0, where the body is the message itself.
fn open(body: &[u8]) -> Result<Map<String, Value>, MessagingError> {
    let outer: Map<String, Value> =
        serde_json::from_slice(body).map_err(|error| malformed(format!("the body is not a JSON object: {error}")))?;
    match (outer.get("oslo.version"), outer.get("oslo.message")) {
        (Some(version), Some(message)) => {
            // Any 2.x has this form; another major may not.
            let major = version.as_str().and_then(|version| version.split('.').next());
            if major != Some("2") {
                return Err(malformed(format!("the envelope's version is {version}, 2.0 is understood")));
            }
            let message = message.as_str().ok_or_else(|| malformed("`oslo.message` is not a string"))?;
            serde_json::from_str(message)
                .map_err(|error| malformed(format!("`oslo.message` does not hold a JSON object: {error}")))
        }
        _ => Ok(outer),
    }
}

/// Takes what would let its bearer act for the user out of a context: the bus carries who asks, never a credential.
/// oslo.messaging sends the user's token along with each message.
pub(crate) fn remove_credentials(context: &mut Map<String, Value>) {
    context.remove(AUTH_TOKEN);
}

fn insert_context(message: &mut Map<String, Value>, context: &Map<String, Value>) {
    for (field, value) in context {
        message.insert(format!("{CONTEXT_PREFIX}{field}"), value.clone());
    }
}

/// Takes the context's fields out of a message.
fn take_context(message: &mut Map<String, Value>) -> Map<String, Value> {
    let mut context = Map::new();
    for (field, value) in message.iter_mut() {
        if let Some(field) = field.strip_prefix(CONTEXT_PREFIX)
            && field != AUTH_TOKEN
        {
            context.insert(field.to_owned(), value.take());
        }
    }
    context
}

fn take_string(message: &mut Map<String, Value>, field: &str) -> Result<Option<String>, MessagingError> {
    match message.remove(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(malformed(format!("`{field}` is {other}, expected a string"))),
    }
}

fn require_string(message: &mut Map<String, Value>, field: &str) -> Result<String, MessagingError> {
    take_string(message, field)?.ok_or_else(|| malformed(format!("`{field}` is missing")))
}

impl RequestMessage {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, MessagingError> {
        let mut message = Map::new();
        message.insert("method".into(), self.method.clone().into());
        message.insert("args".into(), self.args.clone().into());
        if let Some(namespace) = &self.namespace {
            message.insert("namespace".into(), namespace.clone().into());
        }
        message.insert("version".into(), self.version.to_string().into());
        if let Some(reply_to) = &self.reply_to {
            message.insert("_msg_id".into(), (*reply_to.message_id).into());
            message.insert("_reply_q".into(), (*reply_to.queue).into());
            message.insert("_timeout".into(), reply_to.monitor.map_or(Value::Null, |every| every.as_secs().into()));
        }
        message.insert("_unique_id".into(), (*self.unique_id).into());
        insert_context(&mut message, &self.context);
        seal(&message)
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, MessagingError> {
        let mut message = open(body)?;
        let context = take_context(&mut message);
        let method = require_string(&mut message, "method")?;
        let args = match message.remove("args") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(args)) => args,
            Some(_) => {
                return Err(malformed(format!("the `args` of `{method}` are not an object")));
            }
        };
        let version = match take_string(&mut message, "version")? {
            Some(version) => version.parse()?,
            None => Version::default(),
        };
        let namespace = take_string(&mut message, "namespace")?;
        let reply_to = match (take_string(&mut message, "_msg_id")?, take_string(&mut message, "_reply_q")?) {
            (Some(message_id), Some(queue)) => Some(ReplyTo {
                message_id: message_id.into(),
                queue: queue.into(),
                monitor: message
                    .get("_timeout")
                    .and_then(Value::as_f64)
                    .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            }),
            _ => None,
        };
        // Without an id of its own a message cannot be told from its repetition; a new id at least
        // never collides.
        let unique_id = take_string(&mut message, "_unique_id")?.unwrap_or_else(new_id).into();
        Ok(Self { method, namespace, version, args, context, reply_to, unique_id })
    }
}

impl ReplyMessage {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, MessagingError> {
        let mut message = Map::new();
        let (result, failure) = match &self.outcome {
            Ok(result) => (result.clone(), Value::Null),
            Err(failure) => (Value::Null, failure.to_json().to_string().into()),
        };
        message.insert("result".into(), result);
        message.insert("failure".into(), failure);
        message.insert("ending".into(), self.ending.into());
        message.insert("_msg_id".into(), (*self.message_id).into());
        message.insert("_unique_id".into(), self.unique_id.clone().into());
        seal(&message)
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, MessagingError> {
        let mut message = open(body)?;
        let message_id = require_string(&mut message, "_msg_id")?.into();
        let outcome = match message.remove("failure") {
            None | Some(Value::Null) => Ok(message.remove("result").unwrap_or(Value::Null)),
            Some(failure) => Err(Failure::from_json(failure)?),
        };
        Ok(Self {
            message_id,
            outcome,
            ending: message.get("ending").and_then(Value::as_bool).unwrap_or(true),
            unique_id: take_string(&mut message, "_unique_id")?.unwrap_or_else(new_id),
        })
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
        }))
    }
}

impl NotificationMessage {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, MessagingError> {
        let mut message = Map::new();
        message.insert("message_id".into(), self.message_id.clone().into());
        message.insert("publisher_id".into(), self.publisher_id.clone().into());
        message.insert("event_type".into(), self.event_type.clone().into());
        message.insert("priority".into(), self.priority.clone().into());
        message.insert("payload".into(), self.payload.clone());
        message.insert("timestamp".into(), self.timestamp.clone().into());
        message.insert("_unique_id".into(), self.unique_id.clone().into());
        insert_context(&mut message, &self.context);
        seal(&message)
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, MessagingError> {
        let mut message = open(body)?;
        let context = take_context(&mut message);
        let event_type = require_string(&mut message, "event_type")?;
        Ok(Self {
            message_id: take_string(&mut message, "message_id")?.unwrap_or_default(),
            publisher_id: take_string(&mut message, "publisher_id")?.unwrap_or_default(),
            event_type,
            priority: take_string(&mut message, "priority")?.unwrap_or_else(|| "INFO".into()),
            payload: message.remove("payload").unwrap_or(Value::Null),
            timestamp: take_string(&mut message, "timestamp")?.unwrap_or_default(),
            unique_id: take_string(&mut message, "_unique_id")?.unwrap_or_else(new_id),
            context,
        })
    }
}

#[cfg(test)]
mod tests;
