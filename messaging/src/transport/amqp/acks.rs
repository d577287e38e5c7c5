//! Settling the deliveries of a channel: acknowledgements that come together go in one frame.
//!
//! A frame for each would cost the broker and this process about as much as taking the message did. AMQP can acknowledge
//! all deliveries up to one ("multiple"), which is right only if every one of them is settled. Tags count up over all
//! consumers of a channel, but its consumers' messages do not come in their order: so a tag that was left out counts as
//! delivered and not settled, until it turns up.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use tokio::runtime::Handle;

use super::established::Established;

/// The deliveries of one channel.
#[derive(Debug)]
pub(super) struct Acks {
    /// The channel's.
    connection: Established,
    channel: Channel,
    tags: Mutex<DeliveryTags>,
    /// Deliveries may be settled outside of it.
    runtime: Handle,
}

impl Acks {
    /// For a channel on which nothing was delivered yet.
    pub(super) fn new(connection: &Established, channel: Channel) -> Arc<Self> {
        Arc::new(Self { connection: connection.clone(), channel, tags: Mutex::default(), runtime: Handle::current() })
    }

    pub(super) fn connection(&self) -> &Established {
        &self.connection
    }

    pub(super) fn channel(&self) -> &Channel {
        &self.channel
    }

    fn tags(&self) -> MutexGuard<'_, DeliveryTags> {
        self.tags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every delivery is to be announced, or the ones after it are acknowledged one by one.
    pub(super) fn delivered(&self, tag: u64) {
        self.tags().deliver(tag);
    }

    /// If the channel is gone, the broker has taken the message back already.
    pub(super) fn ack(self: &Arc<Self>, tag: u64) {
        let mut tags = self.tags();
        tags.ack(tag);
        if tags.outstanding.is_empty() {
            return self.send(&mut tags);
        }
        if !std::mem::replace(&mut tags.scheduled, true) {
            let acks = Arc::clone(self);
            self.runtime.spawn(async move {
                // Handlers that end at this moment take part.
                tokio::task::yield_now().await;
                let mut tags = acks.tags();
                tags.scheduled = false;
                acks.send(&mut tags);
            });
        }
    }

    /// The message goes back to its place in the queue, if the broker has not taken it back already.
    pub(super) fn requeue(&self, tag: u64) {
        let mut tags = self.tags();
        tags.outstanding.remove(&tag);
        let options = BasicNackOptions { multiple: false, requeue: true };
        // While nobody else can acknowledge all up to a later one.
        let _ = self.channel.basic_nack(tag, options).now_or_never();
    }

    /// Sends what was acknowledged so far.
    pub(super) fn flush(&self) {
        self.send(&mut self.tags());
    }

    /// Frames are handed over at once, so these need not be awaited.
    fn send(&self, tags: &mut DeliveryTags) {
        let (all_up_to, single) = tags.take();
        if let Some(tag) = all_up_to {
            let _ = self.channel.basic_ack(tag, BasicAckOptions { multiple: true }).now_or_never();
        }
        for tag in single {
            let _ = self.channel.basic_ack(tag, BasicAckOptions { multiple: false }).now_or_never();
        }
    }
}

#[derive(Debug, Default)]
struct DeliveryTags {
    /// Not settled, as far as is known. No more than the prefetch allows.
    outstanding: BTreeSet<u64>,
    /// The highest that was delivered; they count from 1.
    highest: u64,
    /// Acknowledged, which the broker has not been told.
    done: Vec<u64>,
    /// A task is about to tell it.
    scheduled: bool,
}

impl DeliveryTags {
    fn deliver(&mut self, tag: u64) {
        self.outstanding.extend(self.highest + 1..=tag);
        self.highest = self.highest.max(tag);
    }

    fn ack(&mut self, tag: u64) {
        if self.outstanding.remove(&tag) {
            self.done.push(tag);
        }
    }

