//! A connection to PostgreSQL that waits for no answer for ever.
//!
//! A server that hangs, or a network that swallows all, keeps a connection open and silent. So each statement, and the
//! connection's way back into the pool, has a limit; a connection that did not answer within it is closed at once and never
//! used again. The server ends by itself what it still does for it (`database.statement_timeout` and the others).

use std::time::Duration;

use deadpool::managed::Object;
use sqlx::{Connection as _, postgres::PgConnection};

use super::{
    DbError,
    error::{Scope, of_statement},
    server_pool::PooledServerConnection,
};

/// How much longer than `database.statement_timeout` an answer is waited for: the server's own word for it should come
/// first.
const ANSWER_MARGIN: Duration = Duration::from_secs(1);

/// The limit that follows from `database.statement_timeout`; `None`: none.
pub(super) fn answer_limit(statement_timeout: Duration) -> Option<Duration> {
    (!statement_timeout.is_zero()).then(|| statement_timeout + ANSWER_MARGIN)
}

/// Waits for an answer. `None`: none came within the limit.
pub(super) async fn within<T>(limit: Option<Duration>, answer: impl Future<Output = T>) -> Option<T> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, answer).await.ok(),
        None => Some(answer.await),
    }
}

/// A connection to PostgreSQL, with the transaction that it may be in.
#[derive(Debug)]
pub(super) struct ServerConnection {
    /// There until it is dropped.
    connection: Option<PooledServerConnection>,
    pub(super) limit: Option<Duration>,
    scope: Scope,
    state: State,
}

/// What is known of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// All that was asked has been answered.
    Ready,
    /// A statement is under way, or its caller has gone away; or one has failed, perhaps because the connection has. It
    /// has to give a sign of life before somebody else gets it.
    InDoubt,
    /// A statement got no answer: nothing more can be asked on it.
    Unanswered,
}

impl ServerConnection {
    pub(super) fn new(connection: PooledServerConnection, limit: Option<Duration>, scope: Scope) -> Self {
        Self { connection: Some(connection), limit, scope, state: State::Ready }
    }

    /// The connection, for a statement that is to be [settled](Self::settle).
    pub(super) fn raw(&mut self) -> Result<&mut PgConnection, DbError> {
        match &mut self.connection {
            Some(connection) if self.state != State::Unanswered => {
                self.state = State::InDoubt;
                Ok(connection)
            }
            _ => Err(no_answer(self.limit)),
        }
    }

    /// What a statement came to; `None`: there was no answer within the limit.
    pub(super) fn settle<T>(&mut self, answer: Option<Result<T, DbError>>) -> Result<T, DbError> {
        let result = answer.unwrap_or_else(|| Err(self.give_up()));
        if result.is_ok() {
            self.state = State::Ready;
        }
        result.map_err(|error| of_statement(error, self.scope))
    }

    /// Gives the connection up: there was no answer.
    fn give_up(&mut self) -> DbError {
        self.state = State::Unanswered;
        no_answer(self.limit)
    }

    pub(super) async fn begin(&mut self) -> Result<(), DbError> {
        let limit = self.limit;
        // From now on, and not when it is answered: whoever goes away meanwhile leaves a transaction that nobody ends, with
        // its locks.
        self.scope = Scope::Transaction;
        match within(limit, sqlx::raw_sql("BEGIN").execute(self.raw()?)).await {
            Some(begun) => {
                begun.map_err(|error| of_statement(error.into(), Scope::Transaction))?;
                self.state = State::Ready;
                Ok(())
            }
            None => Err(self.give_up()),
        }
    }

    /// Commits. An error that the server has sent means that nothing lasts; with any other nobody knows.
    pub(super) async fn commit(mut self) -> Result<(), DbError> {
        let limit = self.limit;
        match within(limit, sqlx::raw_sql("COMMIT").execute(self.raw()?)).await {
            Some(Ok(_)) => {
                (self.scope, self.state) = (Scope::Reading, State::Ready);
                Ok(())
            }
            Some(Err(error @ sqlx::Error::Database(_))) => Err(of_statement(error.into(), Scope::Transaction)),
            Some(Err(error)) => Err(DbError::Unconfirmed { reason: error.to_string() }),
            None => Err(DbError::Unconfirmed { reason: self.give_up().to_string() }),
        }
    }
}

fn no_answer(limit: Option<Duration>) -> DbError {
    DbError::NoAnswer { seconds: limit.unwrap_or_default().as_secs_f64() }
}

impl Drop for ServerConnection {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if self.state == State::Ready && self.scope != Scope::Transaction {
            // It goes back by itself.
            return;
        }
        let closing = Closing(Some(connection));
        // Without a runtime nothing can be asked any more; of a server that did not answer nothing should be.
        if self.state != State::Unanswered
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(closing.give_back(self.scope, self.limit));
        }
    }
}

/// A connection that goes back into the pool when it has answered. Dropped before, it is closed, without a farewell, for
/// which it would have to wait.
struct Closing(Option<PooledServerConnection>);

impl Closing {
    async fn give_back(mut self, scope: Scope, limit: Option<Duration>) {
        let Some(connection) = &mut self.0 else { return };
        let answer = async {
            // What a statement that was left came to is told to the next one, as if it were that one's: so that is sent again.
            match ask(connection, scope).await {
                Err(sqlx::Error::Database(_)) => ask(connection, scope).await,
                answered => answered,
            }
        };
        match within(limit, answer).await {
            Some(Ok(())) => drop(self.0.take()),
            Some(Err(error)) => tracing::debug!(%error, "a connection to the database was closed"),
            None => tracing::warn!("a connection to the database was closed: the server does not answer"),
        }
    }
}

/// Asks for a sign of life, and for the end of a transaction.
async fn ask(connection: &mut PgConnection, scope: Scope) -> sqlx::Result<()> {
    match scope {
        Scope::Transaction => sqlx::raw_sql("ROLLBACK").execute(connection).await.map(|_| ()),
        Scope::Reading | Scope::Alone => connection.ping().await,
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}
