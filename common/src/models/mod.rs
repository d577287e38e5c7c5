//! The things of the cloud, as plain data. How they are stored is `db`'s matter; how they are shown, the API's.

mod action;
mod aggregate;
mod compute_node;
mod flavor;
mod instance;
mod migration;
mod network_info;
mod server_group;
mod service;

pub use action::{ActionEvent, EventResult, InstanceAction};
pub use aggregate::Aggregate;
pub use compute_node::{AllocationRatios, ComputeNode, Inventory, Resources};
pub use flavor::{Flavor, RxtxFactor};
pub use instance::{Fault, Instance, InstanceSpec, LockedBy, RequestSpec, SchedulerHints};
pub use migration::{Holder, Migration, MigrationKind, MigrationProgress, MigrationStatus};
pub use network_info::{NetworkInfo, RequestedNetworks, RequestedVif, Vif, VifAddress};
pub use server_group::{GroupPolicy, GroupRule, ServerGroup};
pub use service::{Binary, FreshSince, Service};
