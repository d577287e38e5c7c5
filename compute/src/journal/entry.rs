//! What a host remembers of one instance.

use std::collections::VecDeque;

use jiff::Timestamp;
use novella_common::{
    ids::{MigrationUuid, TaskId},
    lifecycle::Action,
    models::{InstanceSpec, Resources},
    reports::Fact,
};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::rpcapi::{ActionArguments, MigrateData, MigrationSpec};

/// How many operations that are over a host recognises when their message comes again. A message can only come again
/// while it is unacknowledged, so a few are many.
const REMEMBERED: usize = 8;

/// One instance, as its host remembers it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// What the instance is, while it is here or on its way here; `None` when only the last report is left.
    pub(crate) spec: Option<InstanceSpec>,
    /// What is being done to it.
    #[serde(default, deserialize_with = "known_or_none")]
    pub(crate) operation: Option<Operation>,
    /// Operations that are over or were taken over, oldest first.
    pub(crate) settled: VecDeque<TaskId>,
    /// The migration that brings it here, until the conductor has confirmed its arrival.
    #[serde(default, deserialize_with = "known_or_none")]
    pub(crate) incoming: Option<MigrationUuid>,
    /// The newest report, to be sent again if it was not written down.
    pub(crate) last_report: Option<Fact>,
}

/// An operation under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Operation {
    pub(crate) task_id: TaskId,
    pub(crate) request_id: Option<String>,
    pub(crate) action: Action,
    #[serde(default)]
    pub(crate) arguments: ActionArguments,
    pub(crate) started: Timestamp,
}

/// The arguments of a live migration that leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MigrationArguments {
    pub(crate) migration: MigrationSpec,
    pub(crate) data: MigrateData,
}

impl Entry {
    /// What it takes from the host.
    pub(crate) fn holds(&self) -> Resources {
        self.spec.as_ref().map(|spec| spec.flavor.resources()).unwrap_or_default()
    }

    /// Whether the operation is the one under way.
    pub(crate) fn does(&self, task_id: TaskId) -> bool {
        self.operation.as_ref().is_some_and(|operation| operation.task_id == task_id)
    }

    /// The operation is over, or taken over; a message for it that comes again finds it done.
    pub(crate) fn settle(&mut self) {
        if let Some(operation) = self.operation.take() {
            self.remember(operation.task_id);
        }
    }

    /// A message for this operation that comes again finds it done.
    pub(crate) fn remember(&mut self, task_id: TaskId) {
        if self.settled.len() == REMEMBERED {
            self.settled.pop_front();
        }
        self.settled.push_back(task_id);
    }

    /// What tells this stay of the instance from an earlier or later one on the same host.
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            task: self.operation.as_ref().map(|operation| operation.task_id).or(self.settled.back().copied()),
            incoming: self.incoming,
        }
    }
}

/// See [`Entry::identity`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    task: Option<TaskId>,
    incoming: Option<MigrationUuid>,
}

impl Operation {
    pub(crate) fn new(task_id: TaskId, request_id: Option<String>, action: Action, arguments: ActionArguments) -> Self {
        Self { task_id, request_id, action, arguments, started: Timestamp::now() }
    }

    /// The event's name in the instance action.
    pub(crate) fn event(&self) -> &'static str {
        self.action.transition().event
    }
}

/// Reads what is under way. In a form that this version does not know it is as if it had not begun: the row says what
/// is to be done.
fn known_or_none<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: DeserializeOwned,
    D: Deserializer<'de>,
{
    let value = Option::<Value>::deserialize(deserializer)?;
    Ok(value.and_then(|value| match T::deserialize(&value) {
        Ok(known) => Some(known),
        Err(error) => {
            tracing::warn!(%error, found = %value, "what another version has written down is left to reconciliation");
            None
        }
    }))
}
