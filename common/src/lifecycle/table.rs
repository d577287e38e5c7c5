//! The table of actions: one row says of an action all that follows from its kind, for the API, the host and the
//! conductor.

use std::fmt;

use novella_messaging::{Version, contract::NamesMethod};
use serde::{Deserialize, Serialize};

use super::{Keeper, PowerState, TaskState, VmState};

macro_rules! actions {
    ($($name:ident,)*) => {
        /// Something that can be asked of an instance. Its serialised name is kept in journals.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[allow(missing_docs, reason = "the rows of the table say what each is")]
        pub enum Action { $($name,)* }

        impl Action {
            /// Every action.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

actions! {
    Create,
    Delete,
    Stop,
    Start,
    RebootSoft,
    RebootHard,
    Pause,
    Unpause,
    Suspend,
    Resume,
    TriggerCrashDump,
    ChangePassword,
    SoftDelete,
    Restore,
    LiveMigrate,
    Migrate,
    ConfirmResize,
    RevertResize,
}

impl Action {
    /// Its row of the table.
    #[must_use]
    pub fn transition(self) -> &'static Transition {
        // One row for each variant, in the order of `ALL`: the property test holds the table to it.
        &TABLE[self as usize]
    }

    /// The action that a `task_state` belongs to.
    #[must_use]
    pub fn of(task_state: TaskState) -> Self {
        // Each state belongs to an action: a test holds the table to it.
        TABLE.iter().find(|row| row.during.contains(&task_state)).map_or(Self::Create, |row| row.action)
    }

    /// The action that a host does alone and that a `task_state` stands for: what a host does that finds the state in
    /// its row and never got the message. `None` for states of which the row does not say enough.
    #[must_use]
    pub fn on_host_of(task_state: TaskState) -> Option<Self> {
        let row = TABLE.iter().find(|row| row.on_host && row.during.contains(&task_state))?;
        Some(row.action)
    }
}

/// Whether a `task_state` is one of a long task: it ends when a conductor says so, whatever the hosts report.
#[must_use]
pub fn is_long_task(task_state: TaskState) -> bool {
    task_state.keeper() == Keeper::LongTask
}

/// The message that tells a host to do an action has Nova's name for the method that does it.
impl NamesMethod for Action {
    fn method(&self) -> &'static str {
        self.transition().method()
    }

    fn since(&self) -> Version {
        Version::new(1, self.transition().since)
    }

    fn is_method(name: &str) -> bool {
        TABLE.iter().any(|row| row.on_host && row.method() == name)
    }
}

/// Which operations may be under way when an action begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tasks {
    /// None.
    Idle,
    /// Any: the new one takes over.
    Any,
    /// None, or one of these, which the new one takes over.
    IdleOr(&'static [TaskState]),
}

/// What an action ends in when it goes well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// In this state, with the guest doing this.
    State(VmState, PowerState),
    /// In this state, with the guest as before.
    SamePower(VmState),
    /// Active or stopped, as the guest runs or not.
    ByPower,
    /// In the state it began in.
    Unchanged,
}

/// One row of the table.
#[derive(Debug)]
pub struct Transition {
    /// Whose row it is.
    pub action: Action,
    /// The name in `POST /servers/{id}/action`.
    pub rest: &'static str,
    /// The word for it in errors (`Cannot 'stop' instance ...`), as in Nova.
    pub verb: &'static str,
    /// The word for it in instance actions.
    pub instance_action: &'static str,
    /// The event in the instance action: Nova's name for the service and the method that does it.
    pub event: &'static str,
    /// The states it may begin in. Empty for `Create`, which begins with nothing.
    pub from: &'static [VmState],
    /// The operations that may be under way.
    pub tasks: Tasks,
    /// The task states it passes through. The API writes the first; a host that does the action reports the others.
    pub during: &'static [TaskState],
    /// What it ends in.
    pub ends: Ending,
    /// What it ends in when it fails; `None`: as before.
    pub fails: Option<VmState>,
    /// Whether the instance must be on a host.
    pub needs_host: bool,
    /// Whether the instance's host does it alone, told by one message.
    pub on_host: bool,
    /// Of an action that a host does alone: the minor version of the contract `Compute` that came with it.
    pub since: u32,
}

