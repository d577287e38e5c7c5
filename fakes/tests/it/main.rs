//! What a fake and the real thing have in common.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod conductors;
mod hosts;
