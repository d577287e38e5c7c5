//! What Compute asks of the other components, in Compute's own words.
//!
//! Each is a trait with two ways to be answered: by the component in the same process, or by one elsewhere over HTTP. And
//! what the process itself knows how to ask.
//! Which tokens are valid is asked by every service alike: [`novella_rest::Authenticator`].

use std::{collections::BTreeMap, fmt, sync::Arc};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use novella_common::{RequestContext, networking_api::NetworkingApi, networks::Networks};
use novella_messaging::BusReport;
use novella_rest::{ApiError, Parameters, Request, policy::Caller, token_in};

/// An image, as far as Compute cares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageRecord {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
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

/// Who asks Image: whoever has sent the request.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// Who.
    pub caller: &'a Caller,
    /// Their token: an Image elsewhere is asked with it, so that its own rules hold.
    pub token: Option<&'a str>,
}

impl<'a, S> From<&'a Request<S>> for Asker<'a> {
    fn from(request: &'a Request<S>) -> Self {
        Self { caller: &request.context, token: token_in(request.headers(), "x-auth-token") }
    }
}

/// The Image component.
pub trait Images: Send + Sync + 'static {
    /// The images of these ids that whoever asks may use, in no order.
    ///
    /// # Errors
    /// 503 if the component can't be asked.
    fn find_many<'a>(&'a self, asker: Asker<'a>, ids: Vec<String>)
    -> BoxFuture<'a, Result<Vec<ImageRecord>, ApiError>>;

    /// The images that whoever asks may list, by a query of the Image API, at most so many.
    ///
    /// # Errors
    /// 400 for a query that is none, 503 if the component can't be asked.
    fn list<'a>(
        &'a self,
        asker: Asker<'a>,
        query: Parameters,
        limit: i64,
    ) -> BoxFuture<'a, Result<Vec<ImageRecord>, ApiError>>;

    /// Sets properties of an image, and takes others away.
    ///
    /// # Errors
    /// 404 and 403 as the component says, 503 if it can't be asked.
    fn change_properties<'a>(
        &'a self,
        asker: Asker<'a>,
        id: &'a str,
        set: BTreeMap<String, String>,
        removed: Vec<String>,
    ) -> BoxFuture<'a, Result<(), ApiError>>;

    /// Deletes an image.
    ///
    /// # Errors
    /// 404 and 403 as the component says, 503 if it can't be asked.
    fn delete<'a>(&'a self, asker: Asker<'a>, id: &'a str) -> BoxFuture<'a, Result<(), ApiError>>;
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
