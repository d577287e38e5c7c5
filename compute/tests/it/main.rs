//! Compute hosts, whole, over the in-process bus, with a stand-in for the conductor that writes down what they report.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails there")]

mod building;
mod cloud;
mod cold_migration;
mod migrating;
mod migrating_broken;
mod pair;
mod power;
mod reconciling;
mod restarting;
