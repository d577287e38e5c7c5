//! How the other components answer Compute: with what they are asked for, or with a refusal.

use futures_util::future::BoxFuture;

/// How a component refuses, or that it can't be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The HTTP status that it says it with; 503: it can't be asked now.
    pub status: u16,
    /// For people.
    pub message: String,
}

/// The answer to a question.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Refusal>>;
