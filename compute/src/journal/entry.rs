//! What a host remembers of one instance.

use std::collections::VecDeque;

use jiff::Timestamp;
use novella_common::{
    ids::{MigrationUuid, TaskId},
    lifecycle::Action,
    models::{InstanceSpec, Resources},
    reports::{Fact, OperationProgress},
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
    /// Those of them that were taken over. If the row still asks for one, then by a message that came late, which must not
    /// have the last word.
    #[serde(default)]
    pub(crate) overtaken: VecDeque<TaskId>,
    /// The migration that brings it here, until the conductor has confirmed its arrival.
    #[serde(default, deserialize_with = "known_or_none")]
    pub(crate) incoming: Option<MigrationUuid>,
    /// The newest report, to be sent again if it was not written down.
    pub(crate) last_report: Option<Fact>,
    /// The newest one about a migration: what comes after it about the guest must not be all that is left.
    #[serde(default)]
    pub(crate) last_migration_report: Option<Fact>,
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

    /// Another operation takes over.
    pub(crate) fn overtake(&mut self) {
        if let Some(operation) = &self.operation {
            remember(&mut self.overtaken, operation.task_id);
        }
        self.settle();
    }

    /// The operation is to be done after all, though it was taken over.
    pub(crate) fn revive(&mut self, task_id: TaskId) {
        self.settled.retain(|settled| *settled != task_id);
        self.overtaken.retain(|overtaken| *overtaken != task_id);
    }

    /// Whether the end of this operation is among the reports that can be sent again.
    pub(crate) fn reports_end_of(&self, task_id: TaskId) -> bool {
        let own = |fact: &Fact| match fact {
            Fact::Instance(report) => {
                report.task_id == Some(task_id) && !matches!(report.progress, OperationProgress::Doing { .. })
            }
            Fact::Migration(report) => report.task_id == task_id,
            Fact::Hello(_) | Fact::Alive { .. } | Fact::Goodbye { .. } | Fact::Echo => false,
        };
        self.last_report.iter().chain(&self.last_migration_report).any(own)
    }

    /// The operation is over, or taken over; a message for it that comes again finds it done.
    pub(crate) fn settle(&mut self) {
        if let Some(operation) = self.operation.take() {
            self.remember(operation.task_id);
        }
    }

    /// A message for this operation that comes again finds it done.
    pub(crate) fn remember(&mut self, task_id: TaskId) {
        remember(&mut self.settled, task_id);
    }

    /// What tells this stay of the instance from an earlier or later one on the same host.
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            task: self.operation.as_ref().map(|operation| operation.task_id).or(self.settled.back().copied()),
            incoming: self.incoming,
        }
    }
}

fn remember(tasks: &mut VecDeque<TaskId>, task_id: TaskId) {
    if tasks.contains(&task_id) {
        return;
    }
    if tasks.len() == REMEMBERED {
        tasks.pop_front();
    }
    tasks.push_back(task_id);
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
