//! The bus within the process: what RabbitMQ does for its queues, without encoding, without a
//! network and without a thread.
//!
//! All of the bus is one plain state machine ([`BusState`]) behind one mutex that is held for some
//! hundred nanoseconds at a time and never across an await. There is no broker task: whoever
//! publishes, acknowledges or subscribes moves on the messages this sets free.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};

use super::MarkerRequest;
use super::message::{Fetched, Publication, QueueSpec, Route, Subscription};
use super::replies::Replies;
use super::subscriber::{Control, Delivery, Subscriber};
use crate::error::MessagingError;
use crate::inspection::BusReport;

mod state;

use state::{BusState, Member, QueueName, QueueNames, Stored};

/// The named buses of this process; each lives as long as a transport on it.
static NAMED: LazyLock<Mutex<HashMap<String, Weak<MemoryBus>>>> = LazyLock::new(Mutex::default);

/// A bus within the process.
#[derive(Debug)]
pub(crate) struct MemoryBus {
    state: Mutex<BusState>,
    /// Wakes publishers that wait for room in a full queue.
    space_freed: Notify,
    /// How many messages a queue holds before its publishers have to wait.
    limit: usize,
}

impl MemoryBus {
    /// The bus of that name, or a new private one if the name is empty. `limit` counts for whoever
    /// makes it.
    pub(super) fn named(name: &str, limit: usize) -> Arc<Self> {
        let new = || Arc::new(Self { state: Mutex::default(), space_freed: Notify::new(), limit });
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

    fn lock(&self) -> MutexGuard<'_, BusState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add_reply_queue(&self, replies: &Arc<Replies>) {
        self.lock().reply_queues.insert(replies.queue().to_string(), Arc::downgrade(replies));
    }

    /// Takes a transport off the bus: its reply queue, and its subscriptions.
    pub(super) fn disconnect(self: &Arc<Self>, owner: &Arc<str>) {
        let mut state = self.lock();
        state.reply_queues.remove(&**owner);
        let members: Vec<u64> =
            state.members.iter().filter(|(_, member)| member.owner == *owner).map(|(id, _)| *id).collect();
        drop(state);
        for id in members {
            self.leave(id, true);
        }
    }

    /// Puts a message into every queue its route leads to. Waits while one of them is full.
    pub(super) async fn publish(
        self: &Arc<Self>,
        publication: Publication,
        timeout: Duration,
    ) -> Result<(), MessagingError> {
        match self.try_publish(&publication)? {
            Published::Taken => return Ok(()),
            Published::Queued => {
                // Nothing here waits for anything, so whoever sends much would keep out those who are to receive it.
                tokio::task::yield_now().await;
                return Ok(());
            }
            Published::Full(_) => {}
        }
        let started = Instant::now();
        loop {
            // Registered before the attempt, so that room made in between is not missed.
            let space_freed = self.space_freed.notified();
            let queue = match self.try_publish(&publication)? {
                Published::Taken | Published::Queued => return Ok(()),
                Published::Full(queue) => queue,
            };
            let left = timeout.saturating_sub(started.elapsed());
            if tokio::time::timeout(left, space_freed).await.is_err() {
                let reason = format!("the queue `{queue}` holds {} messages that nobody consumes", self.limit);
                return Err(MessagingError::Blocked { waited: timeout, reason });
            }
        }
    }

