//! What others may ask of a compute host.
//!
//! | contracts | version | change |
//! | --- | --- | --- |
//! | those of topic `compute` | 1.0 | first version |
//! | | 1.1 | action `trigger_crash_dump` |
//! | | 1.2 | cold migration |
//! | | 1.3 | `get_diagnostics` |
//! | | 1.4 | actions `changePassword`, `restore`, and the deletion that can be undone |
//! | | 1.5 | `attach_interface`, `detach_interface` |
//! | [`ComputeControl`] | 1.0 | first version |
//! | | 2.0 | `list_instances`, `Reconciliation::desired`; the server's name has the host's identity in it |
//!
//! [`Compute`], [`ComputeLiveMigration`] and [`ComputeMigration`] share the topic `compute` and its version, and are apart so that each is
//! implemented in the file that does its work. They are served only after a conductor has reconciled the host: until
//! then messages wait in their queue. [`ComputeControl`] is served from the start, on a topic of its own, so that the
//! reconciling call never waits behind the work it is to release. There a host is addressed by its name and its identity
//! ([`control_server`]), so that no other machine under the same name gets what is meant for it.

use std::fmt;

use novella_common::{
    RequestContext,
    ids::{HostIdentity, Incarnation, InstanceUuid, MigrationUuid, TaskId},
    lifecycle::{Action, PowerState, TaskState, VmState},
    models::{InstanceSpec, Vif},
};
use novella_messaging::{RpcError, contract};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Names the operation that a message starts: which instance, and under which task id.
///
/// A host that has already done the task, or does it, does nothing on a second delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationId {
    /// The instance to work on.
    pub instance: InstanceUuid,
    /// The operation; written into the instance's row before the message was sent.
    pub task_id: TaskId,
}

/// What an action takes beside the instance. Each action that takes something has a type of its own for it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActionArguments(Value);

/// There can be a password in them.
impl fmt::Debug for ActionArguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_null() { "ActionArguments(none)" } else { "ActionArguments(..)" })
    }
}

/// What [`Action::ChangePassword`] takes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPassword {
    /// The administrator's new password.
    pub admin_password: String,
}

impl ActionArguments {
    /// Writes them.
    ///
    /// # Errors
    /// They can't be written as JSON.
    pub fn of<T: Serialize>(arguments: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_value(arguments).map(Self)
    }

    /// Reads them.
    ///
    /// # Errors
    /// They are another action's, or were lost: an action that is done because its row asks for it has none.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ComputeError> {
        T::deserialize(&self.0)
            .map_err(|error| ComputeError::Failed { message: format!("the action's arguments are not valid: {error}") })
    }
}

/// A build: what to run, under which attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildRequest {
    /// What to run.
    pub spec: InstanceSpec,
    /// This attempt; another attempt for the same instance has another id.
    pub task_id: TaskId,
}

/// A migration, as its two hosts must know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationSpec {
    /// Which migration.
    pub migration: MigrationUuid,
    /// The operation on the instance.
    pub task_id: TaskId,
    /// What moves.
    pub spec: InstanceSpec,
    /// The state the instance is in and returns to: `active` or `paused`.
    pub vm_state: VmState,
    /// From where.
    pub source: String,
    /// To where.
    pub destination: String,
    /// Whether disks are copied; `None`: the hosts decide by whether they share storage.
    pub block_migration: Option<bool>,
}

impl MigrationSpec {
    /// Whether the guest runs where it is, and will run again.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.vm_state == VmState::Active
    }
}

/// What a driver on the one host must tell the driver on the other; opaque to all between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MigrateData(pub Value);

/// What a conductor says a host should hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reconciliation {
    /// The instances whose rows name this host.
    pub desired: Vec<DesiredInstance>,
    /// Of the instances that the host said it holds: those that are none of its business, to be cleared away.
    pub remove: Vec<InstanceUuid>,
    /// The run of the host that is written down. Only a host that this is has been heard, and may stop to say hello. `None`:
    /// the conductor does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<Incarnation>,
}

/// One instance that a host should hold, as its row says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DesiredInstance {
    /// What to run.
    pub spec: InstanceSpec,
    /// The row's `vm_state`.
    pub vm_state: VmState,
    /// The row's `power_state`.
    pub power_state: PowerState,
    /// The operation that the row says is under way on the host: to be taken up if the host does not know it.
    pub task: Option<(TaskState, TaskId)>,
    /// The request that asked for that operation.
    pub request_id: Option<String>,
    /// The last report that was written down; newer ones in the journal are to be sent again.
    pub report_seq: i64,
}

/// What a hypervisor says of a guest that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostics {
    /// What it does.
    pub power_state: PowerState,
    /// The kind of hypervisor: `fake`.
    pub hypervisor: String,
    /// Seconds since it booted; `None` while it does not run.
    pub uptime_seconds: Option<i64>,
    /// Nanoseconds that each of its vCPUs has worked.
    pub cpu_time_ns: Vec<i64>,
    /// Its memory, in MiB.
    pub memory_mb: i64,
    /// How many disks it has.
    pub disks: u32,
    /// How many network interfaces it has.
    pub nics: u32,
}