impl Transition {
    /// The task state that the API writes when it accepts the action.
    #[must_use]
    pub fn first_task(&self) -> TaskState {
        self.during[0]
    }

    /// The method that does it, as messages and logs name it.
    #[must_use]
    pub fn method(&self) -> &'static str {
        self.event.strip_prefix("compute_").unwrap_or(self.event)
    }

    /// Whether it takes over an operation that is under way, in place of waiting for it.
    #[must_use]
    pub fn takes_over(&self) -> bool {
        self.tasks != Tasks::Idle
    }

    /// Whether nothing is left of the instance when it has gone well.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self.ends, Ending::State(VmState::Deleted, _))
    }

    /// An action that a host does alone, under one name everywhere.
    const fn on_host(action: Action, name: &'static str, event: &'static str) -> Self {
        Self {
            action,
            rest: name,
            verb: name,
            instance_action: name,
            event,
            from: &[],
            tasks: Tasks::Idle,
            during: &[],
            ends: Ending::Unchanged,
            fails: None,
            needs_host: true,
            on_host: true,
            since: 0,
        }
    }

    /// An action that others than the host have a part in.
    const fn of_several(action: Action, name: &'static str, event: &'static str) -> Self {
        Self { on_host: false, ..Self::on_host(action, name, event) }
    }

    const fn rest(self, rest: &'static str) -> Self {
        Self { rest, ..self }
    }

    const fn verb(self, verb: &'static str) -> Self {
        Self { verb, ..self }
    }

    const fn from(self, from: &'static [VmState]) -> Self {
        Self { from, ..self }
    }

    const fn tasks(self, tasks: Tasks) -> Self {
        Self { tasks, ..self }
    }

    const fn during(self, during: &'static [TaskState]) -> Self {
        Self { during, ..self }
    }

    const fn ends(self, vm_state: VmState, power_state: PowerState) -> Self {
        Self { ends: Ending::State(vm_state, power_state), ..self }
    }

    const fn ending(self, ends: Ending) -> Self {
        Self { ends, ..self }
    }

    const fn fails(self, vm_state: VmState) -> Self {
        Self { fails: Some(vm_state), ..self }
    }

    const fn without_host(self) -> Self {
        Self { needs_host: false, ..self }
    }

    const fn since(self, since: u32) -> Self {
        Self { since, ..self }
    }
}

use PowerState as P;
use TaskState as T;
use VmState as V;

