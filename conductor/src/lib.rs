//! The conductor: drives long tasks, writes down what compute hosts report, and finishes or undoes what was left.
//!
//! ```text
//!   compute.<host> ──reports──▶ reports ──▶ database        one conductor at a time, so that their order holds
//!                                  │
//!   a host says hello ─────────────┴──▶ reconcile ──call──▶ compute-control.<host>
//!   live_migrate_instance ──▶ tasks ──call──▶ scheduler, compute.<host>
//!   every few seconds ──▶ takeover ──▶ whatever nobody works on any more
//! ```
//!
//! A conductor keeps nothing in memory that the database does not know better: it can be killed at any step, and another
//! one goes on from the rows.

mod config;
mod gauges;
mod manager;
pub mod metrics;
mod network_refresh;
mod one_each;
mod ports;
mod reconcile;
mod reports;
pub mod rpcapi;
mod service;
mod shared;
mod takeover;
pub mod tasks;

pub use config::ConductorConfig;
pub use service::{ConductorService, StartError};
