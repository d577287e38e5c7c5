//! Power operations: short enough to be done within their RPC slot, acknowledged when done.

use novella_common::lifecycle::PowerState;
use novella_common::{
    ids::{InstanceUuid, TaskId},
    lifecycle::{Ending, TaskState, VmState},
    reports::Progress,
};

use super::{
    Manager,
    telling::{End, Failure, reported},
};
use crate::{
    journal::{self, Needs, Work},
    rpcapi::{ComputeError, Operation, RebootType},
    virt::Doing,
};

impl Manager {
    /// Does a power operation.
    pub(super) async fn power(
        &self,
        request_id: Option<String>,
        operation: Operation,
        work: Work,
    ) -> Result<(), ComputeError> {
        let Operation { instance, task_id } = operation;
        match self.begin(operation, request_id.clone(), work.clone(), Needs::Instance).await {
            Ok(Some(turn)) => turn.run(self.change_power(instance, task_id, &work)).await.unwrap_or(Ok(())),
            Ok(None) => Ok(()),
            Err(error @ ComputeError::InstanceNotFound { .. }) => {
                // If a row does name this host, its guest is lost, and somebody must say so.
                let failure = Failure { error, vm_state: Some(VmState::Error), elsewhere: false, stays: false };
                let operation = journal::Operation::new(task_id, request_id, work);
                self.tell_refused(instance, operation, End::Failed(failure)).await
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn change_power(
        &self,
        instance: InstanceUuid,
        task_id: TaskId,
        work: &Work,
    ) -> Result<(), ComputeError> {
        let end = match self.apply(instance, task_id, work).await {
            Ok(()) => match work.action().transition().ends {
                Ending::State(vm_state, power_state) => End::Done(vm_state, power_state),
                Ending::Unchanged => return Ok(()),
            },
            Err(error) => {
                tracing::info!(%instance, %error, operation = work.event(), "a power operation failed");
                // As in Nova, a hard reboot is the last resort: when it fails the instance is in error. So it is when
                // its guest is lost. Otherwise nothing has changed.
                let lost = matches!(error, ComputeError::InstanceNotFound { .. });
                let vm_state = (lost || matches!(work, Work::Reboot(RebootType::Hard))).then_some(VmState::Error);
                End::Failed(Failure { error, vm_state, elsewhere: false, stays: true })
            }
        };
        self.tell_end(instance, task_id, end).await
    }

    async fn apply(&self, instance: InstanceUuid, task_id: TaskId, work: &Work) -> Result<(), ComputeError> {
        let driver = self.driver();
        let doing: Doing<'_, ()> = match work {
            Work::Stop => driver.power_off(instance),
            Work::Start => driver.power_on(instance),
            Work::Reboot(kind) => {
                let started = match kind {
                    RebootType::Soft => TaskState::RebootStarted,
                    RebootType::Hard => TaskState::RebootStartedHard,
                };
                self.tell_step(instance, task_id, started)?;
                driver.reboot(instance, *kind)
            }
            Work::Pause => driver.pause(instance),
            Work::Unpause => driver.unpause(instance),
            Work::Suspend => driver.suspend(instance),
            Work::Resume => driver.resume(instance),
            Work::Build | Work::Terminate | Work::LiveMigration(_) => {
                return Err(self.invalid(instance, "this is no power operation"));
            }
        };
        doing.await
    }

    /// Reports guests that die by themselves, until the driver is closed.
    pub(crate) async fn watch_guests(self) {
        let mut events = self.driver().events();
        while let Some(instance) = events.recv().await {
            let manager = self.clone();
            self.spawn(async move { manager.tell_if_dead(instance).await });
        }
    }

    async fn tell_if_dead(&self, instance: InstanceUuid) {
        // What is under way on it ends first, and may bring it back.
        let Some(_turn) = self.turns().enter(instance).await else {
            return;
        };
        let idle = self.journal().look(instance, |entry| {
            entry.is_some_and(|entry| entry.spec.is_some() && entry.operation.is_none() && entry.incoming.is_none())
        });
        let power = self.driver().power_state(instance);
        if idle && let Some(power @ (PowerState::Crashed | PowerState::Shutdown)) = power {
            tracing::info!(%instance, ?power, "a guest ended by itself");
            let stopped = Progress::Done { vm_state: VmState::Stopped };
            if let Err(error) = self.tell_change(instance, reported(power), stopped).await {
                tracing::warn!(%instance, %error, "a guest's end is left to reconciliation");
            }
        }
    }
}
