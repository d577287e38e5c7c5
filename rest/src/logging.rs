//! One span for each request, one line when it is answered, and its figures.

use std::time::{Duration, Instant};

use axum::{
    extract::{MatchedPath, Request},
    http::{Method, StatusCode},
    middleware::Next,
    response::Response,
};
use tracing::{Span, field};

use crate::request_id::RequestIds;

/// The span of a request. It holds the path and not the query, and no header: neither a token nor what somebody
/// searches for belongs into a log. Of the highest level, so that its fields are in all lines that a filter lets through.
pub(crate) fn span(request: &Request) -> Span {
    let ids = request.extensions().get::<RequestIds>();
    tracing::error_span!(
        "request",
        request_id = ids.map(|ids| ids.own.as_str()),
        global_request_id = ids.and_then(|ids| ids.global.as_deref()),
        method = %request.method(),
        path = request.uri().path(),
        project_id = field::Empty,
    )
}

/// The line of an answered request.
pub(crate) fn answered(response: &Response, latency: Duration, _span: &Span) {
    let (status, latency_ms) = (response.status().as_u16(), latency.as_secs_f64() * 1000.0);
    if response.status() == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(status, latency_ms, "answered");
    } else {
        tracing::info!(status, latency_ms, "answered");
    }
}

/// Counts requests and measures their time, by route: a path with ids in it would make a figure of its own for each.
pub(crate) async fn measure(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = method_name(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::histogram!("http_request_seconds", "method" => method, "route" => route, "status" => status)
        .record(started.elapsed().as_secs_f64());
    response
}

/// A method, where what is kept is told apart by it: anybody can invent methods, which are all `other`.
pub(crate) fn method_name(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invented_methods_are_told_apart_from_those_there_are_and_not_from_each_other() {
        for (method, expected) in
            [("GET", "GET"), ("PATCH", "PATCH"), ("OPTIONS", "OPTIONS"), ("get", "other"), ("MINE-1", "other")]
        {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(method_name(&method), expected, "{method}");
        }
    }
}
