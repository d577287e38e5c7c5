//! What a server sends to a caller: heartbeats while it waits, then the reply.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use serde_json::Value;
use tracing::Instrument;

use crate::error::MessagingError;
use crate::transport::{Content, Message, Publication, Route, Transport};
use crate::wire::{self, Failure, ReplyMessage, ReplyTo};

/// A caller that monitors more often than every two of these gets no heartbeats.
const MIN_HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);
/// How long a reply is tried again whose reply queue is missing: its owner may be about to declare it again.
/// oslo.messaging tries as long.
const REPLY_QUEUE_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a caller wants heartbeats, if it does.
pub(super) fn heartbeat_interval(reply_to: Option<&ReplyTo>) -> Option<(&ReplyTo, Duration)> {
    let reply_to = reply_to?;
    let every = reply_to.monitor? / 2;
    (every >= MIN_HEARTBEAT_INTERVAL).then_some((reply_to, every))
}

/// Tells the caller again and again that its request is not forgotten.
pub(super) async fn send_heartbeats(transport: &Transport, reply_to: &ReplyTo, every: Duration) -> Infallible {
    loop {
        tokio::time::sleep(every).await;
        if let Err(error) = transport.publish(message(reply_to, Ok(Value::Null), false)).await {
            tracing::debug!(%error, "a heartbeat did not reach the caller");
        }
    }
}

/// Sends the reply, also to a bus that takes it late: what is done is not to be done again because it takes long to say so.
/// But for no longer than callers wait unless told otherwise. That there is no caller any more, or none that a reply can
/// reach, is no error: the work is done.
pub(super) async fn send(
    transport: &Transport,
    reply_to: &ReplyTo,
    outcome: Result<Value, Box<Failure>>,
) -> Result<(), MessagingError> {
    let reply = message(reply_to, outcome, true);
    let options = transport.options();
    let timeout = options.publish_timeout.max(options.rpc_response_timeout);
    match transport.publish_within(reply.clone(), timeout).await {
        Err(MessagingError::Unroutable { .. }) if transport.is_in_process() => {
            tracing::info!(queue = &*reply_to.queue, "a caller is gone before its reply came");
            Ok(())
        }
        Err(MessagingError::Unroutable { .. }) => {
            tokio::spawn(send_late(transport.clone(), reply).in_current_span());
            Ok(())
        }
        // This would come again: too large, for instance.
        Err(error @ (MessagingError::Refused { .. } | MessagingError::Malformed { .. })) => {
            tracing::warn!(%error, "a reply cannot be sent; its caller is told so");
            let failure = Failure::new("builtins", "RuntimeError", format!("the reply could not be sent: {error}"));
            if let Err(error) = transport.publish(message(reply_to, Err(failure), true)).await {
                tracing::warn!(%error, "nor can it be told");
            }
            Ok(())
        }
        Err(error @ MessagingError::AccessRefused { .. }) => {
            tracing::warn!(
                %error,
                by_exchange = reply_to.by_exchange,
                "a reply cannot be sent; a caller that is not answered by the exchange for answers speaks oslo.messaging,                  or is of an earlier version"
            );
            Ok(())
        }
        sent => sent,
    }
}

async fn send_late(transport: Transport, reply: Publication) {
    let pauses = ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(250))
        .with_max_delay(Duration::from_secs(5))
        .with_total_delay(Some(REPLY_QUEUE_TIMEOUT))
        .without_max_times()
        .build();
    for pause in pauses {
        tokio::time::sleep(pause).await;
        match transport.publish(reply.clone()).await {
            Err(MessagingError::Unroutable { .. }) => {}
            Ok(()) => return,
            Err(error) => return tracing::warn!(%error, "a reply could not be sent"),
        }
    }
    tracing::info!(queue = reply.route.key(), "a caller is gone before its reply came");
}

fn message(reply_to: &ReplyTo, outcome: Result<Value, Box<Failure>>, ending: bool) -> Publication {
    let reply =
        ReplyMessage { message_id: Arc::clone(&reply_to.message_id), unique_id: wire::new_id(), outcome, ending };
    let queue = Arc::clone(&reply_to.queue);
    let route = if reply_to.by_exchange { Route::Reply { queue } } else { Route::Queue { name: queue } };
    Publication::mandatory(route, Message::new(Content::Reply(reply.into())))
}
