//! What the figures of REST services mean.

use metrics::Unit;

/// Tells the recorder what each figure means. To be called once the recorder is installed.
pub fn describe() {
    metrics::describe_histogram!(
        "http_request_seconds",
        Unit::Seconds,
        "Time from a request to its answer, by method, route and status"
    );
}
