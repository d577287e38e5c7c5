//! The crate as its users have it: one suite of behaviours on both buses, services in Python on the same bus, and the
//! first example.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, reason = "a test that cannot go on fails")]

mod conformance;
mod interop;
mod new_resource;

// Where the example has it, whose files are part of its test.
use new_resource::rpcapi;
