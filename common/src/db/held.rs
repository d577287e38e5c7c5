//! What the libraries give, behind a pointer that does not say what it is.
//!
//! The code that drops a value is compiled by each crate that may drop it. A connection's is long: it goes back to its pool,
//! or is closed, or the pool opens another one. Behind such a pointer it is compiled in this crate alone.

use std::fmt::Debug;

/// A value that can be held so.
pub(super) trait Held: Debug + Send + Sync {
    /// What it is.
    type Value;

    fn get(&self) -> &Self::Value;
    fn get_mut(&mut self) -> &mut Self::Value;
    fn take(self: Box<Self>) -> Self::Value;
}

/// The one thing that is held.
#[derive(Debug)]
pub(super) struct Holder<T>(pub(super) T);

impl<T: Debug + Send + Sync> Held for Holder<T> {
    type Value = T;

    fn get(&self) -> &T {
        &self.0
    }

    fn get_mut(&mut self) -> &mut T {
        &mut self.0
    }

    fn take(self: Box<Self>) -> T {
        self.0
    }
}
