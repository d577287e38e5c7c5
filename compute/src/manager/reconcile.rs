//! Bringing the host and its rows together: after a start, before the host works; and from time to time.
//!
//! The conductor asks what the host holds, reads the rows, and says what the host ought to hold. What each instance
//! then needs is a [verdict](super::verdict); this file carries it out. Nothing here waits for long work: it is begun,
//! and reports as always.

use futures_util::{StreamExt, stream};
use novella_common::{
    ids::{InstanceUuid, TaskId},
    lifecycle::{Action, PowerState, TaskState, VmState},
    reports::Progress,
};

use super::{
    Manager,
    telling::{End, Failure},
    verdict::{Verdict, judge},
};
use crate::{
    journal::{self, Entry},
    rpcapi::{ActionArguments, ComputeError, Holdings, Operation, OughtInstance, Reconciliation},
};

/// How many instances are seen to at once.
const AT_ONCE: usize = 64;

/// How many listings are remembered. Two conductors may reconcile a host at the same time while one takes over from
/// the other.
const LISTINGS: usize = 2;

impl Manager {
    /// Everything that the host holds, and a note of it for [`Manager::bring_together`].
    pub(super) fn holdings(&self) -> Holdings {
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
        Holdings { instances }
    }

    /// Makes the host what it ought to be.
    pub(super) async fn bring_together(&self, reconciliation: Reconciliation) -> Result<(), ComputeError> {
        let Reconciliation { ought, remove } = reconciliation;
        stream::iter(remove)
            .for_each_concurrent(AT_ONCE, async |instance| {
                if let Err(error) = self.clear_away(instance).await {
                    tracing::warn!(%instance, %error, "an instance that should not be here could not be removed");
                }
            })
            .await;
        let failures = stream::iter(ought)
            .map(async |ought| self.see_to(ought).await)
            .buffer_unordered(AT_ONCE)
            .filter_map(async |outcome| outcome.err())
            .collect::<Vec<_>>()
            .await;
        match failures.into_iter().next() {
            // Not reconciled: the conductor is told, and the host says hello again.
            Some(error) => Err(error),
            None => {
                self.0.state.reconciled.send_replace(true);
                Ok(())
            }
        }
    }

    /// Removes what is none of the host's business, unless it came, or came again, after the conductor asked.
    async fn clear_away(&self, instance: InstanceUuid) -> Result<(), ComputeError> {
        if !self.is_as_listed(instance) {
            tracing::info!(%instance, "not removed: it has changed since it was listed");
            return Ok(());
        }
        let Some(_turn) = self.turns().take_over(instance).await else {
            return Ok(());
        };
        if !self.is_as_listed(instance) {
            return Ok(());
        }
        tracing::info!(%instance, "removed: no row names this host for it");
        self.driver().destroy(instance).await?;
        Ok(self.journal().forget(instance)?.durable().await?)
    }

    fn is_as_listed(&self, instance: InstanceUuid) -> bool {
        let now = self.journal().look(instance, |entry| entry.map(Entry::identity)).unwrap_or_default();
        let listings = self.0.state.listings.lock();
        let mut listed = listings.iter().filter_map(|listing| listing.get(&instance)).peekable();
        listed.peek().is_some() && listed.all(|then| *then == now)
    }

    async fn see_to(&self, ought: OughtInstance) -> Result<(), ComputeError> {
        let instance = ought.spec.uuid;
        self.adopt(&ought).await?;
        self.release(&ought).await?;
        let mut verdict = self.judge(&ought);
        if let Verdict::Forget(task_id) = verdict {
            tracing::info!(%instance, %task_id, "an operation is forgotten: its row does not know it");
            let forgotten = self.journal().step(instance, task_id, |entry, _| {
                entry.settle();
                None
            })?;
            if let Some(commit) = forgotten {
                commit.durable().await?;
            }
            verdict = self.judge(&ought);
        }
        tracing::debug!(%instance, ?verdict, "reconciled");
        match verdict {
            // Forgotten already: what is there now has begun since, and is not for this row to judge.
            Verdict::Nothing | Verdict::Forget(_) => Ok(()),
            Verdict::Repeat => Ok(self.journal().repeat(instance, ought.report_seq).await?),
            Verdict::GoOn(task_id) => {
                self.go_on(instance, task_id);
                Ok(())
            }
            Verdict::Do(action, task_id) => {
                self.take_up(Operation { instance, task_id }, ought.request_id, action);
                Ok(())
            }
            Verdict::Lost(task_id) => {
                self.say_if_lost(instance, task_id, ought.request_id);
                Ok(())
            }
            Verdict::Tell(vm_state, power_state) => {
                self.tell_change(instance, power_state, Progress::Done { vm_state }).await
            }
            Verdict::Missing => {
                let message = format!("Instance {instance} has no guest on host {}.", self.0.name);
                let progress =
                    Progress::Failed { vm_state: Some(VmState::Error), message, details: None, elsewhere: false };
                self.tell_change(instance, PowerState::NoState, progress).await
            }
        }
    }

