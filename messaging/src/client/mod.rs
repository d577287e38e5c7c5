//! Calling methods on other services.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer, Service, ServiceExt};

use crate::endpoint::PING;
use crate::error::MessagingError;
use crate::serializer::Serializer;
use crate::target::{Target, Version};
use crate::transport::{Route, Transport};
use crate::wire;

mod outgoing;

use outgoing::Sender;
pub use outgoing::{Outgoing, RequestKind};

/// A client's middleware, with what sends inside.
pub type ClientService = BoxCloneSyncService<Outgoing, Value, BoxError>;

/// Sends calls, casts and fanouts to a target. Cheap to clone. The typed clients that
/// [`contract`](macro@crate::contract) generates stand on it; by itself it is for methods that are not known when
/// compiling.
///
/// ```
/// # use novella_messaging::{RpcClient, Target, Transport, TransportOptions};
/// # use serde_json::{Map, json};
/// # use std::time::Duration;
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transport = Transport::connect("memory://", TransportOptions::default()).await?;
/// let compute = RpcClient::new(&transport, Target::new("compute").version("6.0".parse()?));
/// let on_host_1 = compute.prepare().server("host-1").timeout(Duration::from_secs(2));
/// let context = json!({ "user_id": "u1", "request_id": "req-1" });
/// // Nobody ever listened here, and the sender is told so at once.
/// let answer = on_host_1.call(context, "get_host_uptime", Map::new()).await;
/// assert!(answer.unwrap_err().to_string().contains("no queue takes messages for `compute.host-1`"));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct RpcClient {
    sender: Sender,
    /// Around the sender; without any, the way is a direct one.
    middleware: Option<ClientService>,
    serializer: Option<Arc<dyn Serializer>>,
    target: Arc<Target>,
    /// Where calls and casts go; derived from the target.
    route: Route,
    /// What messages speak; begins as the target's.
    version: Version,
    timeout: Option<Duration>,
    monitor: Option<Duration>,
    is_transient: bool,
    version_cap: Option<Version>,
}

impl RpcClient {
    /// A client for `target`.
    #[must_use]
    pub fn new(transport: &Transport, target: Target) -> Self {
        Self {
            route: route(transport, &target),
            version: target.version,
            sender: Sender::new(transport.clone()),
            middleware: None,
            serializer: None,
            target: Arc::new(target),
            timeout: None,
            monitor: None,
            is_transient: false,
            version_cap: None,
        }
    }

    /// Another client like this one, to be narrowed by the methods below.
    #[must_use]
    pub fn prepare(&self) -> Self {
        self.clone()
    }

    fn narrowed(mut self, narrow: impl FnOnce(&mut Target)) -> Self {
        narrow(Arc::make_mut(&mut self.target));
        self.route = route(self.sender.transport(), &self.target);
        self
    }

    /// The same client for one server of the topic.
    #[must_use]
    pub fn server(self, server: impl Into<String>) -> Self {
        self.narrowed(|target| target.server = Some(server.into()))
    }

    /// The same client for the servers of another topic.
    #[must_use]
    pub fn topic(self, topic: impl Into<String>) -> Self {
        self.narrowed(|target| target.topic = topic.into())
    }

    /// The same client for every server of the topic at once: for casts alone.
    #[must_use]
    pub fn everybody(self) -> Self {
        self.narrowed(|target| target.fanout = true)
    }

    /// The same client for the methods of a namespace.
    #[must_use]
    pub fn namespace(self, namespace: impl Into<String>) -> Self {
        self.narrowed(|target| target.namespace = Some(namespace.into()))
    }

    /// The same client by another control exchange.
    #[must_use]
    pub fn exchange(self, exchange: impl Into<String>) -> Self {
        self.narrowed(|target| target.exchange = Some(exchange.into()))
    }

