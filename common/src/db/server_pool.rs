//! The connections to PostgreSQL that a process keeps.
//!
//! Not sqlx's pool, for two things that it does. It asks each connection for a sign of life on its way back, a round trip
//! for each use. And it opens connections among the tasks that wait for them: sqlx gives way to other tasks some 800 times
//! while it proves that it knows the password (`hi` in sqlx-postgres's `connection/sasl.rs`), and behind a hundred tasks
//! that want to run, each of those times takes as long as all of them. So just when connections are wanted most, none was
//! opened within any limit.

use std::{fmt, time::Duration};

use backon::{ExponentialBuilder, Retryable as _};
use deadpool::managed::{
    Manager, Metrics, Object, Pool, PoolConfig, PoolError, QueueMode, RecycleError, RecycleResult,
};
use sqlx::{ConnectOptions as _, Connection as _, postgres::PgConnectOptions, postgres::PgConnection};
use tokio::{runtime::Handle, sync::oneshot};

use super::server_connection::within;

/// A connection that was used so lately is used again without asking it for a sign of life, which would cost each query a
/// round trip.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);
/// After so long without use a connection is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// How often those are looked for.
const IDLE_INTERVAL: Duration = Duration::from_secs(60);
/// How often it is looked whether a pool that is closed has its connections back.
const IN_USE_INTERVAL: Duration = Duration::from_millis(10);
/// After so long a connection is closed, used or not: the server's process for it grows with what it has seen.
const MAX_LIFETIME: Duration = Duration::from_secs(30 * 60);
/// The first pause before a server is tried again that does not serve yet. It doubles, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// A connection in use.
pub(super) type PooledServerConnection = Object<ServerConnections>;

/// The connections of a process to one server, of which there are no more than so many.
#[derive(Clone, Debug)]
pub(super) struct ServerPool(Pool<ServerConnections>);

impl ServerPool {
    pub(super) fn new(options: PgConnectOptions, max_connections: u32, acquire_timeout: Duration) -> Self {
        let mut config = PoolConfig::new(usize::try_from(max_connections.max(1)).unwrap_or(usize::MAX));
        // The others can go idle, and be closed.
        config.queue_mode = QueueMode::Lifo;
        let pool = Pool::builder(ServerConnections { options, acquire_timeout }).config(config).build();
        let pool = pool.unwrap_or_else(|error| unreachable!("no limit is set that a runtime would keep: {error}"));
        close_idle(&pool);
        Self(pool)
    }

    /// A connection that nobody else uses.
    ///
    /// # Errors
    /// None can be had in time, and why not, if that is known.
    pub(super) async fn acquire(&self) -> Result<PooledServerConnection, sqlx::Error> {
        match within(Some(self.0.manager().acquire_timeout), self.0.get()).await {
            Some(Ok(connection)) => Ok(connection),
            Some(Err(PoolError::Backend(error))) => Err(error),
            Some(Err(PoolError::Closed)) => Err(sqlx::Error::PoolClosed),
            Some(Err(_)) | None => Err(sqlx::Error::PoolTimedOut),
        }
    }

    /// Gives out no more, says farewell on those that are not used, and returns when the others have come back.
    pub(super) async fn close(&self) {
        let idle = self.0.retain(|_, _| false).removed;
        self.0.close();
        say_farewell(idle).await;
        while self.0.status().size > 0 {
            tokio::time::sleep(IN_USE_INTERVAL).await;
        }
    }
}

fn close_idle(pool: &Pool<ServerConnections>) {
    let weak = pool.weak();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(IDLE_INTERVAL).await;
            let Some(pool) = weak.upgrade() else { return };
            let idle = pool.retain(|_, metrics| metrics.last_used() < IDLE_TIMEOUT).removed;
            drop(pool);
            say_farewell(idle).await;
        }
    });
}

async fn say_farewell(connections: Vec<PgConnection>) {
    for connection in connections {
        if let Err(error) = connection.close().await {
            tracing::debug!(%error, "a connection to the database did not end in good order");
        }
    }
}

/// Opens connections, and looks at those that are used again.
pub(super) struct ServerConnections {
    options: PgConnectOptions,
    acquire_timeout: Duration,
}

// Not the options, which hold the password.
impl fmt::Debug for ServerConnections {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ServerConnections").finish_non_exhaustive()
    }
}

impl ServerConnections {
    /// Opens one, on a thread of its own: see the module's head.
    async fn open(&self) -> Result<PgConnection, sqlx::Error> {
        let (options, runtime) = (self.options.clone(), Handle::current());
        // The thread ends when nobody waits for it any more.
        let (wanted, given_up) = oneshot::channel::<()>();
        let opened = tokio::task::spawn_blocking(move || {
            runtime.block_on(async {
                tokio::select! {
                    opened = options.connect() => opened,
                    _ = given_up => Err(sqlx::Error::PoolTimedOut),
                }
            })
        });
        let opened = opened.await;
        drop(wanted);
        opened.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(_) => Err(sqlx::Error::WorkerCrashed),
            // Without a runtime there is no pool either.
            Err(_) => Err(sqlx::Error::PoolClosed),
        })
    }
}

impl Manager for ServerConnections {
    type Type = PgConnection;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<PgConnection, sqlx::Error> {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(self.acquire_timeout / 20)
            // The rest is for the last attempt: what it came to says more than that the time was over.
            .with_total_delay(Some(self.acquire_timeout * 4 / 5))
            .without_max_times();
        (|| self.open()).retry(pauses).when(may_serve_soon).await
    }

    async fn recycle(&self, connection: &mut PgConnection, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        if metrics.age() > MAX_LIFETIME {
            return Err(RecycleError::message("it is too old"));
        }
        // It may have been cut meanwhile: better to notice before a query than in it.
        if metrics.last_used() > TRUSTED_IDLE {
            let answer = within(Some(self.acquire_timeout / 5), connection.ping()).await;
            // There may be more like it: who waits for a connection waits for each of them.
            answer.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
        }
        Ok(())
    }
}

/// Whether the server starts, or has no connection left.
fn may_serve_soon(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        // cannot_connect_now, too_many_connections
        sqlx::Error::Database(error) => matches!(error.code().as_deref(), Some("57P03" | "53300")),
        _ => false,
    }
}
