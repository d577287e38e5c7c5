//! Whom a live migration asks, and how: the rows, and the hosts.

use std::future::Future;

use jiff::Timestamp;
use novella_common::{
    RequestContext,
    db::{DbError, instances, migrations, migrations::transitions, services},
    models::{ActionEvent, Binary, Instance, Migration},
};
use novella_compute::rpcapi::{ComputeError, ComputeLiveMigrationClient, MigrateData, MigrationSpec};
use novella_messaging::{CallError, MessagingError};

use super::{Drive, events};

impl Drive<'_> {
    /// The instance, if its operation is still this migration.
    pub(super) async fn instance(&self, migration: &Migration) -> Result<Option<Instance>, DbError> {
        let mut connection = self.shared.database.read().await?;
        let instance = instances::get(&mut connection, migration.instance).await?;
        Ok(instance.filter(|instance| instance.task_id == Some(migration.task_id)))
    }

    pub(super) async fn migrate_data(&self, migration: &Migration) -> Result<Option<MigrateData>, DbError> {
        let mut connection = self.shared.database.read().await?;
        let text = transitions::migrate_data(&mut connection, migration.uuid).await?;
        let value = text.map(|text| serde_json::from_str(&text)).transpose();
        value.map(|value| value.map(MigrateData)).map_err(|error| DbError::Corrupt {
            column: "migrate_data",
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

    pub(super) async fn is_up(&self, host: &str) -> Result<bool, DbError> {
        let service = {
            let mut connection = self.shared.database.read().await?;
            services::find(&mut connection, Binary::Compute, host).await?
        };
        Ok(service.is_some_and(|service| service.is_up(Timestamp::now(), self.shared.service_down_time)))
    }

    /// Whether an operator has declared a host down: nothing runs there, as for an evacuation.
    pub(super) async fn is_fenced(&self, host: &str) -> Result<bool, DbError> {
        let mut connection = self.shared.database.read().await?;
        let service = services::find(&mut connection, Binary::Compute, host).await?;
        Ok(service.is_some_and(|service| service.forced_down))
    }

    pub(super) fn host(&self, host: &str) -> ComputeLiveMigrationClient {
        self.shared.live_migration.server(host)
    }

    /// Calls a host, and writes the call into the instance's action. The inner error is why it failed.
    pub(super) async fn call<T, F>(
        &self,
        migration: &Migration,
        name: &str,
        host: &str,
        call: impl Fn() -> F,
    ) -> Result<Result<T, String>, DbError>
    where
        F: Future<Output = Result<T, CallError<ComputeError>>>,
    {
        let began = Timestamp::now();
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
        let result = self.patiently(call, bus_was_away).await;
        self.record(migration, events::ended(name, host, began, &result)).await?;
        Ok(result.map_err(|error| error.to_string()))
    }

    /// Tries a call `call_attempts` times while it fails in a way that may pass.
    pub(super) async fn patiently<T, E, F>(&self, call: impl Fn() -> F, may_pass: impl Fn(&E) -> bool) -> Result<T, E>
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
        Ok(transaction.commit().await?)
    }
}

/// The context of the request that asked for the migration.
pub(super) fn context(migration: &Migration) -> RequestContext {
    RequestContext {
        user_id: migration.user_id.clone(),
        project_id: migration.project_id.clone(),
        ..RequestContext::resumed(&migration.request_id)
    }
}

/// The migration as the hosts must know it, once it has a destination.
pub(super) fn order(migration: &Migration, instance: &Instance) -> Option<MigrationSpec> {
    Some(MigrationSpec {
        migration: migration.uuid,
        task_id: migration.task_id,
        spec: instance.spec(),
        vm_state: instance.vm_state,
        source: migration.source.clone(),
        destination: migration.destination.clone()?,
        block_migration: migration.block_migration,
    })
}
