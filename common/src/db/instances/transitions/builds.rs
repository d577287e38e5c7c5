//! A build on its way through a scheduler.
//!
//! ```text
//!                place                    hand_over
//!   waiting ──────────────▶ claimed ──────────────────▶ the host's
//!      ▲   ◀──────────────     │  host, attempt and owner in the row
//!      │    revert_attempt     │
//!      └─ fail_build ─▶ error ◀┘ (by revert_attempt first)
//! ```

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use super::super::add_fault;
use crate::{
    db::{Connection, DbError, Json, Sql, Table, allocations},
    ids::{Incarnation, InstanceUuid, TaskId},
    lifecycle::{TaskState, VmState},
    models::{Fault, Instance, RequestSpec},
    sql,
};

/// An instance and what was asked of the scheduler for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Build {
    /// The instance.
    pub instance: Instance,
    /// What was asked for.
    pub spec: RequestSpec,
}

/// Reads instances with what was asked of the scheduler for them, all in one query, in no order.
pub async fn builds(connection: &mut Connection, uuids: &[InstanceUuid]) -> Result<Vec<Build>, DbError> {
    if uuids.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<(Json<RequestSpec>, Instance)> = sql!("SELECT request_spec, ")
        .push(Instance::COLUMNS)
        .push(" FROM instances WHERE uuid")
        .is_in(uuids)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|(Json(spec), instance)| Build { instance, spec }).collect())
}

/// A host for an instance that waits for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The instance.
    pub instance: InstanceUuid,
    /// The row's `task_id` when the host was chosen.
    pub seen_task: Option<TaskId>,
    /// The row's `owner` when the host was chosen: nobody, a scheduler that is gone, or the one that chooses.
    pub seen_owner: Option<Incarnation>,
    /// The host.
    pub host: String,
    /// Its availability zone.
    pub zone: String,
    /// This attempt: the row's `task_id` from now on.
    pub attempt: TaskId,
}

/// Writes hosts into the rows of instances that wait for one, and `owner` as whose they are until the hosts have
/// accepted. Returns those that still waited. One statement for all; the claims are the caller's matter.
pub async fn place(
    connection: &mut Connection,
    placements: &[Placement],
    owner: Incarnation,
) -> Result<HashSet<InstanceUuid>, DbError> {
    if placements.is_empty() {
        return Ok(HashSet::new());
    }
    let placed: Vec<InstanceUuid> = sql!(
        "UPDATE instances SET host = v.column4, availability_zone = v.column5, task_id = v.column6, \
         attempts = attempts + 1, report_seq = 0, owner = " (owner) ", updated_at = " (Timestamp::now()) " FROM ("
    )
    .rows(placements, |placement, cells| {
        cells.bind(&placement.instance).bind(&placement.seen_task).bind(&placement.seen_owner);
        cells.bind(&placement.host).bind(&placement.zone).bind(&placement.attempt);
    })
    .push(
        ") AS v WHERE uuid = v.column1 AND task_id IS NOT DISTINCT FROM v.column2 \
         AND owner IS NOT DISTINCT FROM v.column3 AND host IS NULL AND ",
    )
    .append(scheduling())
    .push(" RETURNING uuid")
    .fetch_all(connection)
    .await?;
    Ok(placed.into_iter().collect())
}

