//! Cold migration: a server is powered off, its disks go to another host, it is powered on there as it was, and a person
//! (or time: `resize_confirm_window`) confirms or reverts. Its steps are the table below, top to bottom.
//!
//! Both hosts keep their claims until it is confirmed or reverted. The instance's host is the destination from
//! `post-migrating` on. What is undone is undone at the destination first: only then may the source run the guest again.

use jiff::Timestamp;
use novella_common::{
    db::{
        Connection, DbError,
        instances::{self, transitions::switch_host},
        migrations::transitions,
        services,
    },
    lifecycle::{PowerState, TaskState, VmState},
    models::{Binary, Instance, Migration, MigrationStatus as Status},
};
use novella_compute::rpcapi::{ComputeError, ComputeMigrationClient};
use novella_messaging::CallError;

use super::{
    context::{DELETED, End, TaskContext, request_context},
    events,
    step::{Next, Step, step_list},
};
use crate::shared::Shared;

pub(super) static STEPS: &[Step] = step_list! {
    Accepted, Conductor: select_destinations, undone by end_reverted;
    PreMigrating, Destination: prep_resize, undone by revert_resize;
    Migrating, SourceAlone: resize_instance, undone by finish_revert_resize;
    Finishing, Conductor: move_port_bindings, undone by return_port_bindings;
    Finishing, Destination: finish_resize, undone by revert_resize;
    // Waits for a person, and is driven only when the server was deleted, or was given another state by hand.
    Finished, Conductor: wait_for_confirmation;
    Confirming, Source: confirm_resize;
    Confirming, Conductor: end_confirmed;
    Reverting, Destination: revert_resize;
    Reverting, Conductor: return_to_source;
    Reverting, Conductor: return_port_bindings;
    Reverting, Source: finish_revert_resize;
    Reverting, Conductor: end_reverted;
};

fn host(task: &TaskContext, host: &str) -> ComputeMigrationClient {
    task.shared.migration.server(host)
}

/// The state of a server that is no longer `resized`: its guest runs or not, as before.
fn state_by_power(instance: Option<&Instance>) -> Option<VmState> {
    let instance = instance.filter(|instance| instance.vm_state == VmState::Resized)?;
    Some(if instance.power_state == PowerState::Running { VmState::Active } else { VmState::Stopped })
}

async fn select_destinations(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    task.record(migration, events::event(events::task(migration.kind), None, migration.created_at, None)).await?;
    task.choose_destination(migration, Status::PreMigrating).await
}

async fn prep_resize(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    let Some(spec) = task.spec(migration) else { return task.cancel(migration, Some(DELETED)).await };
    let (uuid, owner) = (migration.uuid, task.shared.incarnation);
    let begins = {
        let mut connection = task.shared.database.write().await?;
        transitions::prepare(&mut connection, uuid, owner, migration.status, "null").await?
    };
    if !begins {
        return Ok(Next::Rest);
    }
    let (ctx, destination) = (request_context(migration), host(task, &spec.destination));
    let call = || destination.prep_resize(&ctx, spec.clone());
    let data = match task.call(migration, "compute_prep_resize", &spec.destination, call).await? {
        Ok(data) => data.0.to_string(),
        Err(reason) => return task.revert(migration, Some(&reason)).await,
    };
    let mut transaction = task.shared.database.begin().await?;
    if transitions::run(&mut transaction, uuid, owner, migration.status, Status::Migrating, &data).await? {
        set_task_state(&mut transaction, migration, TaskState::ResizeMigrating).await?;
        let begun = events::event(events::alone(migration.kind), Some(&migration.source), Timestamp::now(), None);
        events::write(&mut transaction, migration, begun).await?;
        transaction.commit().await?;
    }
    Ok(Next::Status)
}

