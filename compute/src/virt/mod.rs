//! The driver: what a compute host must be able to do with guests, whatever the hypervisor is.
//!
//! Everything here can be called again: an operation that finds its work done says so. The manager calls it for one
//! instance at a time, and may drop a call at any point (a delete takes over a build); what a dropped call has left
//! is cleared by [`Driver::destroy`] or finished by calling again.
//!
//! Guests outlive the process that drives them: after a restart the driver finds them as they are.

pub mod fake;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use novella_common::{
    ids::{InstanceUuid, MigrationUuid},
    lifecycle::{Action, PowerState},
    models::{InstanceSpec, MigrationProgress, Resources, Vif},
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::rpcapi::{ActionArguments, ComputeError, Diagnostics, MigrateData, MigrationSpec, NewPassword};

/// A call under way.
pub type DriverFuture<'a, T> = BoxFuture<'a, Result<T, ComputeError>>;

/// A driver, whichever it is.
pub type AnyDriver = Arc<dyn Driver>;

/// What the hypervisor is and has.
#[derive(Clone, Debug)]
pub struct Hardware {
    /// What is physically there.
    pub total: Resources,
    /// The hypervisor's name, such as `fake` or `QEMU`.
    pub hypervisor_type: String,
    /// Its version as one integer: 7002000 is 7.2.0.
    pub hypervisor_version: i64,
    /// CPU model and features, as the hypervisor API shows them.
    pub cpu_info: serde_json::Value,
}

/// How a started live migration ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MigrationEnding {
    /// The guest runs on the destination.
    Switched,
    /// Given up because it was asked for; the guest is here as before.
    Cancelled,
    /// Given up; the guest is here as before.
    Failed(String),
    /// The destination was told to run the guest, and did not answer: it may run there, so it is held here until
    /// somebody has asked the destination.
    Held(String),
}

/// What became of a live migration while nobody watched it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationState {
    /// It is not under way; the guest is here as before.
    NotUnderWay,
    /// See [`MigrationEnding::Held`].
    Held,
    /// The guest runs on the destination.
    Switched,
}

/// A live migration under way.
#[derive(Debug)]
pub struct MigrationWatch {
    /// How much is copied; changes at least twice a second while something is.
    pub progress: watch::Receiver<MigrationProgress>,
    /// How it ends. An error if the driver was closed.
    pub ending: oneshot::Receiver<MigrationEnding>,
}

