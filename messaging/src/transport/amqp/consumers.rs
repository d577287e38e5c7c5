//! What a channel consumes: each of its queues by one consumer, and by more while more is wanted.
//!
//! RabbitMQ limits what a *consumer* holds, and never changes that limit. (A limit over a whole channel could be changed;
//! quorum queues refuse it, and from 4.3 on RabbitMQ does.) So what is wanted beyond the first limit is had by further
//! consumers of the same queues, each time as many messages more as all of them brought before. They end when less is
//! wanted; what they brought can still be settled.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, SelectAll};
use futures_util::{StreamExt, future};
use lapin::Channel;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};

use super::acks::Acks;
use super::established::Established;

/// What a consumer says.
pub(super) enum ConsumerEvent {
    /// A message, from the queue of this number.
    Delivered(usize, Box<lapin::message::Delivery>),
    /// Nothing more comes from this consumer.
    Ended(Consumer),
}

/// A consumer, by the number of its queue and of its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Consumer {
    pub(super) queue: usize,
    tag: u64,
}

impl Consumer {
    fn tag(self) -> ShortString {
        ShortString::try_new(self.tag.to_string()).unwrap_or_default()
    }
}

/// One consumer for each queue, all with the same limit.
struct ConsumerGroup {
    prefetch: u16,
    consumers: Vec<Consumer>,
}

pub(super) struct Consumers {
    acks: Arc<Acks>,
    events: SelectAll<BoxStream<'static, ConsumerEvent>>,
    /// The first stays; the later ones come and go.
    groups: Vec<ConsumerGroup>,
    last_tag: u64,
}

/// A queue to consume.
#[derive(Debug, Clone)]
pub(super) struct ConsumedQueue {
    pub(super) name: Arc<str>,
    /// By nobody else meanwhile.
    pub(super) exclusive: bool,
}

impl Consumers {
    /// Consumes the queues on a channel that serves nothing else; each brings up to `prefetch` messages.
    pub(super) async fn start(
        connection: &Established,
        channel: Channel,
        consumed_queues: impl Iterator<Item = (usize, ConsumedQueue)>,
        prefetch: u16,
    ) -> lapin::Result<Self> {
        let mut consumers =
            Self { acks: Acks::new(connection, channel), events: SelectAll::new(), groups: Vec::new(), last_tag: 0 };
        consumers.add_group(consumed_queues, prefetch).await?;
        Ok(consumers)
    }

    pub(super) fn acks(&self) -> &Arc<Acks> {
        &self.acks
    }

    pub(super) fn channel(&self) -> &Channel {
        self.acks.channel()
    }

    /// The next of what the consumers say; `None` if there are none left.
    pub(super) async fn next(&mut self) -> Option<ConsumerEvent> {
        self.events.next().await
    }

    /// How many messages each queue may bring at once.
    fn limit(&self) -> u16 {
        self.groups.iter().fold(0, |limit, group| limit.saturating_add(group.prefetch))
    }

    /// From now on each queue may bring `wanted` messages, or more.
    pub(super) async fn grow(
        &mut self,
        consumed_queues: impl Iterator<Item = (usize, ConsumedQueue)>,
        wanted: u16,
    ) -> lapin::Result<()> {
        let limit = self.limit();
        let (Some(missing), Some(first)) =
            (wanted.checked_sub(limit).filter(|missing| *missing > 0), self.groups.first())
        else {
            return Ok(());
        };
        let doubling = limit - first.prefetch;
        // A queue that has one consumer only would refuse a second.
        let shared = consumed_queues.filter(|(_, consumed)| !consumed.exclusive);
        self.add_group(shared, missing.max(doubling).min(u16::MAX - limit)).await
    }

    /// Ends consumers that bring more than is `wanted`.
    pub(super) async fn shrink(&mut self, wanted: u16) -> lapin::Result<()> {
        let mut limit = self.limit();
        while self.groups.len() > 1
            && let Some(group) = self.groups.pop_if(|group| limit - group.prefetch >= wanted)
        {
            limit -= group.prefetch;
            self.cancel_each(group.consumers).await?;
        }
        Ok(())
    }

