//! Instance actions and their events.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    Connection, DbError, FromRow, Row,
    table::{insert_into, select},
};
use crate::{
    ids::InstanceUuid,
    models::{ActionEvent, EventResult, InstanceAction},
    sql, table,
};

table! {
    InstanceAction in "instance_actions", key int "id";
    instance = "instance_uuid",
    request_id,
    action,
    user_id,
    project_id,
    start_time,
    updated_at,
    message,
}

impl FromRow for ActionEvent {
    fn from_row(row: &mut Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            event: row.read()?,
            // No host is the empty text: the column is part of a key.
            host: row.text()?.filter(|host| !host.is_empty()).map(ToOwned::to_owned),
            start_time: row.read()?,
            finish_time: row.read()?,
            result: row.read()?,
            details: row.read()?,
        })
    }
}

/// The events of what a person asks of a migration under way: to abort it, to complete it by force. Nova's names.
pub const MIGRATION_REQUESTS: [&str; 2] = ["compute_live_migration_abort", "compute_live_migration_force_complete"];

/// Writes that something was asked of these instances, all by one request.
pub async fn start(connection: &mut Connection, actions: &[InstanceAction]) -> Result<(), DbError> {
    if actions.is_empty() {
        return Ok(());
    }
    // The same request twice on one instance: the first entry stands.
    insert_into(actions).push(" ON CONFLICT (instance_uuid, request_id) DO NOTHING").execute(connection).await?;
    Ok(())
}

/// One event of one action, with what names the action.
#[derive(Clone, Debug)]
pub struct EventOf {
    /// The instance.
    pub instance: InstanceUuid,
    /// The request that asked for the action.
    pub request_id: String,
    /// The event as it stands now.
    pub event: ActionEvent,
}

impl FromRow for EventOf {
    fn from_row(row: &mut Row<'_>) -> Result<Self, DbError> {
        Ok(Self { instance: row.read()?, request_id: row.read()?, event: ActionEvent::from_row(row)? })
    }
}