/// Tells the source to move the disks, and leaves the task to it. A source that already does so does nothing about it.
async fn resize_instance(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    let (Some(spec), Some(data)) = (task.spec(migration), task.migrate_data(migration).await?) else {
        return task.revert(migration, Some(DELETED)).await;
    };
    if !task.is_up(&migration.source).await? {
        return task.revert(migration, Some("The source host went down before the disks were moved.")).await;
    }
    let (ctx, source) = (request_context(migration), host(task, &migration.source));
    if let Err(error) = source.resize_instance(&ctx, spec, data).await {
        tracing::warn!(migration = %migration.uuid, %error, "the source could not be told to move the disks; once more");
        return Ok(Next::Again);
    }
    let mut connection = task.shared.database.write().await?;
    transitions::leave(&mut connection, migration.uuid, task.shared.incarnation, migration.status).await?;
    Ok(Next::Rest)
}

/// The source has reported that the disks are on the destination: so is the instance, in the report's transaction. The
/// source keeps its claim.
pub(super) async fn moved(
    shared: &Shared,
    connection: &mut Connection,
    migration: &Migration,
    from: Status,
) -> Result<bool, DbError> {
    let Some(destination) = &migration.destination else { return Ok(false) };
    if !transitions::set_status(connection, migration.uuid, from, Status::Finishing, shared.incarnation, None).await? {
        return Ok(false);
    }
    switch(connection, migration, &migration.source, destination).await?;
    set_task_state(connection, migration, TaskState::ResizeMigrated).await?;
    events::close_alone(connection, migration).await?;
    Ok(true)
}

async fn move_port_bindings(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    let Some(destination) = &migration.destination else { return Ok(Next::Step) };
    task.move_bindings(migration, destination).await
}

async fn finish_resize(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    let Some(spec) = task.spec(migration) else { return task.revert(migration, Some(DELETED)).await };
    {
        let mut connection = task.shared.database.write().await?;
        set_task_state(&mut connection, migration, TaskState::ResizeFinish).await?;
    }
    let (ctx, destination) = (request_context(migration), host(task, &spec.destination));
    let call = || destination.finish_resize(&ctx, spec.clone());
    if let Err(reason) = task.call(migration, "compute_finish_resize", &spec.destination, call).await? {
        return task.revert(migration, Some(&reason)).await;
    }
    let mut transaction = task.shared.database.begin().await?;
    let owner = task.shared.incarnation;
    if transitions::set_status(&mut transaction, migration.uuid, migration.status, Status::Finished, owner, None)
        .await?
    {
        transitions::leave(&mut transaction, migration.uuid, owner, Status::Finished).await?;
        let resized = Some(VmState::Resized);
        instances::end_task(&mut transaction, migration.instance, migration.task_id, resized).await?;
        events::close(&mut transaction, migration, false, None).await?;
        transaction.commit().await?;
        tracing::info!(migration = %migration.uuid, instance = %migration.instance, "waits to be confirmed");
    }
    Ok(Next::Rest)
}

async fn wait_for_confirmation(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    // An administrator who gives the server another state has it stay where it is.
    if task.is_deleted() || task.vm_state() != Some(VmState::Resized) {
        return task.set_status(migration, Status::Confirming, None).await;
    }
    let mut connection = task.shared.database.write().await?;
    transitions::leave(&mut connection, migration.uuid, task.shared.incarnation, migration.status).await?;
    Ok(Next::Rest)
}

// confirming ----------------------------------------------------------------------------------------------------------

async fn confirm_resize(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    let Some(spec) = task.spec_of_any(migration) else { return Ok(Next::Step) };
    // Given another state by hand, it may have come back since.
    if task.host() == Some(&spec.source) {
        return Ok(Next::Step);
    }
    if task.is_up(&spec.source).await? {
        let (ctx, source) = (request_context(migration), host(task, &spec.source));
        let call = || source.confirm_resize(&ctx, spec.clone());
        let Err(reason) = task.call(migration, "compute_confirm_resize", &spec.source, call).await? else {
            return Ok(Next::Step);
        };
        tracing::warn!(migration = %migration.uuid, reason, "the source could not remove what is left");
    }
    // What is left on it goes when it is reconciled.
    task.reconcile(&spec.source);
    Ok(Next::Step)
}