/// Undoes [`place`] within the same transaction, for hosts that turned out to be full. The rows are again as they were
/// seen, `attempts` included.
pub async fn revert_placements(connection: &mut Connection, placements: &[&Placement]) -> Result<(), DbError> {
    if placements.is_empty() {
        return Ok(());
    }
    sql!(
        "UPDATE instances SET host = NULL, availability_zone = NULL, task_id = v.column2, owner = v.column3, \
         attempts = attempts - 1 FROM ("
    )
    .rows(placements, |placement, cells| {
        cells.bind(&placement.instance).bind(&placement.seen_task).bind(&placement.seen_owner);
        cells.bind(&placement.attempt);
    })
    .push(") AS v WHERE uuid = v.column1 AND task_id = v.column4")
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes that the hosts have accepted these attempts: they are no longer `owner`'s. Attempts that have moved on are
/// left alone.
pub async fn hand_over(
    connection: &mut Connection,
    attempts: &[(InstanceUuid, TaskId)],
    owner: Incarnation,
) -> Result<(), DbError> {
    if attempts.is_empty() {
        return Ok(());
    }
    sql!("UPDATE instances SET owner = NULL WHERE owner IS NOT DISTINCT FROM " (owner) " AND (uuid, task_id) IN (")
        .rows(attempts, |(instance, attempt), cells| {
            cells.bind(instance).bind(attempt);
        })
        .push(")")
        .execute(connection)
        .await?;
    Ok(())
}

/// An attempt that its host did not accept.
#[derive(Clone, Debug, PartialEq)]
pub struct RevertedAttempt {
    /// The instance.
    pub instance: InstanceUuid,
    /// The attempt.
    pub attempt: TaskId,
    /// Where it was tried.
    pub host: String,
    /// What is asked for from now on: without that host.
    pub spec: RequestSpec,
    /// Whether the host was asked at all; if not, the attempt does not count.
    pub counts: bool,
}

/// Gives claim and host back, so that the instance waits for a host again, if the host has reported nothing of the
/// attempt and nobody else has taken the instance over. Says whether so; if not, nothing is changed.
pub async fn revert_attempt(
    connection: &mut Connection,
    reverted: &RevertedAttempt,
    owner: Incarnation,
) -> Result<bool, DbError> {
    let uncounted = i64::from(!reverted.counts);
    let done = sql!(
        "UPDATE instances SET host = NULL, availability_zone = NULL, report_seq = 0, owner = NULL, request_spec = "
        (Json(&reverted.spec)) ", attempts = attempts - " (uncounted) ", updated_at = " (Timestamp::now())
        " WHERE uuid = " (reverted.instance) " AND task_id = " (reverted.attempt) " AND host IS NOT DISTINCT FROM "
        (reverted.host) " AND owner IS NOT DISTINCT FROM " (owner) " AND report_seq = 0 AND "
    )
    .append(scheduling())
    .execute_one(connection)
    .await?;
    if done {
        allocations::release(connection, reverted.instance, &reverted.host).await?;
    }
    Ok(done)
}

/// An instance for which there is no host.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedBuild {
    /// The instance.
    pub instance: InstanceUuid,
    /// The row's `task_id` when it was given up.
    pub seen_task: Option<TaskId>,
    /// The row's `owner` then.
    pub seen_owner: Option<Incarnation>,
    /// What is shown to the user.
    pub fault: Fault,
}

/// Puts an instance that waits for a host into ERROR with a fault. Says whether it still waited; if not, nothing is
/// changed.
pub async fn fail_build(connection: &mut Connection, failed: &FailedBuild) -> Result<bool, DbError> {
    let done = sql!(
        "UPDATE instances SET vm_state = " (VmState::Error) ", task_state = NULL, task_id = NULL, \
         task_request_id = NULL, owner = NULL, updated_at = " (failed.fault.created_at)
        " WHERE uuid = " (failed.instance) " AND task_id IS NOT DISTINCT FROM " (failed.seen_task)
        " AND owner IS NOT DISTINCT FROM " (failed.seen_owner) " AND host IS NULL AND "
    )
    .append(scheduling())
    .execute_one(connection)
    .await?;
    if done {
        add_fault(connection, failed.instance, &failed.fault).await?;
    }
    Ok(done)
}

/// Takes over an attempt that was claimed for by a scheduler which is gone, or by `owner` itself before a failure: the
/// host may or may not have accepted. Says whether it was still that scheduler's.
pub async fn adopt(
    connection: &mut Connection,
    instance: InstanceUuid,
    attempt: TaskId,
    seen_owner: Incarnation,
    owner: Incarnation,
) -> Result<bool, DbError> {
    sql!(
        "UPDATE instances SET owner = " (owner) " WHERE uuid = " (instance) " AND task_id = " (attempt)
        " AND owner IS NOT DISTINCT FROM " (seen_owner) " AND host IS NOT NULL AND "
    )
    .append(scheduling())
    .execute_one(connection)
    .await
}

/// The hosts on which these instances are, as far as they are on any.
pub async fn hosts_of(
    connection: &mut Connection,
    uuids: &[InstanceUuid],
) -> Result<HashMap<InstanceUuid, String>, DbError> {
    if uuids.is_empty() {
        return Ok(HashMap::new());
    }
    let hosts: Vec<(InstanceUuid, String)> =
        sql!("SELECT uuid, host FROM instances WHERE host IS NOT NULL AND deleted_at IS NULL AND uuid")
            .is_in(uuids)
            .fetch_all(connection)
            .await?;
    Ok(hosts.into_iter().collect())
}

/// The condition that the build is a scheduler's, or waits for one.
fn scheduling() -> Sql {
    sql!(
        "deleted_at IS NULL AND vm_state = " (VmState::Building)
        " AND task_state IS NOT DISTINCT FROM " (TaskState::Scheduling)
    )
}
