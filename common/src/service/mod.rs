//! What makes a process a service: its identity, its health, and the way it stops.

mod grace;
mod health;
#[cfg(feature = "database")]
mod heartbeat;
mod listener;
mod shutdown;

use crate::{ids::Incarnation, models::Binary};

pub use grace::Grace;
pub use health::{Check, Readiness, management_router, serve_management};
#[cfg(feature = "database")]
pub use heartbeat::{announce, keep_alive};
pub use listener::{ClientAddress, ConnectionLimits, Handshake, Plain, describe_metrics, serve_http};
pub use shutdown::Shutdown;

/// Which service this is, and which run of it.
#[derive(Clone, Debug)]
pub struct ServiceIdentity {
    /// What it is.
    pub binary: Binary,
    /// Its name among those of its kind; the `server` of its RPC target.
    pub host: String,
    /// This run.
    pub incarnation: Incarnation,
}

impl ServiceIdentity {
    /// The identity of a service that starts now.
    pub fn new(binary: Binary, host: impl Into<String>) -> Self {
        Self { binary, host: host.into(), incarnation: Incarnation::random() }
    }
}
