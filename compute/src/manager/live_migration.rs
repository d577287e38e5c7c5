//! Live migration, both ends. The conductor drives it; see its `tasks/live_migrate.rs` for the whole.
//!
//! ```text
//! destination   check ─ pre ─────────────────────────────── post        (or rollback)
//! source        check ─────── live_migration: copy, switch ──── post    (or rollback)
//! ```
//!
//! The destination's journal has the instance as `incoming` from `pre` to `post`; the source's has the operation while
//! it copies, and the instance until `post`.

use novella_common::{
    RequestContext,
    ids::{InstanceUuid, MigrationUuid},
    lifecycle::Action,
    models::MigrationProgress,
    reports::MigrationOutcome,
};

use super::{Manager, instance_locks::InstanceLock};
use crate::{
    journal::{LiveMigrationArguments, Needs, Operation, PendingReport},
    rpcapi::{ActionArguments, ComputeError, ComputeLiveMigration, MigrateData, MigrationSpec},
    virt::{MigrationEnding, MigrationState, MigrationWatch},
};

/// How many requests are remembered. Each is good for the moment in which its migration starts.
const REMEMBERED_REQUESTS: usize = 256;

/// What a person can ask of a migration under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MigrationRequest {
    Abort,
    ForceComplete,
}

impl ComputeLiveMigration for Manager {
    async fn check_can_live_migrate_destination(
        &self,
        _ctx: RequestContext,
        migration: MigrationSpec,
    ) -> Result<MigrateData, ComputeError> {
        self.check_destination(&migration.source, &migration.spec)?;
        self.driver().check_can_live_migrate_destination(&migration).await
    }

    async fn check_can_live_migrate_source(
        &self,
        _ctx: RequestContext,
        migration: MigrationSpec,
        data: MigrateData,
    ) -> Result<MigrateData, ComputeError> {
        self.driver().check_can_live_migrate_source(&migration, &data).await
    }

    async fn pre_live_migration(
        &self,
        _ctx: RequestContext,
        migration: MigrationSpec,
        data: MigrateData,
    ) -> Result<MigrateData, ComputeError> {
        let instance = migration.spec.uuid;
        let lock = self.begin_incoming(migration.migration, &migration.spec).await?;
        match lock.run(self.driver().pre_live_migration(&migration, &data)).await {
            Some(Ok(data)) => Ok(data),
            Some(Err(error)) => {
                // The conductor undoes it too, but may be gone by then.
                if let Err(error) = self.roll_back_destination(&migration).await {
                    tracing::warn!(%instance, %error, "what a failed preparation left is removed by reconciliation");
                }
                Err(error)
            }
            None => Err(self.being_removed(instance)),
        }
    }

