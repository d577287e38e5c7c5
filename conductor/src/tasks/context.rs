//! What every step of a long task stands on: the rows, the hosts, the record, the end.

use std::{future::Future, sync::Arc, time::Duration};

use jiff::Timestamp;
use novella_common::{
    RequestContext,
    db::{DbError, allocations, instances, migrations, migrations::transitions, services},
    lifecycle::{PowerState, TaskState, VmState},
    models::{ActionEvent, Binary, Instance, Migration, MigrationStatus},
    networks::{self, Binding, NetworkError},
};
use novella_compute::rpcapi::{ComputeError, MigrateData, MigrationSpec};
use novella_messaging::{CallError, MessagingError};

use super::{events, step::Next};
use crate::shared::Shared;

/// How long Networking may take to bind an instance's ports.
const NETWORKING_TIMEOUT: Duration = Duration::from_secs(30);

/// One conductor's work on one task, from wherever it finds it.
pub(crate) struct TaskContext {
    pub(super) shared: Arc<Shared>,
    /// Destinations that have refused.
    pub(super) refused: Vec<String>,
    /// What the drivers have agreed on, between the steps of one status.
    pub(super) data: MigrateData,
    /// Whether it is certain that the destination does not run the guest, between the steps of an undoing.
    pub(super) confirmed: bool,
    instance: Option<Instance>,
    /// A host that may hold something it should not.
    unreconciled: Option<String>,
}

