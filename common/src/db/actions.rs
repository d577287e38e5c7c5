//! Instance actions and their events.

use jiff::Timestamp;
use sqlx::any::AnyRow;

use super::{
    Connection, DbError,
    row::{Columns, micros},
    sql::Sql,
};
use crate::{
    ids::InstanceUuid,
    models::{ActionEvent, EventResult, InstanceAction},
};

const COLUMNS: &str = "instance_uuid, request_id, action, user_id, project_id, start_time, updated_at, message";

fn action(row: &AnyRow) -> Result<InstanceAction, DbError> {
    Ok(InstanceAction {
        instance: row.parsed("instance_uuid")?,
        request_id: row.text("request_id")?,
        action: row.text("action")?,
        user_id: row.text_or_null("user_id")?,
        project_id: row.text_or_null("project_id")?,
        start_time: row.time("start_time")?,
        updated_at: row.time("updated_at")?,
        message: row.text_or_null("message")?,
    })
}

/// Writes that something was asked of these instances, all by one request.
///
/// # Errors
/// Those of the database.
pub async fn start(connection: &mut Connection, actions: &[InstanceAction]) -> Result<(), DbError> {
    if actions.is_empty() {
        return Ok(());
    }
    let mut sql = Sql::new(
        "INSERT INTO instance_actions (instance_uuid, request_id, action, user_id, project_id, start_time, \
         updated_at) VALUES ",
    );
    for (index, new) in actions.iter().enumerate() {
        sql.push(if index == 0 { "(" } else { ", (" });
        sql.bind(new.instance.to_string())?.push(", ");
        sql.bind(new.request_id.clone())?.push(", ");
        sql.bind(new.action.clone())?.push(", ");
        sql.bind(new.user_id.clone())?.push(", ");
        sql.bind(new.project_id.clone())?.push(", ");
        sql.bind(micros(new.start_time))?.push(", ");
        sql.bind(micros(new.updated_at))?.push(")");
    }
    // The same request twice on one instance: the first entry stands.
    sql.push(" ON CONFLICT (instance_uuid, request_id) DO NOTHING");
    sql.execute(connection).await?;
    Ok(())
}

/// Takes back the entry of a request that could not be handed over.
///
/// # Errors
/// Those of the database.
pub async fn forget(connection: &mut Connection, instance: InstanceUuid, request_id: &str) -> Result<(), DbError> {
    sqlx::query("DELETE FROM instance_actions WHERE instance_uuid = $1 AND request_id = $2")
        .bind(instance.to_string())
        .bind(request_id.to_owned())
        .execute(connection)
        .await?;
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

/// Writes events as they stand now, and into their actions when they last changed and whether they failed. Three
/// statements for a whole batch.
///
/// # Errors
/// Those of the database.
pub async fn record_events(connection: &mut Connection, events: &[EventOf]) -> Result<(), DbError> {
    // One statement may touch a row once only: of an event that is in the batch twice, the last stands.
    let mut newest = std::collections::BTreeMap::new();
    for of in events {
        newest.insert((of.instance, &of.request_id, &of.event.event, &of.event.host), of);
    }
    if newest.is_empty() {
        return Ok(());
    }
    let mut sql = Sql::new(
        "INSERT INTO instance_action_events (instance_uuid, request_id, event, host, start_time, finish_time, \
         result, details) VALUES ",
    );
    for (index, of) in newest.values().enumerate() {
        sql.push(if index == 0 { "(" } else { ", (" });
        sql.bind(of.instance.to_string())?.push(", ");
        sql.bind(of.request_id.clone())?.push(", ");
        sql.bind(of.event.event.clone())?.push(", ");
        sql.bind(of.event.host.clone().unwrap_or_default())?.push(", ");
        sql.bind(micros(of.event.start_time))?.push(", ");
        sql.bind(of.event.finish_time.map(micros))?.push(", ");
        sql.bind(of.event.result.map(EventResult::as_str))?.push(", ");
        sql.bind(of.event.details.clone())?.push(")");
    }
    sql.push(
        " ON CONFLICT (instance_uuid, request_id, event, host) DO UPDATE SET start_time = excluded.start_time, \
         finish_time = excluded.finish_time, result = excluded.result, details = excluded.details",
    );
    sql.execute(connection).await?;

    let now = micros(Timestamp::now());
    for failed in [false, true] {
        let touched: std::collections::BTreeSet<(String, &str)> = newest
            .values()
            .filter(|of| (of.event.result == Some(EventResult::Error)) == failed)
            .map(|of| (of.instance.to_string(), of.request_id.as_str()))
            .collect();
        if touched.is_empty() {
            continue;
        }
        let mut sql = Sql::new("UPDATE instance_actions SET updated_at = ");
        sql.bind(now)?;
        if failed {
            sql.push(", message = 'Error'");
        }
        sql.push(" WHERE (instance_uuid, request_id) IN (VALUES ");
        for (index, (instance, request_id)) in touched.into_iter().enumerate() {
            sql.push(if index == 0 { "(" } else { ", (" });
            sql.bind(instance)?.push(", ");
            sql.bind(request_id.to_owned())?.push(")");
        }
        sql.push(")");
        sql.execute(connection).await?;
    }
    Ok(())
}

/// The actions of an instance, newest first.
///
/// # Errors
/// Those of the database.
pub async fn list(connection: &mut Connection, instance: InstanceUuid) -> Result<Vec<InstanceAction>, DbError> {
    let mut sql = Sql::new("SELECT ");
    sql.push(COLUMNS).push(" FROM instance_actions WHERE instance_uuid = ").bind(instance.to_string())?;
    sql.push(" ORDER BY id DESC");
    sql.fetch_all(connection).await?.iter().map(action).collect()
}

/// One action with its events, newest first.
///
/// # Errors
/// Those of the database.
pub async fn get(
    connection: &mut Connection,
    instance: InstanceUuid,
    request_id: &str,
) -> Result<Option<(InstanceAction, Vec<ActionEvent>)>, DbError> {
    let mut sql = Sql::new("SELECT ");
    sql.push(COLUMNS).push(" FROM instance_actions WHERE instance_uuid = ").bind(instance.to_string())?;
    sql.push(" AND request_id = ").bind(request_id.to_owned())?;
    let Some(found) = sql.fetch_all(connection).await?.first().map(action).transpose()? else {
        return Ok(None);
    };
    let events = sqlx::query(
        "SELECT event, host, start_time, finish_time, result, details FROM instance_action_events \
         WHERE instance_uuid = $1 AND request_id = $2 ORDER BY id DESC",
    )
    .bind(instance.to_string())
    .bind(request_id.to_owned())
    .fetch_all(connection)
    .await?;
    let events = events.iter().map(event).collect::<Result<_, _>>()?;
    Ok(Some((found, events)))
}

fn event(row: &AnyRow) -> Result<ActionEvent, DbError> {
    let host = row.text("host")?;
    Ok(ActionEvent {
        event: row.text("event")?,
        host: (!host.is_empty()).then_some(host),
        start_time: row.time("start_time")?,
        finish_time: row.time_or_null("finish_time")?,
        result: match row.text_or_null("result")?.as_deref() {
            Some("Success") => Some(EventResult::Success),
            Some("Error") => Some(EventResult::Error),
            _ => None,
        },
        details: row.text_or_null("details")?,
    })
}
