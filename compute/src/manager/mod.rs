//! The compute host at work: implements [`Compute`] and [`ComputeControl`].
//!
//! | file | what |
//! | --- | --- |
//! | `actions` | what a host does alone with an instance: start, stop, delete, ... |
//! | `build` | builds |
//! | `console` | the guest's console, the host's uptime |
//! | `live_migration` | both ends of a live migration |
//! | `reconcile`, `verdict` | bringing the host and its rows together, after a start and from time to time |
//! | `telling` | how each step and end is journaled and reported |
//! | `turns` | one thing at a time for each instance |
//!
//! Every operation goes the same way: wait for the instance's turn, write down that it is the host's, do it, write
//! down its end with the report of it. A message that comes again finds the first in the journal. A crash anywhere
//! leaves the operation in the journal, from where reconciliation takes it up.

mod actions;
mod build;
mod console;
mod live_migration;
mod reconcile;
mod telling;
mod turns;
mod verdict;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use live_migration::Wish;
use novella_common::{
    RequestContext,
    ids::{InstanceUuid, MigrationUuid, TaskId},
    lifecycle::Action,
    models::Inventory,
};
use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use turns::Turns;

use crate::{
    journal::{self, Begun, Identity, Journal, Needs},
    rpcapi::{
        ActionArguments, BuildRequest, Compute, ComputeControl, ComputeError, Holdings, LiveMigration, MigrateData,
        Operation, Reconciliation,
    },
    sync::Shared,
    virt::AnyDriver,
};

/// One host's manager. Clones are the same manager.
#[derive(Clone)]
pub(crate) struct Manager(Arc<Host>);

/// What a manager is made of.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) driver: AnyDriver,
    pub(crate) journal: Arc<Journal>,
    pub(crate) inventory: Inventory,
    /// One permit for each build that may run at once.
    pub(crate) builds: Semaphore,
    /// How long the row of a build may name this host before the host says that it never got it.
    pub(crate) lost_build_after: Duration,
    /// Ends everything at once, as a crash would.
    pub(crate) life: CancellationToken,
    /// Asks for an orderly end: nothing long is begun any more.
    pub(crate) stopping: CancellationToken,
    pub(crate) state: State,
}

/// What a manager keeps in memory only.
#[derive(Default)]
pub(crate) struct State {
    turns: Turns,
    /// All work outside RPC slots.
    tasks: TaskTracker,
    /// Whether a conductor has reconciled this run of the host.
    reconciled: watch::Sender<bool>,
    /// What the last listings said, so that nothing is removed that has changed since.
    listings: Shared<VecDeque<HashMap<InstanceUuid, Identity>>>,
    /// What was lately asked of migrations under way.
    wishes: Shared<VecDeque<(MigrationUuid, Wish)>>,
}

impl Manager {
    pub(crate) fn new(host: Host) -> Self {
        Self(Arc::new(host))
    }

    /// Turns true when a conductor has reconciled this run of the host.
    pub(crate) fn reconciled(&self) -> watch::Receiver<bool> {
        self.0.state.reconciled.subscribe()
    }

    /// Waits for the work outside RPC slots to end, at most `grace`. What has not ended is in the journal.
    pub(crate) async fn finish(&self, grace: Duration) {
        self.0.state.tasks.close();
        // What is cut short goes on at the next start.
        let _ = tokio::time::timeout(grace, self.0.state.tasks.wait()).await;
    }

    /// Runs work outside an RPC slot.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.0.state.tasks.spawn(self.0.life.clone().run_until_cancelled_owned(work));
    }

    fn driver(&self) -> &AnyDriver {
        &self.0.driver
    }

    fn journal(&self) -> &Journal {
        &self.0.journal
    }

    fn turns(&self) -> &Turns {
        &self.0.state.turns
    }

    fn invalid(&self, instance: InstanceUuid, reason: &str) -> ComputeError {
        ComputeError::InvalidState { instance, host: self.0.name.clone(), reason: reason.to_owned() }
    }

    fn not_found(&self, instance: InstanceUuid) -> ComputeError {
        ComputeError::InstanceNotFound { instance, host: self.0.name.clone() }
    }

    fn no_room(&self, free: novella_common::models::Resources) -> ComputeError {
        ComputeError::ComputeResourcesUnavailable {
            host: self.0.name.clone(),
            reason: format!(
                "{} vCPUs, {} MiB of memory and {} GiB of disk are free",
                free.vcpus, free.memory_mb, free.disk_gb
            ),
        }
    }

    /// Whether the operation is under way or over: then a message for it is a repetition.
    fn knows(&self, instance: InstanceUuid, task_id: TaskId) -> bool {
        self.journal()
            .look(instance, |entry| entry.is_some_and(|entry| entry.does(task_id) || entry.settled.contains(&task_id)))
    }

    /// Waits for the instance's turn as the work is entitled to, and makes it the host's own. `None` if there is
    /// nothing left to do: it was done before, or something else has taken over.
    async fn begin(
        &self,
        instance: InstanceUuid,
        operation: journal::Operation,
        needs: Needs,
    ) -> Result<Option<turns::Turn>, ComputeError> {
        // A repetition must not cancel what came after the first delivery.
        let takes_over = operation.action.transition().takes_over() && !self.knows(instance, operation.task_id);
        let turn = if takes_over { self.turns().take_over(instance).await } else { self.turns().enter(instance).await };
        let Some(turn) = turn else { return Ok(None) };
        let begun = self.journal().begin(instance, operation, &needs)?;
        match begun {
            Begun::New(commit) => commit.durable().await?,
            // Whoever began it has lost the turn without finishing, so it is ours to finish.
            Begun::UnderWay => self.journal().barrier().durable().await?,
            Begun::Over => {
                self.journal().repeat(instance, 0).await?;
                return Ok(None);
            }
            Begun::Unknown => return Err(self.not_found(instance)),
            Begun::Occupied => return Err(self.invalid(instance, "it is here already")),
            Begun::NoRoom(free) => return Err(self.no_room(free)),
        }
        Ok(Some(turn))
    }
}