static TABLE: [Transition; Action::ALL.len()] = [
    Transition::of_several(Action::Create, "create", "compute__do_build_and_run_instance")
        .during(&[T::Scheduling, T::Networking, T::BlockDeviceMapping, T::Spawning])
        .ends(V::Active, P::Running)
        .without_host(),
    Transition::on_host(Action::Delete, "delete", "compute_terminate_instance")
        .from(&[V::Building, V::Active, V::Paused, V::Suspended, V::Stopped, V::Resized, V::SoftDeleted, V::Error])
        .tasks(Tasks::Any)
        .during(&[T::Deleting])
        .ends(V::Deleted, P::NoState)
        .fails(V::Error)
        .without_host(),
    Transition::on_host(Action::Stop, "stop", "compute_stop_instance")
        .rest("os-stop")
        .from(&[V::Active, V::Error])
        .during(&[T::PoweringOff])
        .ends(V::Stopped, P::Shutdown),
    Transition::on_host(Action::Start, "start", "compute_start_instance")
        .rest("os-start")
        .from(&[V::Stopped])
        .during(&[T::PoweringOn])
        .ends(V::Active, P::Running),
    Transition::on_host(Action::RebootSoft, "reboot", "compute_reboot_instance")
        .from(&[V::Active])
        .during(&[T::Rebooting, T::RebootStarted])
        .ends(V::Active, P::Running),
    // As in Nova, the last resort: when it fails the instance is in error.
    Transition::on_host(Action::RebootHard, "reboot", "compute_reboot_instance")
        .from(&[V::Active, V::Stopped, V::Paused, V::Suspended, V::Error])
        .tasks(Tasks::IdleOr(&[
            T::Rebooting,
            T::RebootStarted,
            T::RebootingHard,
            T::Resuming,
            T::Pausing,
            T::Unpausing,
            T::Suspending,
        ]))
        .during(&[T::RebootingHard, T::RebootStartedHard])
        .ends(V::Active, P::Running)
        .fails(V::Error),
    Transition::on_host(Action::Pause, "pause", "compute_pause_instance")
        .from(&[V::Active])
        .during(&[T::Pausing])
        .ends(V::Paused, P::Paused),
    Transition::on_host(Action::Unpause, "unpause", "compute_unpause_instance")
        .from(&[V::Paused])
        .during(&[T::Unpausing])
        .ends(V::Active, P::Running),
    Transition::on_host(Action::Suspend, "suspend", "compute_suspend_instance")
        .from(&[V::Active])
        .during(&[T::Suspending])
        .ends(V::Suspended, P::Shutdown),
    Transition::on_host(Action::Resume, "resume", "compute_resume_instance")
        .from(&[V::Suspended])
        .during(&[T::Resuming])
        .ends(V::Active, P::Running),
    Transition::on_host(Action::TriggerCrashDump, "trigger_crash_dump", "compute_trigger_crash_dump")
        .from(&[V::Active, V::Paused, V::Resized, V::Error])
        .during(&[T::TriggeringCrashDump])
        .since(1),
    Transition::on_host(Action::ChangePassword, "changePassword", "compute_set_admin_password")
        .from(&[V::Active])
        .during(&[T::UpdatingPassword])
        .since(4),
    Transition::on_host(Action::SoftDelete, "delete", "compute_soft_delete_instance")
        .from(&[V::Active, V::Paused, V::Suspended, V::Stopped, V::Error])
        .during(&[T::SoftDeleting])
        .ends(V::SoftDeleted, P::Shutdown)
        .since(4),
    Transition::on_host(Action::Restore, "restore", "compute_restore_instance")
        .from(&[V::SoftDeleted])
        .during(&[T::Restoring])
        .ends(V::Active, P::Running)
        .since(4),
    Transition::of_several(Action::LiveMigrate, "live-migration", "compute_live_migration")
        .rest("os-migrateLive")
        .verb("os-migrateLive")
        .from(&[V::Active, V::Paused])
        .during(&[T::Migrating]),
    Transition::of_several(Action::Migrate, "migrate", "conductor_migrate_server")
        .from(&[V::Active, V::Stopped])
        .during(&[T::ResizePrep, T::ResizeMigrating, T::ResizeMigrated, T::ResizeFinish])
        .ending(Ending::SamePower(V::Resized)),
    Transition::of_several(Action::ConfirmResize, "confirmResize", "compute_confirm_resize")
        .from(&[V::Resized])
        .during(&[T::ResizeConfirming])
        .ending(Ending::ByPower),
    Transition::of_several(Action::RevertResize, "revertResize", "compute_revert_resize")
        .from(&[V::Resized])
        .during(&[T::ResizeReverting])
        .ending(Ending::ByPower),
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
        (V::Active, Some(T::UpdatingPassword)) => "PASSWORD",
        (V::Active | V::Paused, Some(T::Migrating)) => "MIGRATING",
        (V::Active | V::Stopped, Some(T::ResizePrep | T::ResizeMigrating | T::ResizeMigrated | T::ResizeFinish)) => {
            "RESIZE"
        }
        (V::Resized, Some(T::ResizeReverting)) => "REVERT_RESIZE",
        (V::Resized, _) => "VERIFY_RESIZE",
        (V::Active, _) => "ACTIVE",
        (V::Building, _) => "BUILD",
        (V::Stopped, _) => "SHUTOFF",
        (V::Paused, _) => "PAUSED",
        (V::Suspended, _) => "SUSPENDED",
        (V::SoftDeleted, _) => "SOFT_DELETED",
        (V::Error, _) => "ERROR",
        (V::Deleted, _) => "DELETED",
    }
}
