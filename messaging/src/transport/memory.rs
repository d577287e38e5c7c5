//! The bus within the process: what RabbitMQ does for its queues, without encoding, without a network and without a thread.
//!
//! All of the bus is one plain state machine ([`State`]) behind one mutex that is held for some hundred nanoseconds at a time and never across an
//! await. There is no broker task: whoever publishes, acknowledges or subscribes moves on the messages this sets free.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};

use super::message::{Fetched, Lifetime, Message, Publication, QueueSpec, Route, Subscription};
use super::replies::Replies;
use super::subscriber::{self, Control, Delivery, Subscriber};
use crate::error::MessagingError;
use crate::target::Target;

/// The named buses of this process; each lives as long as a transport on it.
static NAMED: LazyLock<Mutex<HashMap<String, Weak<Bus>>>> = LazyLock::new(Mutex::default);

/// A bus within the process.
#[derive(Debug)]
pub(crate) struct Bus {
    state: Mutex<State>,
    /// Wakes publishers that wait for room in a full queue.
    room: Notify,
    /// How many messages a queue holds before its publishers have to wait.
    limit: usize,
}

type QueueName = Arc<str>;

/// Shared rather than copied with each message.
type QueueNames = Arc<[QueueName]>;

#[derive(Debug, Default)]
struct State {
    queues: HashMap<QueueName, Queue>,
    /// By exchange, then by routing key. Fanout exchanges have the one key `""`.
    bindings: HashMap<String, HashMap<String, QueueNames>>,
    members: HashMap<u64, Member>,
    /// Reply queues hand each answer straight to the call that waits for it.
    reply_queues: HashMap<String, Weak<Replies>>,
    next_member: u64,
    next_sequence: u64,
}

#[derive(Debug, Default)]
struct Queue {
    /// In the order of their sequence numbers, which a returned message keeps.
    ready: VecDeque<Stored>,
    /// In the order they came; only the first gets messages if `single_active`.
    consumers: Vec<u64>,
    /// Where the next round begins.
    turn: usize,
    single_active: bool,
    transient: bool,
}

#[derive(Debug, Clone)]
struct Stored {
    sequence: u64,
    message: Message,
    redelivered: bool,
    expires: Option<Instant>,
}

/// A subscription's side of the bus.
#[derive(Debug)]
struct Member {
    queues: QueueNames,
    prefetch: usize,
    unacknowledged: HashMap<u64, (QueueName, Stored)>,
    sender: mpsc::UnboundedSender<Delivery>,
}

