//! What travels beside a message's content, in AMQP's properties and headers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::trace::{MessageTrace, TraceContext};
use crate::transport::{Content, DEAD_LETTERS_EXCHANGE, DeathRecord, Message, Route};

/// How often the message was delivered in vain.
const DELIVERIES: &str = "x-novella-deliveries";
/// Whether a delivery more may have been in vain.
const IN_DOUBT: &str = "x-novella-in-doubt";
const DEATH_REASON: &str = "x-novella-death-reason";
const DEATH_QUEUE: &str = "x-novella-death-queue";
const DEATH_TIME: &str = "x-novella-death-time";
/// How many bytes the message had of which only the beginning is here.
const CUT: &str = "x-novella-cut";
/// Of a copy: who sent the original; empty if that is not known.
const SENDER: &str = "x-novella-sender";
/// The W3C's trace context, whose names these are.
const TRACE_PARENT: &str = "traceparent";
const TRACE_STATE: &str = "tracestate";
/// Before the time of sending, in [`TRACE_STATE`].
const SENT: &str = "novella=";
/// What the broker adds to a message that came out of another queue, whose owner may have chosen its routing key.
const DETOUR: &str = "x-death";

/// So much is kept of a message that is too large.
const KEPT_OF_TOO_LARGE: usize = 4096;

/// Kept over the broker's restart, which takes writing to disk; or not.
const PERSISTENT: u8 = 2;
const TRANSIENT: u8 = 1;
/// RabbitMQ takes no longer expiration: ten years, in milliseconds.
const LONGEST_EXPIRATION: u128 = 315_360_000_000;

/// The properties that oslo.messaging sends, and Novella's own headers where there is something to
/// say.
///
/// Answers and fanouts are for those who are there, so they are not written to disk. `id` becomes the AMQP message id, which
/// oslo.messaging leaves unset; by it a returned message is recognised. `user` becomes the user id, which the broker
/// refuses if it is not the connection's user.
pub(super) fn of(message: &Message, route: &Route, id: &str, user: Option<&ShortString>) -> BasicProperties {
    let passing =
        message.is_transient || matches!(route, Route::Fanout { .. }) || matches!(message.content, Content::Reply(_));
    let mut headers = FieldTable::default();
    if message.deliveries > 0 {
        headers.insert(DELIVERIES.into(), AMQPValue::LongLongInt(message.deliveries.into()));
    }
    if message.in_doubt {
        headers.insert(IN_DOUBT.into(), AMQPValue::Boolean(true));
    }
    if message.is_copy {
        headers.insert(SENDER.into(), AMQPValue::LongString(message.sender.as_deref().unwrap_or_default().into()));
    }
    if let Some(DeathRecord { reason, queue, time, cut, .. }) = message.death.as_deref() {
        for (header, text) in [(DEATH_REASON, reason), (DEATH_QUEUE, queue), (DEATH_TIME, time)] {
            headers.insert(header.into(), AMQPValue::LongString(text.as_str().into()));
        }
        if let Some(size) = cut.and_then(|size| i64::try_from(size).ok()) {
            headers.insert(CUT.into(), AMQPValue::LongLongInt(size));
        }
    }
    if let Some(trace) = &message.trace {
        headers.insert(TRACE_PARENT.into(), AMQPValue::LongString(trace.context.to_string().into()));
        if let Some(sent) = trace.sent {
            headers.insert(TRACE_STATE.into(), AMQPValue::LongString(format!("{SENT}{sent}").into()));
        }
    }
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_headers(headers)
        .with_delivery_mode(if passing { TRANSIENT } else { PERSISTENT })
        .with_priority(0)
        .with_message_id(ShortString::try_new(id).unwrap_or_default());
    let properties = match user {
        Some(user) => properties.with_user_id(user.clone()),
        None => properties,
    };
    match message.expiration {
        Some(after) if after.as_millis() <= LONGEST_EXPIRATION => {
            properties.with_expiration(ShortString::try_new(after.as_millis().to_string()).unwrap_or_default())
        }
        _ => properties,
    }
}

