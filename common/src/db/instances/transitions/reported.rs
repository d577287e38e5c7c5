//! What hosts report, written into the rows of instances.

use std::collections::HashSet;

use jiff::Timestamp;

use crate::{
    db::{Connection, DbError, FromRow, Json, Row, allocations},
    ids::{InstanceUuid, TaskId},
    lifecycle::{PowerState, TaskState, VmState},
    models::RequestSpec,
    sql,
};

/// Of an instance's row, what decides whether a report applies and what it changes.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportedRow {
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
    /// Whether Networking may have ports for it.
    pub has_ports: bool,
    /// What was asked of the scheduler.
    pub spec: RequestSpec,
}

impl FromRow for ReportedRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            instance: row.read()?,
            host: row.read()?,
            vm_state: row.read()?,
            task_state: row.read()?,
            task_id: row.read()?,
            task_request_id: row.read()?,
            power_state: row.read()?,
            report_seq: row.read()?,
            attempts: row.read()?,
            launched: row.read()?,
            has_ports: row.read()?,
            spec: row.read::<Json<_>>()?.0,
        })
    }
}

/// Reads the rows that reports are about, all in one query, in no order. Deleted ones are left out.
pub async fn reported_rows(connection: &mut Connection, uuids: &[InstanceUuid]) -> Result<Vec<ReportedRow>, DbError> {
    if uuids.is_empty() {
        return Ok(Vec::new());
    }
    sql!(
        "SELECT uuid, host, vm_state, task_state, task_id, task_request_id, power_state, report_seq, attempts, \
         launched_at IS NOT NULL, has_ports, request_spec FROM instances WHERE deleted_at IS NULL AND uuid"
    )
    .is_in(uuids)
    .fetch_all(connection)
    .await
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
/// ended, its request goes with it. An owner goes in any case: the host has what its scheduler could not write down that it
/// had accepted.
pub async fn apply(connection: &mut Connection, reported: &[Reported]) -> Result<HashSet<InstanceUuid>, DbError> {
    if reported.is_empty() {
        return Ok(HashSet::new());
    }
    let now = Timestamp::now();
    let applied: Vec<InstanceUuid> = sql!(
        "UPDATE instances SET updated_at = " (now)
        ", report_seq = v.column4, vm_state = v.column5, task_state = v.column6, power_state = v.column7, \
         task_id = CASE WHEN v.column6 IS NULL THEN NULL ELSE task_id END, \
         task_request_id = CASE WHEN v.column6 IS NULL THEN NULL ELSE task_request_id END, \
         owner = NULL, \
         launched_at = COALESCE(launched_at, v.column8) FROM ("
    )
    .rows(reported, |new, cells| {
        cells.bind(&new.instance).bind(&new.host).bind(&new.seen_task).bind(&new.seq).bind(&new.vm_state);
        cells.bind(&new.task_state).bind(&new.power_state).bind(&new.launched.then_some(now));
    })
    .push(
        ") AS v WHERE uuid = v.column1 AND host IS NOT DISTINCT FROM v.column2 AND task_id IS NOT DISTINCT FROM v.column3 \
         AND report_seq < v.column4 AND deleted_at IS NULL RETURNING uuid",
    )
    .fetch_all(connection)
    .await?;
    Ok(applied.into_iter().collect())
}

/// A build that failed where another host might succeed.
#[derive(Clone, Debug, PartialEq)]
pub struct RescheduledBuild {
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
pub async fn reschedule(connection: &mut Connection, build: &RescheduledBuild) -> Result<bool, DbError> {
    let rescheduled = sql!(
        "UPDATE instances SET host = NULL, availability_zone = NULL, task_state = " (TaskState::Scheduling)
        ", task_id = " (TaskId::random()) ", owner = NULL, report_seq = 0, power_state = " (PowerState::NoState)
        ", request_spec = " (Json(&build.spec)) ", updated_at = " (Timestamp::now())
        " WHERE uuid = " (build.instance) " AND task_id = " (build.attempt) " AND host IS NOT DISTINCT FROM "
        (build.host) " AND vm_state = " (VmState::Building) " AND deleted_at IS NULL"
    )
    .execute_one(connection)
    .await?;
    if rescheduled {
        allocations::release(connection, build.instance, &build.host).await?;
    }
    Ok(rescheduled)
}

/// Takes the word `Error` back from the actions of builds that are tried again elsewhere: a failed attempt has failed,
/// the action has not.
pub async fn still_trying(connection: &mut Connection, actions: &[(InstanceUuid, String)]) -> Result<(), DbError> {
    if actions.is_empty() {
        return Ok(());
    }
    sql!("UPDATE instance_actions SET message = NULL WHERE (instance_uuid, request_id) IN (")
        .rows(actions, |(instance, request_id), cells| {
            cells.bind(instance).bind(request_id);
        })
        .push(")")
        .execute(connection)
        .await?;
    Ok(())
}
