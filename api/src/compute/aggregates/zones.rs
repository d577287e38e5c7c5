//! What aggregates may do to the zones of hosts: a host is in one zone, and a server never changes its own.

use novella_common::{
    db::{Connection, aggregates, compute_nodes},
    models::Aggregate,
};
use novella_rest::ApiError;

/// What is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Update,
    UpdateMetadata,
    AddHost,
    RemoveHost,
}

fn refused(act: Act, aggregate: &Aggregate, reason: &str) -> ApiError {
    let id = aggregate.id;
    match act {
        Act::Update => ApiError::bad_request(format!("Cannot update aggregate {id}. Reason: {reason}.")),
        Act::UpdateMetadata => {
            ApiError::bad_request(format!("Cannot update metadata of aggregate {id}. Reason: {reason}."))
        }
        Act::AddHost => ApiError::Conflict(format!("Cannot add host to aggregate {id}. Reason: {reason}.")),
        Act::RemoveHost => ApiError::Conflict(format!("Cannot remove host from aggregate {id}. Reason: {reason}.")),
    }
}

/// Whether the aggregate's hosts may be in `zone` from now on.
///
/// # Errors
/// 400 that says what stands in the way.
pub(super) async fn check_change(
    connection: &mut Connection,
    act: Act,
    aggregate: &Aggregate,
    zone: Option<&str>,
) -> Result<(), ApiError> {
    let Some(zone) = zone.filter(|zone| !zone.is_empty()) else {
        let name = &aggregate.name;
        return Err(refused(
            act,
            aggregate,
            &format!("Aggregate {name} does not support empty named availability zone"),
        ));
    };
    let hosts = aggregates::hosts(connection, [aggregate.id]).await?.remove(&aggregate.id).unwrap_or_default();
    check_no_other(connection, act, aggregate, &hosts, zone).await?;
    if aggregate.zone() != Some(zone) && aggregates::instances_on(connection, &hosts).await? > 0 {
        return Err(refused(act, aggregate, "One or more hosts contain instances in this zone"));
    }
    Ok(())
}

/// Whether a host, which is in the zone `now`, may come into the aggregate.
///
/// # Errors
/// 409 that says what stands in the way.
pub(super) async fn check_arrival(
    connection: &mut Connection,
    aggregate: &Aggregate,
    host: &str,
    now: &str,
) -> Result<(), ApiError> {
    let Some(zone) = aggregate.zone() else { return Ok(()) };
    let hosts = [host.to_owned()];
    check_no_other(connection, Act::AddHost, aggregate, &hosts, zone).await?;
    check_servers(connection, Act::AddHost, aggregate, &hosts, (now, zone)).await
}

/// Whether a host may leave the aggregate.
///
/// # Errors
/// 409 that says what stands in the way.
pub(super) async fn check_departure(
    connection: &mut Connection,
    aggregate: &Aggregate,
    host: &str,
) -> Result<(), ApiError> {
    let Some(now) = aggregate.zone() else { return Ok(()) };
    let hosts = [host.to_owned()];
    let others = aggregates::zones_of(connection, &hosts).await?;
    let node = compute_nodes::get(connection, host).await?;
    let own = node.map(|node| node.inventory.availability_zone);
    let then = others.into_iter().find(|(_, id, _)| *id != aggregate.id).map(|(_, _, zone)| zone).or(own);
    check_servers(connection, Act::RemoveHost, aggregate, &hosts, (now, then.as_deref().unwrap_or_default())).await
}

async fn check_no_other(
    connection: &mut Connection,
    act: Act,
    aggregate: &Aggregate,
    hosts: &[String],
    zone: &str,
) -> Result<(), ApiError> {
    let zones = aggregates::zones_of(connection, hosts).await?;
    let other: Vec<String> = zones
        .into_iter()
        .filter(|(_, id, other)| *id != aggregate.id && other != zone)
        .map(|(_, _, zone)| zone)
        .collect();
    if other.is_empty() {
        return Ok(());
    }
    Err(refused(act, aggregate, &format!("One or more hosts already in availability zone(s) {}", other.join(", "))))
}

/// Servers stay in the zone that they were made in.
async fn check_servers(
    connection: &mut Connection,
    act: Act,
    aggregate: &Aggregate,
    hosts: &[String],
    (now, then): (&str, &str),
) -> Result<(), ApiError> {
    if now == then {
        return Ok(());
    }
    let servers = aggregates::instances_on(connection, hosts).await?;
    if servers == 0 {
        return Ok(());
    }
    let what = if act == Act::AddHost { "added to" } else { "removed from" };
    Err(refused(
        act,
        aggregate,
        &format!(
            "The host cannot be {what} the aggregate as the availability zone of the host would change from '{now}' to \
             '{then}' but the host already has {servers} instance(s). Move the instances away from this host then try again"
        ),
    ))
}