/// What is believed of a message that comes.
#[derive(Debug)]
pub(super) struct Intake {
    /// The user that this transport is: what a copy of its own says of its sender is true.
    pub(super) user: Option<ShortString>,
    /// Of a message with more bytes only the beginning is kept.
    pub(super) limit: usize,
}

impl Intake {
    /// A message as it came.
    pub(super) fn message(&self, delivery: lapin::message::Delivery) -> Message {
        let properties = &delivery.properties;
        let header = |name: &str| properties.headers().as_ref().and_then(|headers| headers.inner().get(name));
        let text = |name: &str| match header(name) {
            Some(AMQPValue::LongString(text)) => Some(text.to_string()),
            _ => None,
        };
        let number = |name: &str| match header(name) {
            Some(AMQPValue::LongLongInt(number)) => u64::try_from(*number).ok(),
            Some(AMQPValue::LongInt(number)) => u64::try_from(*number).ok(),
            _ => None,
        };
        let deliveries = number(DELIVERIES).and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
        let in_doubt = matches!(header(IN_DOUBT), Some(AMQPValue::Boolean(true)));
        let expiration =
            properties.expiration().as_ref().and_then(|text| text.as_str().parse().ok()).map(Duration::from_millis);
        let came_directly = header(DETOUR).is_none();
        let death = match (text(DEATH_REASON), text(DEATH_QUEUE), text(DEATH_TIME)) {
            (Some(reason), Some(queue), Some(time)) => {
                // The broker has checked the routing key by the sender's rights; a header it has not. By the default
                // exchange, as earlier versions did it, only those can send who may send to every queue.
                let (queue, doubtful) = match delivery.exchange.as_str() {
                    DEAD_LETTERS_EXCHANGE if came_directly => (delivery.routing_key.to_string(), false),
                    exchange => (queue, !(exchange.is_empty() && came_directly)),
                };
                Some(Box::new(DeathRecord { reason, queue, time, cut: number(CUT), doubtful }))
            }
            _ => None,
        };
        let user = properties.user_id().as_ref().filter(|_| came_directly);
        let sender: Option<Arc<str>> = match (user, text(SENDER)) {
            (Some(user), Some(original)) if self.user.as_ref() == Some(user) => {
                Some(original.into()).filter(|original: &Arc<str>| !original.is_empty())
            }
            (user, _) => user.map(|user| user.as_str().into()),
        };
        let trace = text(TRACE_PARENT).and_then(|parent| TraceContext::parse(&parent)).map(|context| {
            let sent = text(TRACE_STATE).and_then(|state| state.strip_prefix(SENT)?.parse().ok());
            MessageTrace { context, sent }
        });
        let content = self.content(delivery.data);
        let is_transient = *properties.delivery_mode() == Some(TRANSIENT);
        Message { content, deliveries, in_doubt, is_transient, expiration, death, sender, is_copy: false, trace }
    }

