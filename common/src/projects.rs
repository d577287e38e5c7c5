//! What Compute asks of Identity, in Compute's words.
//!
//! Answered by the Identity component of the same process, or by one elsewhere over HTTP. Which tokens are valid is asked by
//! every service alike, and by none in words of its own.

use crate::neighbours::Answer;

/// What the Identity component knows of projects.
pub trait Projects: Send + Sync + 'static {
    /// Whether there is a project of this id.
    fn exists<'a>(&'a self, id: &'a str) -> Answer<'a, bool>;
}
