//! The heartbeat of a service that has the database: it writes its own row. (A compute host's heartbeats are reports.)

use std::time::Duration;

use super::{ServiceIdentity, Shutdown};
use crate::{
    db::{Database, DbError, services},
    models::Binary,
};

/// Writes the service's row for the first time in this run, so that it counts as up before it takes any work.
///
/// # Errors
/// The database can't be written.
pub async fn announce(database: &Database, identity: &ServiceIdentity) -> Result<(), DbError> {
    let mut connection = database.write().await?;
    services::heartbeat(&mut connection, identity.binary, &identity.host, Binary::INTERNAL_ZONE, identity.incarnation)
        .await
}

/// Repeats the heartbeat each `interval` until stopping is asked for. A failed one is logged and tried again.
pub fn keep_alive(database: Database, identity: ServiceIdentity, interval: Duration, shutdown: &Shutdown) {
    let stop = shutdown.clone();
    shutdown.spawn(async move {
        while stop.pause(interval).await {
            if let Err(error) = announce(&database, &identity).await {
                tracing::warn!(%error, binary = %identity.binary, host = identity.host, "heartbeat not written");
            }
        }
    });
}