/// How a host refuses or fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each field stands in its error's text")]
pub enum ComputeError {
    /// The host does not hold the instance.
    #[error("Instance {instance} could not be found on host {host}.")]
    InstanceNotFound { instance: InstanceUuid, host: String },
    /// The host has no room.
    #[error("Insufficient compute resources on host {host}: {reason}.")]
    ComputeResourcesUnavailable { host: String, reason: String },
    /// The check before a migration says no.
    #[error("Migration pre-check error: {reason}")]
    MigrationPreCheckError { reason: String },
    /// A rollback was asked of a destination on which the guest already runs: the migration has succeeded.
    #[error("Instance {instance} already runs on host {host}: its migration can no longer be undone.")]
    GuestRunsHere { instance: InstanceUuid, host: String },
    /// A rollback was asked of a source that has told the destination to run the guest, before the destination has said
    /// that it does not: only the destination knows where the guest runs.
    #[error("Instance {instance} is held on host {host} until the destination says that it does not run it.")]
    GuestHeld { instance: InstanceUuid, host: String },
    /// The instance is not in a state for this on the host.
    #[error("Instance {instance} on host {host}: {reason}.")]
    InvalidState { instance: InstanceUuid, host: String, reason: String },
    /// The hypervisor, or the host's disk, failed.
    #[error("{message}")]
    Failed { message: String },
}

impl RpcError for ComputeError {
    const MODULE: &'static str = "novella.compute";
}

/// What others may ask of a compute host.
#[contract(topic = "compute", version = "1.5")]
pub trait Compute {
    /// Take over the build of an instance. Answers as soon as the host has written down that it owns the build; the
    /// rest follows in reports.
    #[rpc(call, timeout_seconds = 10)]
    async fn build_and_run_instance(&self, ctx: RequestContext, build: BuildRequest) -> Result<(), ComputeError>;

    /// Do what the instance's host can do alone: stop, suspend, delete, ... The message is named as the action's row in
    /// the [table](Action::transition) says (`stop_instance`), and needs the version that the row names.
    #[rpc(cast, named_by = action)]
    async fn perform_action(
        &self,
        ctx: RequestContext,
        operation: OperationId,
        action: Action,
        arguments: ActionArguments,
    ) -> Result<(), ComputeError>;

    /// The guest's console, its last `tail_length` lines or all that is kept. Asked for by somebody who waits: see
    /// `api.request_timeout`.
    #[rpc(call, timeout_seconds = 10)]
    async fn get_console_output(
        &self,
        ctx: RequestContext,
        instance: InstanceUuid,
        tail_length: Option<usize>,
    ) -> Result<String, ComputeError>;

    /// What the hypervisor says of the guest.
    #[rpc(call, timeout_seconds = 30, since = "1.3")]
    async fn get_diagnostics(&self, ctx: RequestContext, instance: InstanceUuid) -> Result<Diagnostics, ComputeError>;

    /// Give the guest this interface, if it does not have it yet.
    #[rpc(call, timeout_seconds = 30, since = "1.5")]
    async fn attach_interface(&self, ctx: RequestContext, instance: InstanceUuid, vif: Vif)
    -> Result<(), ComputeError>;

    /// Take the interface with this port from the guest, if it has it.
    #[rpc(call, timeout_seconds = 30, since = "1.5")]
    async fn detach_interface(
        &self,
        ctx: RequestContext,
        instance: InstanceUuid,
        port_id: String,
    ) -> Result<(), ComputeError>;

    /// How long the host has been up, in the form of the command `uptime`.
    #[rpc(call, timeout_seconds = 10)]
    async fn get_host_uptime(&self, ctx: RequestContext) -> Result<String, ComputeError>;
}

/// The steps of a live migration, on the same topic: a conductor drives them.
#[contract(topic = "compute", version = "1.5")]
pub trait ComputeLiveMigration {
    /// Asked of the destination: could it take the instance? Changes nothing.
    #[rpc(call)]
    async fn check_can_live_migrate_destination(
        &self,
        ctx: RequestContext,
        migration: MigrationSpec,
    ) -> Result<MigrateData, ComputeError>;

    /// Asked of the source, with what the destination said: could it send the instance there? Changes nothing.
    #[rpc(call)]
    async fn check_can_live_migrate_source(
        &self,
        ctx: RequestContext,
        migration: MigrationSpec,
        data: MigrateData,
    ) -> Result<MigrateData, ComputeError>;

    /// Asked of the destination: make all ready for the guest. Undone by `rollback_live_migration_at_destination`.
    #[rpc(call)]
    async fn pre_live_migration(
        &self,
        ctx: RequestContext,
        migration: MigrationSpec,
        data: MigrateData,
    ) -> Result<MigrateData, ComputeError>;

