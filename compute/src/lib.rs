//! A compute host: runs instances through a virt driver, answers calls, reports what happened.
//!
//! `rpcapi` is what others may ask, `manager` does it, `journal` remembers it across a crash, `virt` is the hypervisor.
//! Nothing here can reach the database.

mod config;
mod identity;
mod journal;
mod manager;
pub mod metrics;
mod reporter;
pub mod rpcapi;
pub mod service;
mod store;
pub mod virt;

pub use config::ComputeConfig;
pub use service::{ComputeService, ComputeStartError, Stores};
pub use store::StoreError;
