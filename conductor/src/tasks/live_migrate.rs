//! Live migration: a guest moves to another host while it runs. Its steps are the table below, top to bottom.
//!
//! The destination is undone before the source lets the guest run on: it must not run on both. *The switch* is between
//! `running` and `post-migrating`, in the transaction of the source's report: from then on instance and claims are the
//! destination's, and nothing can be undone any more.

use jiff::Timestamp;
use novella_common::{
    db::{Connection, DbError, allocations, instances::transitions::switch_host, migrations::transitions, services},
    models::{Binary, Migration, MigrationStatus as Status},
    networks::Binding,
};
use novella_compute::rpcapi::{ComputeError, ComputeLiveMigrationClient, MigrationSpec};
use novella_messaging::{CallError, MessagingError};

use super::{
    context::{DELETED, End, TaskContext, request_context},
    events,
    step::{Next, Step, step_list},
};
use crate::shared::Shared;

pub(super) static STEPS: &[Step] = step_list! {
    Accepted, Conductor: select_destinations, undone by end_as_before;
    // Waits to be let in, and is driven only to be cancelled.
    Queued, Conductor: cancel;
    Preparing, Destination: check_can_live_migrate_destination;
    Preparing, Source: check_can_live_migrate_source;
    Preparing, Conductor: add_port_bindings, undone by remove_port_bindings;
    Preparing, Destination: pre_live_migration, undone by rollback_live_migration_at_destination;
    Running, SourceAlone: live_migration, undone by rollback_live_migration;
    Finishing, Conductor: move_port_bindings;
    Finishing, Destination: post_live_migration_at_destination;
    Finishing, Source: post_live_migration;
    Finishing, Conductor: complete;
    Reverting, Destination: rollback_live_migration_at_destination;
    Reverting, Source: rollback_live_migration;
    Reverting, Conductor: remove_port_bindings;
    Reverting, Conductor: end_as_before;
};

fn host(task: &TaskContext, host: &str) -> ComputeLiveMigrationClient {
    task.shared.live_migration.server(host)
}

// accepted ------------------------------------------------------------------------------------------------------------

async fn select_destinations(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    if migration.abort_requested {
        return task.cancel(migration, None).await;
    }
    task.record(migration, events::event(events::task(migration.kind), None, migration.created_at, None)).await?;
    task.choose_destination(migration, Status::Queued).await
}

async fn cancel(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    task.cancel(migration, None).await
}

// preparing -----------------------------------------------------------------------------------------------------------

async fn check_can_live_migrate_destination(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    if task.instance(migration).is_none() {
        return task.revert(migration, Some(DELETED)).await;
    }
    if migration.abort_requested {
        return task.cancel(migration, None).await;
    }
    let Some(spec) = task.spec(migration) else {
        return task.cancel(migration, Some("It has no destination.")).await;
    };
    let (ctx, destination) = (request_context(migration), host(task, &spec.destination));
    let checked = task
        .call(migration, "compute_check_can_live_migrate_destination", &spec.destination, || {
            destination.check_can_live_migrate_destination(&ctx, spec.clone())
        })
        .await?;
    match checked {
        Ok(data) => task.data = data,
        Err(reason) => return task.reschedule(migration, &reason).await,
    }
    Ok(Next::Step)
}

async fn check_can_live_migrate_source(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    let Some(spec) = task.spec(migration) else { return Ok(Next::Status) };
    let (ctx, source) = (request_context(migration), host(task, &spec.source));
    let checked = task
        .call(migration, "compute_check_can_live_migrate_source", &spec.source, || {
            source.check_can_live_migrate_source(&ctx, spec.clone(), task.data.clone())
        })
        .await?;
    match checked {
        Ok(data) => task.data = data,
        Err(reason) => return task.reschedule(migration, &reason).await,
    }
    Ok(Next::Step)
}

/// From here on there is something to undo.
async fn add_port_bindings(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    let Some(spec) = task.spec(migration) else { return Ok(Next::Status) };
    let begins = {
        let mut connection = task.shared.database.write().await?;
        let (uuid, owner, data) = (migration.uuid, task.shared.incarnation, task.data.0.to_string());
        transitions::prepare(&mut connection, uuid, owner, migration.status, &data).await?
    };
    if !begins {
        // An abort was requested; the row says so.
        return Ok(Next::Status);
    }
    match task.bind(migration, Binding::Add(&spec.destination)).await {
        Ok(()) => Ok(Next::Step),
        Err(error) => task.revert(migration, Some(&format!("The ports could not be bound there: {error}"))).await,
    }
}

async fn pre_live_migration(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    let Some(spec) = task.spec(migration) else { return Ok(Next::Status) };
    let (ctx, destination) = (request_context(migration), host(task, &spec.destination));
    let prepared = task
        .call(migration, "compute_pre_live_migration", &spec.destination, || {
            destination.pre_live_migration(&ctx, spec.clone(), task.data.clone())
        })
        .await?;
    let data = match prepared {
        Ok(data) => data.0.to_string(),
        Err(reason) => return task.revert(migration, Some(&reason)).await,
    };
    let mut transaction = task.shared.database.begin().await?;
    let (uuid, owner) = (migration.uuid, task.shared.incarnation);
    if transitions::run(&mut transaction, uuid, owner, migration.status, Status::Running, &data).await? {
        let begun = events::event(events::alone(migration.kind), Some(&migration.source), Timestamp::now(), None);
        events::write(&mut transaction, migration, begun).await?;
        transaction.commit().await?;
    }
    // Otherwise an abort was requested in between; the row says so.
    Ok(Next::Status)
}