impl Compute for Manager {
    async fn build_and_run_instance(&self, ctx: RequestContext, build: BuildRequest) -> Result<(), ComputeError> {
        self.accept_build(ctx, build).await
    }

    async fn perform_action(
        &self,
        ctx: RequestContext,
        operation: Operation,
        action: Action,
        arguments: ActionArguments,
    ) -> Result<(), ComputeError> {
        self.perform(Some(ctx.request_id), operation, action, arguments).await
    }

    async fn get_console_output(
        &self,
        _ctx: RequestContext,
        instance: InstanceUuid,
        tail_length: Option<usize>,
    ) -> Result<String, ComputeError> {
        self.console(instance, tail_length).await
    }

    async fn get_host_uptime(&self, _ctx: RequestContext) -> Result<String, ComputeError> {
        Ok(self.uptime())
    }

    async fn check_can_live_migrate_destination(
        &self,
        _ctx: RequestContext,
        migration: LiveMigration,
    ) -> Result<MigrateData, ComputeError> {
        self.check_destination(&migration).await
    }

    async fn check_can_live_migrate_source(
        &self,
        _ctx: RequestContext,
        migration: LiveMigration,
        data: MigrateData,
    ) -> Result<MigrateData, ComputeError> {
        self.check_source(&migration, &data).await
    }

    async fn pre_live_migration(
        &self,
        _ctx: RequestContext,
        migration: LiveMigration,
        data: MigrateData,
    ) -> Result<MigrateData, ComputeError> {
        self.prepare_arrival(&migration, &data).await
    }

    async fn live_migration(
        &self,
        ctx: RequestContext,
        migration: LiveMigration,
        data: MigrateData,
    ) -> Result<(), ComputeError> {
        self.depart(ctx, migration, data).await
    }

    async fn live_migration_abort(
        &self,
        _ctx: RequestContext,
        instance: InstanceUuid,
        migration: MigrationUuid,
    ) -> Result<(), ComputeError> {
        self.ask(instance, migration, Wish::Abort);
        Ok(())
    }

    async fn live_migration_force_complete(
        &self,
        _ctx: RequestContext,
        instance: InstanceUuid,
        migration: MigrationUuid,
    ) -> Result<(), ComputeError> {
        self.ask(instance, migration, Wish::ForceComplete);
        Ok(())
    }

    async fn post_live_migration_at_destination(
        &self,
        _ctx: RequestContext,
        migration: LiveMigration,
    ) -> Result<(), ComputeError> {
        self.complete_arrival(&migration).await
    }

    async fn post_live_migration(&self, _ctx: RequestContext, migration: LiveMigration) -> Result<(), ComputeError> {
        self.complete_departure(&migration).await
    }

    async fn rollback_live_migration_at_destination(
        &self,
        _ctx: RequestContext,
        migration: LiveMigration,
    ) -> Result<(), ComputeError> {
        self.undo_arrival(&migration).await
    }

    async fn rollback_live_migration(
        &self,
        _ctx: RequestContext,
        migration: LiveMigration,
        confirmed: bool,
    ) -> Result<(), ComputeError> {
        self.undo_departure(&migration, confirmed).await
    }
}

impl ComputeControl for Manager {
    async fn list_holdings(&self, _ctx: RequestContext) -> Result<Holdings, ComputeError> {
        Ok(self.holdings())
    }

    async fn reconcile(&self, _ctx: RequestContext, reconciliation: Reconciliation) -> Result<(), ComputeError> {
        self.bring_together(reconciliation).await
    }
}
