//! What a source does alone in a migration: it sends the guest or its disks, and reports how that goes.

use novella_common::{RequestContext, lifecycle::Action, models::MigrationProgress, reports::MigrationOutcome};

use super::{Manager, instance_locks::InstanceLock};
use crate::{
    journal::{MigrationArguments, Needs, Operation, PendingReport},
    rpcapi::{ActionArguments, ComputeError, MigrateData, MigrationSpec},
    virt::{MigrationEnding, MigrationState, MigrationWatch},
};

impl Manager {
    /// Takes over the copying: answers once it is written down, and goes on outside the RPC slot.
    pub(super) async fn begin_copy(
        &self,
        ctx: RequestContext,
        action: Action,
        migration: MigrationSpec,
        data: MigrateData,
    ) -> Result<(), ComputeError> {
        let (instance, task_id) = (migration.spec.uuid, migration.task_id);
        let arguments = MigrationArguments { migration, data };
        let serialised = ActionArguments::of(&arguments).map_err(|error| ComputeError::Failed {
            message: format!("the migration can't be written down: {error}"),
        })?;
        let operation = Operation::new(task_id, Some(ctx.request_id.clone()), action, serialised);
        match self.begin(instance, operation, Needs::Instance).await {
            Ok(Some(lock)) => {
                let manager = self.clone();
                self.spawn(Some(&ctx.request_id), async move {
                    if let Some(Err(error)) = lock.run(manager.copy(action, &arguments)).await {
                        tracing::error!(%instance, %error, "a migration's end is left to the next start");
                    }
                });
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(error @ ComputeError::InstanceNotFound { .. }) => {
                let commit = self.journal().change(instance, |entry| {
                    entry.remember(task_id);
                    let outcome = MigrationOutcome::Failed { message: error.to_string() };
                    Some(pending(&arguments.migration, MigrationProgress::default(), outcome))
                })?;
                Ok(commit.durable().await?)
            }
            Err(error) => Err(error),
        }
    }

    async fn copy(&self, action: Action, arguments: &MigrationArguments) -> Result<(), ComputeError> {
        let migration = &arguments.migration;
        let (instance, destination) = (migration.spec.uuid, &migration.destination);
        tracing::debug!(%instance, migration = %migration.migration, destination, "copying begins");
        let started = match action {
            Action::LiveMigrate => self.driver().live_migration(migration, &arguments.data).await,
            _ => self.driver().resize_instance(migration, &arguments.data).await,
        };
        match started {
            Ok(watch) => {
                // What came while the driver had not begun yet.
                self.apply_requests(migration.spec.uuid, migration.migration);
                self.report_until_ended(migration, watch).await
            }
            Err(error) => {
                let outcome = MigrationOutcome::Failed { message: error.to_string() };
                self.report_outcome(migration, MigrationProgress::default(), outcome).await
            }
        }
    }

    async fn report_until_ended(
        &self,
        migration: &MigrationSpec,
        mut watch: MigrationWatch,
    ) -> Result<(), ComputeError> {
        let instance = migration.spec.uuid;
        let ending = loop {
            tokio::select! {
                biased;
                ending = &mut watch.ending => break ending,
                Ok(()) = watch.progress.changed() => {
                    let progress = *watch.progress.borrow_and_update();
                    let commit = self.journal().step(instance, migration.task_id, |_, _| {
                        Some(pending(migration, progress, MigrationOutcome::Running))
                    })?;
                    if let Some(commit) = commit {
                        commit.detach();
                    }
                }
            }
        };
        // The driver was closed: the next start finds out what has become of it.
        let Ok(ending) = ending else { return Ok(()) };
        let outcome = match ending {
            MigrationEnding::Switched => MigrationOutcome::Switched,
            MigrationEnding::Cancelled => MigrationOutcome::Cancelled,
            MigrationEnding::Failed(message) | MigrationEnding::Held(message) => MigrationOutcome::Failed { message },
        };
        let progress = *watch.progress.borrow();
        self.report_outcome(migration, progress, outcome).await
    }

    /// Reports what has become of a migration that an earlier run of this host was copying.
    pub(super) async fn resume_copy(&self, arguments: &MigrationArguments) -> Result<(), ComputeError> {
        let migration = &arguments.migration;
        let state = self.driver().live_migration_state(migration.spec.uuid, migration.migration).await;
        let outcome = match state {
            Ok(MigrationState::Switched) => MigrationOutcome::Switched,
            Ok(MigrationState::NotUnderWay) => {
                MigrationOutcome::Failed { message: format!("host {} was restarted while it copied", self.0.name) }
            }
            Ok(MigrationState::Held) => MigrationOutcome::Failed {
                message: format!("host {} was restarted while the guest switched", self.0.name),
            },
            Err(error) => MigrationOutcome::Failed { message: error.to_string() },
        };
        self.report_outcome(migration, MigrationProgress::default(), outcome).await
    }

    async fn report_outcome(
        &self,
        migration: &MigrationSpec,
        progress: MigrationProgress,
        outcome: MigrationOutcome,
    ) -> Result<(), ComputeError> {
        let instance = migration.spec.uuid;
        tracing::debug!(%instance, migration = %migration.migration, ?outcome, "copying ended");
        let commit = self.journal().step(instance, migration.task_id, |entry, _| {
            entry.settle();
            Some(pending(migration, progress, outcome))
        })?;
        match commit {
            Some(commit) => Ok(commit.durable().await?),
            None => Ok(()),
        }
    }

    /// The conductor has undone the migration: a message to copy that only comes now finds it over.
    pub(super) async fn settle_copy(&self, migration: &MigrationSpec) -> Result<(), ComputeError> {
        // The conductor knows how it ended: no report. And should the message to copy only come now, it finds the
        // migration over.
        let commit = self.journal().change(migration.spec.uuid, |entry| {
            if entry.does(migration.task_id) {
                entry.settle();
            } else if !entry.settled.contains(&migration.task_id) {
                entry.remember(migration.task_id);
            }
            None
        })?;
        Ok(commit.durable().await?)
    }

    /// The instance's lock; ahead of the copying, if it is this migration's that is under way. A message that comes
    /// late must not stop anything else.
    pub(super) async fn lock_ahead_of_copying(&self, migration: &MigrationSpec) -> Result<InstanceLock, ComputeError> {
        let instance = migration.spec.uuid;
        if !self.does(instance, migration.task_id) {
            return self.lock_instance(instance).await;
        }
        let lock = self.locks().take_over(instance).await;
        lock.ok_or_else(|| self.being_removed(instance))
    }
}

fn pending(migration: &MigrationSpec, progress: MigrationProgress, outcome: MigrationOutcome) -> PendingReport {
    PendingReport::Migration { migration: migration.migration, task_id: migration.task_id, progress, outcome }
}