    fn judge(&self, ought: &OughtInstance) -> Verdict {
        let instance = ought.spec.uuid;
        let free = self.turns().is_free(instance);
        let guest = self.driver().power_state(instance);
        self.journal().look(instance, |entry| judge(entry, guest, ought, free))
    }

    /// Makes an instance the host's own whose guest is here: its journal was lost, or its migration's last step.
    async fn adopt(&self, ought: &OughtInstance) -> Result<(), ComputeError> {
        let instance = ought.spec.uuid;
        let here = self.driver().power_state(instance).is_some_and(|power| power != PowerState::NoState);
        let missing = self.journal().look(instance, |entry| {
            let (spec, incoming) =
                entry.map_or((false, false), |entry| (entry.spec.is_some(), entry.incoming.is_some()));
            !spec || (incoming && ought.task.is_none())
        });
        if !here || !missing || !self.turns().is_free(instance) {
            return Ok(());
        }
        let commit = self.journal().change(instance, |entry| {
            entry.spec = Some(ought.spec.clone());
            entry.incoming = None;
            None
        })?;
        Ok(commit.durable().await?)
    }

    /// Lets a guest run on that is held for a switch though its migration is over: the conductor ended it while this
    /// host was down. The row must have been read after the migration had come to its end here, or it may be one from
    /// before: that is so if nothing has begun or ended on the instance since the host was asked what it holds.
    async fn release(&self, ought: &OughtInstance) -> Result<(), ComputeError> {
        let instance = ought.spec.uuid;
        let migrating = matches!(ought.task, Some((TaskState::Migrating, _)));
        if migrating || !self.turns().is_free(instance) || !self.is_as_listed(instance) {
            return Ok(());
        }
        self.driver().release(instance).await
    }

    /// Does what is in the journal and nobody does.
    pub(super) fn go_on(&self, instance: InstanceUuid, task_id: TaskId) {
        let manager = self.clone();
        self.spawn(async move {
            let operation = manager
                .journal()
                .look(instance, |entry| entry?.operation.clone().filter(|operation| operation.task_id == task_id));
            let outcome = match operation {
                None => Ok(()),
                Some(operation) if operation.action == Action::Create => {
                    manager.build(instance, task_id).await;
                    Ok(())
                }
                Some(operation) => manager.resume(instance, &operation).await,
            };
            if let Err(error) = outcome {
                tracing::error!(%instance, %task_id, %error, "an operation is left to the next reconciliation");
            }
        });
    }

    async fn resume(&self, instance: InstanceUuid, operation: &journal::Operation) -> Result<(), ComputeError> {
        let Some(turn) = self.turns().enter(instance).await else {
            return Ok(());
        };
        if !self.does(instance, operation.task_id) {
            return Ok(());
        }
        let again = async {
            match operation.action {
                Action::LiveMigrate => self.resume_departure(&operation.arguments.read()?).await,
                _ => self.finish_action(instance, operation).await,
            }
        };
        turn.run(again).await.unwrap_or(Ok(()))
    }

    /// Does what a row asks for and no message has brought.
    fn take_up(&self, operation: Operation, request_id: Option<String>, action: Action) {
        let manager = self.clone();
        self.spawn(async move {
            let outcome = manager.perform(request_id, operation, action, ActionArguments::default()).await;
            if let Err(error) = outcome {
                tracing::error!(instance = %operation.instance, %error, "left to the next reconciliation");
            }
        });
    }

    /// A row may name this host shortly before its build's message arrives: the scheduler writes first. Only when that
    /// message can no longer come is the build lost.
    fn say_if_lost(&self, instance: InstanceUuid, task_id: TaskId, request_id: Option<String>) {
        let manager = self.clone();
        self.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(manager.0.lost_build_after) => {}
                // The next start judges again.
                () = manager.0.stopping.cancelled() => return,
            }
            if manager.knows(instance, task_id) {
                return;
            }
            let operation = journal::Operation::new(task_id, request_id, Action::Create, ActionArguments::default());
            let error = ComputeError::Failed { message: format!("host {} lost the build", manager.0.name) };
            let failure = Failure { error, vm_state: Some(VmState::Error), elsewhere: true, stays: true };
            // A message that comes even later finds the build over.
            if let Err(error) = manager.tell_refused(instance, operation, End::Failed(failure)).await {
                tracing::error!(%instance, %error, "a lost build is left to the next reconciliation");
            }
        });
    }
}
