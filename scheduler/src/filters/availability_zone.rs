//! Only hosts in the zone that the request named.

use super::Filter;
use crate::{HostState, SchedulerConfig, Wanted};

/// Only hosts in the zone that the request named; all, if it named none.
#[derive(Debug)]
pub struct AvailabilityZoneFilter;

impl Filter for AvailabilityZoneFilter {
    fn name(&self) -> &'static str {
        "AvailabilityZoneFilter"
    }

    fn passes(&self, host: &HostState, wanted: &Wanted, _: &SchedulerConfig) -> bool {
        wanted.availability_zone.as_ref().is_none_or(|zone| *zone == host.availability_zone)
    }
}
