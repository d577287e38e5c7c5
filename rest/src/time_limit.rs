//! How long a request may take in all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::ApiError;

/// The time limit of one request, which its handler can lift. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct TimeLimit(Arc<AtomicBool>);

impl TimeLimit {
    pub(crate) fn lift(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Answers in time, whatever the handler waits for. Its work is dropped, but for what goes on by itself because it must end:
/// so only of a request that changes nothing it is certain that nothing was changed.
pub(crate) async fn limit_time(State(limit): State<Duration>, mut request: Request, next: Next) -> Response {
    let changes = !request.method().is_safe();
    let own = TimeLimit::default();
    request.extensions_mut().insert(own.clone());
    let mut answer = std::pin::pin!(next.run(request));
    match tokio::time::timeout(limit, answer.as_mut()).await {
        Ok(response) => response,
        Err(_) if own.0.load(Ordering::Relaxed) => answer.await,
        Err(_) if changes => ApiError::Unknown(
            "What this needs did not answer in time; it may have been done or may still be. Please look before you try \
             again."
                .into(),
        )
        .into_response(),
        Err(_) => ApiError::Unavailable("What this needs did not answer in time. Please try again.".into()).into_response(),
    }
}
