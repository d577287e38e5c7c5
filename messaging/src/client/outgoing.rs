//! What a client sends, and the innermost of its middleware, which sends it.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use tower::{BoxError, Service};

use crate::error::MessagingError;
use crate::excerpt::Excerpt;
use crate::failure::DISPATCHER_MODULE;
use crate::target::{Target, Version};
use crate::trace::{MessageTrace, Sending};
use crate::transport::{Content, Message, Publication, Route, Transport};
use crate::wire::{self, ReplyTo, RequestMessage};

/// How a method is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestKind {
    /// The caller waits for the answer.
    Call,
    /// One server does it; nobody waits.
    Cast,
    /// Every server of the topic does it; nobody waits.
    Fanout,
}

impl RequestKind {
    /// `call`, `cast` or `fanout`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Cast => "cast",
            Self::Fanout => "fanout",
        }
    }
}

/// A request on its way out, as a client's middleware sees it.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub(super) kind: RequestKind,
    pub(super) target: Arc<Target>,
    pub(super) route: Route,
    pub(super) method: String,
    pub(super) version: Version,
    pub(super) context: Map<String, Value>,
    pub(super) args: Map<String, Value>,
    pub(super) timeout: Duration,
    pub(super) monitor: Option<Duration>,
    pub(super) is_transient: bool,
}

impl Outgoing {
    /// Whether somebody waits for the answer.
    #[must_use]
    pub fn kind(&self) -> RequestKind {
        self.kind
    }

    /// Whom it is for.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The version it speaks.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The caller's context.
    #[must_use]
    pub fn context(&self) -> &Map<String, Value> {
        &self.context
    }

    /// The caller's context, to add to: a trace's id, say.
    pub fn context_mut(&mut self) -> &mut Map<String, Value> {
        &mut self.context
    }

    /// The arguments by name.
    #[must_use]
    pub fn args(&self) -> &Map<String, Value> {
        &self.args
    }

    /// How long a call waits.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    fn message(mut self, reply_to: Option<ReplyTo>) -> Message {
        // Once more: a serializer or middleware may have added one.
        wire::remove_credentials(&mut self.context);
        let request = RequestMessage {
            method: self.method,
            namespace: self.target.namespace.clone(),
            version: self.version,
            args: self.args,
            context: self.context,
            reply_to,
            unique_id: wire::new_id().into(),
        };
        Message { is_transient: self.is_transient, ..Message::new(Content::Request(request.into())) }
    }
}

/// Sends requests: what a client's middleware is laid around.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    transport: Transport,
}

impl Sender {
    pub(super) fn new(transport: Transport) -> Self {
        Self { transport }
    }

    pub(super) fn transport(&self) -> &Transport {
        &self.transport
    }

    pub(super) async fn send(&self, outgoing: Outgoing) -> Result<Value, MessagingError> {
        tracing::debug!(
            kind = outgoing.kind.as_str(),
            to = %outgoing.target,
            method = outgoing.method,
            request_id = outgoing.context.get("request_id").and_then(|id| id.as_str()),
            "a request is sent"
        );
        let Some(sending) = Sending::begin(&outgoing.context) else { return self.deliver(outgoing, None).await };
        let (method, kind, target) = (outgoing.method.clone(), outgoing.kind, Arc::clone(&outgoing.target));
        let answer = self.deliver(outgoing, Some(sending.message())).await;
        let error = answer.as_ref().err().map(|error| Excerpt(&error.to_string()).to_string());
        let to = if target.server.is_some() { &target.queue() } else { &target.topic };
        sending.end(method, format!("{} {to}", kind.as_str()), error);
        answer
    }

    async fn deliver(&self, outgoing: Outgoing, trace: Option<MessageTrace>) -> Result<Value, MessagingError> {
        match outgoing.kind {
            RequestKind::Call => self.exchange(outgoing, trace).await,
            RequestKind::Cast => {
                let route = outgoing.route.clone();
                let message = Message { trace, ..outgoing.message(None) };
                self.transport.publish(Publication::mandatory(route, message)).await?;
                Ok(Value::Null)
            }
            RequestKind::Fanout => {
                let route = Route::Fanout { topic: outgoing.target.topic.as_str().into() };
                let publication = Publication::mandatory(route, Message { trace, ..outgoing.message(None) });
                self.transport.publish(Publication { mandatory: false, ..publication }).await?;
                Ok(Value::Null)
            }
        }
    }

    /// Sends a call and waits for its answer.
    async fn exchange(&self, outgoing: Outgoing, trace: Option<MessageTrace>) -> Result<Value, MessagingError> {
        let (timeout, monitor) = (outgoing.timeout, outgoing.monitor);
        let (target, method, version) = (Arc::clone(&outgoing.target), outgoing.method.clone(), outgoing.version);
        let message_id: Arc<str> = wire::new_id().into();
        let reply_to = ReplyTo {
            message_id: Arc::clone(&message_id),
            queue: Arc::clone(self.transport.reply_queue()),
            by_exchange: true,
            monitor,
        };
        let started = Instant::now();
        let timed_out = |after: Duration| MessagingError::Timeout {
            method: method.clone(),
            target: target.to_string(),
            after,
            message_id: message_id.to_string(),
        };
        let answer = async {
            let mut pending = self.transport.expect_reply(&message_id).await?;
            let route = outgoing.route.clone();
            let mut message = outgoing.message(Some(reply_to));
            // A call that nobody took in time has no caller any more.
            message.expiration = Some(timeout.saturating_sub(started.elapsed()));
            message.trace = trace;
            self.transport.publish(Publication::mandatory(route, message)).await?;
            loop {
                let answer = match monitor {
                    Some(silence) => {
                        tokio::time::timeout(silence, pending.next()).await.map_err(|_| timed_out(silence))??
                    }
                    None => pending.next().await?,
                };
                if let Some(answer) = answer {
                    return Ok(answer);
                }
            }
        };
        let reply = tokio::time::timeout(timeout, answer).await.map_err(|_| timed_out(timeout))??;
        let outcome = match Arc::try_unwrap(reply) {
            Ok(reply) => reply.outcome,
            Err(shared) => shared.outcome.clone(),
        };
        outcome.map_err(|failure| match (failure.module.as_str(), failure.class.as_str()) {
            (DISPATCHER_MODULE, "NoSuchMethod") => MessagingError::NoSuchMethod { method, target: target.to_string() },
            (DISPATCHER_MODULE, "UnsupportedVersion") => MessagingError::UnsupportedVersion {
                method,
                requested: version,
                reason: format!("the server behind {target} says: {}", failure.message),
            },
            _ => MessagingError::Remote(failure),
        })
    }
}

impl Service<Outgoing> for Sender {
    type Response = Value;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Value, BoxError>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, outgoing: Outgoing) -> Self::Future {
        let sender = self.clone();
        Box::pin(async move { sender.send(outgoing).await.map_err(Into::into) })
    }
}
