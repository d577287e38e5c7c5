//! The heartbeat of a service that has the database: it writes its own row. (A compute host's heartbeats are reports.)

use std::time::Duration;

use super::{ServiceIdentity, Shutdown};
use crate::{
    db::{Database, DbError, services},
    models::Binary,
};

/// How long after a heartbeat that could not be written the next is tried: the service is there again soon after the
/// database is.
const RETRY: Duration = Duration::from_secs(1);

/// Writes the service's row for the first time in this run, so that it counts as up before it takes any work.
///
/// # Errors
/// The database can't be written.
pub async fn announce(database: &Database, identity: &ServiceIdentity) -> Result<(), DbError> {
    let mut connection = database.write().await?;
    services::heartbeat(&mut connection, identity.binary, &identity.host, Binary::INTERNAL_ZONE, identity.incarnation)
        .await
}

/// Repeats the heartbeat each `interval` until stopping is asked for, and then says goodbye. A failed heartbeat is logged
/// and tried again.
pub fn keep_alive(database: Database, identity: ServiceIdentity, interval: Duration, shutdown: &Shutdown) {
    let stop = shutdown.clone();
    shutdown.spawn(async move {
        let mut delay = interval;
        while stop.pause(delay).await {
            delay = match announce(&database, &identity).await {
                Ok(()) => interval,
                Err(error) => {
                    tracing::warn!(%error, binary = %identity.binary, host = identity.host, "heartbeat not written");
                    interval.min(RETRY)
                }
            };
        }
        if let Err(error) = goodbye(&database, &identity).await {
            tracing::warn!(%error, binary = %identity.binary, host = identity.host, "still counts as up for a while");
        }
    });
}

async fn goodbye(database: &Database, identity: &ServiceIdentity) -> Result<(), DbError> {
    let run = [(identity.host.clone(), identity.incarnation)];
    services::goodbye(&mut *database.write().await?, identity.binary, &run).await
}
