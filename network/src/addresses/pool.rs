//! The free addresses of a subnet, as ranges in the database.
//!
//! | what | how |
//! | --- | --- |
//! | any address | the range at, or after, a number that is drawn at random, and of it the number that was drawn |
//! | this address | the range that it is in, if it is free |
//! | an address given back | joins the ranges beside it |
//!
//! Each is a search by the key and a change of one or two rows. Who changes a range has locked it; who draws passes over
//! ranges that somebody else has locked, and waits for them only when there is no other: so two that draw at the same time
//! rarely wait for each other, and an address is refused only when there is none.

use std::collections::BTreeSet;

use novella_common::{
    db::{Connection, Sql},
    sql,
};
use novella_rest::ApiError;

use super::{
    from_key, key,
    ranges::{Range, joined},
};

/// How often it is looked again, while others have all ranges locked, or have just changed them.
const ATTEMPTS: u32 = 64;

/// Makes these ranges of a subnet free.
pub(crate) async fn fill(connection: &mut Connection, subnet: &str, ranges: &[Range]) -> Result<(), ApiError> {
    if ranges.is_empty() {
        return Ok(());
    }
    let mut sql = Sql::new("INSERT INTO network_free_ranges (subnet_id, first, last) ");
    sql.rows(ranges, |range, cells| {
        cells.bind(subnet).bind(&key(range.first)).bind(&key(range.last));
    });
    sql.execute(connection).await?;
    Ok(())
}

/// Forgets what was free in a subnet.
pub(crate) async fn empty(connection: &mut Connection, subnet: &str) -> Result<(), ApiError> {
    sql!("DELETE FROM network_free_ranges WHERE subnet_id = "(subnet)).execute(connection).await?;
    Ok(())
}

/// Takes any free address. `pools` are all addresses that were to be given out. `None`: none is free.
pub(crate) async fn take_any(
    connection: &mut Connection,
    subnet: &str,
    pools: &[Range],
) -> Result<Option<u128>, ApiError> {
    Ok(take_run(connection, subnet, pools, 1).await?.map(|run| run.first))
}

/// Takes this many free addresses, or as many as there are. Those that are taken at once lie side by side where they can.
pub(crate) async fn take_many(
    connection: &mut Connection,
    subnet: &str,
    pools: &[Range],
    count: usize,
) -> Result<Vec<u128>, ApiError> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let most = u128::try_from(count - taken.len()).unwrap_or(1);
        let Some(run) = take_run(connection, subnet, pools, most).await? else { break };
        taken.extend(run.first..=run.last);
    }
    Ok(taken)
}

/// Takes at least one free address, and at most this many, side by side. `None`: none is free.
async fn take_run(
    connection: &mut Connection,
    subnet: &str,
    pools: &[Range],
    most: u128,
) -> Result<Option<Range>, ApiError> {
    for _ in 0..ATTEMPTS {
        let Some(drawn) = draw(pools) else { return Ok(None) };
        if let Some(range) = range_near(connection, subnet, drawn).await? {
            let first = drawn.clamp(range.first, range.last);
            let run = Range { first, last: first.saturating_add(most.saturating_sub(1)).min(range.last) };
            split(connection, subnet, range, run).await?;
            return Ok(Some(run));
        }
        // A range that was locked, and has been used up meanwhile, is no row any more; there may be others.
        let left: Option<String> = sql!("SELECT first FROM network_free_ranges WHERE subnet_id = " (subnet) " LIMIT 1")
            .fetch_optional(connection)
            .await?;
        if left.is_none() {
            return Ok(None);
        }
    }
    Err(ApiError::TransactionLost)
}

/// A number from the pools, each as likely as any other.
fn draw(pools: &[Range]) -> Option<u128> {
    let size = pools.iter().fold(0u128, |size, pool| size.saturating_add(pool.size()));
    if size == 0 {
        return None;
    }
    let mut at = rand::random_range(0..size);
    for pool in pools {
        if at < pool.size() {
            return pool.first.checked_add(at);
        }
        at -= pool.size();
    }
    None
}

