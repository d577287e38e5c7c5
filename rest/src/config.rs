//! What all services of one process share of the configuration.

use std::time::Duration;

use crate::Network;

/// Limits, and where the process is reached.
#[derive(Clone, Debug)]
pub struct RestConfig {
    /// The public base URL, such as `https://cloud.example.org`. Unset: what a trusted proxy says, or
    /// the client in its `Host` header.
    pub endpoint: Option<String>,
    /// Proxies that are believed when they say how a client has reached them (`Forwarded`, `X-Forwarded-*`).
    pub trusted_proxies: Vec<Network>,
    /// Bytes that a request's body may have; 413 beyond.
    pub max_body_bytes: usize,
    /// Entries that one page of a list may have.
    pub max_limit: u32,
    /// Requests that are worked on at once; those beyond get 503 at once, so that a flood does not queue up unseen.
    pub max_in_flight: usize,
    /// How long a request may take in all, its body's arrival included; then it is answered without what it asked for.
    pub request_timeout: Duration,
    /// Whether `/metrics` is on the public port too. It tells strangers how busy the cloud is.
    pub public_metrics: bool,
}