impl Bus {
    /// The bus of that name, or a new private one if the name is empty. `limit` counts for whoever makes it.
    pub(super) fn named(name: &str, limit: usize) -> Arc<Self> {
        let new = || Arc::new(Self { state: Mutex::default(), room: Notify::new(), limit });
        if name.is_empty() {
            return new();
        }
        let mut named = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
        named.retain(|_, bus| bus.strong_count() > 0);
        if let Some(bus) = named.get(name).and_then(Weak::upgrade) {
            return bus;
        }
        let bus = new();
        named.insert(name.to_owned(), Arc::downgrade(&bus));
        bus
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add_reply_queue(&self, replies: &Arc<Replies>) {
        self.lock().reply_queues.insert(replies.queue().to_string(), Arc::downgrade(replies));
    }

    pub(super) fn remove_reply_queue(&self, replies: &Replies) {
        self.lock().reply_queues.remove(&**replies.queue());
    }

    /// Puts a message into every queue its route leads to. Waits while one of them is full.
    pub(super) async fn publish(self: &Arc<Self>, publication: Publication, patience: Duration) -> Result<(), MessagingError> {
        match self.try_publish(&publication)? {
            Published::Done => return Ok(()),
            Published::Full(_) => {}
        }
        let started = Instant::now();
        loop {
            // Registered before the attempt, so that room made in between is not missed.
            let room = self.room.notified();
            let queue = match self.try_publish(&publication)? {
                Published::Done => return Ok(()),
                Published::Full(queue) => queue,
            };
            let left = patience.saturating_sub(started.elapsed());
            if tokio::time::timeout(left, room).await.is_err() {
                let reason = format!("the queue `{queue}` holds {} messages that nobody consumes", self.limit);
                return Err(MessagingError::Blocked { waited: patience, reason });
            }
        }
    }

    fn try_publish(self: &Arc<Self>, publication: &Publication) -> Result<Published, MessagingError> {
        let mut state = self.lock();
        if let Some(spec) = &publication.declare {
            state.declare(spec, false);
        }
        if let Route::Queue { name } = &publication.route
            && let Some(replies) = state.reply_queues.get(&**name)
        {
            let replies = replies.upgrade();
            drop(state);
            // The caller wakes up outside of the lock.
            match replies {
                Some(replies) => replies.deliver(publication.message.content.reply()?),
                None if publication.mandatory => return Err(publication.route.unroutable()),
                None => {}
            }
            return Ok(Published::Done);
        }
        let queues = state.routed(&publication.route);
        if queues.is_empty() && publication.mandatory {
            return Err(publication.route.unroutable());
        }
        for name in queues.iter() {
            if state.queues.get(name).is_some_and(|queue| queue.ready.len() >= self.limit) {
                return Ok(Published::Full(Arc::clone(name)));
            }
        }
        let expires = publication.message.expiration.and_then(|after| Instant::now().checked_add(after));
        for name in queues.iter() {
            let sequence = state.next_sequence;
            state.next_sequence += 1;
            if let Some(queue) = state.queues.get_mut(name) {
                queue.ready.push_back(Stored { sequence, message: publication.message.clone(), redelivered: false, expires });
            }
            self.dispatch(&mut state, name);
        }
        Ok(Published::Done)
    }

    pub(super) fn subscribe(bus: &Arc<Self>, subscription: Subscription) -> Subscriber {
        // As many messages as the member's prefetch allows can be in it.
        let (sender, deliveries) = mpsc::unbounded_channel();
        let mut state = bus.lock();
        let id = state.next_member;
        state.next_member += 1;
        let queues: QueueNames = subscription
            .queues
            .iter()
            .map(|spec| {
                let name = state.declare(spec, subscription.single_active);
                if let Some(queue) = state.queues.get_mut(&name) {
                    queue.consumers.push(id);
                }
                name
            })
            .collect();
        let member = Member { queues: Arc::clone(&queues), prefetch: subscription.prefetch.into(), unacknowledged: HashMap::new(), sender };
        state.members.insert(id, member);
        for name in queues.iter() {
            bus.dispatch(&mut state, name);
        }
        drop(state);
        Subscriber { deliveries, control: Arc::new(Control::Memory(Membership { bus: Arc::clone(bus), id })) }
    }

    pub(super) fn fetch(bus: &Arc<Self>, spec: QueueSpec, max: usize) -> Fetched {
        let prefetch = u16::try_from(max).unwrap_or(u16::MAX);
        let mut subscriber = Self::subscribe(bus, Subscription { queues: vec![spec], prefetch, single_active: false });
        let deliveries: Vec<Delivery> = std::iter::from_fn(|| subscriber.try_next()).collect();
        Fetched { deliveries: deliveries.into_iter(), _hold: Box::new(subscriber) }
    }

    /// Hands a queue's messages to its consumers as far as their prefetch allows.
    fn dispatch(self: &Arc<Self>, state: &mut State, name: &QueueName) {
        let Some(queue) = state.queues.get_mut(name) else { return };
        let before = queue.ready.len();
        while let Some(first) = queue.ready.front() {
            if first.expires.is_some_and(|expires| expires <= Instant::now()) {
                queue.ready.pop_front();
                continue;
            }
            let Some(id) = queue.next_consumer(&state.members) else { break };
            let Some(member) = state.members.get_mut(&id) else { break };
            let Some(stored) = queue.ready.pop_front() else { break };
            let delivery = Delivery {
                message: stored.message.clone(),
                queue: Arc::clone(name),
                redelivered: stored.redelivered,
                receipt: subscriber::Receipt::Memory(Receipt { bus: Arc::clone(self), member: id, sequence: stored.sequence }),
            };
            member.unacknowledged.insert(stored.sequence, (Arc::clone(name), stored));
            // If the receiver is gone its membership is about to end, which returns the message.
            let _ = member.sender.send(delivery);
        }
        if before >= self.limit && queue.ready.len() < self.limit {
            self.room.notify_waiters();
        }
    }

    fn dispatch_all(self: &Arc<Self>, state: &mut State, id: u64) {
        let queues = state.members.get(&id).map(|member| Arc::clone(&member.queues)).unwrap_or_default();
        for name in queues.iter() {
            self.dispatch(state, name);
        }
    }

    fn settle(self: &Arc<Self>, id: u64, sequence: u64, requeue: bool) {
        let mut state = self.lock();
        let Some(member) = state.members.get_mut(&id) else { return };
        let Some((name, stored)) = member.unacknowledged.remove(&sequence) else { return };
        if requeue {
            state.put_back(&name, stored);
        }
        self.dispatch_all(&mut state, id);
    }

    /// Takes a member off its queues; with `returning`, what it has not acknowledged goes back.
    fn leave(self: &Arc<Self>, id: u64, returning: bool) {
        let mut state = self.lock();
        let Some(member) = state.members.get_mut(&id) else { return };
        let queues = std::mem::take(&mut member.queues);
        if returning && let Some(member) = state.members.remove(&id) {
            for (name, stored) in member.unacknowledged.into_values() {
                state.put_back(&name, stored);
            }
        }
        for name in queues.iter() {
            let Some(queue) = state.queues.get_mut(name) else { continue };
            queue.consumers.retain(|consumer| *consumer != id);
            if queue.transient && queue.consumers.is_empty() {
                state.remove_queue(name);
            } else {
                self.dispatch(&mut state, name);
            }
        }
        if returning {
            // A cancelled member has left its queues already; what it now returned waits there for others.
            let names: Vec<QueueName> = state.queues.keys().cloned().collect();
            for name in &names {
                self.dispatch(&mut state, name);
            }
        }
    }
}

/// What came of an attempt to publish.
enum Published {
    Done,
    Full(QueueName),
}

impl Queue {
    /// Whose turn it is among those who may take one more.
    fn next_consumer(&mut self, members: &HashMap<u64, Member>) -> Option<u64> {
        let takes_more = |id: &u64| members.get(id).is_some_and(|member| member.unacknowledged.len() < member.prefetch);
        if self.single_active {
            return self.consumers.first().copied().filter(takes_more);
        }
        let count = self.consumers.len();
        let found = (0..count).map(|step| (self.turn + step) % count).find(|place| takes_more(&self.consumers[*place]))?;
        self.turn = found + 1;
        Some(self.consumers[found])
    }
}

impl State {
    fn declare(&mut self, spec: &QueueSpec, single_active: bool) -> QueueName {
        let name: QueueName = match self.queues.get_key_value(spec.name.as_str()) {
            Some((name, _)) => Arc::clone(name),
            None => {
                let name: QueueName = spec.name.as_str().into();
                let queue = Queue { transient: spec.lifetime == Lifetime::Transient, ..Queue::default() };
                self.queues.insert(Arc::clone(&name), queue);
                name
            }
        };
        if single_active && let Some(queue) = self.queues.get_mut(&name) {
            queue.single_active = true;
        }
        if let Some(route) = &spec.bound_to {
            let (exchange, key) = match route {
                Route::Topic { exchange, key } => (exchange.to_string(), key.to_string()),
                Route::Fanout { topic } => (Target::fanout_exchange(topic), String::new()),
                // Every queue is bound to the default exchange anyway.
                Route::Queue { .. } => return name,
            };
            let bound = self.bindings.entry(exchange).or_default().entry(key).or_default();
            if !bound.contains(&name) {
                *bound = bound.iter().chain([&name]).cloned().collect();
            }
        }
        name
    }

