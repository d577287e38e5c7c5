//! Opening the database, and the two ways to use it: read, and write in a transaction.

use std::{
    ops::{Deref, DerefMut},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use deadpool::managed::Object;
use futures_util::future::BoxFuture;
use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, Pool, Sqlite, SqliteConnection,
    pool::{PoolConnection, PoolOptions},
    postgres::PgConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{
    DbError,
    error::Scope,
    held::{Held, Holder},
    schema,
    server_connection::{ServerConnection, answer_limit, within},
    server_pool::ServerPool,
};
use crate::{config::DatabaseConfig, sql};

/// Statements that each connection keeps prepared. The program has some 150, and those of lists depend on the filters.
const STATEMENT_CACHE: usize = 256;

/// Rows that SQLite's thread may be ahead of their reader: each wait for the other costs more than a row does.
const ROW_BUFFER: usize = 500;

/// A connection to either database; what every query takes.
#[derive(Debug)]
pub struct Connection {
    kept: Box<dyn Held<Value = Kept>>,
    /// The plans of the queries that ran on it, for tests that look at them.
    #[cfg(test)]
    pub(super) plans: Option<Vec<super::plans::Plan>>,
}

#[derive(Debug)]
enum Kept {
    Sqlite(PoolConnection<Sqlite>),
    SqliteTransaction(sqlx::Transaction<'static, Sqlite>),
    /// In a transaction or not.
    Postgres(ServerConnection),
}

impl Kept {
    #[inline(never)]
    fn commit(self) -> BoxFuture<'static, Result<(), DbError>> {
        Box::pin(async move {
            match self {
                Self::SqliteTransaction(transaction) => transaction.commit().await?,
                Self::Postgres(connection) => connection.commit().await?,
                Self::Sqlite(_) => {}
            }
            Ok(())
        })
    }
}

/// The connection of the database's own kind.
pub(super) enum Raw<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

impl Connection {
    fn new(kept: Kept) -> Self {
        Self {
            kept: Box::new(Holder(kept)),
            #[cfg(test)]
            plans: None,
        }
    }

    pub(super) fn raw(&mut self) -> Result<Raw<'_>, DbError> {
        Ok(match self.kept.get_mut() {
            Kept::Sqlite(connection) => Raw::Sqlite(connection),
            Kept::SqliteTransaction(connection) => Raw::Sqlite(connection),
            Kept::Postgres(connection) => Raw::Postgres(connection.raw()?),
        })
    }

    /// Whether several transactions write at once, each with locks on rows. SQLite has one writer.
    pub(super) fn locks_rows(&self) -> bool {
        matches!(self.kept.get(), Kept::Postgres(_))
    }

    /// How long a statement may take to be answered.
    pub(super) fn limit(&self) -> Option<Duration> {
        match self.kept.get() {
            Kept::Sqlite(_) | Kept::SqliteTransaction(_) => None,
            Kept::Postgres(connection) => connection.limit,
        }
    }

    /// What a statement came to; `None`: there was no answer within the limit.
    pub(super) fn settle<T>(&mut self, answer: Option<Result<T, DbError>>) -> Result<T, DbError> {
        match self.kept.get_mut() {
            Kept::Postgres(connection) => connection.settle(answer),
            // Without a limit there is always an answer.
            Kept::Sqlite(_) | Kept::SqliteTransaction(_) => answer.unwrap_or(Err(DbError::NoAnswer { seconds: 0.0 })),
        }
    }
}

/// A connection that goes back to its pool when dropped.
#[derive(Debug)]
pub struct PooledConnection(Connection);

impl Deref for PooledConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for PooledConnection {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

/// A transaction; rolled back when dropped uncommitted.
#[derive(Debug)]
pub struct Transaction(Connection);

impl Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

impl Transaction {
    /// Makes all that was done in it last.
    ///
    /// # Errors
    /// Nothing of it lasts; or, with [`DbError::Unconfirmed`], nobody knows.
    pub async fn commit(self) -> Result<(), DbError> {
        self.0.kept.take().commit().await
    }
}

/// The database. Clones share the pools.
#[derive(Clone, Debug)]
pub struct Database(Arc<dyn Held<Value = Pools>>);

#[derive(Clone, Debug)]
enum Pools {
    /// SQLite has one writer at a time, so one connection writes and the others never wait for it (WAL).
    Sqlite { writer: Pool<Sqlite>, readers: Pool<Sqlite> },
    Postgres {
        pool: ServerPool,
        /// How long an answer is waited for.
        limit: Option<Duration>,
    },
}

impl Database {
    /// Opens the database; a SQLite file is made if it is not there. Applies no migration.
    ///
    /// # Errors
    /// A URL of another kind, or a database that can't be reached.
    pub async fn connect(config: &DatabaseConfig) -> Result<Self, DbError> {
        let url = config.url.expose();
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => Self::connect_sqlite(url, config).await,
            Some("postgres" | "postgresql") => Self::connect_postgres(url, config).await,
            _ => Err(DbError::Url { url: config.url.to_string() }),
        }
        .map_err(|error| error.opening(&config.url))
    }

