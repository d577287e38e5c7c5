//! Only hosts with room.

use super::Filter;
use crate::{HostState, SchedulerConfig, Wanted};

/// Only hosts with room: what may be claimed in all (inventory, reservation, allocation ratios) less what is claimed.
///
/// In OpenStack this is placement's part. A claim checks it again, so that leaving the filter out only costs attempts.
#[derive(Debug)]
pub struct CapacityFilter;

impl Filter for CapacityFilter {
    fn name(&self) -> &'static str {
        "CapacityFilter"
    }

    fn passes(&self, host: &HostState, wanted: &Wanted, _: &SchedulerConfig) -> bool {
        host.free().covers(&wanted.resources)
    }
}