    fn routed(&self, route: &Route) -> QueueNames {
        let bound = |exchange: &str, key: &str| self.bindings.get(exchange).and_then(|keys| keys.get(key)).cloned().unwrap_or_default();
        match route {
            Route::Topic { exchange, key } => bound(exchange, key),
            Route::Fanout { topic } => bound(&Target::fanout_exchange(topic), ""),
            Route::Queue { name } => self.queues.get_key_value(&**name).map(|(name, _)| Arc::clone(name)).into_iter().collect(),
        }
    }

    /// Returns a message to its place.
    fn put_back(&mut self, name: &QueueName, mut stored: Stored) {
        stored.redelivered = true;
        if let Some(queue) = self.queues.get_mut(name) {
            let place = queue.ready.partition_point(|other| other.sequence < stored.sequence);
            queue.ready.insert(place, stored);
        }
    }

    fn remove_queue(&mut self, name: &QueueName) {
        self.queues.remove(name);
        for keys in self.bindings.values_mut() {
            for bound in keys.values_mut() {
                if bound.contains(name) {
                    *bound = bound.iter().filter(|queue| *queue != name).cloned().collect();
                }
            }
        }
    }
}

/// A subscription's hold on the bus; dropping it leaves, as a broken connection would.
#[derive(Debug)]
pub(super) struct Membership {
    bus: Arc<Bus>,
    id: u64,
}

impl Membership {
    pub(super) fn cancel(&self) {
        self.bus.leave(self.id, false);
    }

    pub(super) fn leave(&self) {
        self.bus.leave(self.id, true);
    }

    pub(super) fn set_prefetch(&self, prefetch: u16) {
        let mut state = self.bus.lock();
        if let Some(member) = state.members.get_mut(&self.id) {
            member.prefetch = prefetch.into();
        }
        self.bus.dispatch_all(&mut state, self.id);
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Settles one delivery.
#[derive(Debug)]
pub(super) struct Receipt {
    bus: Arc<Bus>,
    member: u64,
    sequence: u64,
}

impl Receipt {
    pub(super) fn ack(self) {
        self.bus.settle(self.member, self.sequence, false);
    }

    pub(super) fn requeue(self) {
        self.bus.settle(self.member, self.sequence, true);
    }
}
