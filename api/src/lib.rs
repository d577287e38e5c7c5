//! The Compute API: validates, writes the row, casts, answers. And beside it the Cloud API, of what Compute does now.
//!
//! [`compute::operations`] has a row for each operation; what follows from the rows is the `novella-rest` crate's matter.
//! What a microversion shows and takes is decided by tables, not by conditions in handlers.

pub mod cloud;
pub mod compute;
mod config;
mod host_calls;
pub mod metrics;
pub mod neighbours;
pub mod policy;
mod service;
mod state;

pub use cloud::CLOUD;
pub use compute::COMPUTE;
pub use config::{ApiConfig, QuotaConfig, TlsConfig};
pub use service::{ApiListener, ApiService, StartError};
pub use state::Api;

/// A request of the Compute API.
type Request = novella_rest::Request<Api>;
