//! A compute host: runs instances through a virt driver, answers calls, reports what happened.
//!
//! `rpcapi` is what others may ask, `manager` does it, `journal` remembers it across a crash, `virt` is the hypervisor.
//! Nothing here can reach the database.

mod journal;
mod manager;
mod reporter;
pub mod rpcapi;
pub mod service;
mod store;
mod sync;
pub mod virt;

pub use service::{ComputeConfig, ComputeService, ComputeStartError, Stores};
pub use store::StoreError;
