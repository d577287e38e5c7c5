//! Filters: each says of a host whether it will do.

mod availability_zone;
mod capacity;
mod compute;
mod different_host;
mod same_host;
mod server_group;

pub use availability_zone::AvailabilityZoneFilter;
pub use capacity::CapacityFilter;
pub use compute::ComputeFilter;
pub use different_host::DifferentHostFilter;
pub use same_host::SameHostFilter;
pub use server_group::{ServerGroupAffinityFilter, ServerGroupAntiAffinityFilter};

use crate::{HostState, Wanted};

/// Says of a host whether it will do.
pub trait Filter: Send + Sync {
    /// The name in `scheduler.enabled_filters`.
    fn name(&self) -> &'static str;

    /// Whether the host will do.
    fn passes(&self, host: &HostState, wanted: &Wanted) -> bool;
}

/// Every filter, in the order in which they are asked by default.
pub static ALL: &[&dyn Filter] = &[
    &ComputeFilter,
    &AvailabilityZoneFilter,
    &CapacityFilter,
    &DifferentHostFilter,
    &SameHostFilter,
    &ServerGroupAntiAffinityFilter,
    &ServerGroupAffinityFilter,
];

/// The filters that are asked whatever is enabled: users are promised what a group's policy says.
pub(crate) static ALWAYS: &[&dyn Filter] = &[&ServerGroupAntiAffinityFilter, &ServerGroupAffinityFilter];

/// The filter of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static dyn Filter> {
    ALL.iter().copied().find(|filter| filter.name() == name)
}
