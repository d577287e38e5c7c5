//! What a server offers: endpoints that answer requests.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde_json::Value;
use tower::{BoxError, Service};

use crate::target::Version;
use crate::wire::{Failure, RequestMessage};

/// Something that answers requests. [`contract`](macro@crate::contract) generates one from a trait.
pub trait Endpoint: Send + Sync + 'static {
    /// The namespace it serves; `None` is a namespace of its own.
    fn namespace(&self) -> Option<&str> {
        None
    }

    /// The version it serves, and with it all lower minors of that major.
    fn version(&self) -> Version;

    /// Does what the request asks. Called only with requests of its namespace and a version it
    /// serves; may run more than once for the same request, so it must be idempotent.
    fn dispatch(&self, request: Request) -> BoxFuture<'_, Outcome>;
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The method's result; null for those without.
    Returned(Value),
    /// The method's error. The caller gets it; a cast is tried again, and dead-lettered in the end.
    Failed(Box<Failure>),
    /// This endpoint has no such method; another one might.
    NoSuchMethod,
}

/// A request as an endpoint sees it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Request {
    message: Arc<RequestMessage>,
    sender: Option<Arc<str>>,
}

impl Request {
    pub(crate) fn new(message: Arc<RequestMessage>, sender: Option<Arc<str>>) -> Self {
        Self { message, sender }
    }

    /// The broker's user that sent it, which the broker has checked. `None` if it did not say (oslo.messaging's peers
    /// don't), and in process.
    #[must_use]
    pub fn sender(&self) -> Option<&str> {
        self.sender.as_deref()
    }

    /// The method asked for.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.message.method
    }

    /// The namespace it is in.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.message.namespace.as_deref()
    }

    /// The caller's context as it came.
    #[must_use]
    pub fn context_fields(&self) -> &serde_json::Map<String, Value> {
        &self.message.context
    }

    /// Whether somebody waits for the answer.
    #[must_use]
    pub fn is_call(&self) -> bool {
        self.message.reply_to.is_some()
    }

    /// The version the sender speaks.
    #[must_use]
    pub fn version(&self) -> Version {
        self.message.version
    }

    /// All arguments by name.
    #[must_use]
    pub fn arguments(&self) -> &serde_json::Map<String, Value> {
        &self.message.args
    }

    /// One argument. One that is missing reads as null, so that an `Option` added in a later
    /// version can be left out by older senders.
    ///
    /// # Errors
    /// An outcome that tells the caller which argument was wrong.
    pub fn argument<T: DeserializeOwned>(&self, name: &str) -> Result<T, Outcome> {
        let wrong = |what: String| {
            let message = format!("{}(): {what}", self.method());
            Outcome::Failed(Failure::type_error(message))
        };
        match self.message.args.get(name) {
            Some(value) => {
                T::deserialize(value).map_err(|error| wrong(format!("the argument `{name}` is not valid: {error}")))
            }
            None => T::deserialize(Value::Null).map_err(|_| wrong(format!("the argument `{name}` is missing"))),
        }
    }

    /// The caller's context.
    ///
    /// # Errors
    /// An outcome that tells the caller what was wrong with it.
    pub fn context<C: DeserializeOwned>(&self) -> Result<C, Outcome> {
        C::deserialize((&self.message.context).into_deserializer()).map_err(|error| {
            let message = format!("{}(): the context is not valid: {error}", self.method());
            Outcome::Failed(Failure::type_error(message))
        })
    }
}

/// The method that every server answers, as with oslo.messaging's `rpc_ping_enabled`.
pub(crate) const PING: &str = "oslo_rpc_server_ping";

/// Finds the endpoint for each request: what a server's middleware is laid around.
#[derive(Clone)]
pub(crate) struct Dispatcher {
    /// In the order they were given to the server.
    endpoints: Arc<[Box<dyn Endpoint>]>,
    answers_pings: bool,
}

impl Dispatcher {
    pub(crate) fn new(endpoints: Vec<Box<dyn Endpoint>>, answers_pings: bool) -> Self {
        Self { endpoints: endpoints.into(), answers_pings }
    }

    pub(crate) async fn dispatch(&self, request: Request) -> Result<Value, Box<Failure>> {
        if self.answers_pings && request.method() == PING && request.namespace().is_none() {
            return Ok("pong".into());
        }
        find(&self.endpoints, request).await
    }
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatcher").field("endpoints", &self.endpoints.len()).finish_non_exhaustive()
    }
}

impl Service<Request> for Dispatcher {
    type Response = Value;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Value, BoxError>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let dispatcher = self.clone();
        Box::pin(async move { dispatcher.dispatch(request).await.map_err(|failure| failure as BoxError) })
    }
}

async fn find(endpoints: &[Box<dyn Endpoint>], request: Request) -> Result<Value, Box<Failure>> {
    let message = &request.message;
    let mut served = false;
    for endpoint in endpoints {
        if endpoint.namespace() != message.namespace.as_deref() || !endpoint.version().serves(message.version) {
            continue;
        }
        served = true;
        match endpoint.dispatch(request.clone()).await {
            Outcome::Returned(result) => return Ok(result),
            Outcome::Failed(failure) => return Err(failure),
            Outcome::NoSuchMethod => {}
        }
    }
    Err(if served {
        Failure::no_such_method(&message.method)
    } else {
        Failure::unsupported_version(&message.method, message.version)
    })
}
