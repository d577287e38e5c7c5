//! Reconciling the host with its rows: after a start, before the host works; and from time to time.
//!
//! The conductor asks what the host holds, reads the rows, and says what the host should hold. What each instance
//! then needs is a [`ReconcileAction`]; this file carries it out. Nothing here waits for long work: it is begun,
//! and reports as always.

use futures_util::{StreamExt, stream};
use novella_common::{
    RequestContext,
    ids::{InstanceUuid, TaskId},
    lifecycle::{Action, Ending, PowerState, VmState, is_long_task},
    reports::OperationProgress,
};

use super::{
    Manager,
    reconcile_action::{ReconcileAction, decide, state_of},
    reports::{End, Failure},
};
use crate::{
    journal::{self, Entry, MigrationArguments},
    rpcapi::{ActionArguments, ComputeControl, ComputeError, DesiredInstance, OperationId, Reconciliation},
};

/// How many instances are reconciled at once.
const AT_ONCE: usize = 64;

/// How many listings are remembered. Two conductors may reconcile a host at the same time while one takes over from
/// the other.
const LISTINGS: usize = 2;

impl ComputeControl for Manager {
    /// What is listed is noted, so that nothing is removed that has changed since.
    async fn list_instances(&self, _ctx: RequestContext) -> Result<Vec<InstanceUuid>, ComputeError> {
        let mut listing = self.journal().identities();
        for (instance, _) in self.driver().guests() {
            listing.entry(instance).or_default();
        }
        let instances = listing.keys().copied().collect();
        let mut listings = self.0.state.listings.lock();
        if listings.len() == LISTINGS {
            listings.pop_front();
        }
        listings.push_back(listing);
        Ok(instances)
    }

    async fn reconcile(&self, _ctx: RequestContext, reconciliation: Reconciliation) -> Result<(), ComputeError> {
        let Reconciliation { desired, remove, incarnation } = reconciliation;
        stream::iter(remove)
            .for_each_concurrent(AT_ONCE, async |instance| {
                if let Err(error) = self.remove_unknown(instance).await {
                    tracing::warn!(%instance, %error, "an instance that should not be here could not be removed");
                }
            })
            .await;
        let failures = stream::iter(desired)
            .map(async |desired| self.reconcile_instance(desired).await)
            .buffer_unordered(AT_ONCE)
            .filter_map(async |outcome| outcome.err())
            .collect::<Vec<_>>()
            .await;
        match failures.into_iter().next() {
            // Not reconciled: the conductor is told, and the host says hello again.
            Some(error) => Err(error),
            None => {
                // Its hello may still be on its way, while a conductor that goes by the name was faster.
                if incarnation.is_none_or(|written_down| written_down == self.0.incarnation) {
                    self.0.state.reconciled.send_replace(true);
                }
                Ok(())
            }
        }
    }
}

impl Manager {
    /// Removes what is none of the host's business, unless it came, or came again, after the conductor asked.
    async fn remove_unknown(&self, instance: InstanceUuid) -> Result<(), ComputeError> {
        if !self.is_as_listed(instance) {
            tracing::info!(%instance, "not removed: it has changed since it was listed");
            return Ok(());
        }
        let Some(_lock) = self.locks().take_over(instance).await else {
            return Ok(());
        };
        if !self.is_as_listed(instance) {
            return Ok(());
        }
        tracing::info!(%instance, "removed: no row names this host for it");
        self.driver().destroy(instance).await?;
        Ok(self.journal().forget(instance)?.durable().await?)
    }

    fn remembers(&self, instance: InstanceUuid) -> bool {
        self.journal().look(instance, |entry| entry.is_some())
    }

    fn is_as_listed(&self, instance: InstanceUuid) -> bool {
        let now = self.journal().look(instance, |entry| entry.map(Entry::identity)).unwrap_or_default();
        let listings = self.0.state.listings.lock();
        let mut listed = listings.iter().filter_map(|listing| listing.get(&instance)).peekable();
        listed.peek().is_some() && listed.all(|then| *then == now)
    }

