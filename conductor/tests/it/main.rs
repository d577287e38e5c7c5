//! Conductors at work: real databases, a bus in this process, and scripted hosts.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, reason = "a test that cannot go on fails")]

#[macro_use(on_both)]
extern crate novella_testing;

mod live_migration;
mod migration;
mod ports;
mod reports;
mod server_groups;
mod support;
mod takeover;
