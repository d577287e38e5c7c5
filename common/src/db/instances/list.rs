//! What the API lists: instances by filter, in order, page by page, each page in one query.

use jiff::Timestamp;

use super::{COLUMNS, instance};
use crate::{
    db::{
        Connection, DbError,
        row::{Columns, json, micros},
        sql::Sql,
    },
    ids::InstanceUuid,
    lifecycle::{PowerState, TaskState, VmState},
    models::{Flavor, Instance, RequestSpec},
};

/// Whether deleted instances are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deleted {
    /// Only those that are there.
    #[default]
    Without,
    /// Only those that are gone.
    Only,
    /// Both.
    Included,
}

/// A text to be found in a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Anywhere in it. The empty text is everywhere.
    Contains(String),
    /// At its beginning.
    Prefix(String),
    /// At its end.
    Suffix(String),
    /// The whole of it.
    Exact(String),
}

/// What to sort by. Where a column can be NULL, NULL counts as the smallest value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKey {
    /// When it was asked for.
    CreatedAt,
    /// When it last changed.
    UpdatedAt,
    /// When it first ran.
    LaunchedAt,
    /// When its end became final.
    TerminatedAt,
    /// Its name.
    Name,
    /// Its description.
    Description,
    /// The guest's host name.
    Hostname,
    /// Its id.
    Uuid,
    /// Its project.
    ProjectId,
    /// Who made it.
    UserId,
    /// Its image.
    ImageRef,
    /// Its key pair.
    KeyName,
    /// Its place in its request.
    LaunchIndex,
    /// Where it is.
    Host,
    /// In which zone.
    AvailabilityZone,
    /// What it is.
    VmState,
    /// What is being done to it.
    TaskState,
    /// What the guest does.
    PowerState,
    /// Whether it has a config drive.
    ConfigDrive,
}

/// One sort key with its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// By what.
    pub key: SortKey,
    /// Largest first.
    pub descending: bool,
}

/// Which instances are wanted. An empty list of values fits nothing.
#[derive(Clone, Debug, Default)]
pub struct InstanceQuery {
    /// Of this project; `None`: of all.
    pub project_id: Option<String>,
    /// Made by this user.
    pub user_id: Option<String>,
    /// Deleted ones or not.
    pub deleted: Deleted,
    /// With one of these ids.
    pub uuids: Option<Vec<InstanceUuid>>,
    /// In one of these states.
    pub vm_states: Option<Vec<VmState>>,
    /// With one of these under way.
    pub task_states: Option<Vec<Option<TaskState>>>,
    /// Whose guest does this.
    pub power_state: Option<PowerState>,
    /// On this host.
    pub host: Option<String>,
    /// In this zone.
    pub availability_zone: Option<Pattern>,
    /// From this image.
    pub image_ref: Option<String>,
    /// With the flavor of this id.
    pub flavor_id: Option<String>,
    /// By name.
    pub name: Option<Pattern>,
    /// By description.
    pub description: Option<Pattern>,
    /// By the guest's host name.
    pub hostname: Option<Pattern>,
    /// By key pair.
    pub key_name: Option<Pattern>,
    /// Of this request.
    pub reservation_id: Option<String>,
    /// With this place in its request.
    pub launch_index: Option<i64>,
    /// With a config drive or without.
    pub config_drive: Option<bool>,
    /// Changed at or after this time.
    pub changes_since: Option<Timestamp>,
    /// Changed at or before this time.
    pub changes_before: Option<Timestamp>,
    /// The order; ties are broken by id, in the direction of the last key. Empty: newest first.
    pub sort: Vec<Sort>,
    /// Start after this one.
    pub after: Option<Box<Instance>>,
    /// At most this many.
    pub limit: Option<i64>,
}

/// The instances that fit, in order.
///
/// # Errors
/// Those of the database.
pub async fn list(connection: &mut Connection, wanted: &InstanceQuery) -> Result<Vec<Instance>, DbError> {
    let Some(sql) = select(COLUMNS, wanted)? else { return Ok(Vec::new()) };
    sql.fetch_all(connection).await?.iter().map(instance).collect()
}

