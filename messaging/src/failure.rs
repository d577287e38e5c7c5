//! Rust errors as remote exceptions, and back.

use std::fmt;

use serde_json::{Map, Value};

use crate::error::{CallError, MessagingError, RpcError};
use crate::target::Version;
use crate::wire::Failure;

/// The module oslo.messaging's dispatcher raises from.
pub(crate) const DISPATCHER_MODULE: &str = "oslo_messaging.rpc.dispatcher";

/// How many characters of a remote exception's text are shown: the whole of it is as long as its sender likes.
const MAX_SHOWN: usize = 2000;

/// Cut to what fits into a line of a log.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.200}.{:.200}: {:.MAX_SHOWN$}", self.module, self.class, self.message)?;
        match self.message.char_indices().nth(MAX_SHOWN) {
            Some((at, _)) => write!(f, "... ({} bytes more)", self.message.len() - at),
            None => Ok(()),
        }
    }
}

/// So that a server's middleware can pass it on like any error.
impl std::error::Error for Failure {}

impl Failure {
    /// An exception with nothing but a text.
    pub(crate) fn new(module: &str, class: &str, message: String) -> Box<Self> {
        Box::new(Self {
            module: module.into(),
            class: class.into(),
            args: vec![message.clone().into()],
            message,
            ..Self::default()
        })
    }

    /// An argument that the method cannot take.
    pub(crate) fn type_error(message: String) -> Box<Self> {
        Self::new("builtins", "TypeError", message)
    }

    pub(crate) fn no_such_method(method: &str) -> Box<Self> {
        let message = format!("Endpoint does not support RPC method {method}");
        Self::new(DISPATCHER_MODULE, "NoSuchMethod", message)
    }

    pub(crate) fn unsupported_version(method: &str, version: Version) -> Box<Self> {
        let message = format!("Endpoint does not support RPC version {version}. Attempted method: {method}");
        Self::new(DISPATCHER_MODULE, "UnsupportedVersion", message)
    }

    pub(crate) fn panicked(method: &str, text: &str) -> Box<Self> {
        Self::new("builtins", "RuntimeError", format!("the handler of {method} panicked: {text}"))
    }

    pub(crate) fn unserialisable(error: &serde_json::Error) -> Box<Self> {
        Self::type_error(format!("the result or error cannot be serialised: {error}"))
    }

    /// The exception an error is on the wire.
    pub(crate) fn of_error<E: RpcError>(error: &E) -> Box<Self> {
        let (class, kwargs) = match serde_json::to_value(error) {
            Ok(value) => variant(value),
            Err(error) => return Self::unserialisable(&error),
        };
        let failure = *Self::new(E::MODULE, &class, error.to_string());
        Box::new(Self { traceback: chain(error), kwargs, ..failure })
    }

    /// The error of the contract's own type, if it is one.
    pub(crate) fn into_call_error<E: RpcError>(self) -> CallError<E> {
        if self.module == E::MODULE
            && let Some(error) = rebuild(&self.class, &self.kwargs)
        {
            return CallError::Remote(error);
        }
        CallError::Messaging(MessagingError::Remote(Box::new(self)))
    }
}

/// What caused the error, a line each: the nearest thing to a traceback.
fn chain(error: &dyn std::error::Error) -> Vec<String> {
    let mut lines = vec![format!("{error}\n")];
    let mut source = error.source();
    while let Some(cause) = source {
        lines.push(format!("caused by: {cause}\n"));
        source = cause.source();
    }
    lines
}

/// Takes an externally tagged enum apart. Fields without names are called `0`, `1`, ..., which no
/// named field can be.
fn variant(value: Value) -> (String, Map<String, Value>) {
    match value {
        Value::String(name) => (name, Map::new()),
        Value::Object(fields) if fields.len() == 1 => match fields.into_iter().next() {
            Some((name, Value::Object(fields))) => (name, fields),
            Some((name, Value::Array(fields))) => {
                (name, fields.into_iter().enumerate().map(|(place, value)| (place.to_string(), value)).collect())
            }
            Some((name, value)) => (name, Map::from_iter([("0".to_owned(), value)])),
            None => ("Error".into(), Map::new()),
        },
        Value::Object(fields) => ("Error".into(), fields),
        other => ("Error".into(), Map::from_iter([("0".to_owned(), other)])),
    }
}

