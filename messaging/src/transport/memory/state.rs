//! The queues, bindings and subscriptions of a bus, and how messages move between them: plain data
//! and plain functions. Whoever calls them holds the lock.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Instant;

use foldhash::HashMap;
use tokio::sync::mpsc;

use super::{MemoryBus, MemoryReceipt};
use crate::inspection::{BindingReport, BusReport, ExchangeReport, QueueReport};
use crate::target::Target;
use crate::transport::message::{Lifetime, Message, QueueSpec, Route};
use crate::transport::replies::Replies;
use crate::transport::subscriber::{self, Delivery};
use crate::transport::{DEAD_LETTERS, MARKER_LIFETIME, MAX_DEAD_LETTERS, MarkerRequest};

pub(super) type QueueName = Arc<str>;

/// Shared rather than copied with each message.
pub(super) type QueueNames = Arc<[QueueName]>;

#[derive(Debug, Default)]
pub(super) struct BusState {
    pub(super) queues: HashMap<QueueName, QueueState>,
    /// By exchange, then by routing key. Fanout exchanges have the one key `""`.
    pub(super) bindings: HashMap<String, HashMap<String, QueueNames>>,
    pub(super) members: HashMap<u64, Member>,
    /// Reply queues hand each answer straight to the call that waits for it.
    pub(super) reply_queues: HashMap<String, Weak<Replies>>,
    /// When each was set.
    markers: HashMap<String, Instant>,
    pub(super) next_member: u64,
    pub(super) next_sequence: u64,
}

#[derive(Debug, Default)]
pub(super) struct QueueState {
    /// In the order of their sequence numbers, which a returned message keeps.
    pub(super) ready: VecDeque<Stored>,
    /// In the order they came; only the first gets messages if `single_active`.
    pub(super) consumers: Vec<u64>,
    /// Where the next round begins.
    pub(super) next_round: usize,
    pub(super) single_active: bool,
    pub(super) transient: bool,
    /// Too many push out the oldest, and hold up no publisher.
    pub(super) drops_oldest: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) sequence: u64,
    pub(super) message: Message,
    pub(super) redelivered: bool,
    pub(super) expires: Option<Instant>,
}

/// A subscription's side of the bus.
#[derive(Debug)]
pub(super) struct Member {
    /// The transport it belongs to, by its reply queue's name.
    pub(super) owner: Arc<str>,
    pub(super) queues: QueueNames,
    pub(super) prefetch: usize,
    pub(super) unacknowledged: HashMap<u64, (QueueName, Stored)>,
    pub(super) sender: mpsc::UnboundedSender<Delivery>,
}

impl Stored {
    fn is_expired(&self) -> bool {
        self.expires.is_some_and(|expires| expires <= Instant::now())
    }
}

impl QueueState {
    /// Drops the oldest ones that nobody waits for any more, as a broker does, and returns how many they were.
    pub(super) fn drop_expired(&mut self) -> usize {
        std::iter::from_fn(|| self.ready.pop_front_if(|first| first.is_expired())).count()
    }

    /// Makes room for one more, if that is how the queue is bounded.
    pub(super) fn drop_oldest(&mut self, limit: usize) {
        if self.drops_oldest && self.ready.len() >= limit.min(MAX_DEAD_LETTERS as usize) {
            self.ready.pop_front();
        }
    }

    /// The next consumer, round-robin, of those that may take one more.
    fn next_consumer(&mut self, members: &HashMap<u64, Member>) -> Option<u64> {
        let takes_more = |id: &u64| members.get(id).is_some_and(|member| member.unacknowledged.len() < member.prefetch);
        if self.single_active {
            return self.consumers.first().copied().filter(takes_more);
        }
        let count = self.consumers.len();
        let found = (0..count)
            .map(|step| (self.next_round + step) % count)
            .find(|index| takes_more(&self.consumers[*index]))?;
        self.next_round = found + 1;
        Some(self.consumers[found])
    }
}

impl BusState {
    pub(super) fn declare(&mut self, spec: &QueueSpec) -> QueueName {
        let name: QueueName = match self.queues.get_key_value(spec.name.as_str()) {
            Some((name, _)) => Arc::clone(name),
            None => {
                let name: QueueName = spec.name.as_str().into();
                let queue = QueueState {
                    transient: spec.lifetime == Lifetime::Transient,
                    drops_oldest: spec.lifetime == Lifetime::Permanent,
                    ..QueueState::default()
                };
                self.queues.insert(Arc::clone(&name), queue);
                name
            }
        };
        if spec.single_active
            && let Some(queue) = self.queues.get_mut(&name)
        {
            queue.single_active = true;
        }
        for route in &spec.bound_to {
            let (exchange, key) = match route {
                Route::Topic { exchange, key } => (exchange.to_string(), key.to_string()),
                Route::Fanout { topic } => (Target::fanout_exchange(topic), String::new()),
                // What is sent by these routes finds its queue by name.
                Route::Queue { .. } | Route::Reply { .. } | Route::Again { .. } | Route::DeadLetter { .. } => continue,
            };
            let bound = self.bindings.entry(exchange).or_default().entry(key).or_default();
            if !bound.contains(&name) {
                *bound = bound.iter().chain([&name]).cloned().collect();
            }
        }
        name
    }