// running -------------------------------------------------------------------------------------------------------------

/// Tells the source to copy, and leaves the migration to it. Done again by whoever takes over: a source that already
/// copies does nothing about it.
async fn live_migration(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    if task.instance(migration).is_none() {
        return task.revert(migration, Some(DELETED)).await;
    }
    let (Some(spec), Some(data)) = (task.spec(migration), task.migrate_data(migration).await?) else {
        return task.revert(migration, Some("It has no destination, or none that was prepared.")).await;
    };
    if !task.is_up(&migration.source).await? {
        return ask_destination(task, migration, spec).await;
    }
    let (ctx, source) = (request_context(migration), host(task, &migration.source));
    if let Err(error) = source.live_migration(&ctx, spec, data).await {
        // In the end the source is either reached or counts as down.
        tracing::warn!(migration = %migration.uuid, %error, "the source could not be told to copy; once more");
        return Ok(Next::Again);
    }
    {
        let mut connection = task.shared.database.write().await?;
        transitions::leave(&mut connection, migration.uuid, task.shared.incarnation, migration.status).await?;
    }
    // An abort that came while this conductor owned the migration was left to it.
    if task.abort_requested(migration).await? {
        let told = task.retry(|| abort_at_source(&task.shared, migration), |_| true).await;
        if let Err(error) = told {
            tracing::warn!(migration = %migration.uuid, %error, "the source could not be told to abort");
        }
    }
    Ok(Next::Rest)
}

/// The source is down: only the destination can say whether the guest has switched.
async fn ask_destination(task: &mut TaskContext, migration: &Migration, spec: MigrationSpec) -> Result<Next, DbError> {
    let (ctx, destination) = (request_context(migration), host(task, &spec.destination));
    match destination.rollback_live_migration_at_destination(&ctx, spec).await {
        Err(CallError::Remote(ComputeError::GuestRunsHere { .. })) => has_switched(task, migration).await,
        Ok(()) | Err(CallError::Remote(ComputeError::InstanceNotFound { .. })) => {
            task.revert(migration, Some("The source host went down before the guest had switched.")).await
        }
        Err(error) => {
            tracing::warn!(migration = %migration.uuid, %error,
                "the source is down and the destination does not say whether the guest runs there; asked again");
            Ok(Next::Again)
        }
    }
}

async fn has_switched(task: &TaskContext, migration: &Migration) -> Result<Next, DbError> {
    let mut transaction = task.shared.database.begin().await?;
    if switched(&task.shared, &mut transaction, migration, migration.status).await? {
        transaction.commit().await?;
    }
    Ok(Next::Status)
}

// post-migrating ------------------------------------------------------------------------------------------------------
// Neither failure can bring the guest back. What is left on a host that does not answer goes when it is reconciled.

async fn move_port_bindings(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    let Some(destination) = &migration.destination else { return Ok(Next::Step) };
    task.move_bindings(migration, destination).await
}

async fn post_live_migration_at_destination(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    let Some(spec) = task.spec_unless_deleted(migration) else {
        // Deleted while it switched: what runs on the destination belongs to no row.
        if let Some(destination) = &migration.destination {
            task.reconcile(destination);
        }
        return task.overtaken(migration).await;
    };
    let (ctx, destination) = (request_context(migration), host(task, &spec.destination));
    let arrived = task
        .call(migration, "compute_post_live_migration_at_destination", &spec.destination, || {
            destination.post_live_migration_at_destination(&ctx, spec.clone())
        })
        .await?;
    if let Err(reason) = arrived {
        tracing::warn!(migration = %migration.uuid, reason, "the destination could not finish the migration");
    }
    Ok(Next::Step)
}

async fn post_live_migration(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    let Some(spec) = task.spec_unless_deleted(migration) else { return Ok(Next::Status) };
    if !task.is_up(&spec.source).await? {
        return Ok(Next::Step);
    }
    let (ctx, source) = (request_context(migration), host(task, &spec.source));
    let removed = task
        .call(migration, "compute__post_live_migration", &spec.source, || {
            source.post_live_migration(&ctx, spec.clone())
        })
        .await?;
    if let Err(reason) = removed {
        tracing::warn!(migration = %migration.uuid, reason, "the source could not remove what is left");
        task.reconcile(&spec.source);
    }
    Ok(Next::Step)
}

async fn complete(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    // The source's claim went with the switch.
    task.end(migration, End { status: Status::Completed, error: None, vm_state: None, release: None }).await
}

// reverting -----------------------------------------------------------------------------------------------------------

