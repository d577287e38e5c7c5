//! `[api]`: the configuration of the REST API.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use novella_common::config::seconds;
use novella_rest::{Network, RestConfig};
use serde::{Deserialize, Serialize};

/// `[api]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The public base URL, such as `https://cloud.example.org`, for the catalog and the links. Unset: what a trusted
    /// proxy says, or else the client in its `Host` header.
    pub endpoint: Option<String>,
    /// Addresses and networks of proxies, such as `["10.0.0.0/8", "192.0.2.1"]`, that are believed when they say in
    /// `Forwarded` or `X-Forwarded-Proto`, `-Host` and `-Prefix` how a client has reached them. They must not let through
    /// what a client itself says in these headers. From other addresses the headers are ignored.
    pub trusted_proxies: Vec<Network>,
    /// Bytes that a request's body may have; 413 beyond. Nova's and oslo.middleware's default.
    pub max_body_bytes: usize,
    /// Entries that one page of a list may have.
    pub max_limit: u32,
    /// Requests that are worked on at once; those beyond get 503 at once, so that a flood does not queue up unseen.
    pub max_in_flight: usize,
    /// Seconds within which every request is answered, whatever hangs: 503 where nothing can have been changed, otherwise
    /// 504. Longer than `database.acquire_timeout` and `database.statement_timeout` together, which find most of it earlier.
    #[serde(with = "seconds")]
    pub request_timeout: Duration,
    /// Seconds that a token is valid. Keystone's default: clients are made to log in again this often, and a token
    /// that leaked is worth no more.
    #[serde(with = "seconds")]
    pub token_ttl: Duration,
    /// Servers that one request may ask for (`max_count`). They are written in one transaction, which others wait for.
    pub max_servers_per_request: u32,
    /// Whether `/metrics` is on the public port too. It tells strangers how busy the cloud is.
    pub public_metrics: bool,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8774)),
            endpoint: None,
            trusted_proxies: Vec::new(),
            max_body_bytes: 114_688,
            max_limit: 1000,
            max_in_flight: 512,
            request_timeout: Duration::from_secs(25),
            token_ttl: Duration::from_secs(3600),
            max_servers_per_request: 1000,
            public_metrics: false,
        }
    }
}

impl ApiConfig {
    /// What all services on this port share of it.
    #[must_use]
    pub fn rest(&self) -> RestConfig {
        RestConfig {
            endpoint: self.endpoint.clone(),
            trusted_proxies: self.trusted_proxies.clone(),
            max_body_bytes: self.max_body_bytes,
            max_limit: self.max_limit,
            max_in_flight: self.max_in_flight,
            request_timeout: self.request_timeout,
            public_metrics: self.public_metrics,
        }
    }
}
