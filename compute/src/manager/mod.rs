//! The compute host at work: implements [`Compute`] and, in files of their own, the other contracts.
//!
//! | file | what |
//! | --- | --- |
//! | `actions` | what a host does alone with an instance: start, stop, delete, ... |
//! | `build` | builds |
//! | `live_migration`, `migration` | both ends of a live and of a cold migration: each implements its contract |
//! | `copying` | what a source does alone in either |
//! | `incoming` | an instance that comes from another host |
//! | `interfaces` | interfaces that come and go after the build |
//! | `reconcile`, `reconcile_action` | reconciling the host with its rows: implements [`ComputeControl`] |
//! | `reports` | how each step and end is journaled and reported |
//! | `instance_locks` | one thing at a time for each instance |
//!
//! Every operation goes the same way: wait for the instance's lock, write down that it is the host's, do it, write
//! down its end with the report of it. A message that comes again finds the first in the journal. A crash anywhere
//! leaves the operation in the journal, from where reconciliation takes it up.

mod actions;
mod build;
mod copying;
mod incoming;
mod instance_locks;
mod interfaces;
mod live_migration;
mod migration;
mod reconcile;
mod reconcile_action;
mod reports;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use instance_locks::InstanceLocks;
use live_migration::MigrationRequest;
use novella_common::{
    RequestContext,
    ids::{Incarnation, InstanceUuid, MigrationUuid, TaskId},
    lifecycle::Action,
    models::{Inventory, Vif},
    telemetry::request_span,
    traces,
};
use novella_messaging::trace;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use crate::{
    journal::{self, Began, Identity, Journal, Needs},
    rpcapi::{ActionArguments, BuildRequest, Compute, ComputeError, Diagnostics, OperationId},
    virt::AnyDriver,
};

/// One host's manager. Clones are the same manager.
#[derive(Clone)]
pub(crate) struct Manager(Arc<Host>);

/// What a manager is made of.
pub(crate) struct Host {
    pub(crate) name: String,
    /// This run of it.
    pub(crate) incarnation: Incarnation,
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
    locks: InstanceLocks,
    /// All work outside RPC slots.
    tasks: TaskTracker,
    /// Whether a conductor has reconciled this run of the host.
    reconciled: watch::Sender<bool>,
    /// What the last listings said, so that nothing is removed that has changed since.
    listings: Mutex<VecDeque<HashMap<InstanceUuid, Identity>>>,
    /// What was lately asked of migrations under way.
    migration_requests: Mutex<VecDeque<(MigrationUuid, MigrationRequest)>>,
}

impl Manager {
    pub(crate) fn new(host: Host) -> Self {
        Self(Arc::new(host))
    }

    /// InstanceLocks true when a conductor has reconciled this run of the host.
    pub(crate) fn reconciled(&self) -> watch::Receiver<bool> {
        self.0.state.reconciled.subscribe()
    }

    /// Waits for the work outside RPC slots to end, at most `grace`. What has not ended is in the journal.
    pub(crate) async fn finish(&self, grace: Duration) {
        self.0.state.tasks.close();
        // What is cut short goes on at the next start.
        let _ = tokio::time::timeout(grace, self.0.state.tasks.wait()).await;
    }

    /// Runs work outside an RPC slot, for a request if it is for one.
    fn spawn(&self, request_id: Option<&str>, work: impl Future<Output = ()> + Send + 'static) {
        let of_request = || traces::of_request(request_id?, "compute", &self.0.name);
        let current = trace::current().or_else(of_request);
        let own = request_id.unwrap_or_default().to_owned();
        let work = async move {
            if own.is_empty() { work.await } else { trace::own("owns the operation", &own, current, work).await }
        };
        let work = work.instrument(request_span(request_id));
        self.0.state.tasks.spawn(self.0.life.clone().run_until_cancelled_owned(work));
    }

    fn driver(&self) -> &AnyDriver {
        &self.0.driver
    }

    fn journal(&self) -> &Journal {
        &self.0.journal
    }

    fn locks(&self) -> &InstanceLocks {
        &self.0.state.locks
    }

    fn invalid(&self, instance: InstanceUuid, reason: &str) -> ComputeError {
        ComputeError::InvalidState { instance, host: self.0.name.clone(), reason: reason.to_owned() }
    }

    fn not_found(&self, instance: InstanceUuid) -> ComputeError {
        ComputeError::InstanceNotFound { instance, host: self.0.name.clone() }
    }

