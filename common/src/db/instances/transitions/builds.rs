//! A build on its way through a scheduler.
//!
//! ```text
//!                place                    hand_over
//!   waiting ──────────────▶ claimed ──────────────────▶ the host's
//!      ▲   ◀──────────────     │  host, attempt and owner in the row
//!      │       take_back       │
//!      └── give_up ──▶ error ◀─┘ (by take_back first)
//! ```

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use super::super::{COLUMNS, add_fault, instance};
use crate::{
    db::{
        Connection, DbError, allocations,
        row::{Columns, json, micros},
        sql::Sql,
    },
    ids::{Incarnation, InstanceUuid, TaskId},
    models::{Fault, Instance, RequestSpec},
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
///
/// # Errors
/// Those of the database.
pub async fn builds(connection: &mut Connection, uuids: &[InstanceUuid]) -> Result<Vec<Build>, DbError> {
    if uuids.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = Sql::new("SELECT request_spec, ");
    sql.push(COLUMNS).push(" FROM instances WHERE uuid IN ");
    sql.bind_list(uuids.iter().map(ToString::to_string))?;
    sql.fetch_all(connection)
        .await?
        .iter()
        .map(|row| Ok(Build { instance: instance(row)?, spec: row.json("request_spec")? }))
        .collect()
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
///
/// # Errors
/// Those of the database.
pub async fn place(
    connection: &mut Connection,
    placements: &[Placement],
    owner: Incarnation,
) -> Result<HashSet<InstanceUuid>, DbError> {
    if placements.is_empty() {
        return Ok(HashSet::new());
    }
    let mut sql = Sql::new(
        "UPDATE instances SET host = v.column4, availability_zone = v.column5, task_id = v.column6, \
         attempts = attempts + 1, report_seq = 0, owner = ",
    );
    sql.bind(owner.to_string())?.push(", updated_at = ").bind(micros(Timestamp::now()))?;
    sql.push(" FROM (VALUES ");
    for (index, placement) in placements.iter().enumerate() {
        sql.push(if index == 0 { "(" } else { ", (" });
        sql.bind(placement.instance.to_string())?.push(", ");
        sql.bind(placement.seen_task.map(|id| id.to_string()))?.push(", ");
        sql.bind(placement.seen_owner.map(|id| id.to_string()))?.push(", ");
        sql.bind(placement.host.clone())?.push(", ");
        sql.bind(placement.zone.clone())?.push(", ");
        sql.bind(placement.attempt.to_string())?.push(")");
    }
    sql.push(
        ") AS v WHERE uuid = v.column1 AND task_id IS NOT DISTINCT FROM v.column2 \
         AND owner IS NOT DISTINCT FROM v.column3 AND deleted_at IS NULL AND vm_state = 'building' \
         AND task_state = 'scheduling' AND host IS NULL RETURNING uuid",
    );
    sql.fetch_all(connection).await?.iter().map(|row| row.parsed("uuid")).collect()
}

/// Undoes [`place`] within the same transaction, for hosts that turned out to be full. The rows are again as they were
/// seen, `attempts` included.
///
/// # Errors
/// Those of the database.
pub async fn revert_placements(connection: &mut Connection, placements: &[&Placement]) -> Result<(), DbError> {
    if placements.is_empty() {
        return Ok(());
    }
    let mut sql = Sql::new(
        "UPDATE instances SET host = NULL, availability_zone = NULL, task_id = v.column2, owner = v.column3, \
         attempts = attempts - 1 FROM (VALUES ",
    );
    for (index, placement) in placements.iter().enumerate() {
        sql.push(if index == 0 { "(" } else { ", (" });
        sql.bind(placement.instance.to_string())?.push(", ");
        sql.bind(placement.seen_task.map(|id| id.to_string()))?.push(", ");
        sql.bind(placement.seen_owner.map(|id| id.to_string()))?.push(", ");
        sql.bind(placement.attempt.to_string())?.push(")");
    }
    sql.push(") AS v WHERE uuid = v.column1 AND task_id = v.column4");
    sql.execute(connection).await?;
    Ok(())
}

/// Writes that the hosts have accepted these attempts: they are no longer `owner`'s. Attempts that have moved on are
/// left alone.
///
/// # Errors
/// Those of the database.
pub async fn hand_over(
    connection: &mut Connection,
    attempts: &[(InstanceUuid, TaskId)],
    owner: Incarnation,
) -> Result<(), DbError> {
    if attempts.is_empty() {
        return Ok(());
    }
    let mut sql = Sql::new("UPDATE instances SET owner = NULL WHERE owner = ");
    sql.bind(owner.to_string())?.push(" AND (uuid, task_id) IN (VALUES ");
    for (index, (instance, attempt)) in attempts.iter().enumerate() {
        sql.push(if index == 0 { "(" } else { ", (" });
        sql.bind(instance.to_string())?.push(", ");
        sql.bind(attempt.to_string())?.push(")");
    }
    sql.push(")");
    sql.execute(connection).await?;
    Ok(())
}

/// An attempt that its host did not accept.
#[derive(Clone, Debug, PartialEq)]
pub struct TakenBack {
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

/// Takes claim and host back, so that the instance waits for a host again, if the host has reported nothing of the
/// attempt and nobody else has taken the instance over. Says whether so; if not, nothing is changed.
///
/// # Errors
/// Those of the database.
pub async fn take_back(connection: &mut Connection, taken: &TakenBack, owner: Incarnation) -> Result<bool, DbError> {
    let changed = sqlx::query(
        "UPDATE instances SET host = NULL, availability_zone = NULL, report_seq = 0, request_spec = $1, owner = NULL, \
         attempts = attempts - $2, updated_at = $3 WHERE uuid = $4 AND task_id = $5 AND host = $6 AND owner = $7 AND deleted_at IS NULL \
         AND vm_state = 'building' AND task_state = 'scheduling' AND report_seq = 0",
    )
    .bind(json("request_spec", &taken.spec)?)
    .bind(i64::from(!taken.counts))
    .bind(micros(Timestamp::now()))
    .bind(taken.instance.to_string())
    .bind(taken.attempt.to_string())
    .bind(taken.host.clone())
    .bind(owner.to_string())
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if changed == 1 {
        allocations::release(connection, taken.instance, &taken.host).await?;
    }
    Ok(changed == 1)
}

/// An instance for which there is no host.
#[derive(Clone, Debug, PartialEq)]
pub struct GivenUp {
    /// The instance.
    pub instance: InstanceUuid,
    /// The row's `task_id` when it was given up.
    pub seen_task: Option<TaskId>,
    /// The row's `owner` then.
    pub seen_owner: Option<Incarnation>,
    /// Why.
    pub fault: Fault,
}

/// Puts an instance that waits for a host into ERROR with a fault. Says whether it still waited; if not, nothing is
/// changed.
///
/// # Errors
/// Those of the database.
pub async fn give_up(connection: &mut Connection, given_up: &GivenUp) -> Result<bool, DbError> {
    let changed = sqlx::query(
        "UPDATE instances SET vm_state = 'error', task_state = NULL, task_id = NULL, task_request_id = NULL, \
         owner = NULL, updated_at = $1 WHERE uuid = $2 AND task_id IS NOT DISTINCT FROM $3 \
         AND owner IS NOT DISTINCT FROM $4 AND deleted_at IS NULL AND vm_state = 'building' \
         AND task_state = 'scheduling' AND host IS NULL",
    )
    .bind(micros(given_up.fault.created_at))
    .bind(given_up.instance.to_string())
    .bind(given_up.seen_task.map(|id| id.to_string()))
    .bind(given_up.seen_owner.map(|id| id.to_string()))
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if changed == 1 {
        add_fault(connection, given_up.instance, &given_up.fault).await?;
    }
    Ok(changed == 1)
}

/// Takes over an attempt that was claimed for by a scheduler which is gone, or by `owner` itself before a failure: the
/// host may or may not have accepted. Says whether it was still that scheduler's.
///
/// # Errors
/// Those of the database.
pub async fn adopt(
    connection: &mut Connection,
    instance: InstanceUuid,
    attempt: TaskId,
    seen_owner: Incarnation,
    owner: Incarnation,
) -> Result<bool, DbError> {
    let changed = sqlx::query(
        "UPDATE instances SET owner = $1 WHERE uuid = $2 AND task_id = $3 AND owner = $4 AND deleted_at IS NULL \
         AND vm_state = 'building' AND task_state = 'scheduling' AND host IS NOT NULL",
    )
    .bind(owner.to_string())
    .bind(instance.to_string())
    .bind(attempt.to_string())
    .bind(seen_owner.to_string())
    .execute(connection)
    .await?
    .rows_affected();
    Ok(changed == 1)
}

/// The hosts on which these instances are, as far as they are on any.
///
/// # Errors
/// Those of the database.
pub async fn hosts_of(
    connection: &mut Connection,
    uuids: &[InstanceUuid],
) -> Result<HashMap<InstanceUuid, String>, DbError> {
    if uuids.is_empty() {
        return Ok(HashMap::new());
    }
    let mut sql =
        Sql::new("SELECT uuid, host FROM instances WHERE host IS NOT NULL AND deleted_at IS NULL AND uuid IN ");
    sql.bind_list(uuids.iter().map(ToString::to_string))?;
    sql.fetch_all(connection).await?.iter().map(|row| Ok((row.parsed("uuid")?, row.text("host")?))).collect()
}
