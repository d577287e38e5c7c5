//! The table of allowed transitions, and the two questions that are asked of it: may this begin, and what does the
//! API show.

use std::fmt;

use super::{PowerState, TaskState, VmState};

/// Something that can be asked of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// `POST /servers`.
    Create,
    /// `DELETE /servers/{id}`.
    Delete,
    /// `os-stop`.
    Stop,
    /// `os-start`.
    Start,
    /// `reboot` with type SOFT.
    RebootSoft,
    /// `reboot` with type HARD.
    RebootHard,
    /// `pause`.
    Pause,
    /// `unpause`.
    Unpause,
    /// `suspend`.
    Suspend,
    /// `resume`.
    Resume,
    /// `os-migrateLive`.
    LiveMigrate,
}

impl Action {
    /// Every action.
    pub const ALL: &'static [Self] = &[
        Self::Create,
        Self::Delete,
        Self::Stop,
        Self::Start,
        Self::RebootSoft,
        Self::RebootHard,
        Self::Pause,
        Self::Unpause,
        Self::Suspend,
        Self::Resume,
        Self::LiveMigrate,
    ];

    /// Its row of the table.
    #[must_use]
    pub fn transition(self) -> &'static Transition {
        // One row for each variant, in the order of `ALL`: the property test holds the table to it.
        &TABLE[self as usize]
    }
}

/// Which operations may be under way when an action begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tasks {
    /// None.
    Idle,
    /// Any: the new one takes over.
    Any,
    /// None, or one of these.
    IdleOr(&'static [TaskState]),
}

/// What an action ends in when it goes well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// In this state, with the guest doing this.
    State(VmState, PowerState),
    /// In the state it began in.
    Unchanged,
}

/// One row of the table.
#[derive(Debug)]
pub struct Transition {
    /// What is asked for.
    pub action: Action,
    /// The word for it in errors (`Cannot 'stop' instance ...`), as in Nova.
    pub verb: &'static str,
    /// The word for it in instance actions.
    pub instance_action: &'static str,
    /// The states it may begin in. Empty for `Create`, which begins with nothing.
    pub from: &'static [VmState],
    /// The operations that may be under way.
    pub tasks: Tasks,
    /// The task states it passes through; the API writes the first.
    pub during: &'static [TaskState],
    /// What it ends in.
    pub ends: Ending,
    /// Whether the instance must be on a host.
    pub needs_host: bool,
}

impl Transition {
    /// The task state that the API writes when it accepts the action.
    #[must_use]
    pub fn first_task(&self) -> TaskState {
        self.during[0]
    }
}

use TaskState as T;
use VmState as V;

