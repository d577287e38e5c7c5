//! Answering calls and casts.
//!
//! A server consumes three queues: its topic's (shared with the topic's other servers), its own,
//! and its share of the topic's fanout. A message stays the broker's until its handler has
//! finished: a server that dies gives back what it had.
//!
//! ```text
//! delivered ─┬─ malformed ──────────────────────────────────────────────────▶ dead_letters
//!            ├─ completed before, or running already (a duplicate) ─────────▶ acknowledged with the first
//!            ├─ not begun when the server stops: a copy, not counted ───────▶ its queue
//!            ├─ redelivered ─┬─ its work had not begun, or may not have ────▶ a copy, not counted: its queue
//!            │               └─ it had: counted ─┬─ below max_deliveries ───▶ a copy: its queue
//!            │                                   └─ else ───────────────────▶ dead_letters
//!            └─ handled ─┬─ call: answer or error to the caller ────────────▶ acknowledged
//!                        ├─ cast done ──────────────────────────────────────▶ acknowledged
//!                        └─ cast failed: counted as above, after a pause
//! ```

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tower::{BoxError, Layer, Service};

use crate::endpoint::{Dispatcher, Endpoint, Request};
use crate::error::MessagingError;
use crate::serializer::Serializer;
use crate::target::Target;
use crate::transport::{Lifetime, QueueSpec, Route, Subscriber, Subscription, Transport};
use crate::wire;

pub(crate) mod attempts;
mod concurrency_limiter;
mod deduplicator;
mod pipeline;
mod reply;
mod request_handler;

use pipeline::Pipeline;
pub use pipeline::ServerService;
use request_handler::RequestHandler;

/// How many requests a server works on at once unless told otherwise.
const DEFAULT_CONCURRENCY: usize = 64;
/// How long it may take, once the grace is over, to give back what never began.
const GIVE_BACK_TIMEOUT: Duration = Duration::from_secs(5);

/// A running server. Dropping it without [`RpcServer::stop`] ends it as a crash would: what was not
/// finished is delivered again.
pub struct RpcServer {
    stop: Option<oneshot::Sender<Duration>>,
    task: JoinHandle<()>,
    handler: Arc<RequestHandler>,
}

impl RpcServer {
    /// Prepares a server for `target`, whose `server` is the name it is reached by alone; without
    /// one it has no queue of its own.
    ///
    /// ```
    /// # use std::{sync::Arc, time::Duration};
    /// # use novella_messaging::{RpcServer, Target, Transport, TransportOptions};
    /// # #[novella_messaging::contract(topic = "compute", version = "1.0")] trait Compute {}
    /// # struct Manager; impl Compute for Manager {}
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let transport = Transport::connect("memory://", TransportOptions::default()).await?;
    /// let server = RpcServer::builder(&transport, Target::new("compute").server("host-1"))
    ///     .endpoint(ComputeEndpoint::new(Arc::new(Manager)))
    ///     .concurrency(16)
    ///     // Builds are long: two at a time leave room for the rest.
    ///     .limit("build", 2)
    ///     .start()
    ///     .await?;
    ///
    /// // When the process is told to end: what runs may finish, the rest goes to another server.
    /// server.stop(Duration::from_secs(30)).await;
    /// # Ok(()) }
    /// ```
    pub fn builder(transport: &Transport, target: Target) -> RpcServerBuilder {
        RpcServerBuilder {
            transport: transport.clone(),
            target,
            endpoints: Vec::new(),
            layers: Vec::new(),
            serializer: None,
            limits: HashMap::new(),
            concurrency: DEFAULT_CONCURRENCY,
            shared_if_permitted: false,
            only_by_name: false,
        }
    }

    /// Takes no more messages, returns those that have not begun, gives the running handlers up to `grace` to finish,
    /// returns what is then unfinished, and deletes the server's fanout queue.
    pub async fn stop(mut self, grace: Duration) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(grace);
        }
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "the server's task ended badly");
        }
    }
}

impl Drop for RpcServer {
    fn drop(&mut self) {
        self.handler.close();
        self.task.abort();
    }
}

impl fmt::Debug for RpcServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcServer").field("task", &self.task).finish_non_exhaustive()
    }
}

/// Puts one layer of middleware around the work.
type AddLayer = Box<dyn FnOnce(&mut Pipeline) + Send>;

/// What a server will be made of.
#[must_use]
pub struct RpcServerBuilder {
    transport: Transport,
    target: Target,
    endpoints: Vec<Box<dyn Endpoint>>,
    layers: Vec<AddLayer>,
    serializer: Option<Arc<dyn Serializer>>,
    limits: HashMap<String, Semaphore>,
    concurrency: usize,
    shared_if_permitted: bool,
    only_by_name: bool,
}

impl RpcServerBuilder {
    /// Adds an endpoint. Requests go to the first that has the namespace, the version and the
    /// method.
    pub fn endpoint(mut self, endpoint: impl Endpoint) -> Self {
        self.endpoints.push(Box::new(endpoint));
        self
    }