/// A range with the number in it, or one near it, locked.
async fn range_near(connection: &mut Connection, subnet: &str, drawn: u128) -> Result<Option<Range>, ApiError> {
    let drawn = key(drawn);
    let before = sql!(
        "SELECT first, last FROM network_free_ranges WHERE subnet_id = " (subnet) " AND first <= " (drawn)
        " ORDER BY first DESC LIMIT 1"
    );
    let after = sql!(
        "SELECT first, last FROM network_free_ranges WHERE subnet_id = " (subnet) " AND first > " (drawn)
        " ORDER BY first LIMIT 1"
    );
    let first =
        sql!("SELECT first, last FROM network_free_ranges WHERE subnet_id = " (subnet) " ORDER BY first LIMIT 1");
    for (mut sql, lock) in
        [(before, " FOR UPDATE SKIP LOCKED"), (after, " FOR UPDATE SKIP LOCKED"), (first, " FOR UPDATE")]
    {
        // SQLite has one writer.
        let found: Option<(String, String)> = sql.push_for("", lock).fetch_optional(connection).await?;
        if let Some(range) = found {
            return read(range).map(Some);
        }
    }
    Ok(None)
}

/// Takes this address, if it is free.
pub(crate) async fn take(connection: &mut Connection, subnet: &str, number: u128) -> Result<bool, ApiError> {
    for _ in 0..ATTEMPTS {
        let found: Option<(String, String)> = sql!(
            "SELECT first, last FROM network_free_ranges WHERE subnet_id = " (subnet) " AND first <= " (key(number))
            " ORDER BY first DESC LIMIT 1"
        )
        .fetch_optional(connection)
        .await?;
        let Some(range) = found.map(read).transpose()?.filter(|range| range.contains(number)) else {
            return Ok(false);
        };
        let mut sql = sql!(
            "SELECT first, last FROM network_free_ranges WHERE subnet_id = " (subnet) " AND first = " (key(range.first))
        );
        let found: Option<(String, String)> = sql.push_for("", " FOR UPDATE").fetch_optional(connection).await?;
        // Whoever had it locked may have split it: what he has left is seen when it is looked again.
        if let Some(range) = found.map(read).transpose()?.filter(|range| range.contains(number)) {
            split(connection, subnet, range, Range::only(number)).await?;
            return Ok(true);
        }
    }
    Err(ApiError::TransactionLost)
}

/// Takes a part out of a range that is locked.
async fn split(connection: &mut Connection, subnet: &str, range: Range, part: Range) -> Result<(), ApiError> {
    sql!("DELETE FROM network_free_ranges WHERE subnet_id = " (subnet) " AND first = " (key(range.first)))
        .execute(connection)
        .await?;
    let rest: Vec<Range> = range.without(part).collect();
    fill(connection, subnet, &rest).await
}

/// Gives an address back.
pub(crate) async fn give_back(connection: &mut Connection, subnet: &str, number: u128) -> Result<(), ApiError> {
    give_back_many(connection, subnet, vec![number]).await
}

/// Gives addresses back. Each joins the ranges beside it.
pub(crate) async fn give_back_many(
    connection: &mut Connection,
    subnet: &str,
    numbers: Vec<u128>,
) -> Result<(), ApiError> {
    let free = joined(numbers.into_iter().map(Range::only).collect());
    if free.is_empty() {
        return Ok(());
    }
    let after = free.iter().filter_map(|range| range.last.checked_add(1)).map(key);
    let before = free.iter().filter_map(|range| range.first.checked_sub(1)).map(key);
    // By two indexes, in the order of each: in that of the other the database would read all ranges of the subnet.
    let mut above = sql!("SELECT first, last FROM network_free_ranges WHERE subnet_id = " (subnet) " AND first");
    above.is_in(after).push(" ORDER BY first");
    let mut below = sql!("SELECT first, last FROM network_free_ranges WHERE subnet_id = " (subnet) " AND last");
    below.is_in(before).push(" ORDER BY last");
    let mut beside: BTreeSet<(String, String)> = BTreeSet::new();
    for mut ranges in [below, above] {
        beside.extend(ranges.push_for("", " FOR UPDATE").fetch_all::<(String, String)>(connection).await?);
    }
    if !beside.is_empty() {
        sql!("DELETE FROM network_free_ranges WHERE subnet_id = " (subnet) " AND first")
            .is_in(beside.iter().map(|(first, _)| first.as_str()))
            .execute(connection)
            .await?;
    }
    let beside = beside.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    fill(connection, subnet, &joined(free.into_iter().chain(beside).collect())).await
}

fn read((first, last): (String, String)) -> Result<Range, ApiError> {
    match (from_key(&first), from_key(&last)) {
        (Some(first), Some(last)) => Ok(Range { first, last }),
        _ => {
            tracing::error!(first, last, "a range of free addresses is none");
            Err(ApiError::Broken)
        }
    }
}
