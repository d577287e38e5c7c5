//! Services: who is there, and when it was last heard.

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Connection, DbError, Sql, UuidText, aggregates, host_admission,
    list::{Condition, List},
    table::select,
};
use crate::{
    ids::Incarnation,
    models::{Binary, MigrationStatus, Service},
    sql, table,
};

table! {
    Service in "services", key int "id";
    generated id;
    uuid as UuidText,
    binary = "binary_name",
    host,
    zone,
    incarnation,
    disabled,
    disabled_reason,
    forced_down,
    serving,
    last_seen,
    created_at,
}

/// Writes that a service was heard now, by the clock of whoever calls. A service that was never seen gets its row.
pub async fn heartbeat(
    connection: &mut Connection,
    binary: Binary,
    host: &str,
    zone: &str,
    incarnation: Incarnation,
) -> Result<(), DbError> {
    let now = Timestamp::now();
    sql!(
        "INSERT INTO services (uuid, binary_name, host, zone, incarnation, last_seen, created_at) VALUES ("
        (Uuid::new_v4()) ", " (binary) ", " (host) ", " (zone) ", " (incarnation) ", " (now) ", " (now)
        ") ON CONFLICT (binary_name, host) DO UPDATE SET \
         zone = COALESCE(services.aggregate_zone, excluded.zone), incarnation = excluded.incarnation, \
         last_seen = excluded.last_seen, serving = " (true)
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes that a compute host has said hello: it is there, and takes work from its first heartbeat on.
pub async fn hello(
    connection: &mut Connection,
    host: &str,
    zone: &str,
    incarnation: Incarnation,
) -> Result<(), DbError> {
    let now = Timestamp::now();
    // A hello that comes late, after a heartbeat of the same run, takes nothing back.
    sql!(
        "INSERT INTO services (uuid, binary_name, host, zone, incarnation, serving, last_seen, created_at) VALUES ("
        (Uuid::new_v4()) ", " (Binary::Compute) ", " (host) ", " (zone) ", " (incarnation) ", " (false) ", " (now) ", "
        (now) ") ON CONFLICT (binary_name, host) DO UPDATE SET \
         zone = COALESCE(services.aggregate_zone, excluded.zone), incarnation = excluded.incarnation, \
         last_seen = excluded.last_seen, \
         serving = services.serving AND services.incarnation = excluded.incarnation"
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes that these compute hosts were heard now: one statement for a batch of heartbeats. A host that has not said
/// hello yet has no row, and gets none by this. Says whether one of them takes work only from now on.
pub async fn compute_hosts_alive(
    connection: &mut Connection,
    hosts: &[(String, Incarnation)],
) -> Result<bool, DbError> {
    if hosts.is_empty() {
        return Ok(false);
    }
    of_runs(&mut sql!("UPDATE services SET last_seen = "(Timestamp::now())), Binary::Compute, hosts)
        .execute(connection)
        .await?;
    // Few, and found among those by their key.
    let began = of_runs(&mut sql!("UPDATE services SET serving = "(true)), Binary::Compute, hosts)
        .push(" AND serving = ")
        .bind(&false)
        .execute(connection)
        .await?;
    Ok(began > 0)
}

/// Adds the condition that a row is of one of these runs.
fn of_runs<'s>(sql: &'s mut Sql, binary: Binary, runs: &[(String, Incarnation)]) -> &'s mut Sql {
    sql.append(sql!(" WHERE binary_name = " (binary) " AND (host, incarnation) IN ("))
        .rows(runs, |(host, incarnation), cells| {
            cells.bind(host).bind(incarnation);
        })
        .push(")")
}

/// Writes that these runs of services have said that they stop: no work is given to them any more.
pub async fn goodbye(
    connection: &mut Connection,
    binary: Binary,
    hosts: &[(String, Incarnation)],
) -> Result<(), DbError> {
    if hosts.is_empty() {
        return Ok(());
    }
    of_runs(&mut sql!("UPDATE services SET serving = "(false)), binary, hosts).execute(connection).await?;
    Ok(())
}

/// Every service, or those of a kind or host, in the order in which they were first seen.
pub async fn list(
    connection: &mut Connection,
    binary: Option<&str>,
    host: Option<&str>,
) -> Result<Vec<Service>, DbError> {
    let mut list = List::<Service>::all();
    if let Some(binary) = binary {
        list = list.filter(Condition::equal("binary_name", binary));
    }
    if let Some(host) = host {
        list = list.filter(Condition::equal("host", host));
    }
    Ok(list.page(connection).await?.unwrap_or_default())
}

/// Whether there is a compute host in the zone that no operator has disabled.
pub async fn zone_takes_work(connection: &mut Connection, zone: &str) -> Result<bool, DbError> {
    let hosts = List::<Service>::all()
        .filter(Condition::equal("binary_name", &Binary::Compute))
        .filter(Condition::equal("zone", zone))
        .filter(Condition::equal("disabled", &false))
        .limit(1);
    Ok(hosts.page(connection).await?.is_some_and(|hosts| !hosts.is_empty()))
}

/// The services of these compute hosts, in no order.
pub async fn of_compute_hosts(connection: &mut Connection, hosts: &[&str]) -> Result<Vec<Service>, DbError> {
    let mut sql = select::<Service>();
    sql.append(sql!(" WHERE binary_name = " (Binary::Compute) " AND host")).is_in(hosts);
    sql.fetch_all(connection).await
}

/// One service by its UUID.
pub async fn get(connection: &mut Connection, uuid: &str) -> Result<Option<Service>, DbError> {
    let Ok(uuid) = uuid.parse::<Uuid>() else { return Ok(None) };
    select::<Service>().push(" WHERE uuid = ").bind(&uuid).fetch_optional(connection).await
}

/// One service by what and where it is.
pub async fn find(connection: &mut Connection, binary: Binary, host: &str) -> Result<Option<Service>, DbError> {
    select::<Service>()
        .append(sql!(" WHERE binary_name = " (binary) " AND host = " (host)))
        .fetch_optional(connection)
        .await
}

/// What an operator can change of a service. `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct ServiceChange {
    /// In or out of scheduling.
    pub disabled: Option<bool>,
    /// Why it is out; `Some(None)` clears it.
    pub disabled_reason: Option<Option<String>>,
    /// Declared down.
    pub forced_down: Option<bool>,
}

/// Changes a service. Says whether it is there.
pub async fn update(connection: &mut Connection, uuid: &str, change: &ServiceChange) -> Result<bool, DbError> {
    // `uuid = uuid` lets each change below begin with a comma.
    let mut sql = sql!("UPDATE services SET uuid = uuid");
    if let Some(disabled) = change.disabled {
        sql.push(", disabled = ").bind(&disabled);
    }
    if let Some(reason) = &change.disabled_reason {
        sql.push(", disabled_reason = ").bind(reason);
    }
    if let Some(down) = change.forced_down {
        sql.push(", forced_down = ").bind(&down);
    }
    sql.push(" WHERE uuid = ").bind(&UuidText(uuid)).execute_one(connection).await
}

/// What came of asking for the deletion of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// The service is gone, and with it the compute host that it was.
    Deleted,
    /// Nothing was changed: instances are on the host.
    HostsInstances,
    /// Nothing was changed: migrations from or to the host are under way.
    HasMigrations,
}

