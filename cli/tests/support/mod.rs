//! What the end-to-end tests share: processes, clouds made of them, and a client.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "a test that cannot go on fails")]

pub mod client;
pub mod cloud;
pub mod process;