    /// What to tell the broker: a tag up to which all are settled, and tags to acknowledge one by one.
    fn take(&mut self) -> (Option<u64>, Vec<u64>) {
        let unsettled = self.outstanding.first().copied().unwrap_or(u64::MAX);
        let mut single = std::mem::take(&mut self.done);
        // Only a tag that the broker still waits for may be named.
        let all_up_to = single.iter().copied().filter(|tag| *tag < unsettled).max();
        single.retain(|tag| *tag > unsettled);
        (all_up_to, single)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn acknowledgements_that_come_together_are_one() {
        let mut tags = DeliveryTags::default();
        (1..=5).for_each(|tag| tags.deliver(tag));
        [2, 1, 3, 5].into_iter().for_each(|tag| tags.ack(tag));
        assert_eq!(tags.take(), (Some(3), vec![5]));
        tags.ack(4);
        assert_eq!(tags.take(), (Some(4), vec![]));
        assert_eq!(tags.take(), (None, vec![]));
    }

    #[test]
    fn a_message_that_another_consumer_has_not_passed_on_yet_is_not_acknowledged() {
        let mut tags = DeliveryTags::default();
        tags.deliver(2);
        tags.ack(2);
        assert_eq!(tags.take(), (None, vec![2]));
        tags.deliver(1);
        tags.ack(1);
        assert_eq!(tags.take(), (Some(1), vec![]));
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        /// The broker sends one, by one of two consumers.
        Send(bool),
        /// A consumer passes its next one on.
        Pass(bool),
        /// The n-th of those in hand is settled.
        Ack(usize),
        Requeue(usize),
        Take,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any::<bool>().prop_map(Step::Send),
            any::<bool>().prop_map(Step::Pass),
            any::<usize>().prop_map(Step::Ack),
            any::<usize>().prop_map(Step::Requeue),
            Just(Step::Take),
        ]
    }

    proptest! {
        #[test]
        fn the_broker_hears_of_each_acknowledged_message_once_and_of_no_other(
            steps in prop::collection::vec(step(), 0..200)
        ) {
            let (mut tags, mut sent) = (DeliveryTags::default(), 0);
            let mut consumers = [Vec::new(), Vec::new()];
            let (mut in_hand, mut acknowledged) = (Vec::new(), BTreeSet::new());
            // What the broker waits for.
            let mut unacked = BTreeSet::new();
            for step in steps.into_iter().chain([Step::Take]) {
                match step {
                    Step::Send(consumer) => {
                        sent += 1;
                        unacked.insert(sent);
                        consumers[usize::from(consumer)].insert(0, sent);
                    }
                    Step::Pass(consumer) => if let Some(tag) = consumers[usize::from(consumer)].pop() {
                        tags.deliver(tag);
                        in_hand.push(tag);
                    },
                    Step::Ack(n) | Step::Requeue(n) if !in_hand.is_empty() => {
                        let tag = in_hand.swap_remove(n % in_hand.len());
                        if matches!(step, Step::Ack(_)) {
                            tags.ack(tag);
                            acknowledged.insert(tag);
                        } else {
                            tags.outstanding.remove(&tag);
                            unacked.remove(&tag);
                        }
                    }
                    Step::Ack(_) | Step::Requeue(_) => {}
                    Step::Take => {
                        let (all_up_to, single) = tags.take();
                        if let Some(tag) = all_up_to {
                            // The broker closes the channel over a tag that it does not know.
                            prop_assert!(unacked.contains(&tag));
                            let rest = unacked.split_off(&(tag + 1));
                            prop_assert!(unacked.iter().all(|tag| acknowledged.contains(tag)));
                            unacked = rest;
                        }
                        for tag in single {
                            prop_assert!(acknowledged.contains(&tag) && unacked.remove(&tag));
                        }
                        prop_assert!(acknowledged.is_disjoint(&unacked));
                    }
                }
            }
        }
    }
}
