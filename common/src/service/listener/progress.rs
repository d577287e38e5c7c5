//! How far a connection is, seen from the outside of whatever reads and writes it.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::ConnectionLimits;

/// What a connection is about, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The head of a request is not there yet.
    Head(Instant),
    /// Nothing has come since the last answer.
    Idle(Instant),
    /// The body of a request is not there yet.
    Receiving(Instant),
    /// A request is worked on.
    Working,
    /// Its answer is written as it comes about, which may take for ever.
    Streaming(Instant),
}

#[derive(Debug)]
struct State {
    stage: Stage,
    /// Since when the client takes nothing of an answer.
    unread_since: Option<Instant>,
}

/// How far one connection is. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Progress(Arc<Mutex<State>>);

/// How much a connection is missed if it is closed; the least comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worth {
    /// It has not asked for anything, since then.
    Silent(Instant),
    /// It was answered, and has asked for nothing more since then.
    Idle(Instant),
    /// It asks or is answered, and takes its time since then.
    Slow(Instant),
}

impl Progress {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { stage: Stage::Head(Instant::now()), unread_since: None })))
    }

    /// The head of a request is there. Returns what is to be told when the body is.
    pub(super) fn begin(&self, body: &impl HttpBody) -> Option<Self> {
        let ended = body.is_end_stream();
        self.0.lock().stage = if ended { Stage::Working } else { Stage::Receiving(Instant::now()) };
        (!ended).then(|| self.clone())
    }

    fn received(&self) {
        let mut state = self.0.lock();
        if let Stage::Receiving(_) = state.stage {
            state.stage = Stage::Working;
        }
    }

    /// The answer is made. What is left is to write it, which [`State::unread_since`] watches.
    pub(super) fn answered(&self) {
        self.0.lock().stage = Stage::Idle(Instant::now());
    }

    /// The answer has begun, and its end is not known yet.
    pub(super) fn streams(&self) {
        self.0.lock().stage = Stage::Streaming(Instant::now());
    }

    fn streamed(&self) {
        let mut state = self.0.lock();
        if let Stage::Streaming(_) = state.stage {
            state.stage = Stage::Idle(Instant::now());
        }
    }

    /// Whether no request is under way. A stream goes on elsewhere after a stop, so nobody waits for its end.
    pub(super) fn is_quiet(&self) -> bool {
        let state = self.0.lock();
        matches!(state.stage, Stage::Head(_) | Stage::Idle(_) | Stage::Streaming(_)) && state.unread_since.is_none()
    }

    /// What it is worth; `None`: it is not to be closed, since something is done for it.
    pub(super) fn worth(&self) -> Option<Worth> {
        let state = self.0.lock();
        match (state.unread_since, state.stage) {
            (Some(since), _) => Some(Worth::Slow(since)),
            (None, Stage::Head(since)) => Some(Worth::Silent(since)),
            (None, Stage::Idle(since)) => Some(Worth::Idle(since)),
            (None, Stage::Receiving(since) | Stage::Streaming(since)) => Some(Worth::Slow(since)),
            (None, Stage::Working) => None,
        }
    }

    /// Resolves when the client has taken too long; says with what.
    pub(super) async fn overdue(&self, limits: &ConnectionLimits) -> &'static str {
        loop {
            let now = Instant::now();
            let deadline = self.deadline(limits);
            match deadline {
                Some((at, why)) if at <= now => return why,
                _ => {}
            }
            // A stage that begins meanwhile ends no earlier than this.
            let look_again = now + limits.header_timeout.min(limits.keep_alive_timeout).min(limits.write_timeout);
            let at = deadline.map_or(look_again, |(at, _)| at.min(look_again));
            tokio::time::sleep_until(at).await;
        }
    }

    fn deadline(&self, limits: &ConnectionLimits) -> Option<(Instant, &'static str)> {
        let at = |since: Instant, timeout: Duration| since + timeout;
        let state = self.0.lock();
        match (state.unread_since, state.stage) {
            (Some(since), _) => Some((at(since, limits.write_timeout), "unread")),
            (None, Stage::Head(since)) => Some((at(since, limits.header_timeout), "no_request")),
            (None, Stage::Idle(since)) => Some((at(since, limits.keep_alive_timeout), "idle")),
            // Whoever answers has an end to its own patience.
            (None, Stage::Receiving(_) | Stage::Working | Stage::Streaming(_)) => None,
        }
    }
}

/// A connection that tells of what is read and written.
pub(super) struct Watched<S> {
    stream: S,
    progress: Progress,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, progress: Progress) -> Self {
        Self { stream, progress }
    }

    fn wrote<T>(&self, result: Poll<T>) -> Poll<T> {
        let mut state = self.progress.0.lock();
        match &result {
            Poll::Pending => state.unread_since = state.unread_since.or_else(|| Some(Instant::now())),
            Poll::Ready(_) => state.unread_since = None,
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        if buffer.filled().len() > before {
            let mut state = self.progress.0.lock();
            if let Stage::Idle(_) = state.stage {
                state.stage = Stage::Head(Instant::now());
            }
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(context);
        self.wrote(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A body that tells when it is there, or when nobody waits for it any more.
pub(super) struct WatchedBody {
    body: Body,
    progress: Option<Progress>,
}

impl WatchedBody {
    pub(super) fn new(
        body: impl HttpBody<Data = Bytes, Error = hyper::Error> + Send + 'static,
        progress: Option<Progress>,
    ) -> Self {
        Self { body: Body::new(body), progress }
    }

    fn ended(&mut self) {
        if let Some(progress) = self.progress.take() {
            progress.received();
        }
    }
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.as_ref().is_none_or(Result::is_err) || self.body.is_end_stream() {
            self.ended();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        self.ended();
    }
}

/// The body of an answer that is written as it comes about. It tells when it has ended, or nobody writes it any more.
pub(super) struct StreamedBody {
    body: Body,
    progress: Progress,
}

impl StreamedBody {
    pub(super) fn new(body: Body, progress: Progress) -> Self {
        Self { body, progress }
    }
}

impl HttpBody for StreamedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for StreamedBody {
    fn drop(&mut self) {
        self.progress.streamed();
    }
}
