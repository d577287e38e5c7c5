//! Instance actions and their events: the history of what was asked of a server and how it went.

use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::InstanceUuid;

/// One request that changed, or tried to change, an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceAction {
    /// The instance.
    pub instance: InstanceUuid,
    /// The request that asked for it; identifies the action within the instance.
    pub request_id: String,
    /// What was asked: `create`, `stop`, `live-migration`, ... (Nova's names).
    pub action: String,
    /// Who asked.
    pub user_id: Option<String>,
    /// For which project.
    pub project_id: Option<String>,
    /// When it was accepted.
    pub start_time: Timestamp,
    /// When anything of it last changed.
    pub updated_at: Timestamp,
    /// `Error` if it failed.
    pub message: Option<String>,
}

/// How an event of an action ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventResult {
    /// As wanted.
    Success,
    /// Not as wanted; the action's message says `Error`.
    Error,
}

impl EventResult {
    /// The word that the API shows.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::Error => "Error",
        }
    }
}

impl FromStr for EventResult {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "Success" => Ok(Self::Success),
            "Error" => Ok(Self::Error),
            other => Err(format!("unknown result '{other}'")),
        }
    }
}

/// One step of an action, done by one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionEvent {
    /// Which step: `compute__do_build_and_run_instance`, `compute_stop_instance`, ... (Nova's names).
    pub event: String,
    /// The host that did it, if it was done on a compute host.
    pub host: Option<String>,
    /// When it began.
    pub start_time: Timestamp,
    /// When it ended.
    pub finish_time: Option<Timestamp>,
    /// How it ended.
    pub result: Option<EventResult>,
    /// What went wrong, for administrators.
    pub details: Option<String>,
}