    pub(super) fn routed(&self, route: &Route) -> QueueNames {
        let bound = |exchange: &str, key: &str| {
            self.bindings.get(exchange).and_then(|keys| keys.get(key)).cloned().unwrap_or_default()
        };
        match route {
            Route::Topic { exchange, key } => bound(exchange, key),
            Route::Fanout { topic } => bound(&Target::fanout_exchange(topic), ""),
            Route::Queue { name } | Route::Reply { queue: name } | Route::Again { queue: name } => self.named(name),
            Route::DeadLetter { .. } => self.named(DEAD_LETTERS),
        }
    }

    fn named(&self, name: &str) -> QueueNames {
        self.queues.get_key_value(name).map(|(name, _)| Arc::clone(name)).into_iter().collect()
    }

    /// Puts a message back in its order.
    pub(super) fn put_back(&mut self, name: &QueueName, mut stored: Stored) {
        stored.redelivered = true;
        if let Some(queue) = self.queues.get_mut(name) {
            let index = queue.ready.partition_point(|other| other.sequence < stored.sequence);
            queue.ready.insert(index, stored);
        }
    }

    /// Returns whether the marker was there.
    pub(super) fn mark(&mut self, name: &str, request: MarkerRequest, now: Instant) -> bool {
        self.markers.retain(|_, set| now.saturating_duration_since(*set) < MARKER_LIFETIME);
        match request {
            MarkerRequest::Set => self.markers.insert(name.to_owned(), now).is_some(),
            MarkerRequest::Look => self.markers.contains_key(name),
            MarkerRequest::Remove => self.markers.remove(name).is_some(),
        }
    }

    pub(super) fn remove_queue(&mut self, name: &QueueName) {
        self.queues.remove(name);
        for keys in self.bindings.values_mut() {
            for bound in keys.values_mut() {
                if bound.contains(name) {
                    *bound = bound.iter().filter(|queue| *queue != name).cloned().collect();
                }
            }
        }
    }

    /// Hands a queue's messages to its consumers as far as their prefetch allows; their receipts
    /// settle with `bus`. Returns whether this made room in a queue that was full.
    pub(super) fn dispatch(&mut self, bus: &Arc<MemoryBus>, name: &QueueName) -> bool {
        let Some(queue) = self.queues.get_mut(name) else {
            return false;
        };
        let was_full = queue.ready.len() >= bus.limit;
        while let Some(first) = queue.ready.front() {
            if first.is_expired() {
                queue.ready.pop_front();
                continue;
            }
            let Some(id) = queue.next_consumer(&self.members) else {
                break;
            };
            let Some(member) = self.members.get_mut(&id) else {
                break;
            };
            let Some(stored) = queue.ready.pop_front() else {
                break;
            };
            let delivery = Delivery {
                message: stored.message.clone(),
                queue: Arc::clone(name),
                redelivered: stored.redelivered,
                receipt: subscriber::Receipt::Memory(MemoryReceipt {
                    bus: Arc::clone(bus),
                    member: id,
                    sequence: stored.sequence,
                }),
            };
            member.unacknowledged.insert(stored.sequence, (Arc::clone(name), stored));
            // If the receiver is gone its membership is about to end, which returns the message.
            let _ = member.sender.send(delivery);
        }
        was_full && queue.ready.len() < bus.limit
    }

    /// All there is, by name.
    pub(super) fn report(&self) -> BusReport {
        let mut unacked: HashMap<&str, u64> = HashMap::default();
        for (queue, _) in self.members.values().flat_map(|member| member.unacknowledged.values()) {
            *unacked.entry(queue).or_default() += 1;
        }
        let queues = self.queues.iter().map(|(name, queue)| QueueReport {
            name: name.to_string(),
            ready: queue.ready.len() as u64,
            unacked: Some(unacked.get(&**name).copied().unwrap_or_default()),
            consumers: queue.consumers.len() as u64,
        });
        // They hand over what comes at once, so nothing is ever in them.
        let reply_queues = self.reply_queues.iter().map(|(name, owner)| QueueReport {
            name: name.clone(),
            ready: 0,
            unacked: Some(0),
            consumers: u64::from(owner.strong_count() > 0),
        });
        let exchanges = self.bindings.iter().map(|(name, keys)| ExchangeReport {
            name: name.clone(),
            kind: if keys.contains_key("") { "fanout" } else { "topic" }.to_owned(),
        });
        let bindings = self.bindings.iter().flat_map(|(exchange, keys)| {
            keys.iter().flat_map(move |(key, queues)| {
                queues.iter().map(move |queue| BindingReport {
                    exchange: exchange.clone(),
                    routing_key: key.clone(),
                    queue: queue.to_string(),
                })
            })
        });
        BusReport {
            exchanges: sorted(exchanges),
            queues: sorted(queues.chain(reply_queues)),
            bindings: sorted(bindings),
            complete: true,
        }
    }
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort();
    items
}
