//! Finding a destination, and claiming there. Alike for every task that moves an instance.

use novella_common::{
    db::{Connection, DbError, allocations, instances, migrations::transitions, server_groups::Groups},
    models::{Instance, Migration, MigrationStatus},
};
use novella_messaging::CallError;
use novella_scheduler::rpcapi::{DestinationRequest, SchedulerError};

use super::{
    context::{End, TaskContext, request_context},
    step::Next,
};

const ALL_FULL: &str = "No valid host was found. Every host that looked free was full when it was claimed.";

impl TaskContext {
    /// Asks the scheduler, claims on the first host that has room, and writes it into the row with the status `to`.
    pub(super) async fn choose_destination(&self, migration: &Migration, to: MigrationStatus) -> Result<Next, DbError> {
        let Some(instance) = self.instance(migration) else {
            return self.overtaken(migration).await;
        };
        let candidates = match self.candidates(migration, instance).await? {
            Ok(candidates) => candidates,
            Err(CallError::Remote(none @ SchedulerError::NoValidHost { .. })) => {
                let none = none.to_string();
                return self.end(migration, End::as_before(migration, MigrationStatus::Error, Some(&none))).await;
            }
            Err(error) => {
                // As a build would, it waits until there is a scheduler.
                tracing::warn!(migration = %migration.uuid, %error, "no scheduler answers; asked again");
                return Ok(Next::Again);
            }
        };
        for host in candidates {
            let mut transaction = self.shared.database.begin().await?;
            // The migration first and hosts after it, in every transaction.
            let (uuid, owner) = (migration.uuid, self.shared.incarnation);
            if !transitions::set_destination(&mut transaction, uuid, owner, to, &host).await? {
                return Ok(Next::Rest);
            }
            if !claim(&mut transaction, instance, &host).await? {
                continue;
            }
            transaction.commit().await?;
            tracing::info!(migration = %migration.uuid, destination = host, "destination chosen");
            return Ok(Next::Status);
        }
        self.end(migration, End::as_before(migration, MigrationStatus::Error, Some(ALL_FULL))).await
    }

    /// The hosts that will do, as the scheduler says, or as an administrator does who forces one.
    async fn candidates(
        &self,
        migration: &Migration,
        instance: &Instance,
    ) -> Result<Result<Vec<String>, CallError<SchedulerError>>, DbError> {
        if let (true, Some(host)) = (migration.forced, &migration.requested_destination) {
            return Ok(Ok(vec![host.clone()]));
        }
        let mut spec = {
            let mut connection = self.shared.database.read().await?;
            instances::request_spec(&mut connection, instance.uuid).await?.unwrap_or_default()
        };
        // Where the build failed long ago says nothing about today.
        spec.excluded_hosts.clear();
        let mut ignore_hosts = self.refused.clone();
        ignore_hosts.push(migration.source.clone());
        let request = DestinationRequest {
            instance: instance.uuid,
            project_id: instance.project_id.clone(),
            resources: instance.flavor.resources(),
            spec,
            ignore_hosts,
            only_host: migration.requested_destination.clone(),
        };
        let found = self.shared.scheduler.select_destinations(&request_context(migration), request).await;
        Ok(found.map(|destinations| destinations.into_iter().map(|destination| destination.host).collect()))
    }

    /// After a host has refused, and nothing was changed on either: another destination, if the request named none.
    pub(super) async fn reschedule(&mut self, migration: &Migration, reason: &str) -> Result<Next, DbError> {
        let (Some(old), Some(instance)) = (&migration.destination, self.instance(migration).cloned()) else {
            return self.cancel(migration, Some(reason)).await;
        };
        if self.is_prepared(migration).await? {
            // By a conductor that is gone: what is there must be undone before anything else.
            return self.revert(migration, Some(reason)).await;
        }
        self.refused.push(old.clone());
        let most = usize::try_from(self.shared.config.max_migration_destinations).unwrap_or(usize::MAX);
        if migration.requested_destination.is_some() || self.refused.len() >= most {
            return self.cancel(migration, Some(reason)).await;
        }
        let Ok(candidates) = self.candidates(migration, &instance).await? else {
            return self.cancel(migration, Some(reason)).await;
        };
        for host in candidates {
            let mut transaction = self.shared.database.begin().await?;
            let (uuid, owner) = (migration.uuid, self.shared.incarnation);
            if !transitions::redirect(&mut transaction, uuid, owner, migration.status, &host).await? {
                return Ok(Next::Rest);
            }
            if !claim(&mut transaction, &instance, &host).await? {
                continue;
            }
            allocations::release(&mut transaction, instance.uuid, old).await?;
            transaction.commit().await?;
            tracing::info!(migration = %migration.uuid, refused = old, destination = host, reason,
                "another destination chosen");
            return Ok(Next::Status);
        }
        self.cancel(migration, Some(reason)).await
    }
}

/// Claims for an instance that moves, if there is room and its server group permits the host. Others may have claimed
/// since the scheduler has looked.
async fn claim(connection: &mut Connection, instance: &Instance, host: &str) -> Result<bool, DbError> {
    let mut groups = Groups::locked(connection, &[instance.uuid]).await?;
    groups.claim(connection, instance.uuid, host, instance.flavor.resources()).await
}
