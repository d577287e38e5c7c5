//! What a long task leaves in the instance's action. The events have Nova's names: the service and the method.

use jiff::Timestamp;
use novella_common::{
    db::{
        Connection, DbError,
        actions::{self, EventOf},
    },
    models::{ActionEvent, EventResult, Migration, MigrationKind, MigrationStatus},
};
use novella_compute::rpcapi::ComputeError;
use novella_messaging::CallError;

/// The event of the whole task.
pub(super) fn task(kind: MigrationKind) -> &'static str {
    match kind {
        MigrationKind::LiveMigration => "conductor_live_migrate_instance",
        MigrationKind::Migration => "conductor_migrate_server",
    }
}

/// The event of the step that a host does alone.
pub(super) fn alone(kind: MigrationKind) -> &'static str {
    match kind {
        MigrationKind::LiveMigration => "compute_live_migration",
        MigrationKind::Migration => "compute_resize_instance",
    }
}

/// An event that began at `start`, and has ended if `end` says how.
pub(super) fn event(
    name: &str,
    host: Option<&str>,
    start: Timestamp,
    end: Option<(EventResult, Option<String>)>,
) -> ActionEvent {
    let (result, details) = end.map_or((None, None), |(result, details)| (Some(result), details));
    ActionEvent {
        event: name.to_owned(),
        host: host.map(ToOwned::to_owned),
        start_time: start,
        finish_time: result.map(|_| Timestamp::now()),
        result,
        details,
    }
}

/// The event of a call that has ended.
pub(super) fn ended<T>(
    name: &str,
    host: &str,
    began: Timestamp,
    result: &Result<T, CallError<ComputeError>>,
) -> ActionEvent {
    let end = match result {
        Ok(_) => (EventResult::Success, None),
        Err(error) => (EventResult::Error, Some(error.to_string())),
    };
    event(name, Some(host), began, Some(end))
}

/// Writes an event as it stands now.
pub(super) async fn write(
    connection: &mut Connection,
    migration: &Migration,
    event: ActionEvent,
) -> Result<(), DbError> {
    let (instance, request_id) = (migration.instance, migration.request_id.clone());
    actions::record_events(connection, &[EventOf { instance, request_id, event }]).await
}

/// Ends the event of the step that a host does alone.
pub(super) async fn close_alone(connection: &mut Connection, migration: &Migration) -> Result<(), DbError> {
    close_named(connection, migration, &[alone(migration.kind)], false, None).await
}

/// Ends the task's events that have begun and not ended.
pub(super) async fn close(
    connection: &mut Connection,
    migration: &Migration,
    failed: bool,
    details: Option<&str>,
) -> Result<(), DbError> {
    let names = [task(migration.kind), alone(migration.kind)];
    close_named(connection, migration, &names, failed, details).await?;
    // It may have ended before its first step.
    let found = actions::get(connection, migration.instance, &migration.request_id).await?;
    if found.is_some_and(|(_, events)| events.is_empty()) {
        let result = if failed { EventResult::Error } else { EventResult::Success };
        let whole = event(task(migration.kind), None, migration.created_at, Some((result, details.map(Into::into))));
        write(connection, migration, whole).await?;
    }
    Ok(())
}

/// Ends what persons have asked of a live migration: to abort it, to complete it by force. It has come as they wished, or
/// not.
pub(super) async fn close_requests(
    connection: &mut Connection,
    migration: &Migration,
    status: MigrationStatus,
) -> Result<(), DbError> {
    let [abort, _] = actions::MIGRATION_REQUESTS;
    let open = actions::open_named(connection, migration.instance, &actions::MIGRATION_REQUESTS).await?;
    let closed: Vec<EventOf> = open
        .into_iter()
        .map(|of| {
            let wished = if of.event.event == abort { MigrationStatus::Cancelled } else { MigrationStatus::Completed };
            let (result, details) = if status == wished {
                (EventResult::Success, None)
            } else {
                (EventResult::Error, Some(format!("The migration ended otherwise: {}.", status.as_str())))
            };
            let event = ActionEvent { finish_time: Some(Timestamp::now()), result: Some(result), details, ..of.event };
            EventOf { event, ..of }
        })
        .collect();
    actions::record_events(connection, &closed).await
}

async fn close_named(
    connection: &mut Connection,
    migration: &Migration,
    names: &[&str],
    failed: bool,
    details: Option<&str>,
) -> Result<(), DbError> {
    let Some((_, events)) = actions::get(connection, migration.instance, &migration.request_id).await? else {
        return Ok(());
    };
    let result = if failed { EventResult::Error } else { EventResult::Success };
    let closed: Vec<EventOf> = events
        .into_iter()
        .filter(|event| event.finish_time.is_none() && names.contains(&event.event.as_str()))
        .map(|event| EventOf {
            instance: migration.instance,
            request_id: migration.request_id.clone(),
            event: ActionEvent {
                finish_time: Some(Timestamp::now()),
                result: Some(result),
                details: details.map(ToOwned::to_owned),
                ..event
            },
        })
        .collect();
    actions::record_events(connection, &closed).await
}
