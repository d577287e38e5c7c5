//! The receiving end of a subscription, and what becomes of each delivery.

use std::sync::{Arc, Weak};

use tokio::sync::mpsc;

use super::message::Message;
use super::{amqp, memory};

/// Deliveries of a set of queues. Dropping it returns what is not acknowledged to the queues.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(super) deliveries: mpsc::UnboundedReceiver<Delivery>,
    pub(super) control: Arc<Control>,
}

/// The subscription's handle at its transport.
#[derive(Debug)]
pub(super) enum Control {
    Memory(memory::Membership),
    Amqp(amqp::SubscriptionHandle),
}

impl Subscriber {
    /// The next message; `None` once cancelled and drained.
    pub(crate) async fn next(&mut self) -> Option<Delivery> {
        self.deliveries.recv().await
    }

    /// A message that is already here.
    pub(crate) fn try_next(&mut self) -> Option<Delivery> {
        self.deliveries.try_recv().ok()
    }

    /// Takes no more messages; what was delivered can still be acknowledged. Returns what had arrived but was not taken.
    pub(crate) async fn cancel(&mut self) -> Vec<Delivery> {
        match &*self.control {
            Control::Memory(membership) => {
                membership.cancel();
                self.deliveries.close();
            }
            // Its task hangs up when the broker sends no more.
            Control::Amqp(handle) => handle.cancel(),
        }
        let mut untaken = Vec::new();
        while let Some(delivery) = self.deliveries.recv().await {
            untaken.push(delivery);
        }
        untaken
    }

    /// A handle on how many messages may be unacknowledged at once.
    pub(crate) fn prefetch_handle(&self) -> PrefetchHandle {
        PrefetchHandle(Arc::downgrade(&self.control))
    }

    /// Ends the subscription and deletes its transient queues. What is still not acknowledged goes
    /// back.
    pub(crate) async fn close(self) {
        match &*self.control {
            Control::Memory(membership) => membership.leave(),
            Control::Amqp(handle) => handle.end().await,
        }
    }
}

/// Widens or narrows a subscription without keeping it alive.
#[derive(Debug, Clone)]
pub(crate) struct PrefetchHandle(Weak<Control>);

impl PrefetchHandle {
    /// From now on this many messages may be unacknowledged at once.
    pub(crate) fn set(&self, prefetch: u16) {
        if let Some(control) = self.0.upgrade() {
            match &*control {
                Control::Memory(membership) => membership.set_prefetch(prefetch),
                Control::Amqp(handle) => handle.set_prefetch(prefetch),
            }
        }
    }
}

/// One message in hand. It stays the broker's until settled, or until its subscription ends, which
/// returns it.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) message: Message,
    /// The queue it came from.
    pub(crate) queue: Arc<str>,
    /// The broker delivered it before, to somebody who did not acknowledge it.
    pub(crate) redelivered: bool,
    pub(super) receipt: Receipt,
}

/// Tells when the broker knows how a delivery was settled, which is nobody's concern usually. Nothing in it for a bus that
/// knows at once.
pub(crate) struct Settlement(Option<amqp::AmqpSettlement>);

impl Settlement {
    /// Has the broker told at once, without waiting for it.
    pub(crate) fn begin(self) {
        if let Some(settlement) = self.0 {
            settlement.begin();
        }
    }

    /// Returns when it does, or when what the delivery came by is gone.
    pub(crate) async fn arrived(self) {
        if let Some(settlement) = self.0 {
            settlement.arrived().await;
        }
    }
}

/// What settles a delivery with its broker.
#[derive(Debug)]
pub(super) enum Receipt {
    Memory(memory::MemoryReceipt),
    Amqp(amqp::AmqpReceipt),
}

impl Delivery {
    /// Whether the broker has taken the message back, because what it came by is gone. It will be
    /// delivered again, here or elsewhere.
    pub(crate) fn is_void(&self) -> bool {
        match &self.receipt {
            Receipt::Memory(receipt) => receipt.is_void(),
            Receipt::Amqp(receipt) => receipt.is_void(),
        }
    }

    /// To be asked for before it is settled.
    pub(crate) fn settlement(&self) -> Settlement {
        Settlement(match &self.receipt {
            Receipt::Memory(_) => None,
            Receipt::Amqp(receipt) => Some(receipt.settlement()),
        })
    }

    /// The message is done with.
    pub(crate) fn ack(self) {
        match self.receipt {
            Receipt::Memory(receipt) => receipt.ack(),
            Receipt::Amqp(receipt) => receipt.ack(),
        }
    }

    /// The message goes back to its place in the queue.
    pub(crate) fn requeue(self) {
        match self.receipt {
            Receipt::Memory(receipt) => receipt.requeue(),
            Receipt::Amqp(receipt) => receipt.requeue(),
        }
    }
}
