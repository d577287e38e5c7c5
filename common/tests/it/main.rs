//! What services share, used as they use it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[cfg(feature = "database")]
mod database;
mod lifecycle;
#[cfg(feature = "database")]
mod listener;
mod lists;
#[cfg(feature = "database")]
mod postgres_limits;
#[cfg(feature = "database")]
mod schema;