    async fn connect_sqlite(url: &str, config: &DatabaseConfig) -> Result<Self, DbError> {
        // WAL: readers don't wait for the writer. FULL: what is committed survives a power failure, since 202 is a
        // promise. busy_timeout: another process (`novella service list`) may hold the lock for a moment.
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5))
            .foreign_keys(true)
            .pragma("cache_size", "-2000")
            .statement_cache_capacity(STATEMENT_CACHE)
            .row_buffer_size(ROW_BUFFER);
        let pool = |connections: u32| {
            // A SQLite connection is a thread and a page cache: few of them, kept for good.
            PoolOptions::new()
                .max_connections(connections.max(1))
                .acquire_timeout(config.acquire_timeout)
                .test_before_acquire(false)
                .idle_timeout(None)
                .max_lifetime(None)
        };
        let writer = pool(1).connect_with(options.clone()).await?;
        let readers = pool(config.max_connections.min(4)).connect_with(options).await?;
        Ok(Self(Arc::new(Holder(Pools::Sqlite { writer, readers }))))
    }

    async fn connect_postgres(url: &str, config: &DatabaseConfig) -> Result<Self, DbError> {
        let limits = [
            ("idle_in_transaction_session_timeout", config.idle_in_transaction_session_timeout),
            ("lock_timeout", config.lock_timeout),
            ("statement_timeout", config.statement_timeout),
        ];
        // In the message that opens a connection, so that there is none without them.
        let options = PgConnectOptions::from_str(url)?
            .statement_cache_capacity(STATEMENT_CACHE)
            .options(limits.map(|(name, limit)| (name, limit.as_millis())));
        let limit = answer_limit(config.statement_timeout);
        let pool = ServerPool::new(options, config.max_connections, config.acquire_timeout);
        // So that who can't reach it hears so at once.
        drop(pool.acquire().await?);
        Ok(Self(Arc::new(Holder(Pools::Postgres { pool, limit }))))
    }

    /// Applies the migrations that are missing. Several processes may do so at once: one does, the others wait.
    ///
    /// # Errors
    /// A migration that fails, or one applied earlier that this program does not know.
    pub async fn migrate(&self) -> Result<(), DbError> {
        match self.0.get() {
            Pools::Sqlite { writer, .. } => schema::sqlite().run(writer).await?,
            Pools::Postgres { pool, .. } => {
                // A connection of its own: a migration of many rows, and the wait for another process that migrates, take
                // as long as they take.
                let mut connection = Object::take(pool.acquire().await?);
                for limit in ["idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout"] {
                    sqlx::raw_sql(AssertSqlSafe(format!("SET {limit} = 0"))).execute(&mut connection).await?;
                }
                schema::postgres().run(&mut connection).await?;
                connection.close().await?;
            }
        }
        Ok(())
    }

    /// Checks that every migration of this program has been applied.
    ///
    /// # Errors
    /// [`DbError::SchemaOutOfDate`] if one is missing.
    pub async fn check_schema(&self) -> Result<(), DbError> {
        let applied: Result<Option<i64>, DbError> =
            sql!("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(&mut *self.read().await?).await;
        match applied {
            Ok(Some(version)) if version >= schema::newest() => Ok(()),
            Ok(_) => Err(DbError::SchemaOutOfDate),
            // No such table: nothing was ever applied.
            Err(DbError::Sqlx(sqlx::Error::Database(_))) => Err(DbError::SchemaOutOfDate),
            Err(error) => Err(error),
        }
    }

    /// A connection to read from.
    ///
    /// # Errors
    /// None can be had in time.
    pub async fn read(&self) -> Result<PooledConnection, DbError> {
        self.acquire(Scope::Reading).await
    }

    /// A connection for a single statement that writes.
    ///
    /// # Errors
    /// None can be had in time.
    pub async fn write(&self) -> Result<PooledConnection, DbError> {
        self.acquire(Scope::Alone).await
    }

    /// A transaction that writes.
    ///
    /// # Errors
    /// None can be had in time.
    pub async fn begin(&self) -> Result<Transaction, DbError> {
        self.begin_transaction().await
    }

    // A boxed future is compiled here; the code of any other is compiled again by each crate that awaits it, with all that
    // the libraries do beneath it. So each way into the database is boxed, here, in `sql.rs` and in `list/query.rs`.
    #[inline(never)]
    fn acquire(&self, scope: Scope) -> BoxFuture<'_, Result<PooledConnection, DbError>> {
        Box::pin(async move {
            let kept = match (self.0.get(), scope) {
                (Pools::Sqlite { readers, .. }, Scope::Reading) => Kept::Sqlite(readers.acquire().await?),
                (Pools::Sqlite { writer, .. }, _) => Kept::Sqlite(writer.acquire().await?),
                (Pools::Postgres { pool, limit }, scope) => {
                    Kept::Postgres(ServerConnection::new(pool.acquire().await?, *limit, scope))
                }
            };
            Ok(PooledConnection(Connection::new(kept)))
        })
    }

    #[inline(never)]
    fn begin_transaction(&self) -> BoxFuture<'_, Result<Transaction, DbError>> {
        Box::pin(async move {
            let kept = match self.0.get() {
                // Take the write lock at once: a transaction that began by reading could not upgrade when another
                // process has written in between.
                Pools::Sqlite { writer, .. } => Kept::SqliteTransaction(writer.begin_with("BEGIN IMMEDIATE").await?),
                Pools::Postgres { pool, limit } => {
                    let mut connection = ServerConnection::new(pool.acquire().await?, *limit, Scope::Reading);
                    connection.begin().await?;
                    Kept::Postgres(connection)
                }
            };
            Ok(Transaction(Connection::new(kept)))
        })
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// None came.
    pub async fn ping(&self) -> Result<(), DbError> {
        sql!("SELECT 1").execute(&mut *self.read().await?).await?;
        Ok(())
    }

    /// Closes all connections.
    pub async fn close(&self) {
        match self.0.get() {
            Pools::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Pools::Postgres { pool, limit } => {
                if within(*limit, pool.close()).await.is_none() {
                    tracing::warn!("the connections to the database were left: the server does not answer");
                }
            }
        }
    }
}
