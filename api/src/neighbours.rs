//! What Compute asks of the other components, in Compute's own words.
//!
//! Each is a trait with two ways to be answered: by the component in the same process, or by one elsewhere over HTTP. And
//! what the process itself knows how to ask.
//! Which tokens are valid is asked by every service alike: [`novella_rest::Authenticator`].

use std::{collections::BTreeMap, fmt, sync::Arc};

use futures_util::future::BoxFuture;
use novella_common::{RequestContext, networking_api::NetworkingApi, networks::Networks};
use novella_messaging::BusReport;
use novella_rest::ApiError;

/// An image, as far as Compute cares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageRecord {
    /// Its id.
    pub id: String,
    /// Its state; only `active` ones can be booted from.
    pub status: String,
    /// Bytes.
    pub size: Option<i64>,
    /// The least root disk in GiB.
    pub min_disk_gb: i64,
    /// The least memory in MiB.
    pub min_ram_mb: i64,
    /// Its properties, such as `hw_architecture`.
    pub properties: BTreeMap<String, String>,
}

/// The Image component.
pub trait Images: Send + Sync + 'static {
    /// The images of these ids that whoever asks may use, in no order.
    ///
    /// # Errors
    /// 503 if the component can't be asked.
    fn find_many<'a>(
        &'a self,
        context: &'a RequestContext,
        ids: Vec<String>,
    ) -> BoxFuture<'a, Result<Vec<ImageRecord>, ApiError>>;
}

/// What the Identity component knows of projects.
pub trait Projects: Send + Sync + 'static {
    /// Whether there is a project of this id.
    ///
    /// # Errors
    /// 503 if the component can't be asked.
    fn exists<'a>(&'a self, context: &'a RequestContext, id: &'a str) -> BoxFuture<'a, Result<bool, ApiError>>;
}

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

/// How the bus is looked at, beyond what AMQP tells.
pub trait Bus: Send + Sync + 'static {
    /// What is on it, of these queues at least; and what is not in that, with how to have it.
    ///
    /// # Errors
    /// 503 if it can't be asked.
    fn report(&self, queues: Vec<String>) -> BoxFuture<'_, Result<(BusReport, Option<String>), ApiError>>;
}
