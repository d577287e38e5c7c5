//! How the hosts of servers are.

use std::collections::{BTreeSet, HashMap};

use novella_common::{
    db::{Connection, DbError, services},
    models::{Binary, Instance, Service},
};

use crate::state::Api;

/// Whether a host is there to be asked for something.
///
/// # Errors
/// The database can't be read.
pub(super) async fn is_up(api: &Api, connection: &mut Connection, host: &str) -> Result<bool, DbError> {
    let service = services::find(connection, Binary::Compute, host).await?;
    let fresh_since = api.fresh_since(connection).await?;
    Ok(service.is_some_and(|service| service.is_up(&fresh_since)))
}

/// `host_status` of the hosts that these servers are on, by name.
///
/// # Errors
/// The database can't be read.
pub(super) async fn statuses(
    api: &Api,
    connection: &mut Connection,
    servers: &[Instance],
) -> Result<HashMap<String, &'static str>, DbError> {
    let fresh_since = api.fresh_since(connection).await?;
    let hosts: BTreeSet<&str> = servers.iter().filter_map(|server| server.host.as_deref()).collect();
    let hosts: Vec<&str> = hosts.into_iter().collect();
    let services = services::of_compute_hosts(connection, &hosts).await?;
    let status = |service: &Service| {
        if service.disabled {
            "MAINTENANCE"
        } else if service.is_up(&fresh_since) {
            "UP"
        } else if service.forced_down {
            "DOWN"
        } else {
            "UNKNOWN"
        }
    };
    Ok(services.into_iter().map(|service| (service.host.clone(), status(&service))).collect())
}
