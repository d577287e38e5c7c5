//! The exchanges and queues, declared as oslo.messaging declares them.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};

use crate::error::MessagingError;
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
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Control,
    Fanout,
}

impl Exchange {
    /// The exchange a route goes through, unless it is the default one, which always exists.
    pub(super) fn of(route: &Route) -> Option<Self> {
        match route {
            Route::Topic { exchange, .. } => Some(Self { name: exchange.to_string(), kind: Kind::Control }),
            Route::Fanout { topic } => Some(Self { name: Target::fanout_exchange(topic), kind: Kind::Fanout }),
            Route::Queue { .. } => None,
        }
    }

    pub(super) async fn declare(&self, channel: &Channel, options: &TransportOptions) -> lapin::Result<()> {
        let (kind, flags) = match self.kind {
            Kind::Control => {
                (ExchangeKind::Topic, ExchangeDeclareOptions { durable: options.durable, ..Default::default() })
            }
            Kind::Fanout => (ExchangeKind::Fanout, ExchangeDeclareOptions { auto_delete: true, ..Default::default() }),
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
    if let Some(route) = &spec.bound_to {
        name(&route.exchange())?;
        name(route.key())?;
    }
    Ok(())
}

/// Declares a queue, its exchange, and the binding between them.
pub(super) async fn declare_queue(
    channel: &Channel,
    spec: &QueueSpec,
    options: &TransportOptions,
) -> lapin::Result<()> {
    let exchange = spec.bound_to.as_ref().and_then(Exchange::of);
    if let Some(exchange) = &exchange {
        exchange.declare(channel, options).await?;
    }
    let mut arguments = FieldTable::default();
    let durable = match spec.lifetime {
        Lifetime::Permanent => true,
        Lifetime::Lasting => options.durable,
        Lifetime::Transient => {
            let milliseconds = i32::try_from(options.transient_queues_ttl.as_millis()).unwrap_or(i32::MAX);
            if milliseconds > 0 {
                arguments.insert("x-expires".into(), AMQPValue::LongInt(milliseconds));
            }
            false
        }
    };
    if spec.single_active {
        arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    }
    let flags = QueueDeclareOptions { durable, ..Default::default() };
    channel.queue_declare(short(&spec.name), flags, arguments).await?;
    if let (Some(exchange), Some(route)) = (exchange, &spec.bound_to) {
        let key = match route {
            Route::Fanout { topic } => &**topic,
            other => other.key(),
        };
        channel
            .queue_bind(
                short(&spec.name),
                short(&exchange.name),
                short(key),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await?;
    }
    Ok(())
}

/// Whether a queue exists, whatever its properties.
pub(super) async fn exists(channel: &Channel, queue: &str) -> lapin::Result<()> {
    let flags = QueueDeclareOptions { passive: true, ..Default::default() };
    channel.queue_declare(short(queue), flags, FieldTable::default()).await.map(|_| ())
}