    /// The same client speaking `version`.
    #[must_use]
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// The same client with another time for calls to wait. With more than the transport's `rpc_response_timeout` the
    /// call is monitored, see [`RpcClient::call_monitor_timeout`].
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The same client whose calls ask the server for a heartbeat at least this often while the method runs: a call
    /// then fails that soon after its server is gone, however long it may wait. Whole seconds, at least two (servers
    /// refuse to be asked more often). Without it, calls that wait longer than the transport's `rpc_response_timeout`
    /// ask for one that often.
    ///
    /// A server sends heartbeats also while a call waits there, but for one that is still in its queue nobody
    /// does: so this is as well the longest that a call may wait until a server takes it.
    #[must_use]
    pub fn call_monitor_timeout(mut self, silence: Duration) -> Self {
        self.monitor = Some(Duration::from_secs(silence.as_secs().max(2)));
        self
    }

    /// The same client whose requests a broker does not write to its disk, and has no more after a restart: for questions
    /// that are asked again anyway. RabbitMQ 3 keeps a file open for each queue that a request to keep was ever in.
    #[must_use]
    pub fn transient(mut self) -> Self {
        self.is_transient = true;
        self
    }

    /// The same client sending nothing newer than `cap`, for as long as older servers are about.
    #[must_use]
    pub fn version_cap(mut self, cap: Version) -> Self {
        self.version_cap = Some(cap);
        self
    }

    /// The same client whose arguments, results and contexts pass through `serializer`.
    #[must_use]
    pub fn serializer(mut self, serializer: Arc<dyn Serializer>) -> Self {
        self.serializer = Some(serializer);
        self
    }

    /// The same client with a layer of middleware around all it sends; of several, the last is the outermost. Any layer
    /// of tower fits whose service can be cloned and shared.
    ///
    /// ```
    /// # use novella_messaging::{RpcClient, Target, Transport, TransportOptions};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let transport = Transport::connect("memory://", TransportOptions::default()).await?;
    /// let compute = RpcClient::new(&transport, Target::new("compute"))
    ///     .layer(tower::limit::ConcurrencyLimitLayer::new(16))
    ///     .layer(tower::util::MapRequestLayer::new(|mut request: novella_messaging::Outgoing| {
    ///         request.context_mut().insert("trace_id".into(), "4bf92f35".into());
    ///         request
    ///     }));
    /// # let _ = compute; Ok(()) }
    /// ```
    #[must_use]
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<ClientService>,
        L::Service: Service<Outgoing, Response = Value> + Clone + Send + Sync + 'static,
        <L::Service as Service<Outgoing>>::Error: Into<BoxError>,
        <L::Service as Service<Outgoing>>::Future: Send + 'static,
    {
        let inner = self.middleware.take().unwrap_or_else(|| BoxCloneSyncService::new(self.sender.clone()));
        self.middleware = Some(BoxCloneSyncService::new(layer.layer(inner).map_err(Into::into)));
        self
    }

    /// Whether the cap allows messages of `version`.
    #[must_use]
    pub fn can_send_version(&self, version: Version) -> bool {
        self.version_cap.is_none_or(|cap| cap.serves(version))
    }

    /// Calls a method and waits for its answer.
    ///
    /// `context` must be an object or null; its fields travel as `_context_<field>`, but never
    /// `auth_token`.
    ///
    /// # Errors
    /// An exception of the remote side is [`MessagingError::Remote`]; see the other variants for the rest.
    pub async fn call(&self, context: Value, method: &str, args: Map<String, Value>) -> Result<Value, MessagingError> {
        self.send(RequestKind::Call, context, method, args).await
    }

    /// Hands a method to one server and returns when the bus has it in safe keeping.
    ///
    /// # Errors
    /// [`MessagingError::Unroutable`] if no such server ever listened here.
    pub async fn cast(&self, context: Value, method: &str, args: Map<String, Value>) -> Result<(), MessagingError> {
        let kind = if self.target.fanout { RequestKind::Fanout } else { RequestKind::Cast };
        self.send(kind, context, method, args).await.map(drop)
    }

    /// Casts to every server of the topic that is up. That there is none is no error.
    ///
    /// # Errors
    /// If the bus does not take the message.
    pub async fn fanout(&self, context: Value, method: &str, args: Map<String, Value>) -> Result<(), MessagingError> {
        self.send(RequestKind::Fanout, context, method, args).await.map(drop)
    }

