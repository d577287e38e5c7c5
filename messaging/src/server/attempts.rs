//! Which deliveries count as tried.
//!
//! A server holds more messages than it works on. When it dies, the broker marks all of them as redelivered, and tells
//! nobody which of them it was working on. So the beginning of a message's work is marked where every server can look it
//! up, but only once a delivery of the message has ended badly: the first costs nothing.
//!
//! ```text
//! redelivered ─┬─ no suspect yet: in doubt, a copy ─────────────────▶ its queue ─▶ begins: a marker is set
//!              └─ a suspect ─┬─ no marker: it only waited, a copy ──▶ its queue          │
//!                            └─ a marker: counted                                        └▶ ends: it is removed
//! ```
//!
//! A delivery in doubt counts once another one of the message is known to have been in vain: so what kills each server
//! that begins it gets `max_deliveries` of them, and what only waited at each is never counted.

use crate::error::MessagingError;
use crate::transport::{Delivery, MarkerRequest, Transport};

/// A peer's id that is longer, or is not of the kind that is usual, is hashed.
const MAX_ID_BYTES: usize = 40;
/// AMQP has no longer names.
const MAX_NAME_BYTES: usize = 255;

/// What became of a delivery that was not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unacknowledged {
    /// Nothing was marked then: it may have begun or not.
    InDoubt,
    /// It waited for its turn.
    NotBegun,
    /// Its work had begun.
    InVain,
}

/// What became of the delivery before this one.
pub(super) async fn before(
    transport: &Transport,
    delivery: &Delivery,
    id: &str,
) -> Result<Unacknowledged, MessagingError> {
    if !delivery.message.is_suspect() {
        return Ok(Unacknowledged::InDoubt);
    }
    match transport.mark(&marker(delivery, id), MarkerRequest::Look).await {
        Ok(true) => Ok(Unacknowledged::InVain),
        Ok(false) => Ok(Unacknowledged::NotBegun),
        // Who may not look can't mark either. Better counted too often than never.
        Err(error @ (MessagingError::AccessRefused { .. } | MessagingError::DeclaredOtherwise { .. })) => {
            tracing::warn!(%error, "it can't be looked up whether a message was begun; it counts as begun");
            Ok(Unacknowledged::InVain)
        }
        Err(error) => Err(error),
    }
}

/// Notes that a suspect's work begins.
pub(super) async fn begin(transport: &Transport, delivery: &Delivery, id: &str) {
    if let Err(error) = transport.mark(&marker(delivery, id), MarkerRequest::Set).await {
        // If the bus is away it will come again; if it may not be marked, it counts as begun.
        tracing::warn!(%error, "the beginning of a message that was delivered before could not be marked");
    }
}

/// Removes the marker of a suspect that is settled.
pub(super) async fn end(transport: &Transport, marker: &str) {
    if let Err(error) = transport.mark(marker, MarkerRequest::Remove).await {
        tracing::debug!(%error, marker, "a marker is left to expire");
    }
}

/// The name of the marker for this attempt at a message.
pub(super) fn marker(delivery: &Delivery, id: &str) -> String {
    marker_name(&delivery.queue, id, delivery.message.deliveries)
}

/// It begins with the queue, so that the broker can permit a server the markers of its own queues and no others: read from
/// its end, there is one queue that a name can belong to. A fanout's copies share their id and differ in their queues.
pub(crate) fn marker_name(queue: &str, id: &str, attempt: u32) -> String {
    let plain = id.len() <= MAX_ID_BYTES && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let name = if plain && !id.is_empty() {
        format!("begun_{queue}_{id}_{attempt}")
    } else {
        format!("begun_{queue}_{:016x}_{attempt}", hash(id))
    };
    if name.len() <= MAX_NAME_BYTES { name } else { format!("begun_{:016x}_{:016x}_{attempt}", hash(queue), hash(id)) }
}

/// FNV-1a: the same in every build of this program, which the standard library's hasher does not promise.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_attempt_at_each_copy_of_a_message_has_a_marker_of_its_own() {
        let attempts = [("q", "a", 0), ("q", "a", 1), ("p", "a", 0), ("q", "b", 0)];
        let names = attempts.map(|(queue, id, attempt)| marker_name(queue, id, attempt));
        assert!((0..names.len()).all(|index| !names[..index].contains(&names[index])), "{names:?}");
    }

    #[test]
    fn a_marker_has_a_name_that_a_queue_can_have_whatever_a_peer_calls_its_message() {
        let (long, longer) = ("i".repeat(1000), "i".repeat(1001));
        assert!(marker_name(&"q".repeat(255), &long, u32::MAX).len() <= 255);
        assert_ne!(marker_name("q", &long, 0), marker_name("q", &longer, 0));
        assert_eq!(marker_name("compute.host-1", "0f-1", 2), "begun_compute.host-1_0f-1_2");
        assert!(marker_name("q", "a b", 0).strip_prefix("begun_q_").unwrap().len() == 18);
    }
}
