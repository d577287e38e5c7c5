//! Chooses hosts for instances: filters, then weighers, then a claim that can't overcommit.
//!
//! ```text
//!   build_instance ──▶ manager ──▶ placement ──▶ select ──▶ filters, weighers        (pure)
//!                         │            │
//!                         │            └──▶ claim, host and attempt, in one transaction for many builds
//!                         └──▶ compute.<host> build_and_run_instance ──▶ accepted: the host's
//! ```
//!
//! Any number of schedulers may run at once. Each decides on a picture of the hosts that is a fraction of a second old;
//! what keeps them from overcommitting is not the picture but the claim.

mod build_locks;
mod config;
pub mod filters;
mod host_state;
mod host_states;
mod manager;
pub mod metrics;
mod placement;
pub mod rpcapi;
mod select;
mod service;
pub mod weighers;

pub use config::SchedulerConfig;
pub use host_state::{HostState, Wanted};
pub use manager::SchedulerManager;
pub use placement::Placer;
pub use select::{NoneLeft, Selected, Selector};
pub use service::{SchedulerService, StartError};
