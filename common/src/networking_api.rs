//! Networking's own API, for what Compute passes on as it is: floating IPs, the rules of security groups, a port's fixed IPs.
//!
//! What Compute itself needs of Networking, it says in its own words: [`Networks`](crate::networks::Networks). This is what its
//! users could ask there themselves, and once asked here.

use axum::http::Method;
use serde_json::Value;

use crate::networks::{Answer, Caller};

/// Networking's API, asked for the users of Compute.
pub trait NetworkingApi: Send + Sync + 'static {
    /// Sends a request as this caller, so that their rights and quotas hold. `path`, with its query, is below `/v2.0`. Returns
    /// the answer's body; null if it has none.
    fn send<'a>(&'a self, caller: Caller<'a>, method: Method, path: &'a str, body: Option<Value>) -> Answer<'a, Value>;
}
