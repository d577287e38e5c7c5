//! The Networking API as its clients have it: the real router on a real database, with Identity's own tokens.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

#[macro_use(on_both)]
extern crate novella_testing;

mod allocator;
mod floating_ips;
mod lists;
mod networks;
mod policy;
mod ports;
mod quotas;
mod routers;
mod security_groups;
mod subnets;
mod support;