    fn try_publish(self: &Arc<Self>, publication: &Publication) -> Result<Published, MessagingError> {
        let mut state = self.lock();
        if let Some(spec) = &publication.declare {
            state.declare(spec);
        }
        if let Route::Queue { name } | Route::Reply { queue: name } = &publication.route
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
            return Ok(Published::Taken);
        }
        let queues = state.routed(&publication.route);
        if queues.is_empty() && publication.mandatory {
            return Err(publication.route.unroutable());
        }
        for name in queues.iter() {
            if let Some(queue) = state.queues.get_mut(name) {
                queue.drop_oldest(self.limit);
            }
            if state
                .queues
                .get_mut(name)
                .is_some_and(|queue| queue.ready.len() >= self.limit && queue.drop_expired() > 0)
            {
                self.space_freed.notify_waiters();
            }
            if state.queues.get(name).is_some_and(|queue| queue.ready.len() >= self.limit) {
                return Ok(Published::Full(Arc::clone(name)));
            }
        }
        let expires = publication.message.expiration.and_then(|after| Instant::now().checked_add(after));
        for name in queues.iter() {
            let sequence = state.next_sequence;
            state.next_sequence += 1;
            if let Some(queue) = state.queues.get_mut(name) {
                queue.ready.push_back(Stored {
                    sequence,
                    message: publication.message.clone(),
                    redelivered: false,
                    expires,
                });
            }
            self.dispatch(&mut state, name);
        }
        let is_empty = |name| state.queues.get(name).is_none_or(|queue| queue.ready.is_empty());
        Ok(if queues.iter().all(is_empty) { Published::Taken } else { Published::Queued })
    }

    /// `owner` is the name of the transport's reply queue.
    pub(super) fn subscribe(bus: &Arc<Self>, subscription: Subscription, owner: &Arc<str>) -> Subscriber {
        // As many messages as the member's prefetch allows can be in it.
        let (sender, deliveries) = mpsc::unbounded_channel();
        let mut state = bus.lock();
        let id = state.next_member;
        state.next_member += 1;
        let queues: QueueNames = subscription
            .queues
            .iter()
            .map(|spec| {
                let name = state.declare(spec);
                if let Some(queue) = state.queues.get_mut(&name) {
                    queue.consumers.push(id);
                }
                name
            })
            .collect();
        let member = Member {
            owner: Arc::clone(owner),
            queues: Arc::clone(&queues),
            prefetch: subscription.prefetch.into(),
            unacknowledged: foldhash::HashMap::default(),
            sender,
        };
        state.members.insert(id, member);
        for name in queues.iter() {
            bus.dispatch(&mut state, name);
        }
        drop(state);
        Subscriber { deliveries, control: Arc::new(Control::Memory(Membership { bus: Arc::clone(bus), id })) }
    }

    pub(super) fn fetch(bus: &Arc<Self>, spec: QueueSpec, max: usize, owner: &Arc<str>) -> Fetched {
        let prefetch = u16::try_from(max).unwrap_or(u16::MAX);
        let mut subscriber = Self::subscribe(
            bus,
            Subscription { queues: vec![spec], besides: Vec::new(), prefetch, max_message_bytes: usize::MAX },
            owner,
        );
        let deliveries: Vec<Delivery> = std::iter::from_fn(|| subscriber.try_next()).collect();
        Fetched { deliveries: deliveries.into_iter(), _hold: Box::new(subscriber) }
    }

    pub(super) fn report(&self) -> BusReport {
        self.lock().report()
    }

    pub(super) fn mark(&self, name: &str, request: MarkerRequest) -> bool {
        self.lock().mark(name, request, Instant::now())
    }

    fn dispatch(self: &Arc<Self>, state: &mut BusState, name: &QueueName) {
        if state.dispatch(self, name) {
            self.space_freed.notify_waiters();
        }
    }

    fn dispatch_all(self: &Arc<Self>, state: &mut BusState, id: u64) {
        let queues = state.members.get(&id).map(|member| Arc::clone(&member.queues)).unwrap_or_default();
        for name in queues.iter() {
            self.dispatch(state, name);
        }
    }

    fn settle(self: &Arc<Self>, id: u64, sequence: u64, requeue: bool) {
        let mut state = self.lock();
        let Some(member) = state.members.get_mut(&id) else {
            return;
        };
        let Some((name, stored)) = member.unacknowledged.remove(&sequence) else {
            return;
        };
        // As long as a member can take more, nothing waits in its queues.
        let was_full = member.unacknowledged.len() + 1 == member.prefetch;
        if requeue {
            state.put_back(&name, stored);
            // For others, should the member have left its queues already.
            self.dispatch(&mut state, &name);
        }
        if was_full {
            self.dispatch_all(&mut state, id);
        }
    }

    /// Takes a member off its queues; with `returning`, what it has not acknowledged goes back.
    fn leave(self: &Arc<Self>, id: u64, returning: bool) {
        let mut state = self.lock();
        let Some(member) = state.members.get_mut(&id) else {
            return;
        };
        let queues = std::mem::take(&mut member.queues);
        let mut touched: BTreeSet<QueueName> = queues.iter().cloned().collect();
        if returning && let Some(member) = state.members.remove(&id) {
            for (name, stored) in member.unacknowledged.into_values() {
                state.put_back(&name, stored);
                // A cancelled member has left its queues before.
                touched.insert(name);
            }
        }
        for name in queues.iter() {
            let Some(queue) = state.queues.get_mut(name) else {
                continue;
            };
            queue.consumers.retain(|consumer| *consumer != id);
            if queue.transient && queue.consumers.is_empty() {
                state.remove_queue(name);
                // It holds up nobody any more.
                self.space_freed.notify_waiters();
            }
        }
        for name in &touched {
            self.dispatch(&mut state, name);
        }
    }
}

/// What came of an attempt to publish.
enum Published {
    /// It is with its consumers.
    Taken,
    /// It waits for consumers that are busy, or absent.
    Queued,
    /// There was no room for it in this queue.
    Full(QueueName),
}

/// A subscription's hold on the bus; dropping it leaves, as a broken connection would.
#[derive(Debug)]
pub(super) struct Membership {
    bus: Arc<MemoryBus>,
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
pub(super) struct MemoryReceipt {
    bus: Arc<MemoryBus>,
    member: u64,
    sequence: u64,
}

impl MemoryReceipt {
    pub(super) fn ack(self) {
        self.bus.settle(self.member, self.sequence, false);
    }

    /// Whether its subscription has ended, which returned the message.
    pub(super) fn is_void(&self) -> bool {
        !self.bus.lock().members.contains_key(&self.member)
    }

    pub(super) fn requeue(self) {
        self.bus.settle(self.member, self.sequence, true);
    }
}

#[cfg(test)]
mod tests;
