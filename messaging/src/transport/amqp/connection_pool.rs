//! The connections on which subscriptions consume: as many as their channels need.
//!
//! A broker limits how many channels a connection may have (RabbitMQ's `channel_max`, 2,047 unless configured
//! otherwise). Each subscription leases room for one channel on one of the connections. When none has room, another
//! connection is opened; one whose last subscription has ended is closed. Each recovers by itself, and its subscriptions
//! with it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lapin::Channel;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::connection::{Address, ConnectionState, RecoveringConnection};
use super::established::{Established, WeakEstablished};
use crate::error::MessagingError;

/// How many declarations may run at once on a connection. Each has a channel of its own, since one that fails breaks its
/// channel.
const MAX_DECLARING: usize = 8;
/// So many channels are left for those that do not last: those of declarations, some of which need a second.
const RESERVED_CHANNELS: usize = 2 * MAX_DECLARING;

/// A transport's connections for consuming. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct ConnectionPool(Arc<Mutex<Pool>>);

#[derive(Debug)]
struct Pool {
    address: Address,
    /// The first stays; the others come and go.
    connections: Vec<Arc<PooledConnection>>,
    /// How many channels the broker permits on a connection, as far as is known.
    channel_max: u16,
    closed: bool,
}

/// One of the connections.
#[derive(Debug)]
struct PooledConnection {
    connection: RecoveringConnection,
    usage: Mutex<Usage>,
    declaring: Arc<DeclaringChannels>,
}

#[derive(Debug)]
struct Usage {
    /// How many subscriptions are on it.
    leases: usize,
    /// How many fit.
    limit: usize,
}

impl PooledConnection {
    fn new(connection: RecoveringConnection, channel_max: u16) -> Arc<Self> {
        let reserved = RESERVED_CHANNELS.min(usize::from(channel_max) / 2);
        let limit = usize::from(channel_max).saturating_sub(reserved).max(1);
        Arc::new(Self {
            connection,
            usage: Mutex::new(Usage { leases: 0, limit }),
            declaring: Arc::new(DeclaringChannels::new((reserved / 2).max(1))),
        })
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_lease(&self) -> bool {
        let mut usage = self.usage();
        let fits = usage.leases < usage.limit;
        usage.leases += usize::from(fits);
        fits
    }
}

impl ConnectionPool {
    /// With a first connection.
    pub(super) async fn connect(address: Address) -> Result<Self, MessagingError> {
        let first = RecoveringConnection::connect(address.clone()).await?;
        let channel_max = first.channel_max().unwrap_or(u16::MAX);
        let connections = vec![PooledConnection::new(first, channel_max)];
        Ok(Self(Arc::new(Mutex::new(Pool { address, connections, channel_max, closed: false }))))
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for one subscription.
    pub(super) fn lease(&self) -> ConnectionLease {
        let mut pool = self.lock();
        let on = match pool.connections.iter().find(|connection| connection.try_lease()) {
            Some(connection) => Arc::clone(connection),
            None => pool.add(),
        };
        ConnectionLease { pool: self.clone(), on }
    }

    /// The state of each connection.
    pub(super) fn states(&self) -> Vec<watch::Receiver<ConnectionState>> {
        self.lock().connections.iter().map(|pooled| pooled.connection.state()).collect()
    }

    /// Closes all connections and returns when the broker has taken note.
    pub(super) async fn close(&self) {
        let connections = {
            let mut pool = self.lock();
            pool.closed = true;
            pool.connections.clone()
        };
        futures_util::future::join_all(connections.iter().map(|pooled| pooled.connection.close())).await;
    }
}

impl Pool {
    /// One more connection, leased once.
    fn add(&mut self) -> Arc<PooledConnection> {
        let connection = RecoveringConnection::open(self.address.clone());
        let found = self.connections.iter().filter_map(|pooled| pooled.connection.channel_max());
        self.channel_max = found.fold(self.channel_max, u16::min);
        let pooled = PooledConnection::new(connection, self.channel_max);
        pooled.usage().leases = 1;
        tracing::debug!(connections = self.connections.len() + 1, "another connection to the broker, for its channels");
        if self.closed {
            pooled.connection.begin_closing();
        }
        self.connections.push(Arc::clone(&pooled));
        pooled
    }
}

/// Room for one subscription's channel on one of the connections.
#[derive(Debug)]
pub(super) struct ConnectionLease {
    pool: ConnectionPool,
    on: Arc<PooledConnection>,
}

impl ConnectionLease {
    /// The connection's state, to watch.
    pub(super) fn state(&self) -> watch::Receiver<ConnectionState> {
        self.on.connection.state()
    }

    /// The channels on which queues are declared.
    pub(super) fn declaring(&self) -> Arc<DeclaringChannels> {
        Arc::clone(&self.on.declaring)
    }

    /// A channel more did not fit: the connection takes no further subscriptions, and this one goes to another. False if
    /// it is alone there, so that no other connection would do better.
    pub(super) fn relocate(&mut self) -> bool {
        {
            let mut usage = self.on.usage();
            if usage.leases <= 1 {
                return false;
            }
            usage.limit = usage.limit.min(usage.leases - 1);
        }
        *self = self.pool.lease();
        true
    }

    /// How many subscriptions there are on all connections.
    pub(super) fn subscriptions(&self) -> usize {
        self.pool.lock().connections.iter().map(|pooled| pooled.usage().leases).sum()
    }
}

impl Drop for ConnectionLease {
    fn drop(&mut self) {
        let mut pool = self.pool.lock();
        let unused = {
            let mut usage = self.on.usage();
            usage.leases -= 1;
            usage.leases == 0
        };
        if unused {
            let mut index = 0;
            pool.connections.retain(|pooled| {
                index += 1;
                index == 1 || !Arc::ptr_eq(pooled, &self.on)
            });
        }
    }
}

/// Channels for declaring queues and what belongs to them, used again and again.
#[derive(Debug)]
pub(super) struct DeclaringChannels {
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<(WeakEstablished, Channel)>>,
}

/// The right to declare, for as long as it is held.
pub(super) struct DeclaringPermit {
    channels: Arc<DeclaringChannels>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl DeclaringChannels {
    pub(super) fn new(at_once: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(at_once.min(MAX_DECLARING))), idle: Mutex::default() }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(WeakEstablished, Channel)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until one more declaration may run.
    pub(super) async fn acquire(self: Arc<Self>) -> DeclaringPermit {
        // The semaphore is never closed.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        DeclaringPermit { channels: self, _permit: permit }
    }
}

impl DeclaringPermit {
    /// A channel of this connection.
    pub(super) async fn channel(&self, connection: &Established) -> lapin::Result<Channel> {
        let idle = {
            let mut idle = self.channels.idle();
            idle.retain(|(of, channel)| of.is(connection) && channel.status().connected());
            idle.pop()
        };
        match idle {
            Some((_, channel)) => Ok(channel),
            None => connection.create_channel().await,
        }
    }

    /// Keeps a channel of this connection on which nothing failed.
    pub(super) fn put_back(&self, connection: &Established, channel: Channel) {
        if connection.stands() {
            self.channels.idle().push((connection.downgrade(), channel));
        }
    }
}
