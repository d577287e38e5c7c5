//! What Networking says of instances now, written into their rows.

use std::collections::HashMap;

use super::{lock_in_order, ports};
use crate::{
    db::{Connection, Database, DbError, Json},
    ids::InstanceUuid,
    models::NetworkInfo,
    networks::{NetworkError, Networks},
    sql,
};

/// How often it is asked anew because somebody else has written meanwhile.
const ATTEMPTS: u32 = 5;

/// Why instances do not show what they have.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The database can't be asked or written.
    #[error(transparent)]
    Database(#[from] DbError),
    /// Networking does not say.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

/// A host and an instance on it.
pub type Place = (String, InstanceUuid);

/// Instances that are at rest on these hosts, by host and by id, behind `after`, at most `limit`.
///
/// # Errors
/// The database can't be read.
pub async fn at_rest_after(
    connection: &mut Connection,
    hosts: &[String],
    after: Option<&Place>,
    limit: i64,
) -> Result<Vec<Place>, DbError> {
    if hosts.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = sql!("SELECT host, uuid FROM instances WHERE deleted_at IS NULL AND task_state IS NULL");
    if let Some((host, instance)) = after {
        found.append(sql!(" AND (host > " (host) " OR (host = " (host) " AND uuid > " (instance) "))"));
    }
    found.push(" AND host").is_in(hosts);
    found.append(sql!(" ORDER BY host, uuid LIMIT "(limit))).fetch_all(connection).await
}

/// Asks Networking what these instances have, and writes it where it is not what the rows say. Rows are read before
/// Networking is asked and written only if they are as they were read, so that an older answer never replaces a newer one.
///
/// # Errors
/// See [`RefreshError`]; some rows may have been written.
pub async fn refresh(
    database: &Database,
    networks: &dyn Networks,
    instances: &[InstanceUuid],
) -> Result<(), RefreshError> {
    let mut left = instances.to_vec();
    for _ in 0..ATTEMPTS {
        if left.is_empty() {
            return Ok(());
        }
        let seen: Vec<(InstanceUuid, String, Json<NetworkInfo>)> = {
            let mut connection = database.read().await?;
            sql!("SELECT uuid, project_id, network_info FROM instances WHERE deleted_at IS NULL AND uuid")
                .is_in(&left)
                .fetch_all(&mut connection)
                .await?
        };
        let (asked, seen): (Vec<_>, Vec<_>) =
            seen.into_iter().map(|(uuid, project, info)| ((uuid, project), (uuid, info))).unzip();
        let mut now: HashMap<InstanceUuid, NetworkInfo> = networks.describe(&asked).await?.into_iter().collect();
        let changed: Vec<(InstanceUuid, NetworkInfo, NetworkInfo)> = seen
            .into_iter()
            .filter_map(|(uuid, Json(seen))| {
                let described = seen.refreshed(now.remove(&uuid).unwrap_or_default());
                (described != seen).then_some((uuid, seen, described))
            })
            .collect();
        left.clear();
        if changed.is_empty() {
            return Ok(());
        }
        // All of them for one commit.
        let mut transaction = database.begin().await?;
        let uuids: Vec<InstanceUuid> = changed.iter().map(|(uuid, ..)| *uuid).collect();
        lock_in_order(&mut transaction, &uuids).await?;
        for (uuid, seen, described) in changed {
            if !ports::swap(&mut transaction, uuid, &seen, &described).await? {
                left.push(uuid);
            }
        }
        transaction.commit().await?;
    }
    tracing::info!(
        instances = left.len(),
        "what servers have of Networking changes faster than it can be written down"
    );
    Ok(())
}