/// A hypervisor.
pub trait Driver: LiveMigrationDriver + MigrationDriver + 'static {
    /// What the hypervisor is and has.
    fn hardware(&self) -> Hardware;

    /// How long the host has been up, in the form of the command `uptime`.
    fn uptime(&self) -> String;

    /// Every guest that the hypervisor knows, incoming ones included.
    fn guests(&self) -> Vec<(InstanceUuid, PowerState)>;

    /// What one guest does; `None` if there is none.
    fn power_state(&self, instance: InstanceUuid) -> Option<PowerState>;

    /// Where the driver says which guests have changed by themselves: died, or powered off from inside. A hint to look
    /// at the guest's state; one that gets lost is made up for by the next reconciliation. A second call ends the
    /// first's receiver.
    fn events(&self) -> mpsc::Receiver<InstanceUuid>;

    /// First step of a build: the interfaces that the spec names.
    fn plug_networks<'a>(&'a self, spec: &'a InstanceSpec) -> DriverFuture<'a, ()>;

    /// Second step of a build: disks.
    fn attach_disks<'a>(&'a self, spec: &'a InstanceSpec) -> DriverFuture<'a, ()>;

    /// Last step of a build: the guest starts for the first time.
    fn spawn<'a>(&'a self, spec: &'a InstanceSpec) -> DriverFuture<'a, ()>;

    /// Removes the guest and all it has here, in whatever state. That there is none is no error.
    fn destroy(&self, instance: InstanceUuid) -> DriverFuture<'_, ()>;

    /// Powers off.
    fn power_off(&self, instance: InstanceUuid) -> DriverFuture<'_, ()>;

    /// Powers on.
    fn power_on(&self, instance: InstanceUuid) -> DriverFuture<'_, ()>;

    /// Asks a running guest to reboot.
    fn reboot_soft(&self, instance: InstanceUuid) -> DriverFuture<'_, ()>;

    /// Reboots, from every state.
    fn reboot_hard(&self, instance: InstanceUuid) -> DriverFuture<'_, ()>;

    /// Pauses in memory.
    fn pause(&self, instance: InstanceUuid) -> DriverFuture<'_, ()>;

    /// Lets a paused guest go on.
    fn unpause(&self, instance: InstanceUuid) -> DriverFuture<'_, ()>;

    /// Saves to disk.
    fn suspend(&self, instance: InstanceUuid) -> DriverFuture<'_, ()>;

    /// Brings back from disk.
    fn resume(&self, instance: InstanceUuid) -> DriverFuture<'_, ()>;

    /// Injects a non-maskable interrupt; what the guest's kernel does about it is up to the guest. One that is configured
    /// for it writes a crash dump and boots again.
    fn trigger_crash_dump(&self, instance: InstanceUuid) -> DriverFuture<'_, ()>;

    /// Sets the administrator's password in a running guest.
    fn set_admin_password<'a>(&'a self, instance: InstanceUuid, password: &'a str) -> DriverFuture<'a, ()>;

    /// The console's last `tail` lines, with no line break behind the last one, or all that is kept.
    fn console_output(&self, instance: InstanceUuid, tail: Option<usize>) -> DriverFuture<'_, String>;

    /// Plugs one more interface into a guest, running or not. That it has the port already is no error.
    fn attach_interface<'a>(&'a self, instance: InstanceUuid, vif: &'a Vif) -> DriverFuture<'a, ()>;

    /// Takes an interface out of a guest. That it does not have the port is no error.
    fn detach_interface<'a>(&'a self, instance: InstanceUuid, port_id: &'a str) -> DriverFuture<'a, ()>;

    /// What the guest does and takes at this moment.
    fn diagnostics(&self, instance: InstanceUuid) -> DriverFuture<'_, Diagnostics>;
}

/// What a hypervisor does in a live migration, under the names of the contract.
pub trait LiveMigrationDriver: Send + Sync {
    /// On the destination: could it take the guest? Changes nothing.
    fn check_can_live_migrate_destination<'a>(&'a self, migration: &'a MigrationSpec) -> DriverFuture<'a, MigrateData>;

    /// On the source, with what the destination said: could it send the guest there? Changes nothing.
    fn check_can_live_migrate_source<'a>(
        &'a self,
        migration: &'a MigrationSpec,
        data: &'a MigrateData,
    ) -> DriverFuture<'a, MigrateData>;

    /// On the destination: makes all ready for the guest.
    fn pre_live_migration<'a>(
        &'a self,
        migration: &'a MigrationSpec,
        data: &'a MigrateData,
    ) -> DriverFuture<'a, MigrateData>;

    /// On the source: begins to copy.
    fn live_migration<'a>(
        &'a self,
        migration: &'a MigrationSpec,
        data: &'a MigrateData,
    ) -> DriverFuture<'a, MigrationWatch>;

    /// On the source: what became of a migration that an earlier process started.
    fn live_migration_state(
        &self,
        instance: InstanceUuid,
        migration: MigrationUuid,
    ) -> DriverFuture<'_, MigrationState>;

    /// On the source: gives up, if the guest has not begun to switch. Says nothing if there is nothing to give up.
    fn live_migration_abort(&self, instance: InstanceUuid, migration: MigrationUuid);

    /// On the source: holds the guest still, so that the copy ends.
    fn live_migration_force_complete(&self, instance: InstanceUuid, migration: MigrationUuid);

    /// On the destination, after the switch.
    fn post_live_migration_at_destination<'a>(&'a self, migration: &'a MigrationSpec) -> DriverFuture<'a, ()>;

    /// On the source, after the switch: removes what is left. Refused while the guest runs here.
    fn post_live_migration<'a>(&'a self, migration: &'a MigrationSpec) -> DriverFuture<'a, ()>;

    /// On the destination, before the switch: removes what [`LiveMigrationDriver::pre_live_migration`] made. From then on the
    /// source's switch is refused. Itself refused with [`ComputeError::GuestRunsHere`] if the switch came first.
    fn rollback_live_migration_at_destination<'a>(&'a self, migration: &'a MigrationSpec) -> DriverFuture<'a, ()>;

    /// On the source: lets the guest run on here as before. Stops the copying if that still goes on. `confirmed`: the
    /// destination has nothing of the guest; without that, refused with [`ComputeError::GuestHeld`] once the
    /// destination may have been told to run it.
    fn rollback_live_migration<'a>(&'a self, migration: &'a MigrationSpec, confirmed: bool) -> DriverFuture<'a, ()>;

    /// On the source, when no migration of the guest is under way any more and its row names this host: a guest that
    /// is still held for a switch runs on here. Nothing happens to any other.
    fn release_held(&self, instance: InstanceUuid) -> DriverFuture<'_, ()>;
}