    /// Whether a consumer that ended should not have.
    pub(super) fn lacks(&self, consumer: Consumer) -> bool {
        self.groups.iter().any(|group| group.consumers.contains(&consumer))
    }

    /// Consumes a queue again whose consumer ended.
    pub(super) async fn replace(&mut self, ended: Consumer, consumed: ConsumedQueue) -> lapin::Result<()> {
        let Some(index) = self.groups.iter().position(|group| group.consumers.contains(&ended)) else {
            return Ok(());
        };
        let prefetch = self.groups[index].prefetch;
        let started = self.consume(std::iter::once((ended.queue, consumed)), prefetch).await?;
        self.groups[index].consumers.retain(|other| *other != ended);
        self.groups[index].consumers.extend(started);
        Ok(())
    }

    /// Ends the consumers of one queue, which are [lacking](Self::lacks) then.
    pub(super) async fn cancel_queue(&mut self, queue: usize) -> lapin::Result<()> {
        let consumers = self.groups.iter().flat_map(|group| &group.consumers);
        let of_queue: Vec<_> = consumers.copied().filter(|consumer| consumer.queue == queue).collect();
        self.cancel_each(of_queue).await
    }

    /// Has the broker send no more; what it had sent already still comes out of [`Consumers::next`], then the end.
    pub(super) async fn cancel(&mut self) -> lapin::Result<()> {
        let ending = std::mem::take(&mut self.groups).into_iter().flat_map(|group| group.consumers);
        self.cancel_each(ending).await
    }

    fn cancel_each(&self, consumers: impl IntoIterator<Item = Consumer>) -> impl Future<Output = lapin::Result<()>> {
        let channel = self.channel().clone();
        let tags: Vec<_> = consumers.into_iter().map(Consumer::tag).collect();
        async move {
            let cancels = tags.into_iter().map(|tag| channel.basic_cancel(tag, BasicCancelOptions::default()));
            future::try_join_all(cancels).await.map(drop)
        }
    }

    async fn add_group(
        &mut self,
        consumed_queues: impl Iterator<Item = (usize, ConsumedQueue)>,
        prefetch: u16,
    ) -> lapin::Result<()> {
        let consumers = self.consume(consumed_queues, prefetch).await?;
        self.groups.push(ConsumerGroup { prefetch, consumers });
        Ok(())
    }

    /// Consumes each of the queues by one more consumer that brings up to `prefetch` messages. All is sent before the
    /// first answer is awaited.
    async fn consume(
        &mut self,
        consumed_queues: impl Iterator<Item = (usize, ConsumedQueue)>,
        prefetch: u16,
    ) -> lapin::Result<Vec<Consumer>> {
        let channel = self.channel().clone();
        // For the consumers that start after it.
        let limit = channel.basic_qos(prefetch, BasicQosOptions { global: false });
        let start = consumed_queues.map(|(queue, consumed)| {
            self.last_tag += 1;
            let consumer = Consumer { queue, tag: self.last_tag };
            let options = BasicConsumeOptions { exclusive: consumed.exclusive, ..Default::default() };
            let name = ShortString::try_new(&*consumed.name).unwrap_or_default();
            let start = channel.basic_consume(name, consumer.tag(), options, FieldTable::default());
            async move { start.await.map(|deliveries| (consumer, deliveries)) }
        });
        let start = future::join_all(start.collect::<Vec<_>>());
        // Polled in this order, so that the limit is sent first.
        let (limited, started) = future::join(limit, start).await;
        limited?;
        let mut consumers = Vec::new();
        for started in started {
            let (consumer, deliveries) = started?;
            let events = deliveries
                // An error ends the consumer; what it was, the channel and the connection know as well.
                .filter_map(move |delivery| {
                    let delivery = delivery.ok();
                    future::ready(delivery.map(|delivery| ConsumerEvent::Delivered(consumer.queue, Box::new(delivery))))
                })
                .chain(stream::once(future::ready(ConsumerEvent::Ended(consumer))));
            self.events.push(events.boxed());
            consumers.push(consumer);
        }
        Ok(consumers)
    }
}
