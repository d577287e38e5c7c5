//! Builds, from the host's taking over to the guest's first start.

use novella_common::{
    ids::{InstanceUuid, TaskId},
    lifecycle::{PowerState, TaskState, VmState},
    models::InstanceSpec,
};

use super::{
    Manager,
    reports::{End, Failure},
};
use crate::rpcapi::ComputeError;

impl Manager {
    /// Does a build that is in the journal.
    pub(super) async fn build(&self, instance: InstanceUuid, task_id: TaskId) {
        // What has come to the host since is not to be broken off for a build that is over.
        if !self.does(instance, task_id) {
            return;
        }
        let Some(lock) = self.locks().take_over(instance).await else {
            return;
        };
        let mine = self.journal().look(instance, |entry| {
            let entry = entry.filter(|entry| entry.does(task_id))?;
            entry.spec.clone()
        });
        // Taken over before it came to its turn.
        let Some(spec) = mine else { return };
        let outcome = lock.run(self.build_when_permitted(task_id, &spec)).await;
        if let Some(Err(error)) = outcome {
            tracing::error!(%instance, %error, "a build could not be written down; it goes on after a restart");
        }
    }

    async fn build_when_permitted(&self, task_id: TaskId, spec: &InstanceSpec) -> Result<(), ComputeError> {
        let permit = tokio::select! {
            biased;
            // The next start takes it up.
            () = self.0.stopping.cancelled() => return Ok(()),
            permit = self.0.builds.acquire() => permit,
        };
        // The semaphore is never closed.
        let Ok(_permit) = permit else { return Ok(()) };
        let instance = spec.uuid;
        let end = match self.build_steps(task_id, spec).await {
            Ok(()) => End::Done(VmState::Active, PowerState::Running),
            Err(error) => {
                tracing::info!(%instance, %error, "a build failed");
                // What can't be cleared away now is found, and cleared away, by reconciliation.
                if let Err(error) = self.driver().destroy(instance).await {
                    tracing::warn!(%instance, %error, "what a failed build left could not be removed");
                }
                // What the server itself asks for is wrong everywhere.
                let reschedule = !matches!(error, ComputeError::InvalidState { .. });
                End::Failed(Failure { error, vm_state: Some(VmState::Error), reschedule, stays: false })
            }
        };
        self.report_end(instance, task_id, end).await
    }

    async fn build_steps(&self, task_id: TaskId, spec: &InstanceSpec) -> Result<(), ComputeError> {
        let instance = spec.uuid;
        let driver = self.driver();
        if driver.power_state(instance).is_some() {
            // Left by an earlier attempt, or by this one before a crash: begun again from the start.
            driver.destroy(instance).await?;
        }
        self.report_step(instance, task_id, TaskState::Networking)?;
        driver.plug_networks(spec).await?;
        self.report_step(instance, task_id, TaskState::BlockDeviceMapping)?;
        driver.attach_disks(spec).await?;
        self.report_step(instance, task_id, TaskState::Spawning)?;
        driver.spawn(spec).await
    }
}