/// What a hypervisor does in a cold migration, under the names of the contract: it moves the disks.
pub trait MigrationDriver: Send + Sync {
    /// On the destination: makes all ready for the disks.
    fn prep_resize<'a>(&'a self, migration: &'a MigrationSpec) -> DriverFuture<'a, MigrateData>;

    /// On the source: powers the guest off, and begins to send its disks. They stay here too.
    fn resize_instance<'a>(
        &'a self,
        migration: &'a MigrationSpec,
        data: &'a MigrateData,
    ) -> DriverFuture<'a, MigrationWatch>;

    /// On the destination: makes the guest of the disks, and powers it on if it ran.
    fn finish_resize<'a>(&'a self, migration: &'a MigrationSpec) -> DriverFuture<'a, ()>;

    /// On the source: removes what is left.
    fn confirm_resize<'a>(&'a self, migration: &'a MigrationSpec) -> DriverFuture<'a, ()>;

    /// On the destination: removes everything of the guest. That there is nothing is no error.
    fn revert_resize<'a>(&'a self, migration: &'a MigrationSpec) -> DriverFuture<'a, ()>;

    /// On the source, once the destination has nothing of the guest: it is here as before, and powered on if it ran.
    fn finish_revert_resize<'a>(&'a self, migration: &'a MigrationSpec) -> DriverFuture<'a, ()>;
}

/// Does an action that a host does alone: the one place where an action finds its method of the driver.
pub(crate) fn perform<'d>(
    driver: &'d dyn Driver,
    instance: InstanceUuid,
    action: Action,
    arguments: &ActionArguments,
) -> DriverFuture<'d, ()> {
    match action {
        Action::Delete => driver.destroy(instance),
        Action::Stop | Action::SoftDelete => driver.power_off(instance),
        Action::Start | Action::Restore => driver.power_on(instance),
        Action::RebootSoft => driver.reboot_soft(instance),
        Action::RebootHard => driver.reboot_hard(instance),
        Action::Pause => driver.pause(instance),
        Action::Unpause => driver.unpause(instance),
        Action::Suspend => driver.suspend(instance),
        Action::Resume => driver.resume(instance),
        Action::TriggerCrashDump => driver.trigger_crash_dump(instance),
        Action::ChangePassword => {
            let arguments = arguments.read::<NewPassword>();
            Box::pin(async move { driver.set_admin_password(instance, &arguments?.admin_password).await })
        }
        Action::Create | Action::LiveMigrate | Action::Migrate | Action::ConfirmResize | Action::RevertResize => {
            Box::pin(async move {
                Err(ComputeError::Failed {
                    message: format!("'{}' is not for the host of {instance} to do alone", action.transition().verb),
                })
            })
        }
    }
}
