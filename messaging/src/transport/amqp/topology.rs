//! The exchanges and queues, declared as oslo.messaging declares them.

use futures_util::future::{self, BoxFuture};
use futures_util::{FutureExt, TryFutureExt};
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};

use crate::error::MessagingError;
use crate::inspection::QueueReport;
use crate::target::Target;
use crate::transport::{Lifetime, QueueSpec, Route, TransportOptions};

/// A name as AMQP writes it: at most 255 bytes.
pub(super) fn name(text: &str) -> Result<ShortString, MessagingError> {
    ShortString::try_new(text)
        .map_err(|error| MessagingError::Malformed { what: format!("the name `{text}` is too long for AMQP: {error}") })
}

/// An exchange to declare before something is sent to it or bound to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Exchange {
    pub(super) name: String,
    kind: ExchangeRole,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum ExchangeRole {
    Control,
    Fanout,
}

impl Exchange {
    /// The exchange a route goes through, unless it is the default one, which always exists.
    pub(super) fn of(route: &Route) -> Option<Self> {
        match route {
            Route::Topic { exchange, .. } => Some(Self { name: exchange.to_string(), kind: ExchangeRole::Control }),
            Route::Fanout { topic } => Some(Self { name: Target::fanout_exchange(topic), kind: ExchangeRole::Fanout }),
            Route::Queue { .. } => None,
        }
    }

    pub(super) async fn declare(&self, channel: &Channel, options: &TransportOptions) -> lapin::Result<()> {
        let (kind, flags) = match self.kind {
            ExchangeRole::Control => {
                let flags = ExchangeDeclareOptions {
                    durable: lasts(options),
                    auto_delete: options.amqp_auto_delete,
                    ..Default::default()
                };
                (ExchangeKind::Topic, flags)
            }
            ExchangeRole::Fanout => {
                let flags = ExchangeDeclareOptions {
                    durable: options.rabbit_transient_quorum_queue,
                    auto_delete: true,
                    ..Default::default()
                };
                (ExchangeKind::Fanout, flags)
            }
        };
        channel.exchange_declare(short(&self.name), kind, flags, FieldTable::default()).await
    }
}

/// For names that [`name`] has let pass before.
fn short(text: &str) -> ShortString {
    ShortString::try_new(text).unwrap_or_default()
}

/// Checks all the names of a queue and its binding.
pub(super) fn check(spec: &QueueSpec) -> Result<(), MessagingError> {
    name(&spec.name)?;
    for route in &spec.bound_to {
        name(&route.exchange())?;
        name(route.key())?;
    }
    Ok(())
}

/// Whether what serves a topic survives the broker's restart. A quorum queue always does.
fn lasts(options: &TransportOptions) -> bool {
    options.amqp_durable_queues || options.rabbit_quorum_queue
}

/// Whether a queue is declared as a quorum queue.
pub(super) fn is_quorum(lifetime: Lifetime, options: &TransportOptions) -> bool {
    match lifetime {
        Lifetime::Permanent | Lifetime::Lasting => options.rabbit_quorum_queue,
        Lifetime::Transient => options.rabbit_transient_quorum_queue,
    }
}

/// The flags and arguments with which a queue is declared.
fn properties(spec: &QueueSpec, options: &TransportOptions) -> (QueueDeclareOptions, FieldTable) {
    let mut arguments = FieldTable::default();
    let mut flags = QueueDeclareOptions::default();
    let quorum = is_quorum(spec.lifetime, options);
    if quorum {
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    }
    match spec.lifetime {
        Lifetime::Permanent => {
            flags.durable = true;
            if quorum {
                // RabbitMQ 4.0 to 4.2 count each look as a delivery, and drop a message after twenty.
                arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(i32::MAX));
            }
        }
        Lifetime::Lasting => {
            flags.durable = lasts(options);
            flags.auto_delete = options.amqp_auto_delete;
            let limit = i32::try_from(options.rabbit_quorum_delivery_limit).unwrap_or(i32::MAX);
            if quorum && limit > 0 {
                arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(limit));
            }
        }
        Lifetime::Transient => {
            // Not for its messages' sake: RabbitMQ 4.3 refuses queues that are neither durable nor exclusive, and an
            // exclusive one would go with its connection.
            flags.durable = true;
            let milliseconds = i32::try_from(options.rabbit_transient_queues_ttl.as_millis()).unwrap_or(i32::MAX);
            if milliseconds > 0 {
                arguments.insert("x-expires".into(), AMQPValue::LongInt(milliseconds));
            }
        }
    }
    if spec.single_active {
        arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    }
    (flags, arguments)
}

/// Declares queues, their exchanges, and the bindings between them. All is sent before the first answer is awaited, so
/// that it takes the time of one question.
pub(super) async fn declare_queues<'a>(
    channel: &Channel,
    specs: impl Iterator<Item = &'a QueueSpec>,
    options: &TransportOptions,
) -> lapin::Result<()> {
    let mut requests: Vec<BoxFuture<'_, lapin::Result<()>>> = Vec::new();
    for spec in specs {
        let bindings: Vec<_> =
            spec.bound_to.iter().filter_map(|route| Some((Exchange::of(route)?, binding_key(route)))).collect();
        for (exchange, _) in &bindings {
            let exchange = exchange.clone();
            requests.push(Box::pin(async move { exchange.declare(channel, options).await }));
        }
        let (flags, arguments) = properties(spec, options);
        requests.push(channel.queue_declare(short(&spec.name), flags, arguments).map_ok(drop).boxed());
        for (exchange, key) in bindings {
            let (queue, exchange) = (short(&spec.name), short(&exchange.name));
            let bind =
                channel.queue_bind(queue, exchange, short(key), QueueBindOptions::default(), FieldTable::default());
            requests.push(bind.boxed());
        }
    }
    // Each sends its frame when it is polled first, which happens in this order.
    future::join_all(requests).await.into_iter().collect()
}

/// Declares one queue.
pub(super) async fn declare_queue(
    channel: &Channel,
    spec: &QueueSpec,
    options: &TransportOptions,
) -> lapin::Result<()> {
    declare_queues(channel, std::iter::once(spec), options).await
}

/// oslo.messaging binds a fanout queue with the topic as its key, and sends with none; a fanout exchange asks for neither.
fn binding_key(route: &Route) -> &str {
    match route {
        Route::Fanout { topic } => topic,
        other => other.key(),
    }
}

/// Whether a queue exists, whatever its properties.
pub(super) async fn exists(channel: &Channel, queue: &str) -> lapin::Result<()> {
    look_at(channel, queue).await.map(drop)
}

/// What the broker tells of a queue, whatever its properties.
pub(super) async fn look_at(channel: &Channel, queue: &str) -> lapin::Result<QueueReport> {
    let flags = QueueDeclareOptions { passive: true, ..Default::default() };
    let found = channel.queue_declare(short(queue), flags, FieldTable::default()).await?;
    Ok(QueueReport {
        name: queue.to_owned(),
        ready: found.message_count().into(),
        unacked: None,
        consumers: found.consumer_count().into(),
    })
}