/// Writes events as they stand now, and into their actions when they last changed and whether they failed. Three
/// statements for a whole batch.
pub async fn record_events(connection: &mut Connection, events: &[EventOf]) -> Result<(), DbError> {
    // One statement may touch a row once only: of an event that is in the batch twice, the last stands.
    let mut newest = BTreeMap::new();
    for of in events {
        newest.insert((of.instance, &of.request_id, &of.event.event, &of.event.host), of);
    }
    if newest.is_empty() {
        return Ok(());
    }
    sql!(
        "INSERT INTO instance_action_events (instance_uuid, request_id, event, host, start_time, finish_time, \
         result, details) "
    )
    .rows(newest.values(), |of, cells| {
        let event = &of.event;
        cells
            .bind(&of.instance)
            .bind(&of.request_id)
            .bind(&event.event)
            .bind(event.host.as_deref().unwrap_or_default());
        cells.bind(&event.start_time).bind(&event.finish_time).bind(&event.result).bind(&event.details);
    })
    .push(
        " ON CONFLICT (instance_uuid, request_id, event, host) DO UPDATE SET start_time = excluded.start_time, \
         finish_time = excluded.finish_time, result = excluded.result, details = excluded.details",
    )
    .execute(connection)
    .await?;

    let now = Timestamp::now();
    for failed in [false, true] {
        let touched: BTreeSet<_> = newest
            .values()
            .filter(|of| (of.event.result == Some(EventResult::Error)) == failed)
            .map(|of| (of.instance, of.request_id.as_str()))
            .collect();
        if touched.is_empty() {
            continue;
        }
        let mut sql = sql!("UPDATE instance_actions SET updated_at = "(now));
        if failed {
            sql.push(", message = ").bind(&EventResult::Error);
        }
        sql.push(" WHERE (instance_uuid, request_id) IN (")
            .rows(touched, |(instance, request_id), cells| {
                cells.bind(&instance).bind(request_id);
            })
            .push(")")
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Ends what has not ended of an action, as an error: its open events, or, if none is open, the event
/// `event`.
pub async fn end_open(
    connection: &mut Connection,
    instance: InstanceUuid,
    request_id: &str,
    event: &str,
    details: &str,
) -> Result<(), DbError> {
    let Some((action, events)) = get(connection, instance, request_id).await? else { return Ok(()) };
    let now = Timestamp::now();
    let ended = |event: ActionEvent| EventOf {
        instance,
        request_id: request_id.to_owned(),
        event: ActionEvent {
            finish_time: Some(now),
            result: Some(EventResult::Error),
            details: Some(details.to_owned()),
            ..event
        },
    };
    let mut open: Vec<EventOf> = events.into_iter().filter(|event| event.finish_time.is_none()).map(ended).collect();
    if open.is_empty() {
        open.push(ended(ActionEvent {
            event: event.to_owned(),
            host: None,
            start_time: action.start_time,
            finish_time: None,
            result: None,
            details: None,
        }));
    }
    record_events(connection, &open).await
}

/// Ends those events of an action that a host has begun and will not end, as errors.
pub async fn end_open_of_host(
    connection: &mut Connection,
    instance: InstanceUuid,
    request_id: &str,
    host: &str,
    details: &str,
) -> Result<(), DbError> {
    let Some((_, events)) = get(connection, instance, request_id).await? else { return Ok(()) };
    let open = events.into_iter().filter(|event| event.finish_time.is_none() && event.host.as_deref() == Some(host));
    let ended: Vec<EventOf> = open
        .map(|event| EventOf {
            instance,
            request_id: request_id.to_owned(),
            event: ActionEvent {
                finish_time: Some(Timestamp::now()),
                result: Some(EventResult::Error),
                details: Some(details.to_owned()),
                ..event
            },
        })
        .collect();
    record_events(connection, &ended).await
}

/// The events of these names that have not ended, of any of an instance's actions.
pub async fn open_named(
    connection: &mut Connection,
    instance: InstanceUuid,
    names: &[&str],
) -> Result<Vec<EventOf>, DbError> {
    sql!(
        "SELECT instance_uuid, request_id, event, host, start_time, finish_time, result, details \
         FROM instance_action_events WHERE instance_uuid = " (instance) " AND finish_time IS NULL AND event"
    )
    .is_in(names.iter().copied())
    .fetch_all(connection)
    .await
}

/// The actions of an instance, newest first.
pub async fn list(connection: &mut Connection, instance: InstanceUuid) -> Result<Vec<InstanceAction>, DbError> {
    select::<InstanceAction>()
        .push(" WHERE instance_uuid = ")
        .bind(&instance)
        .push(" ORDER BY id DESC")
        .fetch_all(connection)
        .await
}

/// One action with its events, newest first.
pub async fn get(
    connection: &mut Connection,
    instance: InstanceUuid,
    request_id: &str,
) -> Result<Option<(InstanceAction, Vec<ActionEvent>)>, DbError> {
    let found = select::<InstanceAction>()
        .append(sql!(" WHERE instance_uuid = " (instance) " AND request_id = " (request_id)))
        .fetch_optional(connection)
        .await?;
    let Some(found) = found else { return Ok(None) };
    let events = sql!(
        "SELECT event, host, start_time, finish_time, result, details FROM instance_action_events \
         WHERE instance_uuid = " (instance) " AND request_id = " (request_id) " ORDER BY id DESC"
    )
    .fetch_all(connection)
    .await?;
    Ok(Some((found, events)))
}

/// The actions of a request, one for each instance that it was about, with their events, the oldest first; at most `limit`
/// of the actions.
pub async fn of_request(
    connection: &mut Connection,
    request_id: &str,
    limit: i64,
) -> Result<(Vec<InstanceAction>, Vec<EventOf>), DbError> {
    let found: Vec<InstanceAction> = select::<InstanceAction>()
        .append(sql!(" WHERE request_id = " (request_id) " ORDER BY id LIMIT " (limit)))
        .fetch_all(connection)
        .await?;
    if found.is_empty() {
        return Ok((found, Vec::new()));
    }
    let events = sql!(
        "SELECT instance_uuid, request_id, event, host, start_time, finish_time, result, details \
         FROM instance_action_events WHERE request_id = " (request_id) " AND instance_uuid"
    )
    .is_in(found.iter().map(|action| action.instance))
    .push(" ORDER BY id")
    .fetch_all(connection)
    .await?;
    Ok((found, events))
}
