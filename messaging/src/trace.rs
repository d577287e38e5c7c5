//! Traces: what was done for a request, by whom, from when to when.
//!
//! Each message that belongs to a request carries the W3C's `traceparent` in a header, and in `tracestate` when it was sent;
//! peers that know nothing of it ignore both. What was done is a [`Span`], told to the process's [`Recorder`], if it has
//! one. Where a request's work goes on in a task that does not know of its trace, the trace follows from the request's id.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value};

/// Which trace, and which span of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span that what comes next is a part of.
    pub span_id: [u8; 8],
    /// Whether who began it keeps it.
    pub sampled: bool,
}

impl TraceContext {
    /// What a `traceparent` says (<https://www.w3.org/TR/trace-context/>).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (version, rest) = text.split_once('-')?;
        let (trace, rest) = rest.split_once('-')?;
        let (span, flags) = rest.split_once('-')?;
        // A later version may say more behind the flags.
        let flags = if version == "00" { flags } else { flags.split('-').next()? };
        let ([version], [flags]) = (bytes::<1>(version)?, bytes::<1>(flags)?);
        let (trace_id, span_id) = (bytes::<16>(trace)?, bytes::<8>(span)?);
        let valid = version != 0xff && trace_id != [0; 16] && span_id != [0; 8];
        valid.then_some(Self { trace_id, span_id, sampled: flags & 1 == 1 })
    }

    /// The trace of a request that is known by its id alone, `req-UUID`: its first span.
    #[must_use]
    pub fn of_request(request_id: &str) -> Option<Self> {
        let trace_id = uuid::Uuid::try_parse(request_id.strip_prefix("req-")?).ok()?.into_bytes();
        let mut span_id = [0; 8];
        span_id.copy_from_slice(&trace_id[8..]);
        (span_id != [0; 8]).then_some(Self { trace_id, span_id, sampled: true })
    }

    /// A new span of the same trace.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span_id: rand::random::<u64>().max(1).to_be_bytes(), ..*self }
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", Hex(&self.trace_id), Hex(&self.span_id), u8::from(self.sampled))
    }
}

/// Bytes as a trace writes them.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'b>(pub &'b [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let lower = text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if !lower || text.len() != 2 * N {
        return None;
    }
    let mut found = [0; N];
    for (index, byte) in found.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(found)
}

/// What a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// An HTTP request.
    Request,
    /// A message that is sent, and its answer if it has one.
    Message,
    /// A method that is done.
    Handler,
    /// Work that is one party's own, from taking it over until handing it over.
    Owner,
}

/// Something that was done for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The trace, and the span's own id.
    pub context: TraceContext,
    /// The span that it is a part of.
    pub parent: Option<[u8; 8]>,
    /// The request.
    pub request_id: String,
    /// What it is.
    pub kind: SpanKind,
    /// `POST /servers`, `build_and_run_instance`.
    pub name: String,
    /// Who did it: `api`, `scheduler`.
    pub service: Arc<str>,
    /// Where, if that is known: the server of its topic.
    pub host: Option<Arc<str>>,
    /// Of a message: how it was sent, and where to: `call compute.host-1`.
    pub peer: String,
    /// When the message was sent that it was done for, in microseconds since 1970, by the sender's clock.
    pub sent: Option<i64>,
    /// Microseconds since 1970.
    pub start: i64,
    /// Microseconds since 1970.
    pub end: i64,
    /// What went wrong.
    pub error: Option<String>,
}

/// Who is told of spans. It must not wait for anything.
pub trait Recorder: Send + Sync {
    /// A span has ended.
    fn record(&self, span: Span);
}

static RECORDER: OnceLock<Box<dyn Recorder>> = OnceLock::new();

/// Has this process's spans told to `recorder`, from now on. Says whether nobody was told of them before.
pub fn set_recorder(recorder: Box<dyn Recorder>) -> bool {
    RECORDER.set(recorder).is_ok()
}

/// Whether somebody is told of spans.
#[must_use]
pub fn is_recorded() -> bool {
    RECORDER.get().is_some()
}

/// Tells of a span that has ended.
pub fn record(span: Span) {
    if let Some(recorder) = RECORDER.get() {
        recorder.record(span);
    }
}

/// Now, as spans have it.
#[must_use]
pub fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

/// What is being worked on.
#[derive(Clone, Debug)]
pub struct Current {
    /// The span that what is done now is a part of.
    pub context: TraceContext,
    /// Who does it.
    pub service: Arc<str>,
    /// Where.
    pub host: Option<Arc<str>>,
}

tokio::task_local! {
    static CURRENT: Current;
}

