//! What the figures of the bus mean.

use metrics::Unit;

/// Tells the recorder what each figure means. To be called once the recorder is installed.
pub fn describe() {
    metrics::describe_counter!(
        "rpc_server_handled_total",
        Unit::Count,
        "Messages that were worked on, by method and outcome"
    );
    metrics::describe_counter!(
        "rpc_redelivered_total",
        Unit::Count,
        "Messages that came again, by what became of them"
    );
    metrics::describe_histogram!(
        "rpc_client_call_seconds",
        Unit::Seconds,
        "Time from a call to its answer, by method and outcome"
    );
    metrics::describe_counter!(
        "bus_set_aside_total",
        Unit::Count,
        "Messages that were set aside: unreadable, too large, or delivered in vain too often; and replies that were dropped"
    );
    metrics::describe_counter!("bus_reconnects_total", Unit::Count, "Connections to the broker that were made anew");
}
