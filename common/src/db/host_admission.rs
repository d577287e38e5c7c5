//! Which machine is the host of a name, and which wait for an operator's word.
//!
//! A host that nobody has heard of waits until an operator approves it, unless new hosts are approved by themselves. Its
//! first hello says which identity the name has; from then on a hello with another one is refused until an operator says
//! that the host was replaced. A host that says it has more than it had is believed the rest, and the more waits.

use jiff::Timestamp;

use super::{Connection, DbError, FromRow, Json, Row, compute_nodes};
use crate::{
    ids::{HostIdentity, Incarnation},
    models::{Binary, Inventory, MigrationStatus, Resources},
    named, sql,
};

named! {
    /// Why somebody who says hello waits for an operator.
    pub enum Refusal {
        /// The name is that of another machine.
        Identity = "identity",
        /// Nobody has heard of the host yet.
        New = "new",
        /// It says that it has more than it had.
        Capacity = "capacity",
    }
}

/// What comes of a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Whether it is the host of that name.
    pub is_host: bool,
    /// What waits for an operator.
    pub refusal: Option<Refusal>,
    /// Whether that was noted before.
    pub is_repeated: bool,
}

/// Decides about a hello. A host that comes in gets its row, and its identity is the name's from now on; who does not is
/// noted.
pub async fn admit(
    connection: &mut Connection,
    host: &str,
    identity: Option<HostIdentity>,
    inventory: &Inventory,
    auto_approve: bool,
) -> Result<Admission, DbError> {
    let known = of_host(connection, host).await?;
    let node = compute_nodes::get(connection, host).await?;
    let refusal = match &node {
        None => (!auto_approve).then_some(Refusal::New),
        Some(_) if known.is_some_and(|known| Some(known) != identity) => Some(Refusal::Identity),
        Some(node) => (!auto_approve && !node.capacity.covers(&inventory.capacity())).then_some(Refusal::Capacity),
    };
    let Some(refusal) = refusal else {
        accept(connection, host, identity, inventory).await?;
        return Ok(Admission { is_host: true, refusal: None, is_repeated: false });
    };
    let is_host = refusal == Refusal::Capacity;
    if is_host {
        learn(connection, host, identity).await?;
    }
    let before: Option<(Refusal, Option<HostIdentity>)> =
        sql!("SELECT reason, identity FROM refused_hosts WHERE host = "(host)).fetch_optional(connection).await?;
    sql!(
        "INSERT INTO refused_hosts (host, identity, reason, inventory, last_seen) VALUES (" (host) ", " (identity) ", "
        (refusal) ", " (Json(inventory)) ", " (Timestamp::now()) ") ON CONFLICT (host) DO UPDATE SET \
         identity = excluded.identity, reason = excluded.reason, inventory = excluded.inventory, \
         last_seen = excluded.last_seen"
    )
    .execute(connection)
    .await?;
    Ok(Admission { is_host, refusal: Some(refusal), is_repeated: before == Some((refusal, identity)) })
}

async fn accept(
    connection: &mut Connection,
    host: &str,
    identity: Option<HostIdentity>,
    inventory: &Inventory,
) -> Result<(), DbError> {
    compute_nodes::upsert(connection, host, inventory).await?;
    learn(connection, host, identity).await?;
    // What it waited for before has come, or is asked for no more. Another machine under its name still waits.
    sql!("DELETE FROM refused_hosts WHERE host = " (host) " AND reason <> " (Refusal::Identity))
        .execute(connection)
        .await?;
    Ok(())
}

/// What came of an approval.
#[derive(Clone, Debug, PartialEq)]
pub enum Approval {
    /// It comes in with its next hello, and has this to give.
    Approved(Resources),
    /// Nobody has said hello under the name who waits.
    NobodyWaits,
    /// Another machine has the name: see [`replace`].
    AnotherMachine,
}

