//! The exchanges and queues, declared as oslo.messaging declares them; and those that it does not have, see
//! `docs/decisions/0011`.
//!
//! A user need not have the right to declare all of them. What it may not declare it looks for: then somebody else does.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};

use super::errors;
use super::established::Established;
use crate::error::MessagingError;
use crate::inspection::QueueReport;
use crate::transport::{Lifetime, MAX_DEAD_LETTERS, MAX_DEAD_LETTERS_BYTES, QueueSpec, Route, TransportOptions};

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
    Replies,
    /// One queue's own.
    Again,
    DeadLetters,
}

/// What this transport's user may not declare, as far as was found out. Told from each other by their names alone: so are
/// the broker's permissions.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashSet<String>>);

impl Refusals {
    fn names(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn contains(&self, name: &str) -> bool {
        self.names().contains(name)
    }

    /// Whether this user does without the queue.
    pub(super) fn forbid(&self, spec: &QueueSpec) -> bool {
        let names = self.names();
        let fanout = |route: &Route| matches!(route, Route::Fanout { .. }) && names.contains(&route.exchange());
        spec.if_permitted && (names.contains(&spec.name) || spec.bound_to.iter().any(fanout))
    }
}

impl Exchange {
    /// The exchange a route goes through, unless it is the default one, which always exists.
    pub(super) fn of(route: &Route) -> Option<Self> {
        let kind = match route {
            Route::Topic { .. } => ExchangeRole::Control,
            Route::Fanout { .. } => ExchangeRole::Fanout,
            Route::Reply { .. } => ExchangeRole::Replies,
            Route::Again { .. } => ExchangeRole::Again,
            Route::DeadLetter { .. } => ExchangeRole::DeadLetters,
            Route::Queue { .. } => return None,
        };
        Some(Self { name: route.exchange(), kind })
    }

    /// Declares it, or only looks whether it is there.
    async fn declare(&self, channel: &Channel, options: &TransportOptions, passive: bool) -> lapin::Result<()> {
        let (kind, mut flags) = match self.kind {
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
            // They outlive a restart of the broker, since not all of those who need them may declare them. Not a topic
            // exchange for replies: a wildcard would be bound to everybody's.
            ExchangeRole::Replies => {
                (ExchangeKind::Direct, ExchangeDeclareOptions { durable: true, ..Default::default() })
            }
            ExchangeRole::DeadLetters => {
                (ExchangeKind::Topic, ExchangeDeclareOptions { durable: true, ..Default::default() })
            }
            // It goes with its queue.
            ExchangeRole::Again => {
                let flags = ExchangeDeclareOptions { durable: true, auto_delete: true, ..Default::default() };
                (ExchangeKind::Direct, flags)
            }
        };
        flags.passive = passive;
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
            let most = |limit: u32| AMQPValue::LongInt(i32::try_from(limit).unwrap_or(i32::MAX));
            arguments.insert("x-max-length".into(), most(MAX_DEAD_LETTERS));
            arguments.insert("x-max-length-bytes".into(), most(MAX_DEAD_LETTERS_BYTES));
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

/// One thing to ask of the broker.
enum Request<'a> {
    Exchange(Exchange),
    /// Whether somebody else has declared it.
    LookForExchange(Exchange),
    Queue(&'a QueueSpec),
    LookForQueue(&'a str),
    Bind {
        queue: &'a str,
        exchange: Exchange,
        key: &'a str,
    },
}

impl Request<'_> {
    /// What it declares, if it does.
    fn declares(&self) -> Option<&str> {
        match self {
            Self::Exchange(exchange) => Some(&exchange.name),
            Self::Queue(spec) => Some(&spec.name),
            Self::LookForExchange(_) | Self::LookForQueue(_) | Self::Bind { .. } => None,
        }
    }

    /// Returns the queue that it was about, if that has no consumer.
    async fn send(&self, channel: &Channel, options: &TransportOptions) -> lapin::Result<Option<String>> {
        match self {
            Self::Exchange(exchange) => exchange.declare(channel, options, false).await?,
            Self::LookForExchange(exchange) => exchange.declare(channel, options, true).await?,
            Self::Queue(spec) => {
                let (flags, arguments) = properties(spec, options);
                let queue = channel.queue_declare(short(&spec.name), flags, arguments).await?;
                return Ok((queue.consumer_count() == 0).then(|| spec.name.clone()));
            }
            Self::LookForQueue(name) => {
                let queue = look_at(channel, name).await?;
                return Ok((queue.consumers == 0).then_some(queue.name));
            }
            Self::Bind { queue, exchange, key } => {
                let (queue, exchange, key) = (short(queue), short(&exchange.name), short(key));
                channel.queue_bind(queue, exchange, key, QueueBindOptions::default(), FieldTable::default()).await?;
            }
        }
        Ok(None)
    }
}

fn exchange_request(exchange: Exchange, refusals: &Refusals) -> Request<'static> {
    if refusals.contains(&exchange.name) { Request::LookForExchange(exchange) } else { Request::Exchange(exchange) }
}

/// What a queue takes: its exchanges, itself (unless it is `there` already), and the bindings between them.
fn requests<'a>(spec: &'a QueueSpec, there: bool, refusals: &Refusals) -> Vec<Request<'a>> {
    if refusals.forbid(spec) {
        return Vec::new();
    }
    let bindings: Vec<_> =
        spec.bound_to.iter().filter_map(|route| Some((Exchange::of(route)?, binding_key(route)))).collect();
    let mut requests: Vec<_> =
        bindings.iter().map(|(exchange, _)| exchange_request(exchange.clone(), refusals)).collect();
    if refusals.contains(&spec.name) {
        // Who declares it binds it as well.
        requests.push(Request::LookForQueue(&spec.name));
        return requests;
    }
    requests.push(if there { Request::LookForQueue(&spec.name) } else { Request::Queue(spec) });
    let bind = |(exchange, key)| Request::Bind { queue: &spec.name, exchange, key };
    requests.extend(bindings.into_iter().map(bind));
    requests
}

