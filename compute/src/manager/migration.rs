//! Cold migration, both ends, under Nova's names. The conductor drives it; see its `tasks/migrate.rs` for the whole.
//!
//! ```text
//! destination   prep_resize ──────────────────── finish_resize                       (or revert_resize)
//! source        ──────────── resize_instance ─────────────────── confirm_resize      (or finish_revert_resize)
//! ```
//!
//! Until it is confirmed both hosts have the instance in their journals: the source, so that it can be reverted.

use novella_common::{RequestContext, lifecycle::Action};

use super::Manager;
use crate::rpcapi::{ComputeError, ComputeMigration, MigrateData, MigrationSpec};

impl ComputeMigration for Manager {
    async fn prep_resize(&self, _ctx: RequestContext, migration: MigrationSpec) -> Result<MigrateData, ComputeError> {
        let instance = migration.spec.uuid;
        self.check_destination(&migration.source, &migration.spec)?;
        let lock = self.begin_incoming(migration.migration, &migration.spec).await?;
        match lock.run(self.driver().prep_resize(&migration)).await {
            Some(Ok(data)) => Ok(data),
            Some(Err(error)) => {
                // The conductor undoes it too, but may be gone by then.
                if let Some(commit) = self.journal().forget_incoming(instance, migration.migration)? {
                    commit.durable().await?;
                }
                Err(error)
            }
            None => Err(self.being_removed(instance)),
        }
    }

    /// Takes over the move: answers once it is written down, and goes on outside the RPC slot.
    async fn resize_instance(
        &self,
        ctx: RequestContext,
        migration: MigrationSpec,
        data: MigrateData,
    ) -> Result<(), ComputeError> {
        self.begin_copy(ctx, Action::Migrate, migration, data).await
    }

    async fn finish_resize(&self, _ctx: RequestContext, migration: MigrationSpec) -> Result<(), ComputeError> {
        let _lock = self.lock_instance(migration.spec.uuid).await?;
        self.driver().finish_resize(&migration).await?;
        Ok(self.journal().end_incoming(migration.migration, migration.task_id, &migration.spec)?.durable().await?)
    }

    async fn confirm_resize(&self, _ctx: RequestContext, migration: MigrationSpec) -> Result<(), ComputeError> {
        let instance = migration.spec.uuid;
        let _lock = self.lock_instance(instance).await?;
        self.driver().confirm_resize(&migration).await?;
        Ok(self.journal().forget(instance)?.durable().await?)
    }

    async fn revert_resize(&self, _ctx: RequestContext, migration: MigrationSpec) -> Result<(), ComputeError> {
        let instance = migration.spec.uuid;
        let _lock = self.lock_instance(instance).await?;
        self.driver().revert_resize(&migration).await?;
        Ok(self.journal().forget(instance)?.durable().await?)
    }

    async fn finish_revert_resize(&self, _ctx: RequestContext, migration: MigrationSpec) -> Result<(), ComputeError> {
        let _lock = self.lock_ahead_of_copying(&migration).await?;
        self.driver().finish_revert_resize(&migration).await?;
        self.settle_copy(&migration).await
    }
}