/// The ids and names of the instances that fit, in order: what is wanted most often, at a fraction of the price.
///
/// # Errors
/// Those of the database.
pub async fn names(
    connection: &mut Connection,
    wanted: &InstanceQuery,
) -> Result<Vec<(InstanceUuid, String)>, DbError> {
    let Some(sql) = select("uuid, name", wanted)? else { return Ok(Vec::new()) };
    let rows = sql.fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.parsed("uuid")?, row.text("name")?))).collect()
}

/// The query for these columns of the instances that fit; `None` if none can.
fn select(columns: &'static str, wanted: &InstanceQuery) -> Result<Option<Sql>, DbError> {
    let mut sql = Sql::new("SELECT ");
    sql.push(columns).push(" FROM instances WHERE ");
    if !filter(&mut sql, wanted)? {
        return Ok(None);
    }
    let mut sort = wanted.sort.clone();
    if sort.is_empty() {
        sort.push(Sort { key: SortKey::CreatedAt, descending: true });
    }
    if !sort.iter().any(|sort| sort.key == SortKey::Uuid) {
        let descending = sort.last().is_some_and(|last| last.descending);
        sort.push(Sort { key: SortKey::Uuid, descending });
    }
    if let Some(last) = &wanted.after {
        beyond(&mut sql, &sort, last)?;
    }
    for (index, Sort { key, descending }) in sort.iter().enumerate() {
        sql.push(if index == 0 { " ORDER BY " } else { ", " }).push(key.expression());
        sql.push(if *descending { " DESC" } else { " ASC" });
    }
    if let Some(limit) = wanted.limit {
        sql.push(" LIMIT ").bind(limit)?;
    }
    Ok(Some(sql))
}

/// What the schedulers were asked for, for each of these instances.
///
/// # Errors
/// Those of the database.
pub async fn request_specs(
    connection: &mut Connection,
    uuids: &[InstanceUuid],
) -> Result<Vec<(InstanceUuid, RequestSpec)>, DbError> {
    if uuids.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = Sql::new("SELECT uuid, request_spec FROM instances WHERE uuid IN ");
    sql.bind_list(uuids.iter().map(ToString::to_string))?;
    let rows = sql.fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.parsed("uuid")?, row.json("request_spec")?))).collect()
}

/// How many instances of each size a project has, deleted ones not counted.
///
/// # Errors
/// Those of the database.
pub async fn sizes_in_use(connection: &mut Connection, project_id: &str) -> Result<Vec<(Flavor, i64)>, DbError> {
    let rows = sqlx::query(
        "SELECT flavor, COUNT(*) AS instances FROM instances WHERE project_id = $1 AND deleted_at IS NULL \
         GROUP BY flavor",
    )
    .bind(project_id.to_owned())
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((row.json("flavor")?, row.int("instances")?))).collect()
}

/// How many instances are on each host, and how many of them have something under way.
///
/// # Errors
/// Those of the database.
pub async fn load_by_host(connection: &mut Connection) -> Result<Vec<(String, i64, i64)>, DbError> {
    let rows = sqlx::query(
        "SELECT host, COUNT(*) AS instances, COUNT(task_state) AS busy FROM instances \
         WHERE deleted_at IS NULL AND host IS NOT NULL GROUP BY host",
    )
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((row.text("host")?, row.int("instances")?, row.int("busy")?))).collect()
}

