//! Neighbours for the tests of one service, which do as the test says where the real ones do as they must: fail in a
//! given step, hold a copy, keep silent.
//!
//! - [`FakeHosts`]: compute hosts, for the tests of schedulers and conductors;
//! - [`FakeConductor`]: a conductor with rows in memory, for the tests of compute hosts;
//! - [`FailingNetworks`]: the real Networking, taken away and given back.
//!
//! A fake is worth what it has in common with the real thing: `tests/it` holds each to the same behaviour as the real
//! one. This crate is a dev-dependency only.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "test support: whatever goes wrong here fails the test that asked, and says why"
)]

mod conductor;
mod hosts;
mod instance;
mod networks;

pub use conductor::{FakeConductor, Row, ctx, server};
pub use hosts::{BoxFuture, Building, Copying, FakeHosts, inventory};
pub use instance::instance;
pub use networks::FailingNetworks;
