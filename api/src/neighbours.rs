//! The components beside Compute, each asked by a trait in Compute's own words. And what the process itself knows how to ask.
//!
//! Which tokens are valid is asked by every service alike: [`novella_rest::Authenticator`].

use std::{fmt, sync::Arc};

use futures_util::future::BoxFuture;
use novella_common::{
    images::Images,
    networking_api::NetworkingApi,
    networks::{Caller, Networks},
    projects::Projects,
};
use novella_messaging::BusReport;
use novella_rest::{ApiError, token_in};

use crate::Request;

/// The components beside Compute, as it asks them.
#[derive(Clone)]
pub struct Neighbours {
    /// The Image component.
    pub images: Arc<dyn Images>,
    /// What Identity knows of projects.
    pub projects: Arc<dyn Projects>,
    /// The Networking component.
    pub networks: Arc<dyn Networks>,
    /// And its own API, for what Compute passes on.
    pub networking: Arc<dyn NetworkingApi>,
}

impl fmt::Debug for Neighbours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Neighbours").finish_non_exhaustive()
    }
}

/// Whoever asks Compute, as other components are asked for them.
pub(crate) fn caller(request: &Request) -> Caller<'_> {
    Caller { context: &request.context, token: token_in(request.headers(), "x-auth-token") }
}

/// How the bus is looked at, beyond what AMQP tells.
pub trait Bus: Send + Sync + 'static {
    /// What is on it, of these queues at least; and what is not in that, with how to have it.
    ///
    /// # Errors
    /// 503 if it can't be asked.
    fn report(&self, queues: Vec<String>) -> BoxFuture<'_, Result<(BusReport, Option<String>), ApiError>>;
}
