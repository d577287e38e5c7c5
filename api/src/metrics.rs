//! What the figures of Compute's API mean.

use metrics::Unit;

/// Tells the recorder what each figure means. To be called once the recorder is installed.
pub fn describe() {
    metrics::describe_counter!(
        "api_messages_not_taken_total",
        Unit::Count,
        "Messages that the bus did not take, of operations that are done all the same"
    );
    metrics::describe_histogram!(
        "api_creates_written_together",
        Unit::Count,
        "Requests for new servers that were written in one transaction"
    );
}