/// Deletes a service, in the caller's transaction. A compute host goes only while nothing is on it or on its way there.
pub async fn delete(connection: &mut Connection, service: &Service) -> Result<Deletion, DbError> {
    if service.binary == Binary::Compute {
        let kept = remove_host(connection, &service.host).await?;
        if kept != Deletion::Deleted {
            return Ok(kept);
        }
        host_admission::forget_refused(connection, &service.host).await?;
        aggregates::forget_host(connection, &service.host).await?;
    }
    sql!("DELETE FROM services WHERE uuid = "(UuidText(&service.uuid))).execute(connection).await?;
    Ok(Deletion::Deleted)
}

/// Removes a host's row, if nothing is there. One statement: a claim changes the same row, so one that came first is seen
/// in `allocation_count`, and one that comes later finds no host.
async fn remove_host(connection: &mut Connection, host: &str) -> Result<Deletion, DbError> {
    let removed = sql!(
        "DELETE FROM compute_nodes WHERE host = " (host) " AND allocation_count = 0 \
         AND NOT EXISTS (SELECT 1 FROM instances WHERE host = " (host) " AND deleted_at IS NULL) \
         AND NOT EXISTS (SELECT 1 FROM migrations WHERE (source = " (host) " OR destination = " (host) ") AND status"
    )
    .is_in(MigrationStatus::under_way())
    .push(")")
    .execute_one(connection)
    .await?;
    if removed {
        return Ok(Deletion::Deleted);
    }
    // Why not: there never was such a row, or something is there.
    let (nodes, instances): (i64, i64) = sql!(
        "SELECT (SELECT COUNT(*) FROM compute_nodes WHERE host = " (host) "), \
         (SELECT COUNT(*) FROM instances WHERE host = " (host) " AND deleted_at IS NULL)"
    )
    .fetch_one(connection)
    .await?;
    Ok(if instances > 0 {
        Deletion::HostsInstances
    } else if nodes > 0 {
        Deletion::HasMigrations
    } else {
        Deletion::Deleted
    })
}