async fn end_confirmed(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    let vm_state = state_by_power(task.instance(migration));
    let release = Some(migration.source.as_str());
    task.end(migration, End { status: Status::Confirmed, error: None, vm_state, release }).await
}

// reverting -----------------------------------------------------------------------------------------------------------

async fn revert_resize(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    let Some(spec) = task.spec_of_any(migration) else { return end_reverted(task, migration).await };
    let (ctx, destination) = (request_context(migration), host(task, &spec.destination));
    let call = || destination.revert_resize(&ctx, spec.clone());
    let result = task.call_until_answered(migration, "compute_revert_resize", &spec.destination, call).await?;
    match result {
        Ok(()) | Err(CallError::Remote(ComputeError::InstanceNotFound { .. })) => {}
        // It may run the guest, unless an operator has declared it down.
        Err(error) if !task.is_fenced(&spec.destination).await? => {
            tracing::warn!(migration = %migration.uuid, %error, "the destination was not cleaned up; asked again");
            return Ok(Next::Again);
        }
        Err(_) => task.reconcile(&spec.destination),
    }
    Ok(Next::Step)
}

async fn return_to_source(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    if let Some(destination) = &migration.destination {
        let mut transaction = task.shared.database.begin().await?;
        switch(&mut transaction, migration, destination, &migration.source).await?;
        transaction.commit().await?;
    }
    Ok(Next::Step)
}

async fn return_port_bindings(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    task.move_bindings(migration, &migration.source).await
}

async fn finish_revert_resize(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    // Of a server that was deleted nothing is to run again; what is left of it goes when the source is reconciled.
    let Some(spec) = task.spec_unless_deleted(migration) else {
        task.reconcile(&migration.source);
        return Ok(Next::Step);
    };
    if !task.is_up(&spec.source).await? {
        tracing::warn!(migration = %migration.uuid, source = spec.source, "waiting for the source, which has the disks");
        return Ok(Next::Again);
    }
    let (ctx, source) = (request_context(migration), host(task, &spec.source));
    let call = || source.finish_revert_resize(&ctx, spec.clone());
    match task.call_until_answered(migration, "compute_finish_revert_resize", &spec.source, call).await? {
        Err(CallError::Messaging(error)) => {
            tracing::warn!(migration = %migration.uuid, %error, "the source does not answer; asked again");
            Ok(Next::Again)
        }
        Err(error) => {
            tracing::warn!(migration = %migration.uuid, %error, "the source could not bring the guest back");
            Ok(Next::Step)
        }
        Ok(()) => Ok(Next::Step),
    }
}

/// A person's revert, or the undoing of a failure: either way the server is on its source as before.
async fn end_reverted(task: &mut TaskContext, migration: &Migration) -> Result<Next, DbError> {
    let vm_state = state_by_power(task.instance(migration));
    let status = if vm_state.is_some() { Status::Reverted } else { Status::Error };
    let release = migration.destination.as_deref();
    task.end(migration, End { status, error: None, vm_state, release }).await
}

// -------------------------------------------------------------------------------------------------------------------

async fn switch(connection: &mut Connection, migration: &Migration, from: &str, to: &str) -> Result<(), DbError> {
    let zone = services::find(connection, Binary::Compute, to).await?.map(|service| service.zone);
    let zone = zone.unwrap_or_else(|| "nova".into());
    switch_host(connection, migration.instance, from, to, &zone).await?;
    Ok(())
}

async fn set_task_state(
    connection: &mut Connection,
    migration: &Migration,
    task_state: TaskState,
) -> Result<(), DbError> {
    instances::set_task_state(connection, migration.instance, migration.task_id, task_state).await
}