    async fn reconcile_instance(&self, desired: DesiredInstance) -> Result<(), ComputeError> {
        let instance = desired.spec.uuid;
        self.adopt(&desired).await?;
        if let Err(error) = self.release(&desired).await {
            tracing::warn!(%instance, %error, "a guest is still held; tried again at the next reconciliation");
        }
        let mut action = self.decide_now(&desired);
        if let ReconcileAction::ForgetOperation(task_id) = action {
            tracing::info!(%instance, %task_id, "an operation is forgotten: its row does not know it");
            let forgotten = self.journal().step(instance, task_id, |entry, _| {
                entry.settle();
                None
            })?;
            if let Some(commit) = forgotten {
                commit.durable().await?;
            }
            action = self.decide_now(&desired);
        }
        tracing::debug!(%instance, ?action, "reconciled");
        match action {
            // Forgotten already: what is there now has begun since, and is not for this row to decide.
            ReconcileAction::Nothing | ReconcileAction::ForgetOperation(_) => Ok(()),
            ReconcileAction::RepeatReport => Ok(self.journal().repeat(instance, desired.report_seq).await?),
            ReconcileAction::Resume(task_id) => {
                self.resume_operation(instance, task_id);
                Ok(())
            }
            ReconcileAction::Perform(action, task_id) => {
                self.perform_missed(OperationId { instance, task_id }, desired.request_id, action);
                Ok(())
            }
            ReconcileAction::PerformAgain(action, task_id) => {
                tracing::info!(%instance, %task_id, "done again: a message that came late had taken over");
                let revived = self.journal().change(instance, |entry| {
                    entry.revive(task_id);
                    None
                })?;
                revived.durable().await?;
                self.perform_missed(OperationId { instance, task_id }, desired.request_id, action);
                Ok(())
            }
            ReconcileAction::ReportEnd(action, task_id) => {
                let operation =
                    journal::Operation::new(task_id, desired.request_id, action, ActionArguments::default());
                let end = self.end_by_guest(instance, action);
                tracing::info!(%instance, %task_id, ?end, "an end that is in no report any more is reported by the guest");
                self.report_refused(instance, operation, end).await
            }
            ReconcileAction::StopCopying(task_id) => self.stop_copying(instance, task_id),
            ReconcileAction::ReportLostBuild(task_id) => {
                self.report_lost_build(instance, task_id, desired.request_id);
                Ok(())
            }
            ReconcileAction::ReportState(vm_state, power_state) => {
                self.report_change(instance, power_state, OperationProgress::Done { vm_state }).await
            }
            ReconcileAction::ReportMissing => {
                let message = format!("Instance {instance} has no guest on host {}.", self.0.name);
                let progress = OperationProgress::Failed {
                    vm_state: Some(VmState::Error),
                    message,
                    details: None,
                    reschedule: false,
                };
                self.report_change(instance, PowerState::NoState, progress).await
            }
        }
    }

    fn decide_now(&self, desired: &DesiredInstance) -> ReconcileAction {
        let instance = desired.spec.uuid;
        let free = self.locks().is_free(instance);
        let guest = self.driver().power_state(instance);
        let as_listed = self.is_as_listed(instance);
        self.journal().look(instance, |entry| decide(entry, guest, desired, free, as_listed))
    }

    /// How an operation must have ended, as far as the guest tells.
    fn end_by_guest(&self, instance: InstanceUuid, action: Action) -> End {
        let transition = action.transition();
        let guest = self.driver().power_state(instance);
        let now = guest.and_then(state_of);
        let failed = |error, vm_state| {
            let building = action == Action::Create;
            End::Failed(Failure { error, vm_state: Some(vm_state), reschedule: building, stays: !building })
        };
        match (transition.ends, now) {
            (_, None) if transition.is_final() => End::Gone,
            (_, None) => failed(self.not_found(instance), VmState::Error),
            (Ending::State(wanted, power), Some(now)) if wanted == now => End::Done(wanted, power),
            (Ending::State(..), Some(now)) => {
                let message = format!(
                    "what became of '{}' on host {} was not written down; its guest is in state {now}",
                    transition.verb, self.0.name
                );
                failed(ComputeError::Failed { message }, now)
            }
            (Ending::Unchanged | Ending::SamePower(_) | Ending::ByPower, Some(_)) => End::Unchanged,
        }
    }

    /// Gives up to copy for a migration that is over: its conductor could not tell this host. What waits for the
    /// instance's lock comes next.
    fn stop_copying(&self, instance: InstanceUuid, task_id: TaskId) -> Result<(), ComputeError> {
        let operation = self.journal().look(instance, |entry| entry.and_then(|entry| entry.operation.clone()));
        if let Some(operation) = operation.filter(|operation| operation.task_id == task_id) {
            let arguments: MigrationArguments = operation.arguments.read()?;
            tracing::info!(%instance, migration = %arguments.migration.migration, "its migration is over: it is copied no longer");
            self.driver().live_migration_abort(instance, arguments.migration.migration);
        }
        Ok(())
    }

