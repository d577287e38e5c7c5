//! What others may ask of a scheduler.
//!
//! | version | change |
//! | --- | --- |
//! | 1.0 | first version |

use novella_common::{
    RequestContext,
    db::DbError,
    ids::InstanceUuid,
    models::{RequestSpec, Resources},
};
use novella_messaging::{RpcError, contract};
use serde::{Deserialize, Serialize};

/// What a destination is needed for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DestinationRequest {
    /// The instance that is to go there.
    pub instance: InstanceUuid,
    /// The project it belongs to.
    pub project_id: String,
    /// What it takes.
    pub resources: Resources,
    /// What was asked for when it was made; obeyed again.
    pub spec: RequestSpec,
    /// Hosts that will not do, such as the one it is on.
    pub ignore_hosts: Vec<String>,
    /// The only host that will do, if the request named one. It must pass the filters too.
    pub only_host: Option<String>,
}

/// A host that will do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Destination {
    /// Its name.
    pub host: String,
    /// Its availability zone.
    pub availability_zone: String,
    /// Its weight among the candidates; the list is ordered by it, highest first.
    pub weight: f64,
}

/// How a scheduler refuses or fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each field stands in its error's text")]
pub enum SchedulerError {
    /// Every host fell out.
    #[error("No valid host was found. {reason}")]
    NoValidHost { reason: String },
    /// The database could not be asked or written; the message is delivered again.
    #[error("The scheduler could not reach the database: {message}")]
    DatabaseUnavailable { message: String },
    /// The database refused, or holds what can't be read: tried again it would be so again.
    #[error("The scheduler's request to the database failed: {message}")]
    DatabaseFailed { message: String },
    /// Networking could not be asked for the instance's ports; the message is delivered again.
    #[error("The scheduler could not reach Networking: {message}")]
    NetworkingUnavailable { message: String },
    /// The bus carried nothing to the hosts.
    #[error("The scheduler could not reach the hosts: {message}")]
    BusUnavailable { message: String },
}

impl RpcError for SchedulerError {
    const MODULE: &'static str = "novella.scheduler";

    fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::DatabaseUnavailable { .. } | Self::NetworkingUnavailable { .. } | Self::BusUnavailable { .. }
        )
    }
}

impl From<DbError> for SchedulerError {
    fn from(error: DbError) -> Self {
        let message = error.to_string();
        if error.is_unavailable() { Self::DatabaseUnavailable { message } } else { Self::DatabaseFailed { message } }
    }
}

/// What others may ask of a scheduler.
#[contract(topic = "scheduler", version = "1.0")]
pub trait Scheduler {
    /// The hosts that will do, best first; at most `max_attempts` of them. Claims nothing.
    #[rpc(call)]
    async fn select_destinations(
        &self,
        ctx: RequestContext,
        request: DestinationRequest,
    ) -> Result<Vec<Destination>, SchedulerError>;

    /// Find a host for an instance that is `building`/`scheduling`, claim there, and hand the build over to it.
    #[rpc(cast)]
    async fn build_instance(&self, ctx: RequestContext, instance: InstanceUuid) -> Result<(), SchedulerError>;
}