/// Adds the conditions. Says whether anything can fit them.
fn filter(sql: &mut Sql, wanted: &InstanceQuery) -> Result<bool, DbError> {
    sql.push(match wanted.deleted {
        Deleted::Without => "deleted_at IS NULL",
        Deleted::Only => "deleted_at IS NOT NULL",
        Deleted::Included => "1 = 1",
    });
    for (condition, value) in [
        (" AND project_id = ", &wanted.project_id),
        (" AND user_id = ", &wanted.user_id),
        (" AND host = ", &wanted.host),
        (" AND image_ref = ", &wanted.image_ref),
        (" AND reservation_id = ", &wanted.reservation_id),
    ] {
        if let Some(value) = value {
            sql.push(condition).bind(value.clone())?;
        }
    }
    if let Some(uuids) = &wanted.uuids {
        if uuids.is_empty() {
            return Ok(false);
        }
        sql.push(" AND uuid IN ").bind_list(uuids.iter().map(ToString::to_string))?;
    }
    if let Some(states) = &wanted.vm_states {
        if states.is_empty() {
            return Ok(false);
        }
        sql.push(" AND vm_state IN ").bind_list(states.iter().map(ToString::to_string))?;
    }
    if let Some(states) = &wanted.task_states {
        if states.is_empty() {
            return Ok(false);
        }
        // No task is an empty text here, so that one list holds both: NULL is in no list.
        sql.push(" AND COALESCE(task_state, '') IN ");
        sql.bind_list(states.iter().map(|state| state.map(|state| state.to_string()).unwrap_or_default()))?;
    }
    if let Some(state) = wanted.power_state {
        sql.push(" AND power_state = ").bind(state.number())?;
    }
    if let Some(id) = &wanted.flavor_id {
        // The flavor is JSON text whose first field is the id; both databases can compare a beginning, and have no
        // other question about JSON in common.
        let beginning = format!("{{\"id\":{},", json("flavor", id)?);
        pattern(sql, "flavor", &Pattern::Prefix(beginning))?;
    }
    for (column, wanted) in [
        ("availability_zone", &wanted.availability_zone),
        ("name", &wanted.name),
        ("description", &wanted.description),
        ("hostname", &wanted.hostname),
        ("key_name", &wanted.key_name),
    ] {
        if let Some(wanted) = wanted {
            pattern(sql, column, wanted)?;
        }
    }
    if let Some(index) = wanted.launch_index {
        sql.push(" AND launch_index = ").bind(index)?;
    }
    if let Some(config_drive) = wanted.config_drive {
        sql.push(" AND config_drive = ").bind(i64::from(config_drive))?;
    }
    if let Some(since) = wanted.changes_since {
        sql.push(" AND updated_at >= ").bind(micros(since))?;
    }
    if let Some(before) = wanted.changes_before {
        sql.push(" AND updated_at <= ").bind(micros(before))?;
    }
    Ok(true)
}

/// Adds a condition on text in words that both databases have, with upper and lower case told apart. (`LIKE` tells
/// them apart in one of the two only.)
fn pattern(sql: &mut Sql, column: &'static str, wanted: &Pattern) -> Result<(), DbError> {
    match wanted {
        Pattern::Contains(text) if text.is_empty() => {}
        Pattern::Contains(text) => {
            sql.push(" AND REPLACE(").push(column).push(", ").bind(text.clone())?.push(", '') <> ").push(column);
        }
        Pattern::Prefix(text) => {
            sql.push(" AND SUBSTR(").push(column).push(", 1, CAST(").bind(length(text))?.push(" AS INTEGER)) = ");
            sql.bind(text.clone())?;
        }
        Pattern::Suffix(text) => {
            sql.push(" AND LENGTH(").push(column).push(") >= ").bind(length(text))?;
            sql.push(" AND SUBSTR(").push(column).push(", CAST(LENGTH(").push(column).push(") + 1 - ");
            sql.bind(length(text))?.push(" AS INTEGER)) = ").bind(text.clone())?;
        }
        Pattern::Exact(text) => {
            sql.push(" AND ").push(column).push(" = ").bind(text.clone())?;
        }
    }
    Ok(())
}

/// In characters, as SQL counts.
fn length(text: &str) -> i64 {
    i64::try_from(text.chars().count()).unwrap_or(i64::MAX)
}

