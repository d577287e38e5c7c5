//! The scheduler: its decisions by themselves, and schedulers at work.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, reason = "a test that cannot go on fails")]

mod filters;
mod ports;
mod scheduling;
mod selection;
mod server_groups;
mod support;
