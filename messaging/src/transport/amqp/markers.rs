//! Markers: names that every server of a virtual host can set, look up and remove.
//!
//! A marker is an empty queue of that name. A broker has no other place that every version and kind of queue has, where
//! something is found by its name and nobody has to take it out and put it back. Who forgets it leaves it to the broker:
//! a queue that nobody uses expires.

use lapin::Channel;
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::established::Established;
use super::{errors, topology};
use crate::transport::{MARKER_LIFETIME, MarkerRequest};

/// Returns whether the marker was there, as far as that is known. A look at one that is not there closes the channel.
pub(super) async fn mark(
    connection: &Established,
    channel: &Channel,
    name: &str,
    request: MarkerRequest,
) -> lapin::Result<bool> {
    let queue = ShortString::try_new(name).unwrap_or_default();
    match request {
        MarkerRequest::Set => {
            let mut arguments = FieldTable::default();
            let milliseconds = i32::try_from(MARKER_LIFETIME.as_millis()).unwrap_or(i32::MAX);
            arguments.insert("x-expires".into(), AMQPValue::LongInt(milliseconds));
            let flags = QueueDeclareOptions { durable: true, ..Default::default() };
            channel.queue_declare(queue, flags, arguments).await.map(|_| false)
        }
        MarkerRequest::Look => match topology::exists(channel, name).await {
            Ok(()) => Ok(true),
            // Unless it is another question's error, by which the connection has ended.
            Err(error) if errors::is_missing(&error) && connection.stands() => Ok(false),
            Err(error) => Err(error),
        },
        // One that is not there is no error.
        MarkerRequest::Remove => channel.queue_delete(queue, QueueDeleteOptions::default()).await.map(|_| true),
    }
}
