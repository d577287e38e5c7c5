//! What every REST service stands on, beside the real thing.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, reason = "a test that cannot go on fails")]

mod policy;
