//! The REST API: validates, writes the row, casts, answers.
//!
//! One port, the paths that OpenStack's clients expect: `/identity/v3`, `/compute/v2.1`, `/image/v2`. A request
//! passes, from the outside in:
//!
//! ```text
//! request id ▶ log span ▶ panic guard ▶ in-flight limit ▶ body limit ▶ paths made plain ▶ router
//!     ▶ token ▶ microversion ▶ handler: policy, validation, one transaction, cast ▶ answer
//! ```
//!
//! Handlers return [`ApiError`] or an answer; each service's error envelope is put on in one place ([`error`]). What a
//! microversion shows and takes is decided by tables ([`compute::microversion`]), not by conditions in handlers.

mod authentication;
mod body;
pub mod compute;
mod config;
mod discovery;
pub mod error;
mod fallbacks;
mod identity;
mod image;
mod links;
mod logging;
mod paging;
mod query;
mod request_id;
mod router;
mod service;
mod state;
mod times;

pub use config::ApiConfig;
pub use error::ApiError;
pub use router::{openapi, router};
pub use service::{ApiService, StartError};
pub use state::Api;
