//! Calling methods on other services.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::error::MessagingError;
use crate::failure::DISPATCHER_MODULE;
use crate::target::{Target, Version};
use crate::transport::{Content, Message, Publication, Route, Transport};
use crate::wire::{self, Failure, ReplyTo, RequestMessage};

/// Sends calls, casts and fanouts to a target. Cheap to clone. The typed clients that
/// [`contract`](macro@crate::contract) generates stand on it.
#[derive(Debug, Clone)]
pub struct RpcClient {
    transport: Transport,
    target: Arc<Target>,
    /// Where calls and casts go; derived from the target.
    route: Route,
    /// What messages speak; begins as the target's.
    version: Version,
    timeout: Option<Duration>,
    version_cap: Option<Version>,
}

impl RpcClient {
    /// A client for `target`.
    #[must_use]
    pub fn new(transport: &Transport, target: Target) -> Self {
        let (route, version) = (route(transport, &target), target.version);
        Self {
            transport: transport.clone(),
            target: Arc::new(target),
            route,
            version,
            timeout: None,
            version_cap: None,
        }
    }

    /// The same client for one server of the topic.
    #[must_use]
    pub fn server(mut self, server: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.target).server = Some(server.into());
        self.route = route(&self.transport, &self.target);
        self
    }

    /// The same client speaking `version`.
    #[must_use]
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// The same client with another time for calls to wait. With more than the transport's
    /// `rpc_response_timeout` the server is asked for signs of life that often, so that a dead
    /// server is noticed long before the whole time is over.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The same client sending nothing newer than `cap`, for as long as older servers are about.
    #[must_use]
    pub fn version_cap(mut self, cap: Version) -> Self {
        self.version_cap = Some(cap);
        self
    }

    /// Whether the cap allows messages of `version`.
    #[must_use]
    pub fn can_send_version(&self, version: Version) -> bool {
        self.version_cap.is_none_or(|cap| cap.serves(version))
    }

    /// Calls a method and waits for its answer.
    ///
    /// `context` must serialise to an object (or be null); its fields travel as `_context_<field>`.
    ///
    /// # Errors
    /// An exception of the remote side is [`MessagingError::Remote`]; see the other variants for
    /// the rest.
    pub async fn call(&self, context: Value, method: &str, args: Map<String, Value>) -> Result<Value, MessagingError> {
        self.call_for_outcome(context, method, args).await?.map_err(|failure| MessagingError::Remote {
            class: failure.class,
            module: failure.module,
            message: failure.message,
            traceback: failure.traceback,
        })
    }

    /// Hands a method to one server and returns when the bus has it in safe keeping.
    ///
    /// # Errors
    /// [`MessagingError::Unroutable`] if no such server ever listened here.
    pub async fn cast(&self, context: Value, method: &str, args: Map<String, Value>) -> Result<(), MessagingError> {
        if self.target.fanout {
            return self.fanout(context, method, args).await;
        }
        let request = self.request(context, method, args, None)?;
        self.transport.publish(Publication::mandatory(self.route.clone(), Message::new(request))).await
    }

    /// Casts to every server of the topic that is up. That there is none is no error.
    ///
    /// # Errors
    /// If the bus does not take the message.
    pub async fn fanout(&self, context: Value, method: &str, args: Map<String, Value>) -> Result<(), MessagingError> {
        let request = self.request(context, method, args, None)?;
        let route = Route::Fanout { topic: self.target.topic.as_str().into() };
        let publication = Publication { mandatory: false, ..Publication::mandatory(route, Message::new(request)) };
        self.transport.publish(publication).await
    }

    /// As [`RpcClient::call`], with the remote exception as a value. Unknown methods and versions
    /// are errors of the bus.
    pub(crate) async fn call_for_outcome(
        &self,
        context: Value,
        method: &str,
        args: Map<String, Value>,
    ) -> Result<Result<Value, Box<Failure>>, MessagingError> {
        let started = Instant::now();
        let outcome = self.exchange(context, method, args).await;
        let label = match &outcome {
            Ok(Ok(_)) => "ok",
            Ok(Err(_)) => "remote_error",
            Err(MessagingError::Timeout { .. }) => "timeout",
            Err(_) => "error",
        };
        metrics::histogram!("rpc_client_call_seconds", "method" => method.to_owned(), "outcome" => label)
            .record(started.elapsed().as_secs_f64());
        outcome
    }

    async fn exchange(
        &self,
        context: Value,
        method: &str,
        args: Map<String, Value>,
    ) -> Result<Result<Value, Box<Failure>>, MessagingError> {
        if self.target.fanout {
            let what = format!("`{method}` is called on {}: many would answer; cast it", self.target);
            return Err(MessagingError::Malformed { what });
        }
        let usual = self.transport.options().rpc_response_timeout;
        let timeout = self.timeout.unwrap_or(usual);
        // The server refuses to be monitored more often than once a second.
        let monitor = (timeout > usual && usual >= Duration::from_secs(2)).then_some(usual);
        let message_id: Arc<str> = wire::new_id().into();
        let reply_to =
            ReplyTo { message_id: Arc::clone(&message_id), queue: Arc::clone(self.transport.reply_queue()), monitor };
        let mut message = Message::new(self.request(context, method, args, Some(reply_to))?);
        let started = Instant::now();

        let timed_out = |after| MessagingError::Timeout {
            method: method.to_owned(),
            target: self.target.to_string(),
            after,
            message_id: message_id.to_string(),
        };
        let answer = async {
            let mut pending = self.transport.expect_reply(&message_id).await?;
            // A call that nobody took in time has no caller any more.
            message.expiration = Some(timeout.saturating_sub(started.elapsed()));
            self.transport.publish(Publication::mandatory(self.route.clone(), message)).await?;
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
        match &reply.outcome {
            Ok(result) => Ok(Ok(result.clone())),
            Err(failure) if failure.module == DISPATCHER_MODULE => match failure.class.as_str() {
                "NoSuchMethod" => {
                    Err(MessagingError::NoSuchMethod { method: method.to_owned(), target: self.target.to_string() })
                }
                "UnsupportedVersion" => Err(MessagingError::UnsupportedVersion {
                    method: method.to_owned(),
                    requested: self.version,
                    reason: format!("the server behind {} says: {}", self.target, failure.message),
                }),
                _ => Ok(Err(failure.clone())),
            },
            Err(failure) => Ok(Err(failure.clone())),
        }
    }

    fn request(
        &self,
        context: Value,
        method: &str,
        args: Map<String, Value>,
        reply_to: Option<ReplyTo>,
    ) -> Result<Content, MessagingError> {
        if let Some(cap) = self.version_cap
            && !cap.serves(self.version)
        {
            return Err(MessagingError::UnsupportedVersion {
                method: method.to_owned(),
                requested: self.version,
                reason: format!("this client is capped at {cap}"),
            });
        }
        let context = match context {
            Value::Object(context) => context,
            Value::Null => Map::new(),
            other => {
                return Err(MessagingError::Malformed { what: format!("the context is {other}, expected an object") });
            }
        };
        Ok(Content::Request(
            RequestMessage {
                method: method.to_owned(),
                namespace: self.target.namespace.clone(),
                version: self.version,
                args,
                context,
                reply_to,
                unique_id: wire::new_id().into(),
            }
            .into(),
        ))
    }
}

fn route(transport: &Transport, target: &Target) -> Route {
    Route::Topic { exchange: transport.exchange(target.exchange.as_deref()).into(), key: target.queue().into() }
}
