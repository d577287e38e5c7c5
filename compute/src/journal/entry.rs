//! What a host remembers of one instance.

use std::collections::VecDeque;

use jiff::Timestamp;
use novella_common::{
    ids::{MigrationUuid, TaskId},
    lifecycle::{Action, TaskState},
    models::{InstanceSpec, Resources},
    reports::Fact,
};
use serde::{Deserialize, Serialize};

use crate::rpcapi::{LiveMigration, MigrateData, RebootType};

/// How many operations that are over a host recognises when their message comes again. A message can only come again
/// while it is unacknowledged, so a few are many.
const REMEMBERED: usize = 8;

/// One instance, as its host remembers it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// What the instance is, while it is here or on its way here; `None` when only the last report is left.
    pub(crate) spec: Option<InstanceSpec>,
    /// What is being done to it.
    pub(crate) operation: Option<Operation>,
    /// Operations that are over or were taken over, oldest first.
    pub(crate) settled: VecDeque<TaskId>,
    /// The migration that brings it here, until the conductor has confirmed its arrival.
    pub(crate) incoming: Option<LiveMigration>,
    /// The newest report, to be sent again if it was not written down.
    pub(crate) last_report: Option<Fact>,
}

/// An operation under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Operation {
    pub(crate) task_id: TaskId,
    pub(crate) request_id: Option<String>,
    pub(crate) work: Work,
    pub(crate) started: Timestamp,
}

/// What can be done to an instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Work {
    Build,
    Stop,
    Start,
    Reboot(RebootType),
    Pause,
    Unpause,
    Suspend,
    Resume,
    Terminate,
    LiveMigration(Box<Departure>),
}

/// A live migration that leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Departure {
    pub(crate) migration: LiveMigration,
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
            incoming: self.incoming.as_ref().map(|migration| migration.migration),
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
    pub(crate) fn new(task_id: TaskId, request_id: Option<String>, work: Work) -> Self {
        Self { task_id, request_id, work, started: Timestamp::now() }
    }
}

impl Work {
    /// The event's name in the instance action, which is Nova's name for the manager's method.
    pub(crate) fn event(&self) -> &'static str {
        match self {
            Self::Build => "compute__do_build_and_run_instance",
            Self::Stop => "compute_stop_instance",
            Self::Start => "compute_start_instance",
            Self::Reboot(_) => "compute_reboot_instance",
            Self::Pause => "compute_pause_instance",
            Self::Unpause => "compute_unpause_instance",
            Self::Suspend => "compute_suspend_instance",
            Self::Resume => "compute_resume_instance",
            Self::Terminate => "compute_terminate_instance",
            Self::LiveMigration(_) => "compute_live_migration",
        }
    }

    /// The row of the lifecycle's table that it is.
    pub(crate) fn action(&self) -> Action {
        match self {
            Self::Build => Action::Create,
            Self::Stop => Action::Stop,
            Self::Start => Action::Start,
            Self::Reboot(RebootType::Soft) => Action::RebootSoft,
            Self::Reboot(RebootType::Hard) => Action::RebootHard,
            Self::Pause => Action::Pause,
            Self::Unpause => Action::Unpause,
            Self::Suspend => Action::Suspend,
            Self::Resume => Action::Resume,
            Self::Terminate => Action::Delete,
            Self::LiveMigration(_) => Action::LiveMigrate,
        }
    }

    /// Whether it goes ahead of what is under way instead of waiting for it: the table lets it begin during other
    /// operations.
    pub(crate) fn takes_over(&self) -> bool {
        matches!(self, Self::Build | Self::Terminate | Self::Reboot(RebootType::Hard))
    }

    /// The power operation or deletion that a `task_state` stands for, for a host that never heard of it; `None` for
    /// builds and migrations, of which the row does not say enough.
    pub(crate) fn of_task_state(task_state: TaskState) -> Option<Self> {
        match task_state {
            TaskState::PoweringOff => Some(Self::Stop),
            TaskState::PoweringOn => Some(Self::Start),
            TaskState::Rebooting | TaskState::RebootStarted => Some(Self::Reboot(RebootType::Soft)),
            TaskState::RebootingHard | TaskState::RebootStartedHard => Some(Self::Reboot(RebootType::Hard)),
            TaskState::Pausing => Some(Self::Pause),
            TaskState::Unpausing => Some(Self::Unpause),
            TaskState::Suspending => Some(Self::Suspend),
            TaskState::Resuming => Some(Self::Resume),
            TaskState::Deleting => Some(Self::Terminate),
            TaskState::Scheduling
            | TaskState::BlockDeviceMapping
            | TaskState::Networking
            | TaskState::Spawning
            | TaskState::Migrating => None,
        }
    }
}
