//! What the figures of compute hosts mean.

use metrics::Unit;

/// Tells the recorder what each figure means. To be called once the recorder is installed.
pub fn describe() {
    metrics::describe_counter!(
        "compute_operations_total",
        Unit::Count,
        "Operations on servers that hosts have ended, by event and result"
    );
    metrics::describe_counter!("compute_reports_sent_total", Unit::Count, "Reports that hosts have sent");
    metrics::describe_histogram!(
        "compute_store_commit_seconds",
        Unit::Seconds,
        "Time that a write to the state of hosts takes to be durable"
    );
}
