//! What can be asked of a bus, and how it is done on a transport. Plain data, since it may travel over the socket.

use std::time::Duration;

use novella_messaging::{DeadLetter, DeadLetterAction, MessagingError, RpcClient, Target, Transport};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// One question or order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// Reach a service.
    Rpc(Rpc),
    /// Look at the bus; at these queues where it can't list them.
    Inspect { queues: Vec<String> },
    /// List the oldest dead letters.
    DeadLetters { max: usize },
    /// Send dead letters again, or delete them.
    Dispose(Disposal),
}

/// A message to one or more servers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Rpc {
    pub kind: Kind,
    pub topic: String,
    pub server: Option<String>,
    pub exchange: Option<String>,
    pub namespace: Option<String>,
    /// `major.minor`.
    pub version: String,
    pub method: String,
    pub args: Map<String, Value>,
    pub context: Value,
    /// Seconds to wait for the answer; without it, as long as the transport's owner is used to.
    pub timeout_seconds: Option<f64>,
}

/// How a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// To one server, whose answer is waited for.
    Call,
    /// To one server, without an answer.
    Cast,
    /// To every server of the topic, without an answer.
    Fanout,
    /// The method that every server answers; the result is the time it took, in seconds.
    Ping,
}

/// What becomes of which dead letters.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Disposal {
    /// Which; `None` for all.
    pub chosen: Option<Vec<Chosen>>,
    pub action: DeadLetterAction,
    /// How many to look through, from the oldest on.
    pub max: usize,
}

/// What has become of the dead letters that were chosen.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Disposed {
    /// How many were sent again or deleted.
    pub count: usize,
    /// Those that stay where they are.
    pub failed: Vec<FailedLetter>,
}

/// A dead letter that could not be sent again.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FailedLetter {
    pub id: String,
    pub queue: String,
    /// Why, and what to do about it.
    pub reason: String,
}

/// A dead letter: the copies of a fanout differ in their queues only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chosen {
    pub id: String,
    pub queue: String,
}

impl Chosen {
    pub(crate) fn of(letter: &DeadLetter) -> Self {
        Self { id: letter.id.clone(), queue: letter.queue.clone() }
    }
}

impl Request {
    /// Does it. An error is a text for whoever typed the command: what is wrong, and what to do about it.
    pub(crate) async fn perform(self, transport: &Transport) -> Result<Value, String> {
        let plain = |error: MessagingError| error.to_string();
        match self {
            Self::Rpc(rpc) => rpc.perform(transport).await.map_err(|error| advice(&error)),
            Self::Inspect { queues } => Ok(json!(transport.inspect(&queues).await.map_err(plain)?)),
            Self::DeadLetters { max } => Ok(json!(transport.dead_letters(max).await.map_err(plain)?)),
            Self::Dispose(Disposal { chosen, action, max }) => {
                let wanted =
                    |letter: &DeadLetter| chosen.as_ref().is_none_or(|chosen| chosen.contains(&Chosen::of(letter)));
                let decide = |letter: &DeadLetter| if wanted(letter) { action } else { DeadLetterAction::Keep };
                let disposed = transport.dispose_of_dead_letters(max, decide).await.map_err(plain)?;
                let failed = disposed.failed.into_iter().map(|(letter, error)| FailedLetter {
                    reason: match error {
                        MessagingError::Unroutable { .. } => {
                            "its queue is gone: start the service that listens there and retry, or drop the letter"
                                .to_owned()
                        }
                        error => error.to_string(),
                    },
                    id: letter.id,
                    queue: letter.queue,
                });
                Ok(json!(Disposed { count: disposed.count, failed: failed.collect() }))
            }
        }
    }
}

impl Rpc {
    async fn perform(self, transport: &Transport) -> Result<Value, MessagingError> {
        let target = Target {
            exchange: self.exchange,
            topic: self.topic,
            server: self.server,
            namespace: self.namespace,
            version: self.version.parse()?,
            fanout: false,
        };
        let mut client = RpcClient::new(transport, target);
        if let Some(timeout) = self.timeout_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
            client = client.timeout(timeout);
        }
        match self.kind {
            Kind::Call => client.call(self.context, &self.method, self.args).await,
            Kind::Cast => client.cast(self.context, &self.method, self.args).await.map(|()| Value::Null),
            Kind::Fanout => client.fanout(self.context, &self.method, self.args).await.map(|()| Value::Null),
            Kind::Ping => client.ping().await.map(|time| json!(time.as_secs_f64())),
        }
    }
}

/// The error with the next step.
fn advice(error: &MessagingError) -> String {
    match error {
        MessagingError::Unroutable { .. } => format!("{error}; `novella bus` lists the queues there are"),
        MessagingError::NoSuchMethod { .. } => {
            format!("{error} in this namespace; check its name in the service's contract (rpcapi.rs) and --namespace")
        }
        MessagingError::UnsupportedVersion { method, requested, reason } => format!(
            "`{method}` in version {requested} is not supported ({reason}): name another with --rpc-version (the major \
             must be the server's, the minor not above it), or a --namespace"
        ),
        MessagingError::Timeout { .. } => {
            format!("{error}. `novella rpc ping` says whether it answers at all; --timeout SECONDS waits longer")
        }
        MessagingError::Remote(failure) if failure.class == "TypeError" => {
            format!("the method does not take these arguments: {}; give them as key=value or --json", failure.message)
        }
        MessagingError::Remote(failure) => {
            format!("the method failed: {failure}; the server's log has more, under this request id")
        }
        error => error.to_string(),
    }
}
