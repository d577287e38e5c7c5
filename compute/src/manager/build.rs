//! Builds.

use novella_common::{
    RequestContext,
    ids::{InstanceUuid, TaskId},
    lifecycle::{Action, PowerState, TaskState, VmState},
    models::InstanceSpec,
};

use super::{
    Manager,
    telling::{End, Failure},
};
use crate::{
    journal::{self, Begun, Needs},
    rpcapi::{ActionArguments, BuildRequest, ComputeError},
};

impl Manager {
    /// Takes over a build: answers once it is written down, and goes on outside the RPC slot.
    pub(super) async fn accept_build(&self, ctx: RequestContext, build: BuildRequest) -> Result<(), ComputeError> {
        let instance = build.spec.uuid;
        let operation =
            journal::Operation::new(build.task_id, Some(ctx.request_id), Action::Create, ActionArguments::default());
        // The claim was made by the scheduler. Refused here is only what can't be: a host that was made smaller, or
        // that still holds what its rows no longer name.
        let needs = Needs::Room(Box::new(build.spec), self.0.inventory.capacity());
        match self.journal().begin(instance, operation, &needs)? {
            Begun::New(commit) => {
                commit.durable().await?;
                self.go_on(instance, build.task_id);
                Ok(())
            }
            Begun::UnderWay => Ok(self.journal().barrier().durable().await?),
            Begun::Over => self.journal().repeat(instance, 0).await.map_err(Into::into),
            Begun::NoRoom(free) => Err(self.no_room(free)),
            Begun::Occupied => Err(self.invalid(instance, "it is here already")),
            Begun::Unknown => Err(self.not_found(instance)),
        }
    }

    /// Does a build that is in the journal. `anew` if something of it may be here already.
    pub(super) async fn build(&self, instance: InstanceUuid, task_id: TaskId) {
        let Some(turn) = self.turns().take_over(instance).await else {
            return;
        };
        let mine = self.journal().look(instance, |entry| {
            let entry = entry.filter(|entry| entry.does(task_id))?;
            entry.spec.clone()
        });
        // Taken over before it came to its turn.
        let Some(spec) = mine else { return };
        let outcome = turn.run(self.build_when_permitted(task_id, &spec)).await;
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
                let elsewhere = !matches!(error, ComputeError::InvalidState { .. });
                End::Failed(Failure { error, vm_state: Some(VmState::Error), elsewhere, stays: false })
            }
        };
        self.tell_end(instance, task_id, end).await
    }

    async fn build_steps(&self, task_id: TaskId, spec: &InstanceSpec) -> Result<(), ComputeError> {
        let instance = spec.uuid;
        let driver = self.driver();
        if driver.power_state(instance).is_some() {
            // Left by an earlier attempt, or by this one before a crash: begun again from the start.
            driver.destroy(instance).await?;
        }
        self.tell_step(instance, task_id, TaskState::Networking)?;
        driver.plug_networks(spec).await?;
        self.tell_step(instance, task_id, TaskState::BlockDeviceMapping)?;
        driver.attach_disks(spec).await?;
        self.tell_step(instance, task_id, TaskState::Spawning)?;
        driver.spawn(spec).await
    }
}
