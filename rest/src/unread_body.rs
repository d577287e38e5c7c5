//! What a request says that nobody reads.
//!
//! An answer can be made before the body was read: its path leads nowhere, its token is not good. The connection is good for
//! another request only if the body was taken off it; otherwise it is closed, and a client that had not heard so before has
//! its next request fail. So a short body is read to its end here, and where that can't be, the answer says that the
//! connection ends.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    http::{HeaderValue, StatusCode, Version, header},
    middleware::Next,
    response::Response,
};
use http_body_util::BodyExt;

/// How long the rest of a body is waited for. Whoever sends it is doing so already.
const UNREAD_TIMEOUT: Duration = Duration::from_secs(1);

/// Where a body is put that was not read to its end.
type Left = Arc<Mutex<Option<Body>>>;

/// A body that is put aside when its reader stops before its end.
struct PutAside {
    body: Option<Body>,
    left: Left,
}

impl HttpBody for PutAside {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let read = Pin::new(body).poll_frame(context);
        if matches!(read, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        read
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

impl Drop for PutAside {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}

/// Reads what a request still says after its answer was made, or lets the answer say that the connection ends.
pub(crate) async fn read_or_close(State(longest): State<usize>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let can_say_so = parts.version < Version::HTTP_2;
    // Whoever asks first whether to send it has not sent it, and hears now that it is not wanted.
    let asks_first = parts.headers.contains_key(header::EXPECT);
    let left = Left::default();
    let body = Body::new(PutAside { body: Some(body), left: Arc::clone(&left) });
    let mut response = next.run(Request::from_parts(parts, body)).await;
    let unread = left.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(body) = unread {
        let refused = matches!(response.status(), StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE);
        let read = !asks_first && !refused && ends(body, longest).await;
        if !read && can_say_so {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
    response
}

/// Whether a body ends within what is read of it.
async fn ends(mut body: Body, longest: usize) -> bool {
    let mut size = 0;
    let read = async {
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            size += frame.data_ref().map_or(0, Bytes::len);
            if size > longest {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(UNREAD_TIMEOUT, read).await.unwrap_or(false)
}
