//! Live migration: a guest moves to another host while it runs.
//!
//! | status | step | undone by |
//! | --- | --- | --- |
//! | `accepted` | choose a destination, claim there | giving the claim back |
//! | `queued` | wait for a place on the source | the same |
//! | `preparing` | dest `check_can_live_migrate_destination` | - (changes nothing) |
//! | | source `check_can_live_migrate_source` | - (changes nothing) |
//! | | dest `pre_live_migration` | dest `rollback_live_migration_at_destination` |
//! | `running` | source `live_migration`: the source copies, and reports | source `live_migration_abort`, then as below |
//! | `post-migrating` | *the switch*: instance and claims are the destination's | cannot be undone any more |
//! | | dest `post_live_migration_at_destination` | |
//! | | source `post_live_migration` | |
//! | `completed` | | |
//! | `reverting` | dest `rollback_live_migration_at_destination` | if the guest runs there: on to `post-migrating` |
//! | | source `rollback_live_migration` | |
//! | `cancelled`, `error` | claim given back, the instance as before | |
//!
//! The destination is undone before the source lets the guest run on: it must not run on both. Each step can be done
//! again: whoever takes over begins with the step that the status names.

mod asking;
mod events;

use jiff::Timestamp;
use novella_common::{
    db::{
        Connection, DbError, allocations,
        instances::{self, transitions::switch_host},
        migrations::transitions,
        services,
    },
    models::{Binary, Instance, Migration, MigrationStatus},
};
use novella_compute::rpcapi::{ComputeError, MigrationSpec};
use novella_messaging::{CallError, MessagingError};
use novella_scheduler::rpcapi::{Destination, DestinationRequest, SchedulerError};

use self::asking::{context, order};
use crate::shared::Shared;

/// What to do after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The next one.
    Next,
    /// Nothing for now: it has ended, waits for a place, or is its source's.
    Rest,
    /// The same again, after a pause.
    Again,
}

/// One conductor's drive of one migration, from wherever it finds it.
pub(crate) struct Drive<'a> {
    shared: &'a Shared,
    /// Destinations that have refused in this drive.
    refused: Vec<String>,
    /// A host that may hold something it should not.
    leftovers: Option<String>,
}

