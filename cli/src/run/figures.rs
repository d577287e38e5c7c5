//! What this process collects of itself.

use anyhow::Result;
use novella_common::{service, telemetry};

/// Collects figures from now on, and says what each means. To be called inside a runtime.
pub(crate) fn collect() -> Result<()> {
    telemetry::init_metrics()?;
    service::describe_metrics();
    novella_messaging::metrics::describe();
    novella_rest::metrics::describe();
    novella_api::metrics::describe();
    novella_compute::metrics::describe();
    novella_scheduler::metrics::describe();
    novella_conductor::metrics::describe();
    super::traces::describe();
    Ok(())
}
