//! How the steps and the end of an operation are journaled and reported.

use jiff::Timestamp;
use novella_common::{
    ids::{InstanceUuid, TaskId},
    lifecycle::{PowerState, TaskState, VmState},
    models::{ActionEvent, EventResult},
    reports::OperationProgress,
};

use super::Manager;
use crate::{
    journal::{Entry, Operation, PendingReport},
    rpcapi::ComputeError,
};

/// How an operation on an instance ends.
#[derive(Debug)]
pub(super) enum End {
    /// As wanted.
    Done(VmState, PowerState),
    /// As wanted, in the state it began in.
    Unchanged,
    /// Not as wanted.
    Failed(Failure),
    /// The instance and all it had here is gone.
    Gone,
}

/// How an operation failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: ComputeError,
    /// The new `vm_state`; `None`: as before.
    pub(super) vm_state: Option<VmState>,
    /// Whether another host might succeed.
    pub(super) reschedule: bool,
    /// Whether the instance stays here.
    pub(super) stays: bool,
}

/// What a guest's state is called in a row: as Nova has it, a guest saved to disk is shut down.
pub(super) fn reported(power: PowerState) -> PowerState {
    match power {
        PowerState::Suspended => PowerState::Shutdown,
        other => other,
    }
}

impl Manager {
    /// What the guest does now, as a row has it.
    pub(super) fn power_of(&self, instance: InstanceUuid) -> PowerState {
        self.driver().power_state(instance).map_or(PowerState::NoState, reported)
    }

    /// Reports that an operation has come to this state. Not waited for: whatever follows says more.
    pub(super) fn report_step(
        &self,
        instance: InstanceUuid,
        task_id: TaskId,
        task_state: TaskState,
    ) -> Result<(), ComputeError> {
        tracing::debug!(%instance, step = task_state.as_str(), "step");
        let power_state = self.power_of(instance);
        let commit = self.journal().step(instance, task_id, |_, operation| {
            Some(self.pending(&operation, power_state, OperationProgress::Doing { task_state }, None))
        })?;
        if let Some(commit) = commit {
            commit.detach();
        }
        Ok(())
    }

    /// Writes down and reports the end of an operation. One that was taken over has none.
    pub(super) async fn report_end(
        &self,
        instance: InstanceUuid,
        task_id: TaskId,
        end: End,
    ) -> Result<(), ComputeError> {
        let power_now = self.power_of(instance);
        let result = if matches!(end, End::Failed(_)) { "error" } else { "success" };
        let commit = self.journal().step(instance, task_id, |entry, operation| {
            metrics::counter!("compute_operations_total", "event" => operation.event(), "result" => result)
                .increment(1);
            tracing::debug!(%instance, event = operation.event(), result, "operation ended");
            entry.settle();
            Some(self.pending_end(entry, &operation, power_now, end))
        })?;
        match commit {
            Some(commit) => Ok(commit.durable().await?),
            None => Ok(()),
        }
    }

    fn pending_end(&self, entry: &mut Entry, operation: &Operation, power_now: PowerState, end: End) -> PendingReport {
        match end {
            End::Done(vm_state, power_state) => {
                self.pending(operation, power_state, OperationProgress::Done { vm_state }, Some(EventResult::Success))
            }
            End::Unchanged => {
                self.pending(operation, power_now, OperationProgress::Unchanged, Some(EventResult::Success))
            }
            End::Gone => {
                entry.spec = None;
                entry.incoming = None;
                self.pending(operation, PowerState::NoState, OperationProgress::Gone, Some(EventResult::Success))
            }
            End::Failed(failure) => {
                if !failure.stays {
                    entry.spec = None;
                }
                let message = failure.error.to_string();
                let progress = OperationProgress::Failed {
                    vm_state: failure.vm_state,
                    details: Some(format!("{} failed on host {}: {}", operation.event(), self.0.name, failure.error)),
                    message,
                    reschedule: failure.reschedule,
                };
                self.pending(operation, power_now, progress, Some(EventResult::Error))
            }
        }
    }

    fn pending(
        &self,
        operation: &Operation,
        power_state: PowerState,
        progress: OperationProgress,
        result: Option<EventResult>,
    ) -> PendingReport {
        let details = match &progress {
            OperationProgress::Failed { details, .. } => details.clone(),
            _ => None,
        };
        let event = ActionEvent {
            event: operation.event().to_owned(),
            host: Some(self.0.name.clone()),
            start_time: operation.started,
            finish_time: result.map(|_| Timestamp::now()),
            result,
            details,
        };
        PendingReport::Instance {
            task_id: Some(operation.task_id),
            request_id: operation.request_id.clone(),
            power_state,
            progress,
            event: Some(event),
        }
    }

    /// Reports the end of an operation that could not even begin, and remembers it as over.
    pub(super) async fn report_refused(
        &self,
        instance: InstanceUuid,
        operation: Operation,
        end: End,
    ) -> Result<(), ComputeError> {
        let power_now = self.power_of(instance);
        let commit = self.journal().change(instance, |entry| {
            entry.remember(operation.task_id);
            Some(self.pending_end(entry, &operation, power_now, end))
        })?;
        Ok(commit.durable().await?)
    }

    /// Reports what has become of an instance that nothing is being done to.
    pub(super) async fn report_change(
        &self,
        instance: InstanceUuid,
        power_state: PowerState,
        progress: OperationProgress,
    ) -> Result<(), ComputeError> {
        let commit = self.journal().change(instance, |entry| {
            // An operation that has begun meanwhile will say what it finds.
            entry.operation.is_none().then_some(PendingReport::Instance {
                task_id: None,
                request_id: None,
                power_state,
                progress,
                event: None,
            })
        })?;
        Ok(commit.durable().await?)
    }
}
