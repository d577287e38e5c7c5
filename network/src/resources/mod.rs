//! The resources of the Networking API, a module each.

mod address_groups;
mod address_scopes;
mod agents;
pub(crate) mod auto_allocation;
mod default_rules;
pub(crate) mod floating_ips;
mod ip_availability;
mod metering;
pub(crate) mod names;
pub(crate) mod networks;
mod port_forwardings;
pub(crate) mod ports;
mod protocols;
mod qos;
mod qos_rules;
mod rbac_policies;
mod router_interfaces;
pub(crate) mod routers;
mod security_group_rules;
pub(crate) mod security_groups;
mod segmentation;
mod subnet_layout;
mod subnet_pools;
pub(crate) mod subnets;
pub(crate) mod trunks;
mod zones;

use novella_rest::{ApiError, Operation};

use crate::{Networking, errors::missing};

/// The one availability zone.
const ZONE: &str = "nova";

/// The operations on all of them.
pub(crate) fn operations() -> Vec<Operation<Networking>> {
    [
        networks::operations(),
        subnets::operations(),
        subnet_pools::operations(),
        address_scopes::operations(),
        ports::operations(),
        security_groups::operations(),
        security_group_rules::operations(),
        default_rules::operations(),
        address_groups::operations(),
        routers::operations(),
        floating_ips::operations(),
        port_forwardings::operations(),
        rbac_policies::operations(),
        trunks::operations(),
        qos::operations(),
        metering::operations(),
        agents::operations(),
        zones::operations(),
        ip_availability::operations(),
        auto_allocation::operations(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// 404 for a zone that there is not.
fn check_zones(hints: &[String]) -> Result<(), ApiError> {
    match hints.iter().find(|zone| *zone != ZONE) {
        None => Ok(()),
        Some(zone) => Err(missing("AvailabilityZoneNotFound", format!("AvailabilityZone {zone} could not be found."))),
    }
}
