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
};

use super::Manager;
use crate::rpcapi::{ComputeError, ComputeLiveMigration, MigrateData, MigrationSpec};

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

    async fn live_migration(
        &self,
        ctx: RequestContext,
        migration: MigrationSpec,
        data: MigrateData,
    ) -> Result<(), ComputeError> {
        self.begin_copy(ctx, Action::LiveMigrate, migration, data).await
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
        self.settle_copy(&migration).await
    }
}

impl Manager {
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

    pub(super) fn apply_requests(&self, instance: InstanceUuid, migration: MigrationUuid) {
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

    async fn roll_back_destination(&self, migration: &MigrationSpec) -> Result<(), ComputeError> {
        self.driver().rollback_live_migration_at_destination(migration).await?;
        if let Some(commit) = self.journal().forget_incoming(migration.spec.uuid, migration.migration)? {
            commit.durable().await?;
        }
        Ok(())
    }
}
