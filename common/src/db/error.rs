//! How the database fails.

/// How the database fails.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// It can't be reached, or broke off: worth trying again.
    #[error("database: {0}")]
    Sqlx(#[source] sqlx::Error),
    /// The URL is not one of a database that is supported.
    #[error("database.url '{url}' is not of the form sqlite:///path/to/file or postgres://user:password@host/name")]
    Url {
        /// The URL, without its password.
        url: String,
    },
    /// A migration could not be applied.
    #[error("database migration: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The schema is not the one that this program needs.
    #[error("the database's schema is not up to date: run `novella db sync`")]
    SchemaOutOfDate,
    /// A row holds something that this program can't have written.
    #[error("database: column '{column}' holds {value}: {reason}")]
    Corrupt {
        /// The column.
        column: &'static str,
        /// What it holds.
        value: String,
        /// Why that can't be.
        reason: String,
    },
    /// A password could not be hashed.
    #[error("password hashing: {0}")]
    Password(String),
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sqlx(error)
    }
}

impl DbError {
    /// Whether a row with this key was already there.
    #[must_use]
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Sqlx(sqlx::Error::Database(error)) if error.is_unique_violation())
    }
}
