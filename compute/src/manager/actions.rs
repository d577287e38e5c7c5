//! What a host does alone with an instance that it has: each action of the table whose row says so. Short enough to be
//! done within its RPC slot, acknowledged when done.

use novella_common::{
    ids::{InstanceUuid, TaskId},
    lifecycle::{Action, Ending, PowerState, VmState},
    reports::OperationProgress,
};

use super::{
    Manager,
    reports::{End, Failure, reported},
};
use crate::{
    journal::{self, Needs},
    rpcapi::{ActionArguments, ComputeError, OperationId},
    virt,
};

impl Manager {
    /// Makes an action the host's own and does it.
    pub(super) async fn perform_action(
        &self,
        request_id: Option<String>,
        operation: OperationId,
        action: Action,
        arguments: ActionArguments,
    ) -> Result<(), ComputeError> {
        let OperationId { instance, task_id } = operation;
        // A delete may be asked of a host that has nothing of the instance (any more).
        let needs = if action.transition().is_final() { Needs::Nothing } else { Needs::Instance };
        let journaled = journal::Operation::new(task_id, request_id, action, arguments);
        match self.begin(instance, journaled.clone(), needs).await {
            Ok(Some(lock)) => lock.run(self.finish_action(instance, &journaled)).await.unwrap_or(Ok(())),
            Ok(None) => Ok(()),
            Err(error @ ComputeError::InstanceNotFound { .. }) => {
                // If a row does name this host, its guest is lost, and somebody must say so.
                let failure = Failure { error, vm_state: Some(VmState::Error), reschedule: false, stays: false };
                self.report_refused(instance, journaled, End::Failed(failure)).await
            }
            Err(error) => Err(error),
        }
    }

    /// Does an action that is in the journal.
    pub(super) async fn finish_action(
        &self,
        instance: InstanceUuid,
        operation: &journal::Operation,
    ) -> Result<(), ComputeError> {
        let transition = operation.action.transition();
        let end = match self.do_action(instance, operation).await {
            Ok(()) if transition.is_final() => End::Gone,
            Ok(()) => match transition.ends {
                Ending::State(vm_state, power_state) => End::Done(vm_state, power_state),
                Ending::Unchanged | Ending::SamePower(_) | Ending::ByPower => End::Unchanged,
            },
            Err(error) => {
                tracing::info!(%instance, %error, operation = transition.event, "an action failed");
                let lost = matches!(error, ComputeError::InstanceNotFound { .. });
                let vm_state = if lost { Some(VmState::Error) } else { transition.fails };
                End::Failed(Failure { error, vm_state, reschedule: false, stays: true })
            }
        };
        self.report_end(instance, operation.task_id, end).await
    }

    async fn do_action(&self, instance: InstanceUuid, operation: &journal::Operation) -> Result<(), ComputeError> {
        // The API has written the first.
        for task_state in operation.action.transition().during.iter().skip(1) {
            self.report_step(instance, operation.task_id, *task_state)?;
        }
        if operation.action == Action::RebootHard && self.driver().power_state(instance).is_none() {
            return self.make_guest_anew(instance).await;
        }
        virt::perform(&**self.driver(), instance, operation.action, &operation.arguments).await
    }

    /// The last resort where the guest is gone, with its host's disks or machine: a new one, from the image.
    async fn make_guest_anew(&self, instance: InstanceUuid) -> Result<(), ComputeError> {
        let spec = self.journal().look(instance, |entry| entry.and_then(|entry| entry.spec.clone()));
        let spec = spec.ok_or_else(|| self.not_found(instance))?;
        tracing::info!(%instance, "its guest is gone: made anew");
        self.driver().plug_networks(&spec).await?;
        self.driver().attach_disks(&spec).await?;
        self.driver().spawn(&spec).await
    }

    /// Whether the operation is the one under way.
    pub(super) fn does(&self, instance: InstanceUuid, task_id: TaskId) -> bool {
        self.journal().look(instance, |entry| entry.is_some_and(|entry| entry.does(task_id)))
    }

    /// Reports guests that die by themselves, until the driver is closed.
    pub(crate) async fn watch_guests(self) {
        let mut events = self.driver().events();
        while let Some(instance) = events.recv().await {
            let manager = self.clone();
            self.spawn(None, async move { manager.report_if_dead(instance).await });
        }
    }

    async fn report_if_dead(&self, instance: InstanceUuid) {
        // What is under way on it ends first, and may bring it back.
        let Some(_lock) = self.locks().lock(instance).await else {
            return;
        };
        let idle = self.journal().look(instance, |entry| {
            entry.is_some_and(|entry| entry.spec.is_some() && entry.operation.is_none() && entry.incoming.is_none())
        });
        let power = self.driver().power_state(instance);
        if idle && let Some(power @ (PowerState::Crashed | PowerState::Shutdown)) = power {
            tracing::info!(%instance, ?power, "a guest ended by itself");
            let stopped = OperationProgress::Done { vm_state: VmState::Stopped };
            if let Err(error) = self.report_change(instance, reported(power), stopped).await {
                tracing::warn!(%instance, %error, "a guest's end is left to reconciliation");
            }
        }
    }
}
