//! What others may ask of a process that has faults enabled.
//!
//! | contract | version | change |
//! | --- | --- | --- |
//! | [`FaultControl`] | 1.0 | first version |

use jiff::Timestamp;
use novella_messaging::{RpcError, contract};
use serde::{Deserialize, Serialize};

use super::Fault;
use crate::{RequestContext, ids::Incarnation};

/// Names a fault: eight hexadecimal digits.
pub type FaultId = String;

/// A fault, as processes know it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnownFault {
    /// Its name.
    pub id: FaultId,
    /// When it was set. The oldest comes first.
    pub added_at: Timestamp,
    /// What it is.
    pub fault: Fault,
    /// Whether it is no longer in force.
    pub cleared: bool,
}

/// How often a fault has fired in one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fired {
    /// Which fault.
    pub id: FaultId,
    /// How often.
    pub count: u64,
}

/// A fault in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListedFault {
    /// Its name.
    pub id: FaultId,
    /// When it was set.
    pub added_at: Timestamp,
    /// What it is.
    pub fault: Fault,
    /// How often it has fired, in all processes.
    pub fired: u64,
}

/// The faults in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    /// The oldest first.
    pub faults: Vec<ListedFault>,
    /// The processes that have them, and whose firing was counted.
    pub processes: Vec<String>,
    /// Processes that were there and do not answer.
    pub missing: Vec<String>,
}

/// Where a change is in force now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// The faults that were set or cleared.
    pub ids: Vec<FaultId>,
    /// The processes that have taken it over.
    pub processes: Vec<String>,
    /// Processes that were there and do not answer. They learn of it when they say hello again.
    pub missing: Vec<String>,
}

/// A process with faults enabled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    /// Its name, under which it serves [`FaultControl`].
    pub process: String,
    /// Which run of it: one that was started again has forgotten all faults.
    pub incarnation: Incarnation,
}

/// What one process tells another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shared {
    /// All that it knows.
    pub known: Vec<KnownFault>,
    /// How often each has fired there.
    pub fired: Vec<Fired>,
}

/// Why a fault can't be set or cleared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each field stands in its error's text")]
pub enum FaultError {
    /// It makes no sense.
    #[error("{reason}")]
    Invalid { reason: String },
    /// There is no such fault.
    #[error("there is no fault {id}; `novella fault list` lists those there are")]
    NoSuchFault { id: FaultId },
}

impl RpcError for FaultError {
    const MODULE: &'static str = "novella.faults";
}

/// Setting faults, and handing them on. Every process with faults enabled serves it.
#[contract(topic = "faults", version = "1.0")]
pub trait FaultControl {
    /// Asked of any process: sets a fault. Answered when it is in force in all of them.
    #[rpc(call, timeout_seconds = 20)]
    async fn add(&self, ctx: RequestContext, fault: Fault) -> Result<Reached, FaultError>;

    /// Asked of any process: the faults in force, the oldest first.
    #[rpc(call, timeout_seconds = 20)]
    async fn list(&self, ctx: RequestContext) -> Result<Listing, FaultError>;

    /// Asked of any process: clears these faults, or all. Answered when they are out of force in all of them.
    #[rpc(call, timeout_seconds = 20)]
    async fn clear(&self, ctx: RequestContext, ids: Option<Vec<FaultId>>) -> Result<Reached, FaultError>;

    /// Asked of one process by another, `from`: take over what is new in this, and say the same of yourself.
    #[rpc(call, timeout_seconds = 3)]
    async fn share(&self, ctx: RequestContext, from: Participant, known: Vec<KnownFault>)
    -> Result<Shared, FaultError>;

    /// Said to all processes: this one is there, and listens.
    #[rpc(fanout)]
    async fn hello(&self, ctx: RequestContext, participant: Participant) -> Result<(), FaultError>;
}
