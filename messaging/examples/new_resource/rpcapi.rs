//! The contract, from which come `NewResourceClient` for the API and `NewResourceEndpoint` for the manager.

use novella_messaging::RpcError;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Who asks. It travels with each message, so that the logs of both sides tell of the same request.
#[derive(Serialize, Deserialize)]
pub struct Context {
    pub request_id: String,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Resource {
    pub name: String,
    pub done: bool,
}

/// An error that reaches the caller as itself: beyond the bus it is still this enum, to be matched on.
#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
pub enum ResourceError {
    #[error("there is no resource {id}")]
    NotFound { id: Uuid },
}

impl RpcError for ResourceError {
    const MODULE: &'static str = "new_resource";
}

#[novella_messaging::contract(topic = "new_resource", version = "1.0")]
pub trait NewResource {
    /// The caller waits until the bus has the message in safe keeping, not until the work is done.
    #[rpc(cast)]
    async fn create(&self, ctx: Context, id: Uuid, name: String) -> Result<(), ResourceError>;
    /// The caller waits for the answer.
    #[rpc(call)]
    async fn show(&self, ctx: Context, id: Uuid) -> Result<Resource, ResourceError>;
}
