//! Opening the database, and the two ways to use it: read, and write in a transaction.

use std::{str::FromStr, sync::Once, time::Duration};

use sqlx::{
    AnyConnection, AnyPool, Executor,
    any::{AnyConnectOptions, AnyPoolOptions},
    migrate::Migrator,
    pool::PoolConnection,
};

use super::DbError;
use crate::config::DatabaseConfig;

static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("../migrations/sqlite");
static POSTGRES_MIGRATIONS: Migrator = sqlx::migrate!("../migrations/postgres");

/// A pooled connection; what every query takes.
pub type Connection = AnyConnection;

/// A transaction; rolled back when dropped uncommitted.
pub type Transaction = sqlx::Transaction<'static, sqlx::Any>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres,
}

/// The database. Clones share the pools.
#[derive(Clone, Debug)]
pub struct Database {
    kind: Kind,
    /// SQLite has one writer at a time, so one connection writes and the others never wait for it (WAL). PostgreSQL
    /// has one pool for both.
    writer: AnyPool,
    readers: AnyPool,
}

impl Database {
    /// Opens the database; a SQLite file is made if it is not there. Applies no migration.
    ///
    /// # Errors
    /// A URL of another kind, or a database that can't be reached.
    pub async fn connect(config: &DatabaseConfig) -> Result<Self, DbError> {
        static DRIVERS: Once = Once::new();
        DRIVERS.call_once(sqlx::any::install_default_drivers);

        let url = config.url.expose();
        let kind = match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => Kind::Sqlite,
            Some("postgres" | "postgresql") => Kind::Postgres,
            _ => {
                return Err(DbError::Url { url: config.url.to_string() });
            }
        };
        let pool = |connections: u32| {
            AnyPoolOptions::new()
                .max_connections(connections.max(1))
                .acquire_timeout(config.acquire_timeout)
                // An idle connection may have been cut: better to notice before a query than in it.
                .test_before_acquire(kind == Kind::Postgres)
                .after_connect(move |connection, _| Box::pin(prepare(kind, connection)))
        };
        match kind {
            Kind::Sqlite => {
                let separator = if url.contains('?') { '&' } else { '?' };
                let options = AnyConnectOptions::from_str(&format!("{url}{separator}mode=rwc"))?;
                // A SQLite connection is a thread and a page cache: few of them, kept for good.
                let keep = |options: AnyPoolOptions| options.idle_timeout(None).max_lifetime(None);
                let writer = keep(pool(1)).connect_with(options.clone()).await?;
                let readers = keep(pool(config.max_connections.min(4))).connect_with(options).await?;
                Ok(Self { kind, writer, readers })
            }
            Kind::Postgres => {
                let options = AnyConnectOptions::from_str(url)?;
                let both = pool(config.max_connections)
                    .max_lifetime(Duration::from_secs(30 * 60))
                    .connect_with(options)
                    .await?;
                Ok(Self { kind, writer: both.clone(), readers: both })
            }
        }
    }

    /// Applies the migrations that are missing. Several processes may do so at once: one does, the others wait.
    ///
    /// # Errors
    /// A migration that fails, or one applied earlier that this program does not know.
    pub async fn migrate(&self) -> Result<(), DbError> {
        Ok(self.migrations().run(&self.writer).await?)
    }

    /// Checks that every migration of this program has been applied.
    ///
    /// # Errors
    /// [`DbError::SchemaOutOfDate`] if one is missing.
    pub async fn check_schema(&self) -> Result<(), DbError> {
        let newest = self.migrations().iter().map(|migration| migration.version).max().unwrap_or(0);
        let applied: Result<Option<i64>, sqlx::Error> =
            sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(&self.readers).await;
        match applied {
            Ok(Some(version)) if version >= newest => Ok(()),
            Ok(_) => Err(DbError::SchemaOutOfDate),
            // No such table: nothing was ever applied.
            Err(sqlx::Error::Database(_)) => Err(DbError::SchemaOutOfDate),
            Err(error) => Err(error.into()),
        }
    }

    fn migrations(&self) -> &'static Migrator {
        match self.kind {
            Kind::Sqlite => &SQLITE_MIGRATIONS,
            Kind::Postgres => &POSTGRES_MIGRATIONS,
        }
    }

    /// A connection to read from.
    ///
    /// # Errors
    /// None can be had in time.
    pub async fn read(&self) -> Result<PoolConnection<sqlx::Any>, DbError> {
        Ok(self.readers.acquire().await?)
    }

    /// A connection for a single statement that writes.
    ///
    /// # Errors
    /// None can be had in time.
    pub async fn write(&self) -> Result<PoolConnection<sqlx::Any>, DbError> {
        Ok(self.writer.acquire().await?)
    }

    /// A transaction that writes.
    ///
    /// # Errors
    /// None can be had in time.
    pub async fn begin(&self) -> Result<Transaction, DbError> {
        // SQLite: take the write lock at once. A transaction that began by reading could not upgrade when another
        // process has written in between.
        let begin = match self.kind {
            Kind::Sqlite => "BEGIN IMMEDIATE",
            Kind::Postgres => "BEGIN",
        };
        // In a task of its own, which goes on when the caller is dropped: a BEGIN that is dropped half-way leaves sqlx's
        // PostgreSQL connection in the pool with a transaction open that nobody ends, and its locks held for good.
        let writer = self.writer.clone();
        match tokio::spawn(async move { writer.begin_with(begin).await }).await {
            Ok(transaction) => Ok(transaction?),
            // The runtime is going down.
            Err(_) => Err(DbError::Sqlx(sqlx::Error::PoolClosed)),
        }
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// None came.
    pub async fn ping(&self) -> Result<(), DbError> {
        sqlx::query("SELECT 1").execute(&self.readers).await?;
        Ok(())
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

async fn prepare(kind: Kind, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    if kind == Kind::Sqlite {
        // WAL: readers don't wait for the writer. FULL: what is committed survives a power failure, since 202 is a
        // promise. busy_timeout: another process (`novella service list`) may hold the lock for a moment.
        connection
            .execute(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000; \
                 PRAGMA foreign_keys = ON; PRAGMA cache_size = -2000",
            )
            .await?;
    }
    Ok(())
}