/// Puts it together again: the forms a variant of that name with those fields may have, until one
/// fits.
fn rebuild<E: RpcError>(class: &str, kwargs: &Map<String, Value>) -> Option<E> {
    let unnamed: Option<Vec<Value>> = (0..kwargs.len()).map(|place| kwargs.get(&place.to_string()).cloned()).collect();
    let tagged = |value: Value| Value::Object(Map::from_iter([(class.to_owned(), value)]));
    let mut forms = vec![tagged(kwargs.clone().into())];
    if let Some(mut fields) = unnamed {
        forms.push(tagged(fields.clone().into()));
        if let (Some(field), 1) = (fields.pop(), kwargs.len()) {
            forms.push(tagged(field));
        }
    }
    // Peers add fields of their own (`code`) to an exception without any.
    forms.push(class.into());
    forms.into_iter().find_map(|form| serde_json::from_value(form).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
    enum HostError {
        #[error("no such instance")]
        InstanceNotFound,
        #[error("host {host} has {free_mib} MiB left")]
        NoRoom { host: String, free_mib: u64 },
        #[error("odd: {0}")]
        Odd(String),
        #[error("pair: {0}, {1:?}")]
        Pair(u8, Option<u8>),
        #[error("nothing in it")]
        Empty {},
        #[error("nested")]
        Nested(Box<HostError>),
        #[error("list")]
        List(Vec<u8>),
    }

    impl RpcError for HostError {
        const MODULE: &'static str = "novella.compute";
    }

    #[test]
    fn a_long_text_of_a_peer_is_cut_where_it_is_shown_and_nowhere_else() {
        let failure = Failure::new("m", "C", "ü".repeat(MAX_SHOWN + 3));
        let shown = failure.to_string();
        assert!(shown.starts_with("m.C: ü") && shown.ends_with("ü... (6 bytes more)"), "{shown}");
        assert_eq!(failure.message.chars().count(), MAX_SHOWN + 3);
        assert_eq!(Failure::new("m", "C", "short".into()).to_string(), "m.C: short");
    }

    #[test]
    fn every_shape_of_variant_survives_the_journey() {
        for error in [
            HostError::InstanceNotFound,
            HostError::NoRoom { host: "h1".into(), free_mib: 7 },
            HostError::Odd("x".into()),
            HostError::Pair(1, None),
            HostError::Empty {},
            HostError::Nested(Box::new(HostError::NoRoom { host: "h2".into(), free_mib: 0 })),
            HostError::Nested(Box::new(HostError::InstanceNotFound)),
            HostError::List(vec![1]),
            HostError::List(vec![]),
            HostError::List(vec![1, 2, 3]),
        ] {
            let failure = Failure::of_error(&error);
            assert_eq!(failure.message, error.to_string());
            assert_eq!(failure.into_call_error::<HostError>(), CallError::Remote(error));
        }
    }

    #[test]
    fn an_error_of_another_module_stays_foreign() {
        let failure = Failure { module: "nova.exception".into(), ..*Failure::of_error(&HostError::InstanceNotFound) };
        let error = failure.into_call_error::<HostError>();
        assert!(
            matches!(error, CallError::Messaging(MessagingError::Remote(failure)) if failure.class == "InstanceNotFound")
        );
    }

    #[test]
    fn a_variant_this_side_does_not_know_stays_foreign() {
        let failure = Failure { class: "Newer".into(), ..*Failure::of_error(&HostError::InstanceNotFound) };
        assert!(matches!(failure.into_call_error::<HostError>(), CallError::Messaging(MessagingError::Remote(_))));
    }

    #[test]
    fn fields_added_by_the_peer_are_tolerated() {
        let mut failure = Failure::of_error(&HostError::InstanceNotFound);
        failure.kwargs.insert("code".into(), 404.into());
        assert_eq!(failure.into_call_error::<HostError>(), CallError::Remote(HostError::InstanceNotFound));
    }
}
