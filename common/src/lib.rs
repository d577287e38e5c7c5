//! What every Novella service stands on, and what no single service owns.
//!
//! The crate knows no service. Whatever touches the database sits behind the feature `database` and the module
//! `db`; a compute host is built without it, so that no line of a compute host can reach the database.

pub mod config;
pub mod context;
#[cfg(feature = "database")]
pub mod db;
pub mod faults;
pub mod ids;
pub mod images;
pub mod lifecycle;
pub mod models;
mod named;
pub mod neighbours;
pub mod networking_api;
pub mod networks;
pub mod printable;
pub mod projects;
pub mod reports;
pub mod service;
pub mod telemetry;
pub mod tls;
pub mod traces;

pub use context::RequestContext;
