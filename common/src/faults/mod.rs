//! Faults that are set at run time (`novella fault`): what is to fail, be late or be refused, so that a client's ways to
//! deal with it can be tested. Off unless `faults.enabled` asks for it; then nothing of this exists in a process.
//!
//! A [`Fault`] is a rule. Every process with faults enabled keeps all of them in memory ([`Faults`]): a compute process
//! asks before each operation of a simulated guest, a REST server before each request. [`FaultService`] hands them on.
//!
//! ```text
//!   novella fault ──call── any process ──share── each other process
//!   a process that starts ──hello (fanout)── all ──share── it
//! ```

mod config;
mod fault;
mod registry;
pub mod rpcapi;
mod service;

pub use config::FaultsConfig;
pub use fault::{Fault, HostOperation, HostRule, HttpEffect, HttpRule, Rule};
pub use registry::{Faults, HostEffect, HostEvent, HttpEvent, TriggeredHttp};
pub use rpcapi::{FaultId, KnownFault, ListedFault};
pub use service::FaultService;