    /// Makes an instance the host's own whose guest is here: its journal was lost, or its migration's last step. One that is
    /// nowhere is its own too, if nothing is under way: a hard reboot makes its guest anew.
    async fn adopt(&self, desired: &DesiredInstance) -> Result<(), ComputeError> {
        let instance = desired.spec.uuid;
        let here = match self.driver().power_state(instance) {
            Some(power) => power != PowerState::NoState,
            None => desired.task.is_none() && (self.is_as_listed(instance) || !self.remembers(instance)),
        };
        let missing = self.journal().look(instance, |entry| {
            let (spec, incoming) =
                entry.map_or((false, false), |entry| (entry.spec.is_some(), entry.incoming.is_some()));
            !spec || (incoming && desired.task.is_none())
        });
        if !here || !missing || !self.locks().is_free(instance) {
            return Ok(());
        }
        let commit = self.journal().change(instance, |entry| {
            entry.spec = Some(desired.spec.clone());
            entry.incoming = None;
            None
        })?;
        Ok(commit.durable().await?)
    }

    /// Lets a guest run on that is held for a switch though its migration is over: the conductor ended it while this
    /// host was down. The row must have been read after the migration had come to its end here, or it may be one from
    /// before: that is so if nothing has begun or ended on the instance since the host was asked what it holds.
    async fn release(&self, desired: &DesiredInstance) -> Result<(), ComputeError> {
        let instance = desired.spec.uuid;
        let migrating = desired.task.is_some_and(|(task_state, _)| is_long_task(task_state));
        if migrating || !self.locks().is_free(instance) || !self.is_as_listed(instance) {
            return Ok(());
        }
        self.driver().release_held(instance).await
    }

    /// Does what is in the journal and nobody does.
    pub(super) fn resume_operation(&self, instance: InstanceUuid, task_id: TaskId) {
        let operation = self
            .journal()
            .look(instance, |entry| entry?.operation.clone().filter(|operation| operation.task_id == task_id));
        let Some(operation) = operation else { return };
        let manager = self.clone();
        self.spawn(operation.request_id.clone().as_deref(), async move {
            let outcome = match operation {
                operation if operation.action == Action::Create => {
                    manager.build(instance, task_id).await;
                    Ok(())
                }
                operation => manager.resume(instance, &operation).await,
            };
            if let Err(error) = outcome {
                tracing::error!(%instance, %task_id, %error, "an operation is left to the next reconciliation");
            }
        });
    }

    async fn resume(&self, instance: InstanceUuid, operation: &journal::Operation) -> Result<(), ComputeError> {
        let Some(lock) = self.locks().lock(instance).await else {
            return Ok(());
        };
        if !self.does(instance, operation.task_id) {
            return Ok(());
        }
        let again = async {
            match operation.action {
                Action::LiveMigrate | Action::Migrate => self.resume_copy(&operation.arguments.read()?).await,
                _ => self.finish_action(instance, operation).await,
            }
        };
        lock.run(again).await.unwrap_or(Ok(()))
    }

    /// Does what a row asks for and no message has brought.
    fn perform_missed(&self, operation: OperationId, request_id: Option<String>, action: Action) {
        let manager = self.clone();
        self.spawn(request_id.clone().as_deref(), async move {
            let outcome = manager.perform_action(request_id, operation, action, ActionArguments::default()).await;
            if let Err(error) = outcome {
                tracing::error!(instance = %operation.instance, %error, "left to the next reconciliation");
            }
        });
    }

    /// A row may name this host shortly before its build's message arrives: the scheduler writes first. Only when that
    /// message can no longer come is the build lost.
    fn report_lost_build(&self, instance: InstanceUuid, task_id: TaskId, request_id: Option<String>) {
        let manager = self.clone();
        self.spawn(request_id.clone().as_deref(), async move {
            tokio::select! {
                () = tokio::time::sleep(manager.0.lost_build_after) => {}
                // The next start decides again.
                () = manager.0.stopping.cancelled() => return,
            }
            if manager.knows(instance, task_id) {
                return;
            }
            let operation = journal::Operation::new(task_id, request_id, Action::Create, ActionArguments::default());
            let error = ComputeError::Failed { message: format!("host {} lost the build", manager.0.name) };
            let failure = Failure { error, vm_state: Some(VmState::Error), reschedule: true, stays: true };
            // A message that comes even later finds the build over.
            if let Err(error) = manager.report_refused(instance, operation, End::Failed(failure)).await {
                tracing::error!(%instance, %error, "a lost build is left to the next reconciliation");
            }
        });
    }
}