impl TaskContext {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            refused: Vec::new(),
            data: MigrateData::default(),
            confirmed: false,
            instance: None,
            unreconciled: None,
        }
    }

    /// Reads the instance, deleted or not, for the steps that follow.
    pub(super) async fn read(&mut self, migration: &Migration) -> Result<(), DbError> {
        let mut connection = self.shared.database.read().await?;
        self.instance = instances::get_with_deleted(&mut connection, migration.instance).await?;
        Ok(())
    }

    /// The instance, if its operation is still this task.
    pub(super) fn instance(&self, migration: &Migration) -> Option<&Instance> {
        let instance = self.instance.as_ref()?;
        (instance.deleted_at.is_none() && instance.task_id == Some(migration.task_id)).then_some(instance)
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.instance.as_ref().is_none_or(|instance| instance.deleted_at.is_some())
    }

    /// What the instance's row says, whatever operation is under way.
    pub(super) fn vm_state(&self) -> Option<VmState> {
        self.instance.as_ref().map(|instance| instance.vm_state)
    }

    /// The same.
    pub(super) fn host(&self) -> Option<&str> {
        self.instance.as_ref().and_then(|instance| instance.host.as_deref())
    }

    /// The migration as the hosts must know it, once it has a destination and as long as the operation is this task.
    pub(super) fn spec(&self, migration: &Migration) -> Option<MigrationSpec> {
        spec(migration, self.instance(migration)?)
    }

    /// The same whatever operation is under way, but for a deletion: an administrator may have given it another state, and
    /// its guest is where the migration has brought it.
    pub(super) fn spec_unless_deleted(&self, migration: &Migration) -> Option<MigrationSpec> {
        let instance = self.instance.as_ref()?;
        let deleted = instance.deleted_at.is_some() || instance.task_state == Some(TaskState::Deleting);
        if deleted { None } else { spec(migration, instance) }
    }

    /// The same whatever has become of the instance: for what must be undone or removed.
    pub(super) fn spec_of_any(&self, migration: &Migration) -> Option<MigrationSpec> {
        spec(migration, self.instance.as_ref()?)
    }

    /// Has the host reconciled when the task rests: it may hold something of it.
    pub(super) fn reconcile(&mut self, host: &str) {
        self.unreconciled = Some(host.to_owned());
    }

    /// The host that is to be reconciled now.
    pub(super) fn unreconciled(&mut self) -> Option<String> {
        self.unreconciled.take()
    }

    /// What the drivers have agreed on, as the row has it.
    pub(super) async fn migrate_data(&self, migration: &Migration) -> Result<Option<MigrateData>, DbError> {
        let mut connection = self.shared.database.read().await?;
        let text = transitions::migrate_data(&mut connection, migration.uuid).await?;
        let value = text.map(|text| serde_json::from_str(&text)).transpose();
        value.map(|value| value.map(MigrateData)).map_err(|error| DbError::Corrupt {
            column: "migrate_data".into(),
            value: migration.uuid.to_string(),
            reason: error.to_string(),
        })
    }

    /// Whether the destination may hold something of the migration.
    pub(super) async fn is_prepared(&self, migration: &Migration) -> Result<bool, DbError> {
        Ok(self.migrate_data(migration).await?.is_some())
    }

    pub(super) async fn abort_requested(&self, migration: &Migration) -> Result<bool, DbError> {
        let mut connection = self.shared.database.read().await?;
        let row = migrations::get(&mut connection, migration.uuid).await?;
        Ok(row.is_some_and(|row| row.abort_requested))
    }

    /// Whether the host is there, or will be back in a moment.
    pub(super) async fn is_up(&self, host: &str) -> Result<bool, DbError> {
        let fresh_since = self.shared.fresh_since().await?;
        let service = {
            let mut connection = self.shared.database.read().await?;
            services::find(&mut connection, Binary::Compute, host).await?
        };
        Ok(service.is_some_and(|service| !service.is_lost(&fresh_since)))
    }

    /// Whether an operator has declared a host down: nothing runs there, as for an evacuation.
    pub(super) async fn is_fenced(&self, host: &str) -> Result<bool, DbError> {
        let mut connection = self.shared.database.read().await?;
        let service = services::find(&mut connection, Binary::Compute, host).await?;
        Ok(service.is_some_and(|service| service.forced_down))
    }

    /// Calls a host once, more often only if the bus was away, and writes the call into the instance's action. The
    /// inner error is why it failed.
    pub(super) async fn call<T, F>(
        &self,
        migration: &Migration,
        event: &str,
        host: &str,
        call: impl Fn() -> F,
    ) -> Result<Result<T, String>, DbError>
    where
        F: Future<Output = Result<T, CallError<ComputeError>>>,
    {
        // Without an answer the host may be doing it: once is enough, unless the bus was away.
        let bus_was_away = |error: &CallError<ComputeError>| {
            matches!(
                error,
                CallError::Messaging(
                    MessagingError::Disconnected { .. }
                        | MessagingError::Blocked { .. }
                        | MessagingError::Unroutable { .. }
                )
            )
        };
        let result = self.call_while(migration, event, host, call, bus_was_away).await?;
        Ok(result.map_err(|error| error.to_string()))
    }

    /// The same as often as no host answers: for what must be known.
    pub(super) async fn call_until_answered<T, F>(
        &self,
        migration: &Migration,
        event: &str,
        host: &str,
        call: impl Fn() -> F,
    ) -> Result<Result<T, CallError<ComputeError>>, DbError>
    where
        F: Future<Output = Result<T, CallError<ComputeError>>>,
    {
        self.call_while(migration, event, host, call, |error| matches!(error, CallError::Messaging(_))).await
    }

    async fn call_while<T, F>(
        &self,
        migration: &Migration,
        event: &str,
        host: &str,
        call: impl Fn() -> F,
        may_pass: impl Fn(&CallError<ComputeError>) -> bool,
    ) -> Result<Result<T, CallError<ComputeError>>, DbError>
    where
        F: Future<Output = Result<T, CallError<ComputeError>>>,
    {
        let began = Timestamp::now();
        let result = self.retry(call, may_pass).await;
        self.record(migration, events::ended(event, host, began, &result)).await?;
        Ok(result)
    }

    /// Changes where the instance's ports are bound, if it has any; tried again while Networking is away.
    pub(super) async fn bind(&self, migration: &Migration, binding: Binding<'_>) -> Result<(), NetworkError> {
        let has_ports = self.instance.as_ref().is_some_and(|i| i.deleted_at.is_none() && i.has_ports);
        if !has_ports {
            return Ok(());
        }
        let call = || networks::within(NETWORKING_TIMEOUT, self.shared.networks.bind(migration.instance, binding));
        self.retry(call, |error| matches!(error, NetworkError::Unavailable(_))).await
    }

    /// The guest is on this host now, and its ports with it. They must be: it is asked until Networking has answered.
    pub(super) async fn move_bindings(&self, migration: &Migration, host: &str) -> Result<Next, DbError> {
        match self.bind(migration, Binding::Only(host)).await {
            Ok(()) => Ok(Next::Step),
            Err(error @ NetworkError::Unavailable(_)) => {
                tracing::warn!(migration = %migration.uuid, host, %error, "ports are to follow; asked again");
                Ok(Next::Again)
            }
            Err(error) => {
                tracing::error!(migration = %migration.uuid, host, %error, "ports do not follow: Networking refuses");
                Ok(Next::Step)
            }
        }
    }

    /// Tries a call `call_attempts` times while it fails in a way that may pass.
    pub(super) async fn retry<T, E, F>(&self, call: impl Fn() -> F, may_pass: impl Fn(&E) -> bool) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut left = self.shared.config.call_attempts.max(1);
        loop {
            left -= 1;
            match call().await {
                Err(error) if left > 0 && may_pass(&error) => {
                    self.shared.shutdown.pause(self.shared.config.call_retry_interval).await;
                }
                result => return result,
            }
        }
    }

    pub(super) async fn record(&self, migration: &Migration, event: ActionEvent) -> Result<(), DbError> {
        let mut transaction = self.shared.database.begin().await?;
        events::write(&mut transaction, migration, event).await?;
        transaction.commit().await
    }

    /// Writes another status. The task stays this conductor's.
    pub(super) async fn set_status(
        &self,
        migration: &Migration,
        to: MigrationStatus,
        error: Option<&str>,
    ) -> Result<Next, DbError> {
        let mut connection = self.shared.database.write().await?;
        let owner = self.shared.incarnation;
        transitions::set_status(&mut connection, migration.uuid, migration.status, to, owner, error).await?;
        tracing::debug!(migration = %migration.uuid, from = migration.status.as_str(), to = to.as_str(), error, "status");
        Ok(Next::Status)
    }

    /// Undoes what was done so far.
    pub(super) async fn revert(&self, migration: &Migration, reason: Option<&str>) -> Result<Next, DbError> {
        self.set_status(migration, MigrationStatus::Reverting, reason).await
    }

    /// Undoes what was done so far; ends at once if nothing was made on the destination yet. Without a reason it was
    /// asked for.
    pub(super) async fn cancel(&self, migration: &Migration, reason: Option<&str>) -> Result<Next, DbError> {
        let status = if reason.is_some() { MigrationStatus::Error } else { MigrationStatus::Cancelled };
        if self.is_prepared(migration).await? {
            return self.revert(migration, reason).await;
        }
        self.end(migration, End::as_before(migration, status, reason)).await
    }

    /// The operation is no longer this task: the instance was deleted meanwhile.
    pub(super) async fn overtaken(&self, migration: &Migration) -> Result<Next, DbError> {
        self.end(migration, End::as_before(migration, MigrationStatus::Error, Some(DELETED))).await
    }

    /// Ends the task: its row, the instance's operation, the events and a claim in one transaction.
    pub(super) async fn end(&self, migration: &Migration, end: End<'_>) -> Result<Next, DbError> {
        let mut transaction = self.shared.database.begin().await?;
        let (uuid, owner) = (migration.uuid, self.shared.incarnation);
        if !transitions::finish(&mut transaction, uuid, owner, end.status, end.error).await? {
            return Ok(Next::Rest);
        }
        instances::end_task(&mut transaction, migration.instance, migration.task_id, end.vm_state).await?;
        let error = migration.error.as_deref().or(end.error);
        let failed = end.status == MigrationStatus::Error;
        events::close(&mut transaction, migration, failed, error).await?;
        events::close_requests(&mut transaction, migration, end.status).await?;
        if let Some(host) = end.release {
            allocations::release(&mut transaction, migration.instance, host).await?;
        }
        transaction.commit().await?;
        let (kind, status) = (migration.kind.as_str(), end.status.as_str());
        metrics::counter!("migrations_total", "kind" => kind, "status" => status).increment(1);
        tracing::info!(migration = %uuid, instance = %migration.instance, kind, status, error, "migration ended");
        // The driver sees that it has ended, and lets the next one in.
        Ok(Next::Status)
    }
}

