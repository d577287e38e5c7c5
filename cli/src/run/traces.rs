//! This process's spans: kept for the story of a request, and sent to a collector if one is named (OTLP over HTTP, as JSON).

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use novella_common::{
    config::SecretUrl,
    traces::{self, TelemetryConfig},
};
use novella_messaging::trace::{Hex, Span, SpanKind};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Spans that wait to be sent; those beyond are left out, and counted.
const WAITING: usize = 8192;

/// Spans of one request to the collector.
const BATCH: usize = 512;

/// How long spans are gathered.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long the collector may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Says what each figure means. To be called once the recorder is installed.
pub(crate) fn describe() {
    metrics::describe_counter!(
        "telemetry_spans_left_out_total",
        metrics::Unit::Count,
        "Spans that the collector of traces or the database did not get, because it did not take them or there were too many"
    );
}

/// Keeps spans from now on. To be called inside a runtime.
///
/// # Errors
/// A collector's URL that is none.
pub(crate) fn begin(config: &TelemetryConfig) -> Result<()> {
    let export = config.otlp_endpoint.as_ref().map(exporter).transpose()?;
    traces::init(config, export);
    Ok(())
}

fn exporter(endpoint: &SecretUrl) -> Result<traces::Export> {
    if !endpoint.expose().starts_with("http://") {
        bail!(
            "telemetry.otlp_endpoint {endpoint}: expected http://host:4318, a collector that takes OTLP over plain HTTP"
        );
    }
    let url = format!("{}/v1/traces", endpoint.expose().trim_end_matches('/'));
    let http = reqwest::Client::builder().timeout(TIMEOUT).build().context("telemetry.otlp_endpoint")?;
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(send(http, url, receiver));
    Ok(Box::new(move |span| {
        if sender.try_send(span).is_err() {
            metrics::counter!("telemetry_spans_left_out_total").increment(1);
        }
    }))
}

async fn send(http: reqwest::Client, url: String, mut spans: mpsc::Receiver<Arc<Span>>) {
    let mut failing = false;
    loop {
        let mut batch = Vec::new();
        if spans.recv_many(&mut batch, BATCH).await == 0 {
            return;
        }
        if batch.len() < BATCH {
            // More is likely to come in a moment.
            tokio::time::sleep(INTERVAL).await;
            while batch.len() < BATCH {
                let Ok(span) = spans.try_recv() else { break };
                batch.push(span);
            }
        }
        let answer = http.post(&url).json(&document(&batch)).send().await.and_then(reqwest::Response::error_for_status);
        match answer {
            Ok(_) => failing = false,
            Err(error) => {
                let left_out = u64::try_from(batch.len()).unwrap_or(u64::MAX);
                metrics::counter!("telemetry_spans_left_out_total").increment(left_out);
                if !failing {
                    tracing::warn!(error = %error.without_url(), "the collector of traces does not take spans");
                }
                failing = true;
            }
        }
    }
}

/// As OTLP has them (opentelemetry-proto, `trace/v1/trace.proto`, in its JSON form).
fn document(spans: &[Arc<Span>]) -> Value {
    // By who did it: in one process there may be several services.
    let mut services: Vec<(&str, Vec<Value>)> = Vec::new();
    for span in spans {
        let service = if span.service.is_empty() { "novella" } else { &span.service };
        match services.iter_mut().find(|(name, _)| *name == service) {
            Some((_, known)) => known.push(one(span)),
            None => services.push((service, vec![one(span)])),
        }
    }
    let resource = |(name, spans): (&str, Vec<Value>)| {
        let attributes = [
            attribute("service.namespace", "novella"),
            attribute("service.name", name),
            attribute("service.version", env!("CARGO_PKG_VERSION")),
        ];
        json!({
            "resource": {"attributes": attributes},
            "scopeSpans": [{"scope": {"name": "novella"}, "spans": spans}],
        })
    };
    json!({"resourceSpans": services.into_iter().map(resource).collect::<Vec<_>>()})
}

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn one(span: &Span) -> Value {
    let mut attributes = vec![attribute("novella.request_id", &span.request_id)];
    if let Some(host) = &span.host {
        attributes.push(attribute("host.name", host));
    }
    match span.kind {
        SpanKind::Request => attributes.push(attribute("http.response.status_code", &span.peer)),
        SpanKind::Owner => {}
        SpanKind::Message | SpanKind::Handler => {
            attributes.push(attribute("rpc.system", "oslo.messaging"));
            attributes.push(attribute("rpc.method", &span.name));
        }
    }
    if span.kind == SpanKind::Message {
        attributes.push(attribute("messaging.destination.name", &span.peer));
    }
    let events: Vec<Value> =
        span.sent.iter().map(|sent| json!({"timeUnixNano": nanos(*sent), "name": "message sent"})).collect();
    json!({
        "traceId": Hex(&span.context.trace_id).to_string(),
        "spanId": Hex(&span.context.span_id).to_string(),
        "parentSpanId": span.parent.map(|id| Hex(&id).to_string()).unwrap_or_default(),
        "name": span.name,
        "kind": match span.kind {
            SpanKind::Owner => 1,
            SpanKind::Request => 2,
            SpanKind::Message if span.peer.starts_with("call") => 3,
            SpanKind::Message => 4,
            SpanKind::Handler if span.sent.is_some() => 5,
            SpanKind::Handler => 2,
        },
        "startTimeUnixNano": nanos(span.start),
        "endTimeUnixNano": nanos(span.end),
        "attributes": attributes,
        "events": events,
        "status": span.error.as_ref().map_or_else(|| json!({}), |error| json!({"code": 2, "message": error})),
    })
}

/// 64-bit numbers are texts in the JSON form.
fn nanos(micros: i64) -> String {
    (i128::from(micros) * 1000).to_string()
}
