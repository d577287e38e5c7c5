//! Where certain instances are.

use super::Filter;
use crate::{HostState, SchedulerConfig, Wanted};

/// Hint `same_host`: only hosts that have at least one of the named instances.
#[derive(Debug)]
pub struct SameHostFilter;

impl Filter for SameHostFilter {
    fn name(&self) -> &'static str {
        "SameHostFilter"
    }

    fn passes(&self, host: &HostState, wanted: &Wanted, _: &SchedulerConfig) -> bool {
        wanted.same_as.as_ref().is_none_or(|hosts| hosts.contains(&host.host))
    }
}
