//! A migration: an instance's way from one host to another, with its progress.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    ids::{Incarnation, InstanceUuid, MigrationUuid, TaskId},
    named,
};

named! {
    /// What kind of move it is, under the names that `os-migrations` shows.
    pub enum MigrationKind {
        /// The guest runs on while its memory is copied.
        LiveMigration = "live-migration",
        /// The guest is powered off, and its disks are moved.
        Migration = "migration",
    }
}

named! {
    /// How far a migration is, under Nova's names.
    pub enum MigrationStatus {
        /// Written down by the API, cast to a conductor.
        Accepted = "accepted",
        /// Has its destination and its claim; waits for a free slot on the source.
        Queued = "queued",
        /// The hosts are checked and the destination is made ready.
        Preparing = "preparing",
        /// Cold: has its destination and its claim; the destination is made ready.
        PreMigrating = "pre-migrating",
        /// The source copies.
        Running = "running",
        /// Cold: the source moves the disks.
        Migrating = "migrating",
        /// Live: the guest runs on the destination, and what is left of it on the source is being removed. Cold: the disks are
        /// on the destination, where the guest is made of them.
        Finishing = "post-migrating",
        /// Cold: waits for a person to confirm or revert it.
        Finished = "finished",
        /// Cold: what is left on the source is being removed.
        Confirming = "confirming",
        /// Being undone: after a failure or an abort, before the switch; or because a person has reverted it.
        Reverting = "reverting",
        /// Cold: done, the server is on its destination.
        Confirmed = "confirmed",
        /// Cold: undone because a person asked for it.
        Reverted = "reverted",
        /// Done.
        Completed = "completed",
        /// Aborted by a person; the guest stayed where it was.
        Cancelled = "cancelled",
        /// Could not be done; the guest stayed where it was.
        Error = "error",
    }
}

/// Whose a long task is by its status, as far as its row's `owner` does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A conductor's, the one in `owner`; without one any conductor's that finds it.
    Conductor,
    /// Nobody's: it waits for a free slot on its source.
    Slot,
    /// The source's, which reports how it goes; a conductor's while `owner` names one.
    Host,
    /// Nobody's: it waits for a person.
    Person,
    /// Nobody's: it has ended.
    Nobody,
}

impl MigrationStatus {
    /// Whose a task with this status is.
    #[must_use]
    pub fn holder(self) -> Holder {
        match self {
            Self::Accepted
            | Self::Preparing
            | Self::PreMigrating
            | Self::Finishing
            | Self::Confirming
            | Self::Reverting => Holder::Conductor,
            Self::Queued => Holder::Slot,
            Self::Running | Self::Migrating => Holder::Host,
            Self::Finished => Holder::Person,
            Self::Confirmed | Self::Reverted | Self::Completed | Self::Cancelled | Self::Error => Holder::Nobody,
        }
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_final(self) -> bool {
        self.holder() == Holder::Nobody
    }

    /// The statuses of migrations that have not ended.
    pub fn under_way() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|status| !status.is_final())
    }

    /// The statuses of tasks that are held so.
    pub fn held_by(holder: Holder) -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(move |status| status.holder() == holder)
    }

    /// Whether it counts towards the migrations that a source works on at once.
    #[must_use]
    pub fn holds_slot(self) -> bool {
        matches!(self, Self::Preparing | Self::Running | Self::Finishing | Self::Reverting)
    }

    /// Whether it has not come to the switch: after it the guest runs on the destination.
    #[must_use]
    pub fn can_be_aborted(self) -> bool {
        matches!(self, Self::Accepted | Self::Queued | Self::Preparing | Self::Running)
    }
}

/// How much has been copied. All in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationProgress {
    /// The guest's memory.
    pub memory_total: i64,
    /// Memory copied so far; pages dirtied and copied again count each time.
    pub memory_processed: i64,
    /// Memory still to copy.
    pub memory_remaining: i64,
    /// Disk to copy (block migration).
    pub disk_total: i64,
    /// Disk copied so far.
    pub disk_processed: i64,
    /// Disk still to copy.
    pub disk_remaining: i64,
}

/// A migration as the database knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Migration {
    /// The number in the API's paths.
    pub id: i64,
    /// The id that the API shows from microversion 2.59.
    pub uuid: MigrationUuid,
    /// The instance that moves.
    pub instance: InstanceUuid,
    /// The task id of the operation; the instance's `task_id` while it is under way.
    pub task_id: TaskId,
    /// What kind it is.
    pub kind: MigrationKind,
    /// How far it is.
    pub status: MigrationStatus,
    /// Where the guest was.
    pub source: String,
    /// Where it goes; unknown until the scheduler has chosen.
    pub destination: Option<String>,
    /// The host that the request named, if it named one.
    pub requested_destination: Option<String>,
    /// Whether that host will do whatever the scheduler would say of it.
    pub forced: bool,
    /// Whether disks are copied: `true`, `false`, or `None` for `auto`.
    pub block_migration: Option<bool>,
    /// The conductor that works on it; `None`: the queue, or the source host while `running`.
    pub owner: Option<Incarnation>,
    /// The request that asked for it.
    pub request_id: String,
    /// Who asked.
    pub user_id: Option<String>,
    /// For which project.
    pub project_id: Option<String>,
    /// How much is copied.
    pub progress: MigrationProgress,
    /// Whether it is to be undone as soon as its owner can: set by an abort.
    pub abort_requested: bool,
    /// Why it failed.
    pub error: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}