    /// Takes over the copying: answers once it is written down, and goes on outside the RPC slot.
    async fn live_migration(
        &self,
        ctx: RequestContext,
        migration: MigrationSpec,
        data: MigrateData,
    ) -> Result<(), ComputeError> {
        let (instance, task_id) = (migration.spec.uuid, migration.task_id);
        let arguments = LiveMigrationArguments { migration, data };
        let serialised = ActionArguments::of(&arguments).map_err(|error| ComputeError::Failed {
            message: format!("the migration can't be written down: {error}"),
        })?;
        let operation = Operation::new(task_id, Some(ctx.request_id), Action::LiveMigrate, serialised);
        match self.begin(instance, operation, Needs::Instance).await {
            Ok(Some(lock)) => {
                let manager = self.clone();
                self.spawn(async move {
                    if let Some(Err(error)) = lock.run(manager.copy(&arguments)).await {
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

    async fn live_migration_abort(
        &self,
        _ctx: RequestContext,
        instance: InstanceUuid,
        migration: MigrationUuid,
    ) -> Result<(), ComputeError> {
        self.request(instance, migration, MigrationRequest::Abort);
        Ok(())
    }

    async fn live_migration_force_complete(
        &self,
        _ctx: RequestContext,
        instance: InstanceUuid,
        migration: MigrationUuid,
    ) -> Result<(), ComputeError> {
        self.request(instance, migration, MigrationRequest::ForceComplete);
        Ok(())
    }

    async fn post_live_migration_at_destination(
        &self,
        _ctx: RequestContext,
        migration: MigrationSpec,
    ) -> Result<(), ComputeError> {
        let _lock = self.lock_instance(migration.spec.uuid).await?;
        self.driver().post_live_migration_at_destination(&migration).await?;
        Ok(self.journal().end_incoming(migration.migration, migration.task_id, &migration.spec)?.durable().await?)
    }

    async fn post_live_migration(&self, _ctx: RequestContext, migration: MigrationSpec) -> Result<(), ComputeError> {
        let instance = migration.spec.uuid;
        let _lock = self.lock_ahead_of_copying(&migration).await?;
        self.driver().post_live_migration(&migration).await?;
        Ok(self.journal().forget(instance)?.durable().await?)
    }

    async fn rollback_live_migration_at_destination(
        &self,
        _ctx: RequestContext,
        migration: MigrationSpec,
    ) -> Result<(), ComputeError> {
        let _lock = self.lock_instance(migration.spec.uuid).await?;
        self.roll_back_destination(&migration).await
    }

    async fn rollback_live_migration(
        &self,
        _ctx: RequestContext,
        migration: MigrationSpec,
        confirmed: bool,
    ) -> Result<(), ComputeError> {
        let _lock = self.lock_ahead_of_copying(&migration).await?;
        self.driver().rollback_live_migration(&migration, confirmed).await?;
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
}

impl Manager {
    async fn copy(&self, arguments: &LiveMigrationArguments) -> Result<(), ComputeError> {
        let migration = &arguments.migration;
        match self.driver().live_migration(migration, &arguments.data).await {
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

    /// Passes on to the driver what a person asks of a migration under way. The message may overtake the one that
    /// starts the migration, so it is noted first: one of the two finds the other.
    fn request(&self, instance: InstanceUuid, migration: MigrationUuid, request: MigrationRequest) {
        {
            let mut requests = self.0.state.migration_requests.lock();
            if requests.len() == REMEMBERED_REQUESTS {
                requests.pop_front();
            }
            requests.push_back((migration, request));
        }
        self.apply_requests(instance, migration);
    }

    fn apply_requests(&self, instance: InstanceUuid, migration: MigrationUuid) {
        let requests: Vec<MigrationRequest> = {
            let requests = self.0.state.migration_requests.lock();
            requests.iter().filter(|(of, _)| *of == migration).map(|(_, request)| *request).collect()
        };
        for request in requests {
            match request {
                MigrationRequest::Abort => self.driver().live_migration_abort(instance, migration),
                MigrationRequest::ForceComplete => self.driver().live_migration_force_complete(instance, migration),
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
    pub(super) async fn resume_live_migration(&self, arguments: &LiveMigrationArguments) -> Result<(), ComputeError> {
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
        let commit = self.journal().step(migration.spec.uuid, migration.task_id, |entry, _| {
            entry.settle();
            Some(pending(migration, progress, outcome))
        })?;
        match commit {
            Some(commit) => Ok(commit.durable().await?),
            None => Ok(()),
        }
    }

    async fn roll_back_destination(&self, migration: &MigrationSpec) -> Result<(), ComputeError> {
        self.driver().rollback_live_migration_at_destination(migration).await?;
        if let Some(commit) = self.journal().forget_incoming(migration.spec.uuid, migration.migration)? {
            commit.durable().await?;
        }
        Ok(())
    }

    /// The instance's lock; ahead of the copying, if it is this migration's that is under way. A message that comes
    /// late must not stop anything else.
    async fn lock_ahead_of_copying(&self, migration: &MigrationSpec) -> Result<InstanceLock, ComputeError> {
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