/// Lets in who waits under a name. Must run in a transaction.
pub async fn approve(connection: &mut Connection, host: &str) -> Result<Approval, DbError> {
    let waiting: Option<(Refusal, Option<HostIdentity>, Option<Json<Inventory>>)> =
        sql!("SELECT reason, identity, inventory FROM refused_hosts WHERE host = "(host))
            .fetch_optional(connection)
            .await?;
    match waiting {
        None => Ok(Approval::NobodyWaits),
        Some((Refusal::Identity, ..) | (_, _, None)) => Ok(Approval::AnotherMachine),
        Some((_, identity, Some(Json(inventory)))) => {
            accept(connection, host, identity, &inventory).await?;
            Ok(Approval::Approved(inventory.capacity()))
        }
    }
}

/// Writes which identity a host has, if none is known.
async fn learn(connection: &mut Connection, host: &str, identity: Option<HostIdentity>) -> Result<(), DbError> {
    sql!("UPDATE compute_nodes SET identity = " (identity) " WHERE identity IS NULL AND host = " (host))
        .execute(connection)
        .await?;
    Ok(())
}

/// The identity of the host of this name, as far as one is known.
pub async fn of_host(connection: &mut Connection, host: &str) -> Result<Option<HostIdentity>, DbError> {
    let found: Option<Option<HostIdentity>> =
        sql!("SELECT identity FROM compute_nodes WHERE host = "(host)).fetch_optional(connection).await?;
    Ok(found.flatten())
}

/// Somebody who said hello, and waits for an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct RefusedHost {
    /// The name.
    pub host: String,
    /// What it is; `None`: it keeps no state.
    pub identity: Option<HostIdentity>,
    /// Why it waits.
    pub reason: Refusal,
    /// What it says that it has; `None` if an earlier version noted it.
    pub inventory: Option<Inventory>,
    /// When it last said hello, by the receiver's clock.
    pub last_seen: Timestamp,
}

impl FromRow for RefusedHost {
    fn from_row(row: &mut Row<'_>) -> Result<Self, DbError> {
        let (host, identity, reason) = (row.read()?, row.read()?, row.read()?);
        let inventory: Option<Json<Inventory>> = row.read()?;
        Ok(Self { host, identity, reason, inventory: inventory.map(|Json(it)| it), last_seen: row.read()? })
    }
}

/// All that were refused, by name; the newest of each name.
pub async fn refused(connection: &mut Connection) -> Result<Vec<RefusedHost>, DbError> {
    sql!("SELECT host, identity, reason, inventory, last_seen FROM refused_hosts ORDER BY host")
        .fetch_all(connection)
        .await
}

/// Gives a name to the one that was refused under it: the machine that had the name was replaced. Its next hello is
/// taken, and its reports count anew. Says whether there was one. Must run in a transaction.
pub async fn replace(connection: &mut Connection, host: &str) -> Result<bool, DbError> {
    let replaced = sql!(
        "UPDATE compute_nodes SET identity = (SELECT r.identity FROM refused_hosts r WHERE r.host = compute_nodes.host) \
         WHERE host = " (host) " AND host IN (SELECT r.host FROM refused_hosts r WHERE r.reason = "
        (Refusal::Identity) ")"
    )
    .execute_one(connection)
    .await?;
    if !replaced {
        return Ok(false);
    }
    sql!("DELETE FROM refused_hosts WHERE host = "(host)).execute(connection).await?;
    // The clock of the new one, by which its first number is chosen, may be behind.
    sql!("UPDATE instances SET report_seq = 0 WHERE deleted_at IS NULL AND host = "(host)).execute(connection).await?;
    sql!("UPDATE migrations SET report_seq = 0 WHERE source = " (host) " AND status")
        .is_in(MigrationStatus::under_way())
        .execute(connection)
        .await?;
    // Nothing of what the old one still says counts.
    sql!(
        "UPDATE services SET incarnation = " (Incarnation::random()) " WHERE binary_name = "
        (Binary::Compute) " AND host = " (host)
    )
    .execute(connection)
    .await?;
    Ok(true)
}

/// Forgets who was refused under a name: the host of that name has been deleted, so that the name is nobody's.
pub async fn forget_refused(connection: &mut Connection, host: &str) -> Result<(), DbError> {
    sql!("DELETE FROM refused_hosts WHERE host = "(host)).execute(connection).await?;
    Ok(())
}