/// Why a task ends whose instance was deleted.
pub(super) const DELETED: &str = "The server was deleted meanwhile.";

/// How a task ends.
pub(super) struct End<'a> {
    pub(super) status: MigrationStatus,
    pub(super) error: Option<&'a str>,
    /// The instance's new state; `None`: as before.
    pub(super) vm_state: Option<VmState>,
    /// The host whose claim is given back.
    pub(super) release: Option<&'a str>,
}

impl<'a> End<'a> {
    /// The instance is where it was, and nothing is left on the destination.
    pub(super) fn as_before(migration: &'a Migration, status: MigrationStatus, error: Option<&'a str>) -> Self {
        Self { status, error, vm_state: None, release: migration.destination.as_deref() }
    }
}

/// The context of the request that asked for the task.
pub(super) fn request_context(migration: &Migration) -> RequestContext {
    RequestContext {
        user_id: migration.user_id.clone(),
        project_id: migration.project_id.clone(),
        ..RequestContext::resumed(&migration.request_id)
    }
}

fn spec(migration: &Migration, instance: &Instance) -> Option<MigrationSpec> {
    Some(MigrationSpec {
        migration: migration.uuid,
        task_id: migration.task_id,
        spec: instance.spec(),
        // Of a server that was moved, the state it had before and returns to.
        vm_state: match (instance.vm_state, instance.power_state) {
            (VmState::Resized, PowerState::Running) => VmState::Active,
            (VmState::Resized, _) => VmState::Stopped,
            (vm_state, _) => vm_state,
        },
        source: migration.source.clone(),
        destination: migration.destination.clone()?,
        block_migration: migration.block_migration,
    })
}
