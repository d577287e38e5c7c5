//! How the database fails.

use std::{borrow::Cow, path::Path};

use crate::config::SecretUrl;

/// How the database fails.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// It can't be reached, or broke off: worth trying again.
    #[error("database: {0}")]
    Sqlx(#[source] sqlx::Error),
    /// It can't be opened.
    #[error("can't open the database {url}: {reason}; {remedy}")]
    Open {
        /// Its URL, without its password.
        url: String,
        /// Why not.
        reason: String,
        /// What to do about it.
        remedy: String,
    },
    /// The database has ended the transaction, or the statement that was one by itself: it lost to another one, waited too
    /// long for a lock, or its process was silent for too long. Nothing of it lasts; tried again it may succeed.
    #[error("database: the transaction was ended, and nothing of it lasts: {0}")]
    TransactionLost(#[source] sqlx::Error),
    /// The server took a statement, or nothing at all, and did not answer. Of a transaction nothing lasts then.
    #[error("database: no answer within {seconds} s; the server hangs, or the network to it")]
    NoAnswer {
        /// How long it was waited for.
        seconds: f64,
    },
    /// The connection broke off, or the server fell silent, between the order to commit (or a statement that is a
    /// transaction by itself) and its confirmation: whether it lasts, nobody knows.
    #[error("database: whether the transaction was committed is not known: {reason}")]
    Unconfirmed {
        /// What went wrong.
        reason: String,
    },
    /// The URL is not one of a database that is supported.
    #[error("database.url '{url}' is not of the form sqlite:///path/to/file or postgres://user:password@host/name")]
    Url {
        /// The URL, without its password.
        url: String,
    },
    /// A migration could not be applied.
    #[error("database migration: {0}")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// The schema is one that this program can't have made.
    #[error(
        "the database was made by a later version of Novella, or by one between releases (migration {version}: \
         {reason}): run that version, or give this one another database"
    )]
    SchemaUnknown {
        /// The migration.
        version: i64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The schema is not the one that this program needs.
    #[error("the database's schema is not up to date: run `novella db sync`")]
    SchemaOutOfDate,
    /// A row holds something that this program can't have written.
    #[error("database: column '{column}' holds {value}: {reason}")]
    Corrupt {
        /// The column.
        column: Cow<'static, str>,
        /// What it holds.
        value: String,
        /// Why that can't be.
        reason: String,
    },
    /// A value that no column can hold was to be written or looked for.
    #[error(transparent)]
    Bind(#[from] BindError),
}

/// Why a value can't be bound. The same on both databases.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// PostgreSQL holds it neither in text nor in JSON.
    #[error("a text with the NUL character (U+0000) can't be stored")]
    NulCharacter,
    /// The text that was to become a UUID.
    #[error("'{0}' is not a UUID")]
    NotUuid(String),
    /// A value that has no form in JSON, such as a map whose keys are no texts.
    #[error("a value can't be written as JSON: {0}")]
    NotJson(String),
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sqlx(error)
    }
}

impl From<sqlx::migrate::MigrateError> for DbError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        use sqlx::migrate::MigrateError;
        match error {
            MigrateError::VersionMissing(version) => {
                Self::SchemaUnknown { version, reason: "this version does not know it" }
            }
            MigrateError::VersionMismatch(version) => {
                Self::SchemaUnknown { version, reason: "it was another one when it was applied" }
            }
            other => Self::Migrate(other),
        }
    }
}

/// How often a transaction is tried that [`DbError::TransactionLost`] ends.
pub const TRANSACTION_ATTEMPTS: u32 = 3;

/// The conditions under which PostgreSQL ends a transaction that may succeed when it is tried again (`SQLSTATE`).
const LOST: [&str; 6] = [
    "40001", // serialization_failure
    "40P01", // deadlock_detected
    "55P03", // lock_not_available: lock_timeout
    "57014", // query_canceled: statement_timeout
    "25P03", // idle_in_transaction_session_timeout
    "25P04", // transaction_timeout
];

/// What a statement belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// It only reads.
    Reading,
    /// It is a transaction by itself.
    Alone,
    /// A transaction of several.
    Transaction,
}

/// What an error of a statement says about what lasts.
pub(super) fn of_statement(error: DbError, scope: Scope) -> DbError {
    let cut_off = |error: &sqlx::Error| {
        let code = error.as_database_error().and_then(|error| error.code());
        matches!(error, sqlx::Error::Io(_)) || code.is_some_and(|code| code.starts_with(SHUTDOWN))
    };
    match error {
        DbError::Sqlx(error) if is_lost(&error) => DbError::TransactionLost(error),
        DbError::Sqlx(error) if scope == Scope::Transaction && cut_off(&error) => DbError::TransactionLost(error),
        DbError::Sqlx(error) if scope == Scope::Alone && cut_off(&error) => {
            DbError::Unconfirmed { reason: error.to_string() }
        }
        error @ DbError::NoAnswer { .. } if scope == Scope::Alone => DbError::Unconfirmed { reason: error.to_string() },
        error => error,
    }
}

