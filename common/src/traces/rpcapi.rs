//! What a service tells of its part in a request.
//!
//! | contract | version | change |
//! | --- | --- | --- |
//! | [`Traces`] | 1.0 | first version |

use novella_messaging::{RpcError, contract};
use serde::{Deserialize, Serialize};

use super::KeptSpan;
use crate::RequestContext;

/// Why a service can't tell. It always can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum TracesError {}

impl RpcError for TracesError {
    const MODULE: &'static str = "novella.traces";
}

/// Served by each service beside its own contract, under its topic and its name.
#[contract(topic = "compute", version = "1.0", namespace = "traces")]
pub trait Traces {
    /// What this process has done for a request lately.
    #[rpc(call, timeout_seconds = 2)]
    async fn spans(&self, ctx: RequestContext, request_id: String) -> Result<Vec<KeptSpan>, TracesError>;
}
