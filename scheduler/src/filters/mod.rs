//! Filters: each says of a host whether it will do.

mod aggregate_image_properties;
mod aggregate_instance_extra_specs;
mod aggregate_multi_tenancy;
mod availability_zone;
mod capacity;
mod compute;
mod compute_capabilities;
mod different_host;
mod extra_specs_ops;
mod image_properties;
mod load;
mod same_host;
mod server_group;

pub use aggregate_image_properties::AggregateImagePropertiesIsolation;
pub use aggregate_instance_extra_specs::AggregateInstanceExtraSpecsFilter;
pub use aggregate_multi_tenancy::AggregateMultiTenancyIsolation;
pub use availability_zone::AvailabilityZoneFilter;
pub use capacity::CapacityFilter;
pub use compute::ComputeFilter;
pub use compute_capabilities::ComputeCapabilitiesFilter;
pub use different_host::DifferentHostFilter;
pub use image_properties::ImagePropertiesFilter;
pub(crate) use image_properties::LOOKED_AT;
pub use load::{AggregateIoOpsFilter, AggregateNumInstancesFilter, IoOpsFilter, NumInstancesFilter};
pub use same_host::SameHostFilter;
pub use server_group::{ServerGroupAffinityFilter, ServerGroupAntiAffinityFilter};

use crate::{HostState, SchedulerConfig, Wanted};

/// Says of a host whether it will do.
pub trait Filter: Send + Sync {
    /// The name in `scheduler.enabled_filters`.
    fn name(&self) -> &'static str;

    /// Whether the host will do.
    fn passes(&self, host: &HostState, wanted: &Wanted, config: &SchedulerConfig) -> bool;
}

/// The filters that are enabled by default, in the order in which they are asked.
pub static DEFAULT: &[&dyn Filter] = &[
    &ComputeFilter,
    &AvailabilityZoneFilter,
    &ComputeCapabilitiesFilter,
    &ImagePropertiesFilter,
    &CapacityFilter,
    &DifferentHostFilter,
    &SameHostFilter,
    &ServerGroupAntiAffinityFilter,
    &ServerGroupAffinityFilter,
];

/// The filters that an operator can enable beside these.
pub static OTHERS: &[&dyn Filter] = &[
    &AggregateInstanceExtraSpecsFilter,
    &AggregateMultiTenancyIsolation,
    &AggregateImagePropertiesIsolation,
    &NumInstancesFilter,
    &AggregateNumInstancesFilter,
    &IoOpsFilter,
    &AggregateIoOpsFilter,
];

/// The filters that are asked whatever is enabled: users are promised what a group's policy says.
pub(crate) static ALWAYS: &[&dyn Filter] = &[&ServerGroupAntiAffinityFilter, &ServerGroupAffinityFilter];

/// The filter of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static dyn Filter> {
    DEFAULT.iter().chain(OTHERS).copied().find(|filter| filter.name() == name)
}
