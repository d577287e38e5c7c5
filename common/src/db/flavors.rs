//! Flavors.

use std::collections::BTreeMap;

use super::{
    Connection, Database, DbError,
    table::{self, select},
};
use crate::{
    models::{Flavor, RxtxFactor},
    sql, table,
};

table! {
    Flavor in "flavors", key text "id";
    id,
    name,
    vcpus,
    memory_mb,
    disk_gb,
    ephemeral_gb,
    swap_mb,
    is_public,
    description,
    extra_specs as Json,
    rxtx_factor as Json,
}

/// Adds a flavor.
///
/// # Errors
/// An id or a name that is taken (see [`DbError::is_unique_violation`]).
pub async fn insert(connection: &mut Connection, flavor: &Flavor) -> Result<(), DbError> {
    table::insert(connection, flavor).await
}

/// The flavor with this id.
pub async fn get(connection: &mut Connection, id: &str) -> Result<Option<Flavor>, DbError> {
    select::<Flavor>().push(" WHERE id = ").bind(id).fetch_optional(connection).await
}

/// The flavor with this name.
pub async fn named(connection: &mut Connection, name: &str) -> Result<Option<Flavor>, DbError> {
    select::<Flavor>().push(" WHERE name = ").bind(name).fetch_optional(connection).await
}

/// Gives a flavor another description. Says whether there is such a flavor.
pub async fn set_description(
    connection: &mut Connection,
    id: &str,
    description: Option<&str>,
) -> Result<bool, DbError> {
    sql!("UPDATE flavors SET description = " (description) " WHERE id = " (id)).execute_one(connection).await
}

/// The projects that may use a flavor that is not everybody's.
pub async fn access(connection: &mut Connection, id: &str) -> Result<Vec<String>, DbError> {
    sql!("SELECT project_id FROM flavor_access WHERE flavor_id = " (id) " ORDER BY project_id")
        .fetch_all(connection)
        .await
}

/// Lets a project use a flavor.
///
/// # Errors
/// It may already (see [`DbError::is_unique_violation`]).
pub async fn add_access(connection: &mut Connection, id: &str, project: &str) -> Result<(), DbError> {
    sql!("INSERT INTO flavor_access (flavor_id, project_id) VALUES (" (id) ", " (project) ")")
        .execute(connection)
        .await?;
    Ok(())
}

/// Lets a project use a flavor no more. Says whether it might.
pub async fn remove_access(connection: &mut Connection, id: &str, project: &str) -> Result<bool, DbError> {
    sql!("DELETE FROM flavor_access WHERE flavor_id = " (id) " AND project_id = " (project))
        .execute_one(connection)
        .await
}

/// Removes a flavor and who may use it; instances keep their copies of it. Says whether there was one.
pub async fn delete(connection: &mut Connection, id: &str) -> Result<bool, DbError> {
    sql!("DELETE FROM flavor_access WHERE flavor_id = "(id)).execute(connection).await?;
    sql!("DELETE FROM flavors WHERE id = "(id)).execute_one(connection).await
}

/// Puts in what a new cloud has of flavors. Those that are there stay as they are. Several processes may do so at once.
pub async fn seed(database: &Database) -> Result<(), DbError> {
    loop {
        match put_missing(&mut *database.write().await?).await {
            // Another process has put in the same row since this one looked: it is there now, and the next may be so too.
            Err(error) if error.is_unique_violation() => {}
            result => return result,
        }
    }
}

/// The flavors that tutorials and tests expect, with the ids and sizes that they expect.
async fn put_missing(connection: &mut Connection) -> Result<(), DbError> {
    for (id, name, vcpus, memory_mb, disk_gb) in [
        ("1", "m1.tiny", 1, 512, 1),
        ("2", "m1.small", 1, 2048, 20),
        ("3", "m1.medium", 2, 4096, 40),
        ("4", "m1.large", 4, 8192, 80),
        ("5", "m1.xlarge", 8, 16384, 160),
        ("42", "m1.nano", 1, 128, 1),
        ("84", "m1.micro", 1, 192, 1),
    ] {
        if get(connection, id).await?.is_none() && named(connection, name).await?.is_none() {
            let flavor = Flavor {
                id: id.into(),
                name: name.into(),
                vcpus,
                memory_mb,
                disk_gb,
                ephemeral_gb: 0,
                swap_mb: 0,
                is_public: true,
                description: None,
                extra_specs: BTreeMap::new(),
                rxtx_factor: RxtxFactor::default(),
            };
            insert(connection, &flavor).await?;
        }
    }
    Ok(())
}
