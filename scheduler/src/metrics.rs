//! What the figures of schedulers mean.

use metrics::Unit;

/// Tells the recorder what each figure means. To be called once the recorder is installed.
pub fn describe() {
    metrics::describe_counter!("scheduler_decisions_total", Unit::Count, "Builds that were decided, by outcome");
    metrics::describe_histogram!("scheduler_batch_size", Unit::Count, "Requests that were decided together");
}
