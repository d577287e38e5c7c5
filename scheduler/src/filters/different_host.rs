//! Not where certain instances are.

use super::Filter;
use crate::{HostState, SchedulerConfig, Wanted};

/// Hint `different_host`: only hosts that have none of the named instances.
#[derive(Debug)]
pub struct DifferentHostFilter;

impl Filter for DifferentHostFilter {
    fn name(&self) -> &'static str {
        "DifferentHostFilter"
    }

    fn passes(&self, host: &HostState, wanted: &Wanted, _: &SchedulerConfig) -> bool {
        wanted.different_from.as_ref().is_none_or(|hosts| !hosts.contains(&host.host))
    }
}
