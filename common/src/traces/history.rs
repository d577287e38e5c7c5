//! The spans of services that are processes of their own, kept in the database for a while: so a request's story is whole also
//! after a process has gone that did a part of it.
//!
//! It costs requests nothing: their spans go into a queue, which takes no more than it has room for. A task writes them, once
//! a second and at most 256 rows; where more come than that, it keeps those of some requests and leaves out those of
//! the others. Which ones follows from a request's id alone, so that all processes keep the same.
//!
//! A compute host has no database, and its spans are not kept here: what it did is in the events of its servers, for good,
//! and the spans are where `telemetry.otlp_endpoint` says.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use novella_messaging::trace::{Span, is_recorded};
use tokio::sync::mpsc;

use super::KeptSpan;
use crate::{
    db::{Database, DbError, request_spans},
    service::Shutdown,
};

/// How often they are written.
const INTERVAL: Duration = Duration::from_secs(1);

/// Rows that one process writes at a time: less than a hundredth of what the database can do.
const BATCH: usize = 256;

/// Spans that wait to be written.
const WAITING: usize = 8192;

/// After so many times that some were written the old ones are deleted.
const CLEAN_AFTER: u32 = 10;

static HISTORY: OnceLock<mpsc::Sender<Arc<Span>>> = OnceLock::new();

/// Takes a span, if there is room for it and somebody writes them.
pub(super) fn keep(span: &Arc<Span>) {
    if let Some(history) = HISTORY.get()
        && history.try_send(Arc::clone(span)).is_err()
    {
        left_out(1);
    }
}

fn left_out(count: usize) {
    metrics::counter!("telemetry_spans_left_out_total").increment(u64::try_from(count).unwrap_or(u64::MAX));
}

/// Keeps this process's spans in the database from now on: the latest `rows` of all processes. None where spans are not made
/// at all. To be called inside a runtime.
pub fn begin(database: Database, rows: usize, shutdown: &Shutdown) {
    if rows == 0 || !is_recorded() {
        return;
    }
    let (sender, receiver) = mpsc::channel(WAITING);
    if HISTORY.set(sender).is_ok() {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        shutdown.spawn(write(database, rows, receiver, shutdown.clone()));
    }
}

async fn write(database: Database, rows: i64, mut spans: mpsc::Receiver<Arc<Span>>, stop: Shutdown) {
    let mut share = Share::default();
    let (mut written, mut failing) = (0_u32, false);
    loop {
        let goes_on = stop.pause(INTERVAL).await;
        let mut waiting = Vec::new();
        while let Ok(span) = spans.try_recv() {
            waiting.push(span);
        }
        let all = waiting.len();
        let kept = share.of(waiting);
        let mut lost = all - kept.len();
        if !kept.is_empty() {
            written += 1;
            let is_time = written.is_multiple_of(CLEAN_AFTER);
            match insert(&database, &kept, is_time.then_some(rows)).await {
                Ok(()) => failing = false,
                Err(error) => {
                    lost = all;
                    if !failing {
                        tracing::warn!(%error, "spans are not kept in the database");
                    }
                    failing = true;
                }
            }
        }
        if lost > 0 {
            left_out(lost);
        }
        if !goes_on {
            return;
        }
    }
}

async fn insert(database: &Database, spans: &[Arc<Span>], clean: Option<i64>) -> Result<(), DbError> {
    let rows: Vec<_> = spans.iter().map(|span| (span.request_id.clone(), KeptSpan::from(&**span))).collect();
    let mut connection = database.write().await?;
    request_spans::insert(&mut connection, &rows).await?;
    if let Some(rows) = clean {
        request_spans::keep_latest(&mut connection, rows).await?;
    }
    Ok(())
}

/// Of which requests the spans are kept: of one in 2^`halvings`.
#[derive(Debug, Default)]
struct Share {
    halvings: u32,
}

impl Share {
    /// Those that are kept of these: at most [`BATCH`].
    fn of(&mut self, mut spans: Vec<Arc<Span>>) -> Vec<Arc<Span>> {
        // More again by and by, so that requests are kept whole while the load stays.
        self.halvings = self.halvings.saturating_sub(1);
        spans.retain(|span| self.keeps(&span.request_id));
        while spans.len() > BATCH && self.halvings < u64::BITS {
            self.halvings += 1;
            spans.retain(|span| self.keeps(&span.request_id));
        }
        spans.truncate(BATCH);
        spans
    }

    fn keeps(&self, request_id: &str) -> bool {
        // FNV-1a, whose upper bits the last bytes hardly change: the same in every process and every version.
        let hash = request_id
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        self.halvings == 0 || mixed.leading_zeros() >= self.halvings
    }
}

#[cfg(test)]
mod tests {
    use novella_messaging::trace::{SpanKind, TraceContext};

    use super::*;

    fn spans(requests: u32, each: usize) -> Vec<Arc<Span>> {
        let of = |number: u32| {
            let request_id = format!("req-4bf92f35-77b3-4da6-a3ce-{number:012x}");
            let span = Arc::new(Span {
                context: TraceContext::of_request(&request_id).unwrap(),
                parent: None,
                request_id,
                kind: SpanKind::Handler,
                name: "build_instance".into(),
                service: "scheduler".into(),
                host: None,
                peer: String::new(),
                sent: None,
                start: 1,
                end: 2,
                error: None,
            });
            vec![span; each]
        };
        (1..=requests).flat_map(of).collect()
    }

    #[test]
    fn of_more_spans_than_may_be_written_those_of_the_same_requests_are_kept_whole_by_all() {
        let (mut one, mut other) = (Share::default(), Share::default());
        assert_eq!(one.of(spans(20, 8)).len(), 160);
        let few = one.of(spans(1000, 8));
        assert!((32..=BATCH).contains(&few.len()), "{}", few.len());
        assert_eq!(few.len() % 8, 0);
        // A process with less to do keeps these too.
        let more = other.of(spans(1000, 2));
        let kept: Vec<&str> = more.iter().map(|span| span.request_id.as_str()).collect();
        assert!(more.len() * 4 > few.len());
        assert!(few.iter().all(|span| kept.contains(&span.request_id.as_str())));
        // And all again, once there is less.
        for _ in 0..u64::BITS {
            one.of(spans(1, 1));
        }
        assert_eq!(one.of(spans(20, 8)).len(), 160);
    }
}