/// What is being worked on in this task.
#[must_use]
pub fn current() -> Option<Current> {
    CURRENT.try_with(Clone::clone).ok()
}

/// Does `work` as a part of this.
pub async fn within<F: Future>(current: Option<Current>, work: F) -> F::Output {
    match current {
        Some(current) => CURRENT.scope(current, work).await,
        None => work.await,
    }
}

/// Does `work` as the owner of what it is about, for a request; `name` says of what.
pub async fn own<F: Future>(name: impl Into<String>, request_id: &str, current: Option<Current>, work: F) -> F::Output {
    let Some(before) = current.filter(|_| is_recorded()) else { return work.await };
    let own = Current { context: before.context.child(), ..before };
    let start = now();
    let outcome = CURRENT.scope(own.clone(), work).await;
    record(Span {
        context: own.context,
        parent: Some(before.context.span_id),
        request_id: request_id.to_owned(),
        kind: SpanKind::Owner,
        name: name.into(),
        service: own.service,
        host: own.host,
        peer: String::new(),
        sent: None,
        start,
        end: now(),
        error: None,
    });
    outcome
}

/// What goes with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessageTrace {
    pub(crate) context: TraceContext,
    /// Microseconds since 1970.
    pub(crate) sent: Option<i64>,
}

/// A message that is being sent.
pub(crate) struct Sending {
    own: Current,
    parent: [u8; 8],
    request_id: String,
    start: i64,
}

fn request_id(context: &Map<String, Value>) -> Option<&str> {
    context.get("request_id")?.as_str()
}

impl Sending {
    /// Nothing for what belongs to no request.
    pub(crate) fn begin(context: &Map<String, Value>) -> Option<Self> {
        let request_id = request_id(context)?;
        let current = current().or_else(|| {
            let context = is_recorded().then(|| TraceContext::of_request(request_id))??;
            Some(Current { context, service: "".into(), host: None })
        })?;
        let parent = current.context.span_id;
        let own = Current { context: current.context.child(), ..current };
        Some(Self { own, parent, request_id: request_id.to_owned(), start: now() })
    }

    pub(crate) fn message(&self) -> MessageTrace {
        MessageTrace { context: self.own.context, sent: Some(self.start) }
    }

    pub(crate) fn end(self, method: String, peer: String, error: Option<String>) {
        if !is_recorded() {
            return;
        }
        record(Span {
            context: self.own.context,
            parent: Some(self.parent),
            request_id: self.request_id,
            kind: SpanKind::Message,
            name: method,
            service: self.own.service,
            host: self.own.host,
            peer,
            sent: None,
            start: self.start,
            end: now(),
            error,
        });
    }
}

/// A method that is being done.
pub(crate) struct Handling {
    pub(crate) current: Current,
    parent: [u8; 8],
    sent: Option<i64>,
    request_id: String,
    start: i64,
}

impl Handling {
    /// Nothing for what belongs to no request, and where neither the message nor this process knows of traces.
    pub(crate) fn begin(
        context: &Map<String, Value>,
        message: Option<MessageTrace>,
        service: &Arc<str>,
        host: Option<&Arc<str>>,
    ) -> Option<Self> {
        let request_id = request_id(context)?;
        let of_request = || is_recorded().then(|| TraceContext::of_request(request_id)).flatten();
        let before = message.map(|message| message.context).or_else(of_request)?;
        let current = Current { context: before.child(), service: Arc::clone(service), host: host.cloned() };
        let sent = message.and_then(|message| message.sent);
        Some(Self { current, parent: before.span_id, sent, request_id: request_id.to_owned(), start: now() })
    }

    pub(crate) fn end(self, method: &str, error: Option<String>) {
        if !is_recorded() {
            return;
        }
        record(Span {
            context: self.current.context,
            parent: Some(self.parent),
            request_id: self.request_id,
            kind: SpanKind::Handler,
            name: method.to_owned(),
            service: self.current.service,
            host: self.current.host,
            peer: String::new(),
            sent: self.sent,
            start: self.start,
            end: now(),
            error,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_it_is_written_and_nothing_else_is() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(TraceContext::parse(text).unwrap().to_string(), text);
        assert!(TraceContext::parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more").is_some());
        for wrong in [
            "",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b-01",
        ] {
            assert_eq!(TraceContext::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_trace_of_a_request_follows_from_its_id() {
        let context = TraceContext::of_request("req-4bf92f35-77b3-4da6-a3ce-929d0e0e4736").unwrap();
        assert_eq!(context.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-a3ce929d0e0e4736-01");
        let child = context.child();
        assert_eq!(child.trace_id, context.trace_id);
        assert_ne!(child.span_id, context.span_id);
        assert_eq!(TraceContext::of_request("something else"), None);
    }
}
