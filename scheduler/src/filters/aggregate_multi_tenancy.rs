//! Aggregates for certain projects.

use super::Filter;
use crate::{HostState, SchedulerConfig, Wanted};

/// What the keys of metadata begin with that name projects.
const PROJECTS: &str = "filter_tenant_id";

/// A host whose aggregates name projects (`filter_tenant_id`, and any key that begins so) is for these alone.
#[derive(Debug)]
pub struct AggregateMultiTenancyIsolation;

impl Filter for AggregateMultiTenancyIsolation {
    fn name(&self) -> &'static str {
        "AggregateMultiTenancyIsolation"
    }

    fn passes(&self, host: &HostState, wanted: &Wanted, _: &SchedulerConfig) -> bool {
        let mut projects =
            host.metadata().filter(|(key, _)| key.starts_with(PROJECTS)).map(|(_, project)| project).peekable();
        projects.peek().is_none() || projects.any(|project| project == wanted.project_id)
    }
}