    /// Lays middleware around the endpoints; of several layers, the last is the outermost. Any layer of tower fits whose
    /// service can be cloned and shared. A layer that refuses a call fails it; a cast it refuses is tried again like
    /// one that failed.
    ///
    /// ```
    /// # use novella_messaging::{RpcServer, Target, Transport, TransportOptions};
    /// # use std::time::Duration;
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let transport = Transport::connect("memory://", TransportOptions::default()).await?;
    /// let server = RpcServer::builder(&transport, Target::new("compute").server("host-1"))
    ///     .layer(tower::timeout::TimeoutLayer::new(Duration::from_secs(600)))
    ///     .start()
    ///     .await?;
    /// # server.stop(Duration::ZERO).await; Ok(()) }
    /// ```
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<ServerService> + Send + 'static,
        L::Service: Service<Request, Response = Value> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Error: Into<BoxError>,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        self.layers.push(Box::new(move |pipeline| pipeline.add_layer(&layer)));
        self
    }

    /// Has arguments, results and contexts pass through `serializer`.
    pub fn serializer(mut self, serializer: Arc<dyn Serializer>) -> Self {
        self.serializer = Some(serializer);
        self
    }

    /// Works on at most `at_once` requests of this method at a time. Those that wait take no other
    /// method's place, up to 1000 of them: so long work never holds back short work.
    pub fn limit(mut self, method: impl Into<String>, at_once: usize) -> Self {
        self.limits.insert(method.into(), Semaphore::new(at_once.max(1)));
        self
    }

    /// How many requests it works on at once, which is also how many it takes from each of its queues. At least 1, at
    /// most 65 535; default 64.
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// Does without what it shares with the topic's other servers (the topic's queue, and the fanout) if its user has no
    /// right to that, and serves what is sent to it by its name.
    pub fn shared_if_permitted(mut self) -> Self {
        self.shared_if_permitted = true;
        self
    }

    /// Serves what is sent to it by its name, and nothing that is for any of the topic's servers or for all: where no two
    /// do the same, that means nothing, and costs the broker a queue for each server, and all of them as consumers of one.
    pub fn only_by_name(mut self) -> Self {
        self.only_by_name = true;
        self
    }

    /// Declares the queues and consumes them; when this returns, messages reach the server.
    ///
    /// # Errors
    /// If the queues exist with other properties, access is refused, or the bus cannot be reached.
    pub async fn start(self) -> Result<RpcServer, MessagingError> {
        let prefetch = u16::try_from(self.concurrency.max(1)).unwrap_or(u16::MAX);
        let max_message_bytes = self.transport.options().max_message_bytes;
        let subscription = Subscription { queues: self.queues(), besides: Vec::new(), prefetch, max_message_bytes };
        let subscriber = self.transport.subscribe(subscription).await?;
        let dispatcher = Dispatcher::new(self.endpoints, self.transport.options().rpc_ping_enabled);
        let mut pipeline = Pipeline::new(dispatcher, self.serializer);
        self.layers.into_iter().for_each(|add_layer| add_layer(&mut pipeline));
        let handler = Arc::new(RequestHandler::new(
            self.transport,
            &self.target,
            pipeline,
            self.limits,
            subscriber.prefetch_handle(),
            prefetch,
        ));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(Arc::clone(&handler), subscriber, stopped));
        Ok(RpcServer { stop: Some(stop), task, handler })
    }

    fn queues(&self) -> Vec<QueueSpec> {
        let topic = &self.target.topic;
        let exchange = self.transport.exchange(self.target.exchange.as_deref());
        // With a queue of its own a server can do without the others.
        let if_permitted = self.shared_if_permitted && self.target.server.is_some();
        let lasting = |name: String, if_permitted: bool| QueueSpec {
            bound_to: vec![Route::Topic { exchange: exchange.into(), key: name.as_str().into() }],
            name,
            lifetime: Lifetime::Lasting,
            single_active: false,
            if_permitted,
        };
        if self.only_by_name && self.target.server.is_some() {
            return vec![lasting(self.target.queue(), false)];
        }
        let mut queues = vec![lasting(topic.clone(), if_permitted)];
        if self.target.server.is_some() {
            queues.push(lasting(self.target.queue(), false));
        }
        queues.push(QueueSpec {
            name: format!("{topic}_fanout_{}", wire::new_id()),
            lifetime: Lifetime::Transient,
            bound_to: vec![Route::Fanout { topic: topic.as_str().into() }],
            single_active: false,
            if_permitted,
        });
        queues
    }
}

/// The server's life: hand each delivery to a task of its own until told to stop.
async fn serve(handler: Arc<RequestHandler>, mut subscriber: Subscriber, mut stopped: oneshot::Receiver<Duration>) {
    // Dropped with this future, it takes the handlers along.
    let mut handlers = JoinSet::new();
    let grace = loop {
        let delivery = tokio::select! {
            biased;
            grace = &mut stopped => break grace.unwrap_or_default(),
            delivery = subscriber.next() => delivery,
        };
        let Some(delivery) = delivery else {
            break Duration::ZERO;
        };
        // The prefetch bounds how many there are.
        handlers.spawn(Arc::clone(&handler).process(delivery));
        while let Some(ended) = handlers.try_join_next() {
            note_panic(ended);
        }
    };
    let untaken = subscriber.cancel().await;
    // What has not begun goes back.
    handler.stopping().cancel();
    for delivery in untaken {
        handlers.spawn(Arc::clone(&handler).process(delivery));
    }
    if tokio::time::timeout(grace, until_done(&mut handlers)).await.is_err() {
        tracing::warn!(unfinished = handlers.len(), "stopping with unfinished requests, which go back to their queues");
        handler.abandoning().cancel();
        // Those that were giving something back may do so.
        if tokio::time::timeout(GIVE_BACK_TIMEOUT, until_done(&mut handlers)).await.is_err() {
            handlers.shutdown().await;
        }
    }
    subscriber.close().await;
}

async fn until_done(handlers: &mut JoinSet<()>) {
    while let Some(ended) = handlers.join_next().await {
        note_panic(ended);
    }
}

/// Handlers' panics are caught where they run; one that arrives here is a defect of this crate.
fn note_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "the handler of a message panicked; it is delivered again when the server stops");
    }
}
