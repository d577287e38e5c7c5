//! Which machine is the host of a name, and who has come under a name that is another's.
//!
//! The first hello under a name says which identity the name has; from then on a hello with another one is refused, and
//! noted, until an operator says that the host was replaced.

use jiff::Timestamp;

use super::{Connection, DbError, FromRow, Row};
use crate::{
    ids::{HostIdentity, Incarnation},
    models::{Binary, MigrationStatus},
    sql,
};

/// Whether a hello under this name comes from the host that has the name: no other identity is known. If so, the identity
/// is its own from now on; otherwise it is noted as refused. The host's row must be there if the host is known.
pub async fn recognise(
    connection: &mut Connection,
    host: &str,
    identity: Option<HostIdentity>,
) -> Result<bool, DbError> {
    let known = of_host(connection, host).await?;
    if known.is_some_and(|known| Some(known) != identity) {
        sql!(
            "INSERT INTO refused_hosts (host, identity, last_seen) VALUES (" (host) ", " (identity) ", "
            (Timestamp::now()) ") ON CONFLICT (host) DO UPDATE SET identity = excluded.identity, \
             last_seen = excluded.last_seen"
        )
        .execute(connection)
        .await?;
        return Ok(false);
    }
    Ok(true)
}

/// Writes which identity a host has, if none is known.
pub async fn learn(connection: &mut Connection, host: &str, identity: Option<HostIdentity>) -> Result<(), DbError> {
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

/// Somebody who said hello under the name of another host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedHost {
    /// The name.
    pub host: String,
    /// What it is; `None`: it keeps no state.
    pub identity: Option<HostIdentity>,
    /// When it last said hello, by the receiver's clock.
    pub last_seen: Timestamp,
}

impl FromRow for RefusedHost {
    fn from_row(row: &mut Row<'_>) -> Result<Self, DbError> {
        Ok(Self { host: row.read()?, identity: row.read()?, last_seen: row.read()? })
    }
}

/// All that were refused, by name; the newest of each name.
pub async fn refused(connection: &mut Connection) -> Result<Vec<RefusedHost>, DbError> {
    sql!("SELECT host, identity, last_seen FROM refused_hosts ORDER BY host").fetch_all(connection).await
}

/// Gives a name to the one that was refused under it: the machine that had the name was replaced. Its next hello is
/// taken, and its reports count anew. Says whether there was one. Must run in a transaction.
pub async fn replace(connection: &mut Connection, host: &str) -> Result<bool, DbError> {
    let replaced = sql!(
        "UPDATE compute_nodes SET identity = (SELECT r.identity FROM refused_hosts r WHERE r.host = compute_nodes.host) \
         WHERE host = " (host) " AND host IN (SELECT r.host FROM refused_hosts r)"
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