impl<'a> Drive<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self { shared, refused: Vec::new(), leftovers: None }
    }

    /// A host that is to be reconciled now, because it may hold something of the migration.
    pub(crate) fn leftovers(&mut self) -> Option<String> {
        self.leftovers.take()
    }

    /// Does the step that the status names. The migration must be this conductor's.
    pub(crate) async fn step(&mut self, migration: &Migration) -> Result<Step, DbError> {
        match migration.status {
            MigrationStatus::Accepted => self.choose(migration).await,
            // Driven only to be cancelled: without that it waits to be admitted.
            MigrationStatus::Queued => self.finish(migration, MigrationStatus::Cancelled, None).await,
            MigrationStatus::Preparing => self.prepare(migration).await,
            MigrationStatus::Running => self.copy(migration).await,
            MigrationStatus::Finishing => self.clean_up(migration).await,
            MigrationStatus::Reverting => self.undo(migration).await,
            MigrationStatus::Completed | MigrationStatus::Cancelled | MigrationStatus::Error => Ok(Step::Rest),
        }
    }

    // accepted --------------------------------------------------------------------------------------------------------

    async fn choose(&mut self, migration: &Migration) -> Result<Step, DbError> {
        if migration.abort_requested {
            return self.finish(migration, MigrationStatus::Cancelled, None).await;
        }
        self.record(migration, events::event(events::TASK, None, migration.created_at, None)).await?;
        let Some(instance) = self.instance(migration).await? else {
            return self.overtaken(migration).await;
        };
        let candidates = match self.candidates(migration, &instance).await? {
            Ok(candidates) => candidates,
            Err(CallError::Remote(none @ SchedulerError::NoValidHost { .. })) => {
                return self.finish(migration, MigrationStatus::Error, Some(&none.to_string())).await;
            }
            Err(error) => {
                // As a build would, it waits until there is a scheduler.
                tracing::warn!(migration = %migration.uuid, %error, "no scheduler answers; asked again");
                return Ok(Step::Again);
            }
        };
        for candidate in candidates {
            let mut transaction = self.shared.database.begin().await?;
            // The migration first and hosts after it, in every transaction.
            if !transitions::queue(&mut transaction, migration.uuid, self.shared.incarnation, &candidate.host).await? {
                return Ok(Step::Rest);
            }
            let resources = instance.flavor.resources();
            if !allocations::claim(&mut transaction, instance.uuid, &candidate.host, resources).await? {
                continue;
            }
            transaction.commit().await?;
            tracing::info!(migration = %migration.uuid, destination = candidate.host, "live migration queued");
            return Ok(Step::Next);
        }
        let reason = "No valid host was found. Every host that looked free was full when it was claimed.";
        self.finish(migration, MigrationStatus::Error, Some(reason)).await
    }

    /// The hosts that will do, as the scheduler says.
    async fn candidates(
        &self,
        migration: &Migration,
        instance: &Instance,
    ) -> Result<Result<Vec<Destination>, CallError<SchedulerError>>, DbError> {
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
        Ok(self.shared.scheduler.select_destinations(&context(migration), request).await)
    }

    // preparing -------------------------------------------------------------------------------------------------------

    async fn prepare(&mut self, migration: &Migration) -> Result<Step, DbError> {
        let Some(instance) = self.instance(migration).await? else {
            return self.revert(migration, Some("The server was deleted meanwhile.")).await;
        };
        if migration.abort_requested {
            return self.give_up(migration, None).await;
        }
        let Some(order) = order(migration, &instance) else {
            return self.give_up(migration, Some("It has no destination.")).await;
        };
        let ctx = context(migration);
        let (source, destination) = (self.host(&order.source), self.host(&order.destination));

        let checked = self
            .call(migration, "compute_check_can_live_migrate_destination", &order.destination, || {
                destination.check_can_live_migrate_destination(&ctx, order.clone())
            })
            .await?;
        let data = match checked {
            Ok(data) => data,
            Err(reason) => return self.elsewhere(migration, &instance, &reason).await,
        };
        let checked = self
            .call(migration, "compute_check_can_live_migrate_source", &order.source, || {
                source.check_can_live_migrate_source(&ctx, order.clone(), data.clone())
            })
            .await?;
        let data = match checked {
            Ok(data) => data,
            Err(reason) => return self.elsewhere(migration, &instance, &reason).await,
        };
        let begins = {
            let mut connection = self.shared.database.write().await?;
            let text = data.0.to_string();
            transitions::prepare(&mut connection, migration.uuid, self.shared.incarnation, &text).await?
        };
        if !begins {
            // An abort was requested; the row says so.
            return Ok(Step::Next);
        }
        let prepared = self
            .call(migration, "compute_pre_live_migration", &order.destination, || {
                destination.pre_live_migration(&ctx, order.clone(), data.clone())
            })
            .await?;
        let data = match prepared {
            Ok(data) => data,
            Err(reason) => return self.revert(migration, Some(&reason)).await,
        };

        let mut transaction = self.shared.database.begin().await?;
        let text = data.0.to_string();
        if transitions::run(&mut transaction, migration.uuid, self.shared.incarnation, &text).await? {
            let begun = events::event(events::COPY, Some(&migration.source), Timestamp::now(), None);
            events::write(&mut transaction, migration, begun).await?;
            transaction.commit().await?;
        }
        // Otherwise an abort was requested in between; the row says so.
        Ok(Step::Next)
    }

    /// After a host has refused, and nothing was changed on either: another destination, if the request named none.
    async fn elsewhere(&mut self, migration: &Migration, instance: &Instance, reason: &str) -> Result<Step, DbError> {
        let Some(old) = &migration.destination else { return self.give_up(migration, Some(reason)).await };
        if self.is_prepared(migration).await? {
            // By a conductor that is gone: what is there must be undone before anything else.
            return self.revert(migration, Some(reason)).await;
        }
        self.refused.push(old.clone());
        let most = usize::try_from(self.shared.config.max_migration_destinations).unwrap_or(usize::MAX);
        if migration.requested_destination.is_some() || self.refused.len() >= most {
            return self.give_up(migration, Some(reason)).await;
        }
        let Ok(candidates) = self.candidates(migration, instance).await? else {
            return self.give_up(migration, Some(reason)).await;
        };
        for candidate in candidates {
            let mut transaction = self.shared.database.begin().await?;
            if !transitions::redirect(&mut transaction, migration.uuid, self.shared.incarnation, &candidate.host)
                .await?
            {
                return Ok(Step::Rest);
            }
            let resources = instance.flavor.resources();
            if !allocations::claim(&mut transaction, instance.uuid, &candidate.host, resources).await? {
                continue;
            }
            allocations::release(&mut transaction, instance.uuid, old).await?;
            transaction.commit().await?;
            tracing::info!(migration = %migration.uuid, refused = old, destination = candidate.host, reason,
                "live migration goes elsewhere");
            return Ok(Step::Next);
        }
        self.give_up(migration, Some(reason)).await
    }

    /// Ends a migration that was being prepared: at once if nothing was made on the destination yet.
    async fn give_up(&mut self, migration: &Migration, reason: Option<&str>) -> Result<Step, DbError> {
        match (self.is_prepared(migration).await?, reason) {
            (true, reason) => self.revert(migration, reason).await,
            (false, None) => self.finish(migration, MigrationStatus::Cancelled, None).await,
            (false, reason) => self.finish(migration, MigrationStatus::Error, reason).await,
        }
    }

    async fn revert(&mut self, migration: &Migration, reason: Option<&str>) -> Result<Step, DbError> {
        let (uuid, owner) = (migration.uuid, self.shared.incarnation);
        let mut connection = self.shared.database.write().await?;
        transitions::turn(&mut connection, uuid, migration.status, MigrationStatus::Reverting, owner, reason).await?;
        Ok(Step::Next)
    }

    // running ---------------------------------------------------------------------------------------------------------

    /// Tells the source to copy, and leaves the migration to it. Done again by whoever takes over: a source that already
    /// copies does nothing about it.
    async fn copy(&mut self, migration: &Migration) -> Result<Step, DbError> {
        let Some(instance) = self.instance(migration).await? else {
            return self.revert(migration, Some("The server was deleted meanwhile.")).await;
        };
        let (Some(order), Some(data)) = (order(migration, &instance), self.migrate_data(migration).await?) else {
            return self.revert(migration, Some("It has no destination, or none that was prepared.")).await;
        };
        if !self.is_up(&migration.source).await? {
            return self.resolve(migration, order).await;
        }
        let ctx = context(migration);
        let source = self.host(&migration.source);
        if let Err(error) = source.live_migration(&ctx, order, data).await {
            // In the end the source is either reached or counts as down.
            tracing::warn!(migration = %migration.uuid, %error, "the source could not be told to copy; once more");
            return Ok(Step::Again);
        }
        {
            let mut connection = self.shared.database.write().await?;
            transitions::leave(&mut connection, migration.uuid, self.shared.incarnation).await?;
        }
        // An abort that came while this conductor owned the migration was left to it.
        if self.abort_requested(migration).await? {
            let told = self.patiently(|| abort_at_source(self.shared, migration), |_| true).await;
            if let Err(error) = told {
                tracing::warn!(migration = %migration.uuid, %error, "the source could not be told to give up");
            }
        }
        Ok(Step::Rest)
    }

    /// The source is down: only the destination can say whether the guest has switched.
    async fn resolve(&mut self, migration: &Migration, order: MigrationSpec) -> Result<Step, DbError> {
        let ctx = context(migration);
        let destination = self.host(&order.destination);
        match destination.rollback_live_migration_at_destination(&ctx, order).await {
            Err(CallError::Remote(ComputeError::GuestRunsHere { .. })) => self.has_switched(migration).await,
            Ok(()) | Err(CallError::Remote(ComputeError::InstanceNotFound { .. })) => {
                self.revert(migration, Some("The source host went down before the guest had switched.")).await
            }
            Err(error) => {
                tracing::warn!(migration = %migration.uuid, %error,
                    "the source is down and the destination does not say whether the guest runs there; asked again");
                Ok(Step::Again)
            }
        }
    }

    async fn has_switched(&mut self, migration: &Migration) -> Result<Step, DbError> {
        let mut transaction = self.shared.database.begin().await?;
        if switched(self.shared, &mut transaction, migration, migration.status).await? {
            transaction.commit().await?;
        }
        Ok(Step::Next)
    }

    // post-migrating --------------------------------------------------------------------------------------------------

    async fn clean_up(&mut self, migration: &Migration) -> Result<Step, DbError> {
        let Some(instance) = self.instance(migration).await? else {
            // Deleted while it switched: what runs on the destination belongs to no row.
            self.leftovers.clone_from(&migration.destination);
            return self.overtaken(migration).await;
        };
        let Some(order) = order(migration, &instance) else { return self.overtaken(migration).await };
        let ctx = context(migration);
        // Neither failure can bring the guest back. What is left on a host that does not answer goes when that host is
        // reconciled.
        let destination = self.host(&order.destination);
        let name = "compute_post_live_migration_at_destination";
        let arrived = self
            .call(migration, name, &order.destination, || {
                destination.post_live_migration_at_destination(&ctx, order.clone())
            })
            .await?;
        if let Err(reason) = arrived {
            tracing::warn!(migration = %migration.uuid, reason, "the destination could not finish the migration");
        }
        if self.is_up(&order.source).await? {
            let source = self.host(&order.source);
            let left = self
                .call(migration, "compute__post_live_migration", &order.source, || {
                    source.post_live_migration(&ctx, order.clone())
                })
                .await?;
            if let Err(reason) = left {
                tracing::warn!(migration = %migration.uuid, reason, "the source could not remove what is left");
                self.leftovers = Some(order.source.clone());
            }
        }
        self.finish(migration, MigrationStatus::Completed, None).await
    }

    // reverting -------------------------------------------------------------------------------------------------------

    async fn undo(&mut self, migration: &Migration) -> Result<Step, DbError> {
        let end = match (&migration.error, migration.abort_requested) {
            (None, true) => MigrationStatus::Cancelled,
            _ => MigrationStatus::Error,
        };
        let instance = {
            let mut connection = self.shared.database.read().await?;
            instances::get_with_deleted(&mut connection, migration.instance).await?
        };
        let Some(order) = instance.as_ref().and_then(|instance| order(migration, instance)) else {
            return self.finish(migration, end, None).await;
        };
        let ctx = context(migration);
        let destination = self.host(&order.destination);
        let name = "compute_rollback_live_migration_at_destination";
        let began = Timestamp::now();
        let result = self
            .patiently(
                || destination.rollback_live_migration_at_destination(&ctx, order.clone()),
                |error| matches!(error, CallError::Messaging(_)),
            )
            .await;
        self.record(migration, events::ended(name, &order.destination, began, &result)).await?;
        // Whether the destination has said that it does not run the guest, or an operator has by declaring it down.
        let mut confirmed = true;
        match result {
            Err(CallError::Remote(ComputeError::GuestRunsHere { .. })) => return self.has_switched(migration).await,
            Err(CallError::Messaging(error)) if self.is_up(&order.destination).await? => {
                // It may hold the guest; until it answers nothing is certain.
                tracing::warn!(migration = %migration.uuid, %error, "the destination does not answer; asked again");
                return Ok(Step::Again);
            }
            Err(error) => {
                tracing::warn!(migration = %migration.uuid, %error, "the destination was not cleaned up");
                self.leftovers = Some(order.destination.clone());
                confirmed = matches!(error, CallError::Remote(ComputeError::InstanceNotFound { .. }))
                    || self.is_fenced(&order.destination).await?;
            }
            Ok(()) => {}
        }
        let source = self.host(&order.source);
        let name = "compute_rollback_live_migration";
        let began = Timestamp::now();
        let result = if self.is_up(&order.source).await? {
            let call = || source.rollback_live_migration(&ctx, order.clone(), confirmed);
            let result = self.patiently(call, |error| matches!(error, CallError::Messaging(_))).await;
            self.record(migration, events::ended(name, &order.source, began, &result)).await?;
            Some(result)
        } else {
            None
        };
        match result {
            // It was about to switch when it lost sight of the destination: the guest may run there, so it must not be
            // let go here before the destination is back, or an operator has declared it down.
            Some(Err(CallError::Remote(ComputeError::GuestHeld { .. }))) => {
                tracing::warn!(migration = %migration.uuid, destination = order.destination, "waiting for the destination to say whether the guest runs there");
                return Ok(Step::Again);
            }
            // Neither side has said where the guest is.
            None | Some(Err(CallError::Messaging(_))) if !confirmed => return Ok(Step::Again),
            Some(Err(error)) => {
                tracing::warn!(migration = %migration.uuid, %error, "the source did not confirm that the guest runs on");
            }
            // A source that is down lets the guest go on when it is reconciled.
            None | Some(Ok(())) => {}
        }
        self.finish(migration, end, None).await
    }

    // The end ---------------------------------------------------------------------------------------------------------

    /// The row no longer has the migration's operation: the instance was deleted meanwhile.
    async fn overtaken(&mut self, migration: &Migration) -> Result<Step, DbError> {
        self.finish(migration, MigrationStatus::Error, Some("The server was deleted meanwhile.")).await
    }

    async fn finish(
        &mut self,
        migration: &Migration,
        status: MigrationStatus,
        error: Option<&str>,
    ) -> Result<Step, DbError> {
        let mut transaction = self.shared.database.begin().await?;
        let (uuid, owner) = (migration.uuid, self.shared.incarnation);
        if !transitions::finish(&mut transaction, uuid, owner, status, error).await? {
            return Ok(Step::Rest);
        }
        instances::end_task(&mut transaction, migration.instance, migration.task_id, None).await?;
        let error = migration.error.as_deref().or(error);
        let failed = status == MigrationStatus::Error;
        events::close(&mut transaction, migration, &[events::TASK, events::COPY], failed, error).await?;
        if let Some(destination) = &migration.destination
            && status != MigrationStatus::Completed
        {
            allocations::release(&mut transaction, migration.instance, destination).await?;
        }
        transaction.commit().await?;
        metrics::counter!("live_migrations_total", "status" => status.as_str()).increment(1);
        tracing::info!(migration = %uuid, instance = %migration.instance, status = status.as_str(), error,
            "live migration ended");
        // The driver sees that it has ended, and lets the next one in.
        Ok(Step::Next)
    }
}

