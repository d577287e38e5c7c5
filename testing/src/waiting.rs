//! Waiting for what has to happen, so that a test which would hang fails instead.

use std::fmt::Debug;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// Far more than anything takes that works.
pub const TEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The outcome of something that happens soon or never.
///
/// # Panics
/// If it takes longer than [`TEST_TIMEOUT`].
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(TEST_TIMEOUT, future).await.expect("what should happen soon does not happen")
}

/// Tries again until it succeeds: for what comes in its own time and tells nobody.
///
/// # Panics
/// If it still fails after [`TEST_TIMEOUT`]; the text has its last error.
pub async fn eventually<T, E: Debug>(mut attempt: impl AsyncFnMut() -> Result<T, E>) -> T {
    let give_up = Instant::now() + TEST_TIMEOUT;
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => assert!(Instant::now() < give_up, "it does not happen: {error:?}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}