async fn rollback_live_migration_at_destination(
    task: &mut TaskContext,
    migration: &Migration,
) -> Result<Next, DbError> {
    let Some(spec) = task.spec_of_any(migration) else { return end_as_before(task, migration).await };
    let (ctx, destination) = (request_context(migration), host(task, &spec.destination));
    let result = task
        .call_until_answered(migration, "compute_rollback_live_migration_at_destination", &spec.destination, || {
            destination.rollback_live_migration_at_destination(&ctx, spec.clone())
        })
        .await?;
    // Whether the destination has said that it does not run the guest, or an operator has by declaring it down.
    task.confirmed = true;
    match result {
        Err(CallError::Remote(ComputeError::GuestRunsHere { .. })) => return has_switched(task, migration).await,
        Err(CallError::Messaging(error)) if task.is_up(&spec.destination).await? => {
            // It may hold the guest; until it answers nothing is certain.
            tracing::warn!(migration = %migration.uuid, %error, "the destination does not answer; asked again");
            return Ok(Next::Again);
        }
        Err(error) => {
            tracing::warn!(migration = %migration.uuid, %error, "the destination was not cleaned up");
            task.reconcile(&spec.destination);
            task.confirmed = matches!(error, CallError::Remote(ComputeError::InstanceNotFound { .. }))
                || task.is_fenced(&spec.destination).await?;
        }
        Ok(()) => {}
    }
    Ok(Next::Step)
}

async fn rollback_live_migration(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    let Some(spec) = task.spec_of_any(migration) else { return end_as_before(task, migration).await };
    let (ctx, source) = (request_context(migration), host(task, &spec.source));
    let result = if task.is_up(&spec.source).await? {
        let call = || source.rollback_live_migration(&ctx, spec.clone(), task.confirmed);
        let event = "compute_rollback_live_migration";
        Some(task.call_until_answered(migration, event, &spec.source, call).await?)
    } else {
        None
    };
    match result {
        // It was about to switch when it lost sight of the destination: the guest may run there, so it must not be let
        // go here before the destination is back, or an operator has declared it down.
        Some(Err(CallError::Remote(ComputeError::GuestHeld { .. }))) => {
            tracing::warn!(migration = %migration.uuid, destination = spec.destination,
                "waiting for the destination to say whether the guest runs there");
            return Ok(Next::Again);
        }
        // Neither side has said where the guest is.
        None | Some(Err(CallError::Messaging(_))) if !task.confirmed => return Ok(Next::Again),
        // Until it answers, or counts as down, it may still copy.
        Some(Err(CallError::Messaging(error))) if task.is_up(&spec.source).await? => {
            tracing::warn!(migration = %migration.uuid, %error, "the source does not answer; asked again");
            return Ok(Next::Again);
        }
        Some(Err(error)) => {
            tracing::warn!(migration = %migration.uuid, %error, "the source did not confirm that the guest runs on");
        }
        // A source that is down lets the guest go on when it is reconciled.
        None | Some(Ok(())) => {}
    }
    Ok(Next::Step)
}

async fn remove_port_bindings(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    let Some(destination) = &migration.destination else { return Ok(Next::Step) };
    // One that is left there does nothing, and is used if the instance goes there again.
    if let Err(error) = task.bind(migration, Binding::Remove(destination)).await {
        tracing::warn!(migration = %migration.uuid, %error, "the destination's port bindings were not removed");
    }
    Ok(Next::Step)
}

async fn end_as_before(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    let status = match (&migration.error, migration.abort_requested) {
        (None, true) => Status::Cancelled,
        _ => Status::Error,
    };
    task.end(migration, End::as_before(migration, status, None)).await
}

/// The switch: the guest runs on the destination, so instance and claims are the destination's, all in the caller's
/// transaction; the migration is this conductor's to clean up after. Says whether the migration was still in `from`.
pub(super) async fn switched(
    shared: &Shared,
    connection: &mut Connection,
    migration: &Migration,
    from: Status,
) -> Result<bool, DbError> {
    let Some(destination) = &migration.destination else { return Ok(false) };
    if !transitions::set_status(connection, migration.uuid, from, Status::Finishing, shared.incarnation, None).await? {
        return Ok(false);
    }
    let zone = services::find(connection, Binary::Compute, destination).await?.map(|service| service.zone);
    let zone = zone.unwrap_or_else(|| "nova".into());
    let (instance, source) = (migration.instance, &migration.source);
    if switch_host(connection, instance, source, destination, &zone).await? {
        allocations::release(connection, instance, source).await?;
    }
    events::close_alone(connection, migration).await?;
    Ok(true)
}

/// Tells the source to hold the guest, so that the copy ends. One that comes too late is ignored there.
pub(crate) async fn force_complete_at_source(shared: &Shared, migration: &Migration) -> Result<(), MessagingError> {
    let source = shared.live_migration.server(&migration.source);
    source.live_migration_force_complete(&request_context(migration), migration.instance, migration.uuid).await
}

/// Tells the source to abort. An abort that comes too late is ignored there.
pub(crate) async fn abort_at_source(shared: &Shared, migration: &Migration) -> Result<(), MessagingError> {
    let source = shared.live_migration.server(&migration.source);
    source.live_migration_abort(&request_context(migration), migration.instance, migration.uuid).await
}
