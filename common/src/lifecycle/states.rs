//! The three states of an instance, under Nova's names.

use serde::{Deserialize, Serialize};

use crate::named;

named! {
    /// What the instance is, as far as users are concerned, when nothing is being done to it.
    pub enum VmState {
        /// Not built yet.
        Building = "building",
        /// Running.
        Active = "active",
        /// Paused in memory.
        Paused = "paused",
        /// Saved to disk.
        Suspended = "suspended",
        /// On another host, until a person confirms or reverts that.
        Resized = "resized",
        /// Powered off.
        Stopped = "stopped",
        /// Powered off, and to be deleted after a while; until then it can be brought back.
        SoftDeleted = "soft-delete",
        /// Something went wrong; the fault says what.
        Error = "error",
        /// Gone.
        Deleted = "deleted",
    }
}

named! {
    /// What is being done to the instance.
    pub enum TaskState {
        /// A host is being chosen.
        Scheduling = "scheduling",
        /// A host has been chosen and prepares disks.
        BlockDeviceMapping = "block_device_mapping",
        /// A host prepares networks.
        Networking = "networking",
        /// The guest is being started for the first time.
        Spawning = "spawning",
        /// A soft reboot was asked for.
        Rebooting = "rebooting",
        /// A soft reboot is under way on the host.
        RebootStarted = "reboot_started",
        /// A hard reboot was asked for.
        RebootingHard = "rebooting_hard",
        /// A hard reboot is under way on the host.
        RebootStartedHard = "reboot_started_hard",
        /// Being powered off.
        PoweringOff = "powering-off",
        /// Being powered on.
        PoweringOn = "powering-on",
        /// Being paused.
        Pausing = "pausing",
        /// Being unpaused.
        Unpausing = "unpausing",
        /// Being saved to disk.
        Suspending = "suspending",
        /// Being brought back from disk.
        Resuming = "resuming",
        /// A crash dump is being triggered. The API shows no task: Nova has no state for it.
        TriggeringCrashDump = "triggering_crash_dump",
        /// The administrator's password in it is being set.
        UpdatingPassword = "updating_password",
        /// Being moved to another host while it runs.
        Migrating = "migrating",
        /// A cold migration or resize was asked for; a destination is chosen and made ready.
        ResizePrep = "resize_prep",
        /// Powered off, its disks on their way.
        ResizeMigrating = "resize_migrating",
        /// Its disks are on the destination.
        ResizeMigrated = "resize_migrated",
        /// Being started on the destination.
        ResizeFinish = "resize_finish",
        /// Being confirmed on its new host. The API shows no task, as Nova.
        ResizeConfirming = "resize_confirming",
        /// Being brought back to its old host.
        ResizeReverting = "resize_reverting",
        /// Being powered off, to be deleted after a while.
        SoftDeleting = "soft-deleting",
        /// Being brought back.
        Restoring = "restoring",
        /// Being deleted.
        Deleting = "deleting",
    }
}

/// Who brings an operation to its end by its task state, and so who is to be looked for when nobody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// A build's: a scheduler while the row names none or an owner, then the host.
    Build,
    /// The instance's host, alone.
    Host,
    /// The long task in whose row in `migrations` the operation is.
    LongTask,
}

impl TaskState {
    /// Who brings an operation in this state to its end. A new state can't be forgotten here, and whoever searches for
    /// work that nobody does goes by it.
    #[must_use]
    pub fn keeper(self) -> Keeper {
        match self {
            Self::Scheduling | Self::Networking | Self::BlockDeviceMapping | Self::Spawning => Keeper::Build,
            Self::Rebooting
            | Self::RebootStarted
            | Self::RebootingHard
            | Self::RebootStartedHard
            | Self::PoweringOff
            | Self::PoweringOn
            | Self::Pausing
            | Self::Unpausing
            | Self::Suspending
            | Self::Resuming
            | Self::TriggeringCrashDump
            | Self::UpdatingPassword
            | Self::SoftDeleting
            | Self::Restoring
            | Self::Deleting => Keeper::Host,
            Self::Migrating
            | Self::ResizePrep
            | Self::ResizeMigrating
            | Self::ResizeMigrated
            | Self::ResizeFinish
            | Self::ResizeConfirming
            | Self::ResizeReverting => Keeper::LongTask,
        }
    }

    /// Those that this one brings to their end.
    pub fn kept_by(keeper: Keeper) -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(move |state| state.keeper() == keeper)
    }

    /// The name that the API shows; `None` for a state that Nova does not show.
    #[must_use]
    pub fn shown(self) -> Option<&'static str> {
        (!matches!(self, Self::TriggeringCrashDump | Self::ResizeConfirming)).then(|| self.as_str())
    }

    /// Those of a build, from the choice of a host to the guest's first start.
    pub const BUILD: [Self; 4] = [Self::Scheduling, Self::Networking, Self::BlockDeviceMapping, Self::Spawning];
}

/// What the guest does, as its host sees it. Numbers as in Nova (nova/compute/power_state.py).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub enum PowerState {
    /// Unknown: there is no guest yet.
    NoState,
    /// Runs.
    Running,
    /// Paused.
    Paused,
    /// Powered off.
    Shutdown,
    /// Died of itself.
    Crashed,
    /// Saved to disk.
    Suspended,
}

impl PowerState {
    /// The number in the API and in the database.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::NoState => 0,
            Self::Running => 1,
            Self::Paused => 3,
            Self::Shutdown => 4,
            Self::Crashed => 6,
            Self::Suspended => 7,
        }
    }
}

/// The name that Nova has for it (nova/compute/power_state.py).
impl std::fmt::Display for PowerState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoState => "pending",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Shutdown => "shutdown",
            Self::Crashed => "crashed",
            Self::Suspended => "suspended",
        })
    }
}

impl From<PowerState> for i64 {
    fn from(state: PowerState) -> i64 {
        state.number()
    }
}

impl TryFrom<i64> for PowerState {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        [Self::NoState, Self::Running, Self::Paused, Self::Shutdown, Self::Crashed, Self::Suspended]
            .into_iter()
            .find(|state| state.number() == number)
            .ok_or_else(|| format!("unknown power state {number}"))
    }
}
