//! What hosts report, written into the rows of instances.

use std::collections::HashSet;

use jiff::Timestamp;

use crate::{
    db::{
        Connection, DbError, allocations,
        row::{Columns, json, micros},
        sql::Sql,
    },
    ids::{InstanceUuid, TaskId},
    lifecycle::{PowerState, TaskState, VmState},
    models::RequestSpec,
};

/// Of an instance's row, what decides whether a report applies and what it changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The instance.
    pub instance: InstanceUuid,
    /// Where it is.
    pub host: Option<String>,
    /// What it is.
    pub vm_state: VmState,
    /// What is being done to it.
    pub task_state: Option<TaskState>,
    /// The operation under way.
    pub task_id: Option<TaskId>,
    /// The request that asked for it.
    pub task_request_id: Option<String>,
    /// What the guest does.
    pub power_state: PowerState,
    /// The last report that was written down.
    pub report_seq: i64,
    /// How many times a build was attempted.
    pub attempts: i64,
    /// Whether it has ever run.
    pub launched: bool,
    /// What was asked of the scheduler.
    pub spec: RequestSpec,
}

/// Reads the rows that reports are about, all in one query, in no order. Deleted ones are left out.
///
/// # Errors
/// Those of the database.
pub async fn targets(connection: &mut Connection, uuids: &[InstanceUuid]) -> Result<Vec<Target>, DbError> {
    if uuids.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = Sql::new(
        "SELECT uuid, host, vm_state, task_state, task_id, task_request_id, power_state, report_seq, attempts, \
         launched_at, request_spec FROM instances WHERE deleted_at IS NULL AND uuid IN ",
    );
    sql.bind_list(uuids.iter().map(ToString::to_string))?;
    sql.fetch_all(connection)
        .await?
        .iter()
        .map(|row| {
            let power_state = row.int("power_state")?;
            Ok(Target {
                instance: row.parsed("uuid")?,
                host: row.text_or_null("host")?,
                vm_state: row.parsed("vm_state")?,
                task_state: row.parsed_or_null("task_state")?,
                task_id: row.parsed_or_null("task_id")?,
                task_request_id: row.text_or_null("task_request_id")?,
                power_state: PowerState::try_from(power_state).map_err(|reason| DbError::Corrupt {
                    column: "power_state",
                    value: power_state.to_string(),
                    reason,
                })?,
                report_seq: row.int("report_seq")?,
                attempts: row.int("attempts")?,
                launched: row.int_or_null("launched_at")?.is_some(),
                spec: row.json("request_spec")?,
            })
        })
        .collect()
}

/// What the reports of one host about one instance come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Reported {
    /// The instance.
    pub instance: InstanceUuid,
    /// The host that says so; the row must still name it.
    pub host: String,
    /// The row's `task_id` when it was read; it must still be that.
    pub seen_task: Option<TaskId>,
    /// The number of the newest report.
    pub seq: i64,
    /// The new `vm_state`.
    pub vm_state: VmState,
    /// The new `task_state`; `None` ends the operation.
    pub task_state: Option<TaskState>,
    /// What the guest does.
    pub power_state: PowerState,
    /// Whether it runs for the first time.
    pub launched: bool,
}

/// Writes what was reported, all in one statement, and returns those for which it was still true: the row names the
/// same host and operation as when it was read, and no newer report has been written down. Where the operation has
/// ended, its request and owner go with it.
///
/// # Errors
/// Those of the database.
pub async fn apply(connection: &mut Connection, reported: &[Reported]) -> Result<HashSet<InstanceUuid>, DbError> {
    if reported.is_empty() {
        return Ok(HashSet::new());
    }
    let now = micros(Timestamp::now());
    let mut sql = Sql::new("UPDATE instances SET updated_at = ");
    sql.bind(now)?;
    sql.push(
        ", report_seq = v.column4, vm_state = v.column5, task_state = v.column6, power_state = v.column7, \
         task_id = CASE WHEN v.column6 IS NULL THEN NULL ELSE task_id END, \
         task_request_id = CASE WHEN v.column6 IS NULL THEN NULL ELSE task_request_id END, \
         owner = CASE WHEN v.column6 IS NULL THEN NULL ELSE owner END, \
         launched_at = COALESCE(launched_at, v.column8) FROM (VALUES ",
    );
    for (index, new) in reported.iter().enumerate() {
        sql.push(if index == 0 { "(" } else { ", (" });
        sql.bind(new.instance.to_string())?.push(", ");
        sql.bind(new.host.clone())?.push(", ");
        sql.bind(new.seen_task.map(|id| id.to_string()))?.push(", ");
        sql.bind(new.seq)?.push(", ");
        sql.bind(new.vm_state.as_str())?.push(", ");
        sql.bind(new.task_state.map(TaskState::as_str))?.push(", ");
        sql.bind(new.power_state.number())?.push(", ");
        sql.bind(new.launched.then_some(now))?.push(")");
    }
    sql.push(
        ") AS v WHERE uuid = v.column1 AND host = v.column2 AND task_id IS NOT DISTINCT FROM v.column3 \
         AND report_seq < v.column4 AND deleted_at IS NULL RETURNING uuid",
    );
    sql.fetch_all(connection).await?.iter().map(|row| row.parsed("uuid")).collect()
}

/// A build that failed where another host might succeed.
#[derive(Clone, Debug, PartialEq)]
pub struct Elsewhere {
    /// The instance.
    pub instance: InstanceUuid,
    /// Where it failed.
    pub host: String,
    /// The attempt that failed.
    pub attempt: TaskId,
    /// What is asked for from now on: without that host.
    pub spec: RequestSpec,
}

/// Sends a build back to wait for a host: claim, host and attempt are taken back, and a new `task_id` makes whatever
/// the old host still says out of date. Says whether it was still that attempt's; if not, nothing is changed.
///
/// # Errors
/// Those of the database.
pub async fn reschedule(connection: &mut Connection, elsewhere: &Elsewhere) -> Result<bool, DbError> {
    let changed = sqlx::query(
        "UPDATE instances SET host = NULL, availability_zone = NULL, task_state = 'scheduling', task_id = $1, \
         owner = NULL, report_seq = 0, power_state = 0, request_spec = $2, updated_at = $3 \
         WHERE uuid = $4 AND task_id = $5 AND host = $6 AND vm_state = 'building' AND deleted_at IS NULL",
    )
    .bind(TaskId::random().to_string())
    .bind(json("request_spec", &elsewhere.spec)?)
    .bind(micros(Timestamp::now()))
    .bind(elsewhere.instance.to_string())
    .bind(elsewhere.attempt.to_string())
    .bind(elsewhere.host.clone())
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if changed == 1 {
        allocations::release(connection, elsewhere.instance, &elsewhere.host).await?;
    }
    Ok(changed == 1)
}

/// Takes the word `Error` back from the actions of builds that are tried again elsewhere: a failed attempt has failed,
/// the action has not.
///
/// # Errors
/// Those of the database.
pub async fn still_trying(connection: &mut Connection, actions: &[(InstanceUuid, String)]) -> Result<(), DbError> {
    if actions.is_empty() {
        return Ok(());
    }
    let mut sql = Sql::new("UPDATE instance_actions SET message = NULL WHERE (instance_uuid, request_id) IN (VALUES ");
    for (index, (instance, request_id)) in actions.iter().enumerate() {
        sql.push(if index == 0 { "(" } else { ", (" });
        sql.bind(instance.to_string())?.push(", ");
        sql.bind(request_id.clone())?.push(")");
    }
    sql.push(")");
    sql.execute(connection).await?;
    Ok(())
}
