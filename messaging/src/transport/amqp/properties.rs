//! What travels beside a message's content, in AMQP's properties and headers.

use std::time::Duration;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::transport::{Content, DeathRecord, Message, Route};

/// How often the message was delivered in vain.
const DELIVERIES: &str = "x-novella-deliveries";
/// Whether a delivery more may have been in vain.
const IN_DOUBT: &str = "x-novella-in-doubt";
const DEATH_REASON: &str = "x-novella-death-reason";
const DEATH_QUEUE: &str = "x-novella-death-queue";
const DEATH_TIME: &str = "x-novella-death-time";

/// Kept over the broker's restart, which takes writing to disk; or not.
const PERSISTENT: u8 = 2;
const TRANSIENT: u8 = 1;
/// RabbitMQ takes no longer expiration: ten years, in milliseconds.
const LONGEST_EXPIRATION: u128 = 315_360_000_000;

/// The properties that oslo.messaging sends, and Novella's own headers where there is something to
/// say.
///
/// Answers and fanouts are for those who are there, so they are not written to disk. `id` becomes the AMQP message id, which oslo.messaging leaves unset; by it a returned message is
/// recognised.
pub(super) fn of(message: &Message, route: &Route, id: &str) -> BasicProperties {
    let passing = matches!(route, Route::Fanout { .. }) || matches!(message.content, Content::Reply(_));
    let mut headers = FieldTable::default();
    if message.deliveries > 0 {
        headers.insert(DELIVERIES.into(), AMQPValue::LongLongInt(message.deliveries.into()));
    }
    if message.in_doubt {
        headers.insert(IN_DOUBT.into(), AMQPValue::Boolean(true));
    }
    if let Some(DeathRecord { reason, queue, time }) = message.death.as_deref() {
        for (header, text) in [(DEATH_REASON, reason), (DEATH_QUEUE, queue), (DEATH_TIME, time)] {
            headers.insert(header.into(), AMQPValue::LongString(text.as_str().into()));
        }
    }
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_headers(headers)
        .with_delivery_mode(if passing { TRANSIENT } else { PERSISTENT })
        .with_priority(0)
        .with_message_id(ShortString::try_new(id).unwrap_or_default());
    match message.expiration {
        Some(after) if after.as_millis() <= LONGEST_EXPIRATION => {
            properties.with_expiration(ShortString::try_new(after.as_millis().to_string()).unwrap_or_default())
        }
        _ => properties,
    }
}

/// A message as it came.
pub(super) fn message(properties: &BasicProperties, body: Vec<u8>) -> Message {
    let header = |name: &str| properties.headers().as_ref().and_then(|headers| headers.inner().get(name));
    let text = |name: &str| match header(name) {
        Some(AMQPValue::LongString(text)) => Some(text.to_string()),
        _ => None,
    };
    let deliveries = match header(DELIVERIES) {
        Some(AMQPValue::LongLongInt(count)) => u32::try_from(*count).unwrap_or(0),
        Some(AMQPValue::LongInt(count)) => u32::try_from(*count).unwrap_or(0),
        _ => 0,
    };
    let in_doubt = matches!(header(IN_DOUBT), Some(AMQPValue::Boolean(true)));
    let expiration =
        properties.expiration().as_ref().and_then(|text| text.as_str().parse().ok()).map(Duration::from_millis);
    let death = match (text(DEATH_REASON), text(DEATH_QUEUE), text(DEATH_TIME)) {
        (Some(reason), Some(queue), Some(time)) => Some(Box::new(DeathRecord { reason, queue, time })),
        _ => None,
    };
    Message { content: Content::Encoded(body.into()), deliveries, in_doubt, expiration, death }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn queue() -> Route {
        Route::Queue { name: "q".into() }
    }

    #[test]
    fn what_is_written_is_read() {
        let death = Box::new(DeathRecord {
            reason: "it failed".into(),
            queue: "compute".into(),
            time: "2026-01-01T00:00:00Z".into(),
        });
        let sent = Message {
            content: Content::Encoded(Bytes::from_static(b"{}")),
            deliveries: 3,
            in_doubt: true,
            expiration: Some(Duration::from_millis(1500)),
            death: Some(death.clone()),
        };
        let came = message(&of(&sent, &queue(), "id"), b"{}".to_vec());
        assert_eq!((came.deliveries, came.in_doubt), (3, true));
        assert_eq!((came.expiration, came.death), (sent.expiration, Some(death)));
    }

    #[test]
    fn a_plain_message_has_the_headers_of_oslo_messaging_and_no_others() {
        let properties = of(&Message::new(Content::Encoded(Bytes::from_static(b"{}"))), &queue(), "id");
        assert_eq!(properties.headers(), &Some(FieldTable::default()));
        assert_eq!(properties.delivery_mode(), &Some(2));
        assert_eq!(properties.expiration(), &None);
    }
}