    /// Asks whether a server answers at all, whatever its contract; returns how long the answer took.
    ///
    /// # Errors
    /// As [`RpcClient::call`]. A server with `rpc_ping_enabled` off says [`MessagingError::NoSuchMethod`] or
    /// [`MessagingError::UnsupportedVersion`], which is an answer too.
    pub async fn ping(&self) -> Result<Duration, MessagingError> {
        let plain = self.clone().narrowed(|target| target.namespace = None).version(Version::default());
        let started = Instant::now();
        plain.call(Value::Null, PING, Map::new()).await?;
        Ok(started.elapsed())
    }

    // Boxed, so that it is compiled here and not again in each crate that calls something.
    #[inline(never)]
    pub(crate) fn send<'a>(
        &'a self,
        kind: RequestKind,
        context: Value,
        method: &'a str,
        args: Map<String, Value>,
    ) -> BoxFuture<'a, Result<Value, MessagingError>> {
        Box::pin(async move {
            let started = Instant::now();
            let outcome = match self.outgoing(kind, context, method, args) {
                Ok(outgoing) => self.pass(outgoing).await,
                Err(error) => Err(error),
            };
            if kind == RequestKind::Call {
                let label = match &outcome {
                    Ok(_) => "ok",
                    Err(MessagingError::Remote(_)) => "remote_error",
                    Err(MessagingError::Timeout { .. }) => "timeout",
                    Err(_) => "error",
                };
                metrics::histogram!("rpc_client_call_seconds", "method" => method.to_owned(), "outcome" => label)
                    .record(started.elapsed().as_secs_f64());
            }
            outcome
        })
    }

    /// Through the middleware, and back.
    async fn pass(&self, outgoing: Outgoing) -> Result<Value, MessagingError> {
        // Only a call has an answer to read.
        let context = match &self.serializer {
            Some(serializer) if outgoing.kind == RequestKind::Call => Some((serializer, outgoing.context.clone())),
            _ => None,
        };
        let answer = match &self.middleware {
            None => self.sender.send(outgoing).await?,
            Some(middleware) => middleware.clone().oneshot(outgoing).await.map_err(from_middleware)?,
        };
        match context {
            Some((serializer, context)) => serializer.deserialize_entity(&context, answer),
            None => Ok(answer),
        }
    }

    fn outgoing(
        &self,
        kind: RequestKind,
        context: Value,
        method: &str,
        mut args: Map<String, Value>,
    ) -> Result<Outgoing, MessagingError> {
        if kind == RequestKind::Call && self.target.fanout {
            let what = format!("`{method}` is called on {}: many would answer; cast it", self.target);
            return Err(MessagingError::Malformed { what });
        }
        if let Some(cap) = self.version_cap
            && !cap.serves(self.version)
        {
            return Err(MessagingError::UnsupportedVersion {
                method: method.to_owned(),
                requested: self.version,
                reason: format!("this client is capped at {cap}"),
            });
        }
        let mut context = match context {
            Value::Object(context) => context,
            Value::Null => Map::new(),
            other => {
                return Err(MessagingError::Malformed { what: format!("the context is {other}, expected an object") });
            }
        };
        wire::remove_credentials(&mut context);
        if let Some(serializer) = &self.serializer {
            for value in args.values_mut() {
                *value = serializer.serialize_entity(&context, value.take())?;
            }
            context = serializer.serialize_context(context);
        }
        let usual = self.sender.transport().options().rpc_response_timeout;
        let timeout = self.timeout.unwrap_or(usual);
        // The server refuses to be monitored more often than once a second.
        let unasked = || (timeout > usual && usual >= Duration::from_secs(2)).then_some(usual);
        Ok(Outgoing {
            kind,
            target: Arc::clone(&self.target),
            route: self.route.clone(),
            method: method.to_owned(),
            version: self.version,
            context,
            args,
            timeout,
            monitor: self.monitor.or_else(unasked),
            is_transient: self.is_transient,
        })
    }
}

/// What went wrong, by the word of the sender or else of the middleware.
fn from_middleware(error: BoxError) -> MessagingError {
    match error.downcast::<MessagingError>() {
        Ok(error) => *error,
        Err(error) => MessagingError::Middleware { reason: error.to_string() },
    }
}

fn route(transport: &Transport, target: &Target) -> Route {
    Route::Topic { exchange: transport.exchange(target.exchange.as_deref()).into(), key: target.queue().into() }
}