/// What came of declaring.
pub(super) struct Declared {
    /// Good for more, unlike one on which something was refused.
    pub(super) channel: Channel,
    /// The queues among them that nobody consumes.
    pub(super) unconsumed: Vec<String>,
}

/// Has the broker do all that `requests` lists. All is sent before the first answer is awaited, so that it takes the time
/// of one question. What the user may not declare is remembered, and the list asked for anew, on another channel: a refusal
/// breaks the one it is on.
async fn carry_out<'a>(
    connection: &Established,
    mut channel: Channel,
    options: &TransportOptions,
    refusals: &Refusals,
    requests: impl Fn() -> Vec<Request<'a>>,
) -> lapin::Result<Declared> {
    loop {
        let requests = requests();
        // Each sends its frame when it is polled first, which happens in this order; and so the first that fails is the
        // one that broke the channel.
        let answers = future::join_all(requests.iter().map(|request| request.send(&channel, options))).await;
        let mut unconsumed = Vec::new();
        let failed = requests.iter().zip(answers).find_map(|(request, answer)| match answer {
            Ok(without_consumer) => {
                unconsumed.extend(without_consumer);
                None
            }
            Err(error) => Some((request, error)),
        });
        match failed {
            None => return Ok(Declared { channel, unconsumed }),
            Some((request, error)) => match request.declares() {
                // Unless it is another question's error, by which the connection has ended.
                Some(name) if errors::is_forbidden(&error) && connection.stands() => {
                    tracing::info!(name, "this user may not declare it; it is looked for instead");
                    refusals.names().insert(name.to_owned());
                    channel = connection.create_channel().await?;
                }
                _ => return Err(error),
            },
        }
    }
}

/// Declares queues, their exchanges, and the bindings between them.
pub(super) async fn declare_queues(
    connection: &Established,
    channel: Channel,
    specs: &[&QueueSpec],
    options: &TransportOptions,
    refusals: &Refusals,
) -> lapin::Result<Declared> {
    let all = || {
        let mut exchanges = HashSet::new();
        // Each exchange once, before the first queue that is bound to it.
        let is_new = |request: &Request<'_>| match request {
            Request::Exchange(exchange) | Request::LookForExchange(exchange) => exchanges.insert(exchange.name.clone()),
            Request::Queue(_) | Request::LookForQueue(_) | Request::Bind { .. } => true,
        };
        specs.iter().flat_map(|spec| requests(spec, false, refusals)).filter(is_new).collect()
    };
    carry_out(connection, channel, options, refusals, all).await
}

/// The same for a queue that somebody has declared with other properties: it stays as it is, and is bound.
pub(super) async fn bind_queue(
    connection: &Established,
    channel: Channel,
    spec: &QueueSpec,
    options: &TransportOptions,
    refusals: &Refusals,
) -> lapin::Result<Channel> {
    let declared = carry_out(connection, channel, options, refusals, || requests(spec, true, refusals)).await?;
    Ok(declared.channel)
}

/// Makes sure that a route's exchange is there, and that a queue's own leads to it.
pub(super) async fn declare_exchange(
    connection: &Established,
    channel: Channel,
    route: &Route,
    options: &TransportOptions,
    refusals: &Refusals,
) -> lapin::Result<Channel> {
    let Some(exchange) = Exchange::of(route) else { return Ok(channel) };
    let all = || {
        let mut requests = vec![exchange_request(exchange.clone(), refusals)];
        if let Route::Again { queue } = route {
            requests.push(Request::Bind { queue, exchange: exchange.clone(), key: queue });
        }
        requests
    };
    Ok(carry_out(connection, channel, options, refusals, all).await?.channel)
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
