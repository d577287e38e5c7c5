//! How the hosts of servers are.

use std::collections::HashMap;

use jiff::Timestamp;
use novella_common::{
    db::{Connection, DbError, services},
    models::{Binary, Service},
};

use crate::state::Api;

/// Whether a host is there to be asked for something.
///
/// # Errors
/// The database can't be read.
pub(super) async fn is_up(api: &Api, connection: &mut Connection, host: &str) -> Result<bool, DbError> {
    let service = services::find(connection, Binary::Compute, host).await?;
    Ok(service.is_some_and(|service| service.is_up(Timestamp::now(), api.service.service_down_time)))
}

/// `host_status` of every host, by name.
///
/// # Errors
/// The database can't be read.
pub(super) async fn statuses(api: &Api, connection: &mut Connection) -> Result<HashMap<String, &'static str>, DbError> {
    let now = Timestamp::now();
    let services = services::list(connection, Some(Binary::Compute.as_str()), None).await?;
    let status = |service: &Service| {
        if service.disabled {
            "MAINTENANCE"
        } else if service.is_up(now, api.service.service_down_time) {
            "UP"
        } else if service.forced_down {
            "DOWN"
        } else {
            "UNKNOWN"
        }
    };
    Ok(services.into_iter().map(|service| (service.host.clone(), status(&service))).collect())
}