static TABLE: [Transition; 11] = [
    Transition {
        action: Action::Create,
        verb: "create",
        instance_action: "create",
        from: &[],
        tasks: Tasks::Idle,
        during: &[T::Scheduling, T::Networking, T::BlockDeviceMapping, T::Spawning],
        ends: Ending::State(V::Active, PowerState::Running),
        needs_host: false,
    },
    Transition {
        action: Action::Delete,
        verb: "delete",
        instance_action: "delete",
        from: &[V::Building, V::Active, V::Paused, V::Suspended, V::Stopped, V::Error],
        tasks: Tasks::Any,
        during: &[T::Deleting],
        ends: Ending::State(V::Deleted, PowerState::NoState),
        needs_host: false,
    },
    Transition {
        action: Action::Stop,
        verb: "stop",
        instance_action: "stop",
        from: &[V::Active, V::Error],
        tasks: Tasks::Idle,
        during: &[T::PoweringOff],
        ends: Ending::State(V::Stopped, PowerState::Shutdown),
        needs_host: true,
    },
    Transition {
        action: Action::Start,
        verb: "start",
        instance_action: "start",
        from: &[V::Stopped],
        tasks: Tasks::Idle,
        during: &[T::PoweringOn],
        ends: Ending::State(V::Active, PowerState::Running),
        needs_host: true,
    },
    Transition {
        action: Action::RebootSoft,
        verb: "reboot",
        instance_action: "reboot",
        from: &[V::Active],
        tasks: Tasks::Idle,
        during: &[T::Rebooting, T::RebootStarted],
        ends: Ending::State(V::Active, PowerState::Running),
        needs_host: true,
    },
    Transition {
        action: Action::RebootHard,
        verb: "reboot",
        instance_action: "reboot",
        from: &[V::Active, V::Stopped, V::Paused, V::Suspended, V::Error],
        tasks: Tasks::IdleOr(&[
            T::Rebooting,
            T::RebootStarted,
            T::RebootingHard,
            T::Resuming,
            T::Pausing,
            T::Unpausing,
            T::Suspending,
        ]),
        during: &[T::RebootingHard, T::RebootStartedHard],
        ends: Ending::State(V::Active, PowerState::Running),
        needs_host: true,
    },
    Transition {
        action: Action::Pause,
        verb: "pause",
        instance_action: "pause",
        from: &[V::Active],
        tasks: Tasks::Idle,
        during: &[T::Pausing],
        ends: Ending::State(V::Paused, PowerState::Paused),
        needs_host: true,
    },
    Transition {
        action: Action::Unpause,
        verb: "unpause",
        instance_action: "unpause",
        from: &[V::Paused],
        tasks: Tasks::Idle,
        during: &[T::Unpausing],
        ends: Ending::State(V::Active, PowerState::Running),
        needs_host: true,
    },
    Transition {
        action: Action::Suspend,
        verb: "suspend",
        instance_action: "suspend",
        from: &[V::Active],
        tasks: Tasks::Idle,
        during: &[T::Suspending],
        ends: Ending::State(V::Suspended, PowerState::Shutdown),
        needs_host: true,
    },
    Transition {
        action: Action::Resume,
        verb: "resume",
        instance_action: "resume",
        from: &[V::Suspended],
        tasks: Tasks::Idle,
        during: &[T::Resuming],
        ends: Ending::State(V::Active, PowerState::Running),
        needs_host: true,
    },
    Transition {
        action: Action::LiveMigrate,
        verb: "os-migrateLive",
        instance_action: "live-migration",
        from: &[V::Active, V::Paused],
        tasks: Tasks::Idle,
        during: &[T::Migrating],
        ends: Ending::Unchanged,
        needs_host: true,
    },
];

/// Why an action may not begin. The API answers 409 with this text, which is Nova's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// Not in this `vm_state`.
    VmState(VmState),
    /// Not while this is under way.
    TaskState(TaskState),
    /// Not before it is on a host.
    NoHost,
}

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VmState(state) => write!(f, "vm_state {state}"),
            Self::TaskState(state) => write!(f, "task_state {state}"),
            Self::NoHost => f.write_str("a state without a host"),
        }
    }
}

/// Whether `action` may begin on an instance in these states.
///
/// # Errors
/// What stands in the way.
pub fn check(
    action: Action,
    vm_state: VmState,
    task_state: Option<TaskState>,
    has_host: bool,
) -> Result<&'static Transition, NotAllowed> {
    let transition = action.transition();
    if !transition.from.contains(&vm_state) {
        return Err(NotAllowed::VmState(vm_state));
    }
    if let Some(task) = task_state {
        let allowed = match transition.tasks {
            Tasks::Idle => false,
            Tasks::Any => true,
            Tasks::IdleOr(tasks) => tasks.contains(&task),
        };
        if !allowed {
            return Err(NotAllowed::TaskState(task));
        }
    }
    if transition.needs_host && !has_host {
        return Err(NotAllowed::NoHost);
    }
    Ok(transition)
}

/// The `status` that the API shows for these states (nova/api/openstack/common.py).
#[must_use]
pub fn server_status(vm_state: VmState, task_state: Option<TaskState>) -> &'static str {
    match (vm_state, task_state) {
        (V::Active, Some(T::Rebooting | T::RebootStarted)) => "REBOOT",
        (V::Active, Some(T::RebootingHard | T::RebootStartedHard)) => "HARD_REBOOT",
        (V::Active | V::Paused, Some(T::Migrating)) => "MIGRATING",
        (V::Active, _) => "ACTIVE",
        (V::Building, _) => "BUILD",
        (V::Stopped, _) => "SHUTOFF",
        (V::Paused, _) => "PAUSED",
        (V::Suspended, _) => "SUSPENDED",
        (V::Error, _) => "ERROR",
        (V::Deleted, _) => "DELETED",
    }
}
