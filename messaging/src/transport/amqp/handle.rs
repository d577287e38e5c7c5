//! What the users of a subscription hold: its handle, and the receipts of its deliveries.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::ChannelFlowOptions;
use tokio::sync::watch;

use super::acks::Acks;
use super::properties::Intake;
use crate::transport::subscriber::{self, Delivery};

/// How long ending a subscription in good order may take.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the subscription is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(super) enum Phase {
    Consuming,
    /// No more deliveries; what was delivered can still be settled.
    Cancelled,
    /// Delete the transient queues and go.
    Ended,
}

/// The handle on a subscription's task. Dropping it ends the subscription as a crash would, except
/// that the broker notices at once.
#[derive(Debug)]
pub(in crate::transport) struct SubscriptionHandle {
    phase: watch::Sender<Phase>,
    prefetch: watch::Sender<u16>,
}

impl SubscriptionHandle {
    pub(super) fn new(phase: watch::Sender<Phase>, prefetch: watch::Sender<u16>) -> Self {
        Self { phase, prefetch }
    }

    pub(in crate::transport) fn cancel(&self) {
        self.phase.send_if_modified(|phase| {
            let consuming = *phase == Phase::Consuming;
            if consuming {
                *phase = Phase::Cancelled;
            }
            consuming
        });
    }

    pub(in crate::transport) async fn end(&self) {
        self.phase.send_replace(Phase::Ended);
        // The task is gone when its receiver is.
        let _ = tokio::time::timeout(2 * CLOSE_TIMEOUT, self.phase.closed()).await;
    }

    pub(in crate::transport) fn set_prefetch(&self, prefetch: u16) {
        self.prefetch.send_if_modified(|current| std::mem::replace(current, prefetch) != prefetch);
    }
}

/// Settles one delivery, on the channel it came by.
#[derive(Debug)]
pub(in crate::transport) struct AmqpReceipt {
    acks: Arc<Acks>,
    tag: u64,
}

impl AmqpReceipt {
    pub(in crate::transport) fn ack(&self) {
        self.acks.ack(self.tag);
    }

    pub(in crate::transport) fn settlement(&self) -> AmqpSettlement {
        AmqpSettlement(Arc::clone(&self.acks))
    }

    /// Whether the channel is gone, so that the broker has taken the message back and will deliver
    /// it again.
    pub(in crate::transport) fn is_void(&self) -> bool {
        !self.acks.channel().status().connected()
    }

    pub(in crate::transport) fn requeue(&self) {
        self.acks.requeue(self.tag);
    }
}

/// The way by which the broker learns how a delivery was settled.
pub(in crate::transport) struct AmqpSettlement(Arc<Acks>);

impl AmqpSettlement {
    pub(in crate::transport) fn begin(self) {
        self.0.flush();
    }

    /// Acknowledgements have no answer, but a channel's frames are read in order: when a question asked after one is
    /// answered, it has arrived. This question changes nothing.
    pub(in crate::transport) async fn arrived(self) {
        self.0.flush();
        let question = self.0.channel().channel_flow(ChannelFlowOptions { active: true });
        if let Err(error) = self.0.connection().answer(question).await {
            tracing::debug!(%error, "a channel went with its acknowledgements");
        }
    }
}

/// A delivery that is settled on its channel.
pub(super) fn delivery(
    acks: &Arc<Acks>,
    queue: &Arc<str>,
    delivery: lapin::message::Delivery,
    intake: &Intake,
) -> Delivery {
    let (tag, redelivered) = (delivery.delivery_tag, delivery.redelivered);
    acks.delivered(tag);
    Delivery {
        message: intake.message(delivery),
        queue: Arc::clone(queue),
        redelivered,
        receipt: subscriber::Receipt::Amqp(AmqpReceipt { acks: Arc::clone(acks), tag }),
    }
}