    fn content(&self, body: Vec<u8>) -> Content {
        let size = body.len();
        if size <= self.limit {
            return Content::Encoded(body.into());
        }
        // Copied, so that the rest is freed here and now, however long the message waits.
        let beginning = Bytes::copy_from_slice(&body[..size.min(KEPT_OF_TOO_LARGE)]);
        Content::Cut { beginning, size, limit: self.limit }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn queue() -> Route {
        Route::Queue { name: "q".into() }
    }

    fn delivery(exchange: &str, properties: BasicProperties, body: &[u8]) -> lapin::message::Delivery {
        let mut delivery = lapin::message::Delivery::mock(1, exchange.into(), "key".into(), false, body.to_vec());
        delivery.properties = properties;
        delivery
    }

    fn intake(user: &str) -> Intake {
        Intake { user: Some(user.into()), limit: 10_000 }
    }

    fn copy(sender: Option<&str>) -> Message {
        let message = Message::new(Content::Encoded(Bytes::from_static(b"{}")));
        Message { sender: sender.map(Into::into), is_copy: true, ..message }
    }

    #[test]
    fn what_is_written_is_read() {
        let death = Box::new(DeathRecord {
            reason: "it failed".into(),
            queue: "compute".into(),
            time: "2026-01-01T00:00:00Z".into(),
            cut: Some(70_000),
            doubtful: false,
        });
        let sent = Message {
            content: Content::Encoded(Bytes::from_static(b"{}")),
            deliveries: 3,
            in_doubt: true,
            is_transient: true,
            expiration: Some(Duration::from_millis(1500)),
            death: Some(death.clone()),
            sender: None,
            is_copy: false,
            trace: TraceContext::of_request("req-4bf92f35-77b3-4da6-a3ce-929d0e0e4736")
                .map(|context| MessageTrace { context, sent: Some(1_764_000_000_000_000) }),
        };
        let came = intake("me").message(delivery("", of(&sent, &queue(), "id", None), b"{}"));
        assert_eq!((came.deliveries, came.in_doubt, came.is_transient), (3, true, true));
        assert_eq!((came.expiration, came.death), (sent.expiration, Some(death)));
        assert!(came.trace.is_some() && came.trace == sent.trace);
    }

    #[test]
    fn a_plain_message_has_the_headers_of_oslo_messaging_and_no_others() {
        let properties = of(&Message::new(Content::Encoded(Bytes::from_static(b"{}"))), &queue(), "id", None);
        assert_eq!(properties.headers(), &Some(FieldTable::default()));
        assert_eq!(properties.delivery_mode(), &Some(2));
        assert_eq!(properties.expiration(), &None);
    }

    #[test]
    fn a_copy_keeps_the_sender_of_the_original_and_nobody_elses_word_counts_for_that() {
        let sender = |message: &Message, user: &str| {
            let properties = of(message, &queue(), "id", Some(&user.into()));
            intake("me").message(delivery("", properties, b"{}")).sender
        };
        assert_eq!(sender(&Message::new(Content::Encoded(Bytes::new())), "peer").as_deref(), Some("peer"));
        assert_eq!(sender(&copy(Some("conductor")), "me").as_deref(), Some("conductor"));
        assert_eq!(sender(&copy(None), "me"), None);
        assert_eq!(sender(&copy(Some("conductor")), "peer").as_deref(), Some("peer"));
    }

    #[test]
    fn a_detour_through_another_queue_makes_the_sender_and_a_letters_origin_doubtful() {
        let letter = |exchange: &str, detour: bool| {
            let death =
                DeathRecord { reason: "r".into(), queue: "other".into(), time: "t".into(), ..DeathRecord::default() };
            let properties =
                of(&Message { death: Some(Box::new(death)), ..copy(None) }, &queue(), "id", Some(&"peer".into()));
            let mut headers = properties.headers().clone().unwrap();
            if detour {
                headers.insert(DETOUR.into(), AMQPValue::Boolean(true));
            }
            let message = intake("me").message(delivery(exchange, properties.with_headers(headers), b"{}"));
            let death = message.death.unwrap();
            (death.queue, death.doubtful, message.sender.is_some())
        };
        assert_eq!(letter(DEAD_LETTERS_EXCHANGE, false), ("key".into(), false, true));
        assert_eq!(letter("", false), ("other".into(), false, true));
        assert_eq!(letter("again_mine", false), ("other".into(), true, true));
        assert_eq!(letter(DEAD_LETTERS_EXCHANGE, true), ("other".into(), true, false));
    }

    #[test]
    fn of_what_is_too_large_the_beginning_is_kept() {
        let message = intake("me").message(delivery("", BasicProperties::default(), &[b'x'; 10_001]));
        let Content::Cut { beginning, size, limit } = &message.content else { panic!("{message:?}") };
        assert_eq!((beginning.len(), *size, *limit), (KEPT_OF_TOO_LARGE, 10_001, 10_000));
        let error = message.content.request().unwrap_err().to_string();
        assert!(error.contains("10001 bytes") && error.contains("10000"), "{error}");
    }
}