    fn insufficient(&self, free: novella_common::models::Resources) -> ComputeError {
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

    /// Whether the message of an operation was overtaken by that of a deletion: nothing takes over from one but another.
    fn comes_late(&self, instance: InstanceUuid, operation: &journal::Operation) -> bool {
        let is_final = |action: Action| action.transition().is_final();
        let deleting = |entry: &journal::Entry| entry.operation.as_ref().is_some_and(|other| is_final(other.action));
        !is_final(operation.action) && self.journal().look(instance, |entry| entry.is_some_and(deleting))
    }

    /// Waits for the instance's lock as the action is entitled to, and makes it the host's own. `None` if there is
    /// nothing left to do: it was done before, or something else has taken over.
    async fn begin(
        &self,
        instance: InstanceUuid,
        operation: journal::Operation,
        needs: Needs,
    ) -> Result<Option<instance_locks::InstanceLock>, ComputeError> {
        if self.comes_late(instance, &operation) {
            tracing::info!(%instance, task_id = %operation.task_id, "not done: the instance is being deleted");
            let remembered = self.journal().change(instance, |entry| {
                entry.remember(operation.task_id);
                None
            })?;
            remembered.durable().await?;
            return Ok(None);
        }
        // A repetition must not cancel what came after the first delivery.
        let takes_over = operation.action.transition().takes_over() && !self.knows(instance, operation.task_id);
        let lock = if takes_over { self.locks().take_over(instance).await } else { self.locks().lock(instance).await };
        let Some(lock) = lock else { return Ok(None) };
        let begun = self.journal().begin(instance, operation, &needs)?;
        match begun {
            Began::New(commit) => commit.durable().await?,
            // Whoever began it has lost the lock without finishing, so it is ours to finish.
            Began::UnderWay => self.journal().barrier().durable().await?,
            Began::Over => {
                self.journal().repeat(instance, 0).await?;
                return Ok(None);
            }
            Began::Unknown => return Err(self.not_found(instance)),
            Began::Occupied => return Err(self.invalid(instance, "it is here already")),
            Began::Insufficient(free) => return Err(self.insufficient(free)),
        }
        Ok(Some(lock))
    }
}

impl Compute for Manager {
    /// Takes over a build: answers once it is written down, and goes on outside the RPC slot.
    async fn build_and_run_instance(&self, ctx: RequestContext, build: BuildRequest) -> Result<(), ComputeError> {
        let instance = build.spec.uuid;
        let operation =
            journal::Operation::new(build.task_id, Some(ctx.request_id), Action::Create, ActionArguments::default());
        // The claim was made by the scheduler. Refused here is only what can't be: a host that was made smaller, or
        // that still holds what its rows no longer name.
        let needs = Needs::Resources(Box::new(build.spec), self.0.inventory.capacity());
        match self.journal().begin(instance, operation, &needs)? {
            Began::New(commit) => {
                commit.durable().await?;
                self.resume_operation(instance, build.task_id);
                Ok(())
            }
            Began::UnderWay => Ok(self.journal().barrier().durable().await?),
            Began::Over => self.journal().repeat(instance, 0).await.map_err(Into::into),
            Began::Insufficient(free) => Err(self.insufficient(free)),
            Began::Occupied => Err(self.invalid(instance, "it is here already")),
            Began::Unknown => Err(self.not_found(instance)),
        }
    }

    async fn perform_action(
        &self,
        ctx: RequestContext,
        operation: OperationId,
        action: Action,
        arguments: ActionArguments,
    ) -> Result<(), ComputeError> {
        self.perform_action(Some(ctx.request_id), operation, action, arguments).await
    }

    async fn get_console_output(
        &self,
        _ctx: RequestContext,
        instance: InstanceUuid,
        tail_length: Option<usize>,
    ) -> Result<String, ComputeError> {
        self.driver().console_output(instance, tail_length).await
    }

    async fn get_diagnostics(&self, _ctx: RequestContext, instance: InstanceUuid) -> Result<Diagnostics, ComputeError> {
        self.driver().diagnostics(instance).await
    }

    async fn attach_interface(
        &self,
        _ctx: RequestContext,
        instance: InstanceUuid,
        vif: Vif,
    ) -> Result<(), ComputeError> {
        self.attach_interface(instance, &vif).await
    }

    async fn detach_interface(
        &self,
        _ctx: RequestContext,
        instance: InstanceUuid,
        port_id: String,
    ) -> Result<(), ComputeError> {
        self.detach_interface(instance, &port_id).await
    }

    async fn get_host_uptime(&self, _ctx: RequestContext) -> Result<String, ComputeError> {
        Ok(self.driver().uptime())
    }
}
