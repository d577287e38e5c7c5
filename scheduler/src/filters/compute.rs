//! Only hosts that are enabled and up.

use super::Filter;
use crate::{HostState, SchedulerConfig, Wanted};

/// Only hosts that are enabled and up.
#[derive(Debug)]
pub struct ComputeFilter;

impl Filter for ComputeFilter {
    fn name(&self) -> &'static str {
        "ComputeFilter"
    }

    fn passes(&self, host: &HostState, _: &Wanted, _: &SchedulerConfig) -> bool {
        host.enabled && host.up
    }
}