    /// Told to the source: copy the guest. Progress and end come as reports.
    #[rpc(cast)]
    async fn live_migration(
        &self,
        ctx: RequestContext,
        migration: MigrationSpec,
        data: MigrateData,
    ) -> Result<(), ComputeError>;

    /// Told to the source: give up, if the guest has not switched yet.
    #[rpc(cast)]
    async fn live_migration_abort(
        &self,
        ctx: RequestContext,
        instance: InstanceUuid,
        migration: MigrationUuid,
    ) -> Result<(), ComputeError>;

    /// Told to the source: hold the guest still, so that the copy ends.
    #[rpc(cast)]
    async fn live_migration_force_complete(
        &self,
        ctx: RequestContext,
        instance: InstanceUuid,
        migration: MigrationUuid,
    ) -> Result<(), ComputeError>;

    /// Asked of the destination after the switch: finish what is left to do there.
    #[rpc(call)]
    async fn post_live_migration_at_destination(
        &self,
        ctx: RequestContext,
        migration: MigrationSpec,
    ) -> Result<(), ComputeError>;

    /// Asked of the source after the switch: remove what is left of the guest.
    #[rpc(call)]
    async fn post_live_migration(&self, ctx: RequestContext, migration: MigrationSpec) -> Result<(), ComputeError>;

    /// Asked of the destination before the switch: remove what `pre_live_migration` made. Refused with
    /// [`ComputeError::GuestRunsHere`] if the guest turns out to run there.
    #[rpc(call)]
    async fn rollback_live_migration_at_destination(
        &self,
        ctx: RequestContext,
        migration: MigrationSpec,
    ) -> Result<(), ComputeError>;

    /// Asked of the source: let the guest run on here as before. `confirmed`: the destination has said that it has
    /// nothing of the guest. Without that it is refused with [`ComputeError::GuestHeld`] where the guest was about to
    /// switch, since it may run there.
    #[rpc(call)]
    async fn rollback_live_migration(
        &self,
        ctx: RequestContext,
        migration: MigrationSpec,
        confirmed: bool,
    ) -> Result<(), ComputeError>;
}

/// The steps of a cold migration under Nova's names, on the same topic: a conductor drives them.
#[contract(topic = "compute", version = "1.5")]
pub trait ComputeMigration {
    /// Asked of the destination: make all ready for the instance's disks. Undone by `revert_resize`.
    #[rpc(call, since = "1.2")]
    async fn prep_resize(&self, ctx: RequestContext, migration: MigrationSpec) -> Result<MigrateData, ComputeError>;

    /// Told to the source: power the guest off and move its disks. The end comes as a report.
    #[rpc(cast, since = "1.2")]
    async fn resize_instance(
        &self,
        ctx: RequestContext,
        migration: MigrationSpec,
        data: MigrateData,
    ) -> Result<(), ComputeError>;

    /// Asked of the destination, which has the disks: make the guest of them, and power it on if it ran before.
    #[rpc(call, since = "1.2")]
    async fn finish_resize(&self, ctx: RequestContext, migration: MigrationSpec) -> Result<(), ComputeError>;

    /// Asked of the source: remove what is left there.
    #[rpc(call, since = "1.2")]
    async fn confirm_resize(&self, ctx: RequestContext, migration: MigrationSpec) -> Result<(), ComputeError>;

    /// Asked of the destination: remove the guest, its disks, and what `prep_resize` made.
    #[rpc(call, since = "1.2")]
    async fn revert_resize(&self, ctx: RequestContext, migration: MigrationSpec) -> Result<(), ComputeError>;

    /// Asked of the source, once the destination has nothing of the guest: have it as before, and power it on if it ran.
    #[rpc(call, since = "1.2")]
    async fn finish_revert_resize(&self, ctx: RequestContext, migration: MigrationSpec) -> Result<(), ComputeError>;
}

/// The name by which a host is reached on the topic of [`ComputeControl`]. A host without state is its name alone.
#[must_use]
pub fn control_server(host: &str, identity: Option<HostIdentity>) -> String {
    match identity {
        Some(identity) => format!("{host}.{identity}"),
        None => host.to_owned(),
    }
}

/// What a conductor asks of a host to reconcile it with its rows.
#[contract(topic = "compute-control", version = "2.0")]
pub trait ComputeControl {
    /// Every instance in the host's journal or known to its hypervisor, incoming ones included. Asked before the rows are read, so that an instance which arrives in between is not
    /// taken for one that nobody knows.
    #[rpc(call, timeout_seconds = 30)]
    async fn list_instances(&self, ctx: RequestContext) -> Result<Vec<InstanceUuid>, ComputeError>;

    /// What the host should hold. The first one after a start sets the host to work.
    #[rpc(call, timeout_seconds = 60)]
    async fn reconcile(&self, ctx: RequestContext, reconciliation: Reconciliation) -> Result<(), ComputeError>;
}