/// Adds: comes after `last` in this order.
fn beyond(sql: &mut Sql, sort: &[Sort], last: &Instance) -> Result<(), DbError> {
    if sort.iter().all(|key| key.descending == sort[0].descending) {
        // As one comparison of rows, which an index can answer.
        sql.push(" AND (");
        for (index, key) in sort.iter().enumerate() {
            sql.push(if index == 0 { "" } else { ", " }).push(key.key.expression());
        }
        sql.push(if sort[0].descending { ") < (" } else { ") > (" });
        for (index, key) in sort.iter().enumerate() {
            sql.push(if index == 0 { "" } else { ", " });
            key.key.bind_value(sql, last)?;
        }
        sql.push(")");
        return Ok(());
    }
    sql.push(" AND (");
    for (index, key) in sort.iter().enumerate() {
        sql.push(if index == 0 { "(" } else { " OR (" });
        for equal in &sort[..index] {
            sql.push(equal.key.expression()).push(" = ");
            equal.key.bind_value(sql, last)?;
            sql.push(" AND ");
        }
        sql.push(key.key.expression()).push(if key.descending { " < " } else { " > " });
        key.key.bind_value(sql, last)?;
        sql.push(")");
    }
    sql.push(")");
    Ok(())
}

impl SortKey {
    fn expression(self) -> &'static str {
        match self {
            Self::CreatedAt => "created_at",
            Self::UpdatedAt => "updated_at",
            Self::LaunchedAt => "COALESCE(launched_at, 0)",
            Self::TerminatedAt => "COALESCE(terminated_at, 0)",
            Self::Name => "name",
            Self::Description => "COALESCE(description, '')",
            Self::Hostname => "hostname",
            Self::Uuid => "uuid",
            Self::ProjectId => "project_id",
            Self::UserId => "user_id",
            Self::ImageRef => "COALESCE(image_ref, '')",
            Self::KeyName => "COALESCE(key_name, '')",
            Self::LaunchIndex => "launch_index",
            Self::Host => "COALESCE(host, '')",
            Self::AvailabilityZone => "COALESCE(availability_zone, '')",
            Self::VmState => "vm_state",
            Self::TaskState => "COALESCE(task_state, '')",
            Self::PowerState => "power_state",
            Self::ConfigDrive => "config_drive",
        }
    }

    /// Binds what [`SortKey::expression`] is for `instance`.
    fn bind_value(self, sql: &mut Sql, instance: &Instance) -> Result<(), DbError> {
        let time = |time: Option<Timestamp>| time.map_or(0, micros);
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        match self {
            Self::CreatedAt => sql.bind(micros(instance.created_at)),
            Self::UpdatedAt => sql.bind(micros(instance.updated_at)),
            Self::LaunchedAt => sql.bind(time(instance.launched_at)),
            Self::TerminatedAt => sql.bind(time(instance.terminated_at)),
            Self::Name => sql.bind(instance.name.clone()),
            Self::Description => sql.bind(text(&instance.description)),
            Self::Hostname => sql.bind(instance.hostname.clone()),
            Self::Uuid => sql.bind(instance.uuid.to_string()),
            Self::ProjectId => sql.bind(instance.project_id.clone()),
            Self::UserId => sql.bind(instance.user_id.clone()),
            Self::ImageRef => sql.bind(text(&instance.image_ref)),
            Self::KeyName => sql.bind(text(&instance.key_name)),
            Self::LaunchIndex => sql.bind(instance.launch_index),
            Self::Host => sql.bind(text(&instance.host)),
            Self::AvailabilityZone => sql.bind(text(&instance.availability_zone)),
            Self::VmState => sql.bind(instance.vm_state.as_str()),
            Self::TaskState => sql.bind(instance.task_state.map_or("", TaskState::as_str)),
            Self::PowerState => sql.bind(instance.power_state.number()),
            Self::ConfigDrive => sql.bind(i64::from(instance.config_drive)),
        }?;
        Ok(())
    }
}
