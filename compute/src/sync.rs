//! A lock for short, synchronous sections.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A mutex that does not pass on the panic of a former holder: each section under it leaves the value whole at every
/// point where it could panic, so one failed task must not take the host's other instances with it.
#[derive(Debug, Default)]
pub(crate) struct Shared<T>(Mutex<T>);

impl<T> Shared<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
