//! In which time heartbeats were received.
//!
//! A host that was not heard is down only if it could have been heard. While the bus, the database or all conductors are
//! away, nobody hears anything; so silence counts within the time in which reports came through without a break. Each
//! conductor sends an echo of its own each `report_interval`, by which they come through even if all hosts are down.

use std::time::Duration;

use jiff::Timestamp;

use super::{Connection, DbError};
use crate::{models::FreshSince, sql};

/// So many intervals without any report are a break.
const INTERVALS: u32 = 3;

/// Writes that reports came through now. After a break, of some `report_interval`s, the time begins anew.
pub async fn heard(connection: &mut Connection, report_interval: Duration) -> Result<(), DbError> {
    let now = Timestamp::now();
    let unbroken = now - report_interval * INTERVALS;
    sql!(
        "UPDATE listening SET since = CASE WHEN until >= " (unbroken) " THEN since ELSE " (now) " END, until = " (now) " WHERE id = 1"
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Since when a service must have been heard, given that it may be silent for `service_down_time`.
pub async fn fresh_since(connection: &mut Connection, service_down_time: Duration) -> Result<FreshSince, DbError> {
    let (since, until): (Timestamp, Timestamp) =
        sql!("SELECT since, until FROM listening WHERE id = 1").fetch_one(connection).await?;
    Ok(FreshSince::new(since, until, Timestamp::now(), service_down_time))
}
