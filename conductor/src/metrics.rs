//! What the figures of conductors mean.

use metrics::Unit;

/// Tells the recorder what each figure means. To be called once the recorder is installed.
pub fn describe() {
    metrics::describe_counter!("migrations_total", Unit::Count, "Migrations that have ended, by kind and status");
    metrics::describe_counter!(
        "orphaned_allocations_total",
        Unit::Count,
        "Claims without a reason that were given back"
    );
    metrics::describe_histogram!("reports_batch_size", Unit::Count, "Reports that were written together");
    metrics::describe_counter!(
        "reports_malformed_total",
        Unit::Count,
        "Notifications on the topic of reports that are none"
    );
    metrics::describe_counter!(
        "reports_implausible_total",
        Unit::Count,
        "Reports that can't be true, which were not believed"
    );
    metrics::describe_counter!(
        "reports_forged_total",
        Unit::Count,
        "Reports whose sender does not speak for the host that they are about"
    );
    metrics::describe_counter!("reports_dropped_total", Unit::Count, "Reports that a later one had overtaken");
    metrics::describe_counter!("reports_unwritable_total", Unit::Count, "Reports that could not be written");
    metrics::describe_gauge!("servers", Unit::Count, "Servers by vm_state; every conductor tells of all");
    metrics::describe_gauge!(
        "servers_busy",
        Unit::Count,
        "Servers with something under way, by task_state; every conductor tells of all"
    );
    metrics::describe_gauge!(
        "compute_hosts",
        Unit::Count,
        "Compute hosts by state (up, down); every conductor tells of all"
    );
    metrics::describe_gauge!(
        "migrations_under_way",
        Unit::Count,
        "Migrations under way by kind and status; every conductor tells of all"
    );
    metrics::describe_gauge!(
        "queue_messages",
        Unit::Count,
        "Messages that wait, by queue; every conductor tells of the common queues"
    );
    metrics::describe_gauge!(
        "dead_letters",
        Unit::Count,
        "Messages that were set aside; novella bus dead-letters lists them"
    );
    metrics::describe_counter!(
        "hosts_refused_total",
        Unit::Count,
        "Hellos of machines that wait for an operator, by reason"
    );
}
