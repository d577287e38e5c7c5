//! What was done for requests lately, kept by each process for whoever asks, and never longer than there is room for.
//!
//! A process keeps its own spans in a [`Ring`]. Whoever tells the story of a request asks the services that may have worked
//! for it (commands go to the right): [`rpcapi::Traces`], which each of them serves beside its own contract. What the
//! services apart had done that have gone since is in the database for a while: `history`.

#[cfg(feature = "database")]
pub mod history;
pub mod rpcapi;

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, OnceLock},
};

use novella_messaging::trace::{self, Current, Hex, Recorder, Span, SpanKind, TraceContext};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use rpcapi::{Traces, TracesEndpoint, TracesError};

use crate::RequestContext;

/// Spans of one request that are told of.
pub const MOST_OF_ONE: usize = 2000;

/// `[telemetry]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Spans of requests that the process keeps, the latest ones, for the story of a request; some 300 bytes each. 0: none,
    /// in the database neither.
    pub spans: usize,
    /// Spans that services apart keep in the database, the latest ones of all together, for the story of a request after
    /// they have gone. A process writes at most 256 a second. 0: none.
    pub history: usize,
    /// Where spans are sent as they end: the base URL of a collector that takes OTLP over HTTP as JSON, such as
    /// `http://127.0.0.1:4318`. Unset: nowhere.
    pub otlp_endpoint: Option<crate::config::SecretUrl>,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { spans: 4096, history: 50_000, otlp_endpoint: None }
    }
}

/// A span, as one process tells another of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSpan {
    /// Sixteen hexadecimal digits.
    pub id: String,
    /// The span that it is a part of.
    pub parent: Option<String>,
    /// `request`, `message`, `handler` or `owner`.
    pub kind: String,
    /// `POST /compute/v2.1/servers`, `build_and_run_instance`.
    pub name: String,
    /// Who did it.
    pub service: String,
    /// Where.
    pub host: Option<String>,
    /// Of a message: how it was sent, and where to.
    pub peer: String,
    /// When the message was sent that it was done for; microseconds since 1970, by the sender's clock.
    pub sent: Option<i64>,
    /// Microseconds since 1970.
    pub start: i64,
    /// Microseconds since 1970.
    pub end: i64,
    /// What went wrong.
    pub error: Option<String>,
}

/// The name of a kind of span.
#[must_use]
pub fn kind_name(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Request => "request",
        SpanKind::Message => "message",
        SpanKind::Handler => "handler",
        SpanKind::Owner => "owner",
    }
}

impl From<&Span> for KeptSpan {
    fn from(span: &Span) -> Self {
        Self {
            id: Hex(&span.context.span_id).to_string(),
            parent: span.parent.map(|id| Hex(&id).to_string()),
            kind: kind_name(span.kind).to_owned(),
            name: span.name.clone(),
            service: span.service.to_string(),
            host: span.host.as_deref().map(ToOwned::to_owned),
            peer: span.peer.clone(),
            sent: span.sent,
            start: span.start,
            end: span.end,
            error: span.error.clone(),
        }
    }
}

/// The latest spans of a process.
pub struct Ring {
    spans: Mutex<VecDeque<Arc<Span>>>,
    room: usize,
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("room", &self.room).finish_non_exhaustive()
    }
}

impl Ring {
    /// With room for so many.
    #[must_use]
    pub fn new(room: usize) -> Self {
        Self { spans: Mutex::default(), room }
    }

    /// Keeps one; the oldest makes room for it.
    pub fn keep(&self, span: Arc<Span>) {
        let mut spans = self.spans.lock();
        if spans.len() >= self.room {
            spans.pop_front();
        }
        if self.room > 0 {
            spans.push_back(span);
        }
    }

    /// What was done for a request, in the order in which it ended.
    #[must_use]
    pub fn of_request(&self, request_id: &str) -> Vec<KeptSpan> {
        let spans = self.spans.lock();
        let own = spans.iter().filter(|span| span.request_id == request_id).take(MOST_OF_ONE);
        let own: Vec<_> = own.cloned().collect();
        drop(spans);
        own.iter().map(|span| KeptSpan::from(&**span)).collect()
    }
}

/// Takes each span elsewhere too: to a collector. It must not wait.
pub type Export = Box<dyn Fn(Arc<Span>) + Send + Sync>;

struct Process {
    export: Option<Export>,
}

impl Recorder for Process {
    fn record(&self, span: Span) {
        let span = Arc::new(span);
        if let Some(export) = &self.export {
            export(Arc::clone(&span));
        }
        #[cfg(feature = "database")]
        history::keep(&span);
        if let Some(ring) = ring() {
            ring.keep(span);
        }
    }
}

static RING: OnceLock<Ring> = OnceLock::new();

/// The spans of this process, if it keeps any.
#[must_use]
pub fn ring() -> Option<&'static Ring> {
    RING.get()
}

/// Keeps this process's spans from now on. Without room and without a collector none are made at all.
pub fn init(config: &TelemetryConfig, export: Option<Export>) {
    if config.spans == 0 && export.is_none() {
        return;
    }
    if config.spans > 0 {
        let _ = RING.set(Ring::new(config.spans));
    }
    trace::set_recorder(Box::new(Process { export }));
}

/// Work on a request that this process took up by itself: a part of the request's first span, done by `service` on `host`.
#[must_use]
pub fn of_request(request_id: &str, service: &str, host: &str) -> Option<Current> {
    let context = trace::is_recorded().then(|| TraceContext::of_request(request_id)).flatten()?;
    Some(Current { context, service: service.into(), host: Some(host.into()) })
}

/// Serves [`Traces`] beside a service's own contract.
#[must_use]
pub fn endpoint() -> TracesEndpoint<OfProcess> {
    TracesEndpoint::new(Arc::new(OfProcess))
}

/// What this process has done.
#[derive(Debug)]
pub struct OfProcess;

impl Traces for OfProcess {
    async fn spans(&self, _: RequestContext, request_id: String) -> Result<Vec<KeptSpan>, TracesError> {
        Ok(ring().map(|ring| ring.of_request(&request_id)).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(request_id: &str, name: &str) -> Arc<Span> {
        Arc::new(Span {
            context: TraceContext::of_request("req-4bf92f35-77b3-4da6-a3ce-929d0e0e4736").unwrap(),
            parent: None,
            request_id: request_id.to_owned(),
            kind: SpanKind::Handler,
            name: name.to_owned(),
            service: "scheduler".into(),
            host: None,
            peer: String::new(),
            sent: None,
            start: 1,
            end: 2,
            error: None,
        })
    }

    #[test]
    fn the_latest_are_kept_and_no_more_than_there_is_room_for() {
        let ring = Ring::new(2);
        for (request, name) in [("a", "first"), ("a", "second"), ("b", "third")] {
            ring.keep(span(request, name));
        }
        let names: Vec<String> = ring.of_request("a").into_iter().map(|span| span.name).collect();
        assert_eq!(names, ["second"]);
        assert_eq!(ring.of_request("b").len(), 1);
    }
}