/// The switch: the guest runs on the destination, so instance and claims are the destination's, all in the caller's
/// transaction; the migration is this conductor's to clean up after. Says whether the migration was still in `from`.
pub(crate) async fn switched(
    shared: &Shared,
    connection: &mut Connection,
    migration: &Migration,
    from: MigrationStatus,
) -> Result<bool, DbError> {
    let to = MigrationStatus::Finishing;
    let Some(destination) = &migration.destination else { return Ok(false) };
    if !transitions::turn(connection, migration.uuid, from, to, shared.incarnation, None).await? {
        return Ok(false);
    }
    let zone = services::find(connection, Binary::Compute, destination).await?.map(|service| service.zone);
    let zone = zone.unwrap_or_else(|| "nova".into());
    let (instance, source) = (migration.instance, &migration.source);
    if switch_host(connection, instance, migration.task_id, source, destination, &zone).await? {
        allocations::release(connection, instance, source).await?;
    }
    events::close(connection, migration, &[events::COPY], false, None).await?;
    Ok(true)
}

/// Tells the source to give up. An abort that comes too late is ignored there.
pub(crate) async fn abort_at_source(shared: &Shared, migration: &Migration) -> Result<(), MessagingError> {
    let source = shared.live_migration.server(&migration.source);
    source.live_migration_abort(&context(migration), migration.instance, migration.uuid).await
}
