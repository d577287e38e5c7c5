//! What all services of one process share of the configuration.

use std::time::Duration;

use crate::Network;

/// Limits, and where the process is reached.
#[derive(Clone, Debug)]
pub struct RestConfig {
    /// The public base URL, such as `https://cloud.example.org`. Unset: what a trusted proxy says, or
    /// the client in its `Host` header.
    pub endpoint: Option<String>,
    /// Whether TLS is spoken on the process's own address.
    pub tls: bool,
    /// Proxies that are believed when they say how a client has reached them (`Forwarded`, `X-Forwarded-*`).
    pub trusted_proxies: Vec<Network>,
    /// Bytes that a request's body may have; 413 beyond.
    pub max_body_bytes: usize,
    /// Entries that one page of a list may have.
    pub max_limit: u32,
    /// Requests that are worked on at once; those beyond get 503 at once, so that a flood does not queue up unseen.
    pub max_in_flight: usize,
    /// Of those, requests of one client; it gets 429 beyond.
    pub max_in_flight_per_address: usize,
    /// Of those, requests of one method on one path; those beyond get 503.
    pub max_in_flight_per_route: usize,
    /// How long the body of a request may take to arrive; 408 beyond.
    pub body_timeout: Duration,
    /// How long a request may take in all, its body's arrival included; then it is answered without what it asked for.
    pub request_timeout: Duration,
    /// Whether `/metrics` is on the public port too. It tells strangers how busy the cloud is.
    pub public_metrics: bool,
    /// Where tokens can be had, if not from the process itself: the URL of an Identity service elsewhere.
    pub identity_url: Option<String>,
}

impl Default for RestConfig {
    fn default() -> Self {
        Self {
            endpoint: None,
            tls: false,
            trusted_proxies: Vec::new(),
            max_body_bytes: 114_688,
            max_limit: 1000,
            max_in_flight: 512,
            max_in_flight_per_address: 256,
            max_in_flight_per_route: 384,
            body_timeout: Duration::from_secs(20),
            request_timeout: Duration::from_secs(25),
            public_metrics: false,
            identity_url: None,
        }
    }
}