/// How the codes begin with which PostgreSQL ends a connection.
const SHUTDOWN: &str = "57P";

fn is_lost(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| LOST.contains(&code.as_ref()))
}

/// The classes of conditions in which PostgreSQL can do nothing for anybody (how `SQLSTATE` begins).
const AWAY: [&str; 5] = [
    "08", // connection_exception
    "53", // insufficient_resources
    SHUTDOWN, "58",    // system_error
    "25006", // read_only_sql_transaction: a standby, until it is promoted
];

/// The same of SQLite (<https://sqlite.org/rescode.html>).
const SQLITE_AWAY: [i32; 5] = [
    5,  // SQLITE_BUSY
    6,  // SQLITE_LOCKED
    10, // SQLITE_IOERR
    13, // SQLITE_FULL
    14, // SQLITE_CANTOPEN
];

fn is_away(error: &sqlx::Error) -> bool {
    use sqlx::Error;
    match error {
        Error::Io(_)
        | Error::Tls(_)
        | Error::Protocol(_)
        | Error::PoolTimedOut
        | Error::PoolClosed
        | Error::WorkerCrashed => true,
        Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            match error.try_downcast_ref::<sqlx::sqlite::SqliteError>() {
                // The lower byte is the primary result code.
                Some(_) => code.parse::<i32>().is_ok_and(|code| SQLITE_AWAY.contains(&(code & 0xff))),
                None => AWAY.iter().any(|class| code.starts_with(class)),
            }
        }
        _ => false,
    }
}

impl DbError {
    /// Why `url` could not be opened, and what to do about it.
    pub(super) fn opening(self, url: &SecretUrl) -> Self {
        let Self::Sqlx(error) = self else { return self };
        let is_sqlite = url.expose().starts_with("sqlite:");
        let path = Path::new(url.expose().trim_start_matches("sqlite:").trim_start_matches("//"));
        let missing = path.parent().filter(|folder| is_sqlite && !folder.as_os_str().is_empty() && !folder.exists());
        let code = match &error {
            sqlx::Error::Database(error) => error.code().unwrap_or_default().into_owned(),
            _ => String::new(),
        };
        let remedy = match (is_sqlite, code.as_str()) {
            _ if missing.is_some() => "`novella up` makes it; or name another with NOVELLA_DATABASE__URL or --data",
            // SQLITE_NOTADB, https://sqlite.org/rescode.html
            (true, "26") => "is it another program's file? Name another with NOVELLA_DATABASE__URL or --data",
            (true, _) => "may this user write there?",
            // https://www.postgresql.org/docs/current/errcodes-appendix.html
            (false, "3D000") => "create it with `createdb`, then run `novella db sync`",
            (false, "28P01" | "28000") => "are user and password in NOVELLA_DATABASE__URL right?",
            (false, "53300") => "PostgreSQL's max_connections must allow database.max_connections for each process",
            (false, _) => "does PostgreSQL run there, and is NOVELLA_DATABASE__URL right?",
        };
        let reason = match (missing, &error) {
            (Some(folder), _) => format!("there is no folder {}", folder.display()),
            (None, sqlx::Error::Database(error)) => error.message().to_owned(),
            (None, sqlx::Error::Io(error)) => error.to_string(),
            // What sqlx reads where there is nothing to read.
            (None, sqlx::Error::Protocol(text)) if text.ends_with("SSLRequest: 0x00") => {
                "the connection was closed before anything was answered".to_owned()
            }
            (None, error) => error.to_string(),
        };
        Self::Open { url: url.to_string(), reason, remedy: remedy.to_owned() }
    }

    /// Whether nothing of the transaction lasts and it may succeed when it is tried again.
    #[must_use]
    pub fn is_transaction_lost(&self) -> bool {
        matches!(self, Self::TransactionLost(_))
    }

    /// Whether the fault is the database's, or on the way there, and says nothing about what was asked: the same may
    /// succeed later.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::TransactionLost(_) | Self::NoAnswer { .. } | Self::Unconfirmed { .. } => true,
            Self::Sqlx(error) => is_away(error),
            _ => false,
        }
    }

    /// Whether a row with this key was already there.
    #[must_use]
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Sqlx(sqlx::Error::Database(error)) if error.is_unique_violation())
    }
}
