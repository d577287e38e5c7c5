//! Flavors.

use super::{
    Connection, DbError,
    table::{self, select},
};
use crate::{models::Flavor, sql, table};

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

/// Removes a flavor; instances keep their copies of it. Says whether there was one.
pub async fn delete(connection: &mut Connection, id: &str) -> Result<bool, DbError> {
    sql!("DELETE FROM flavors WHERE id = "(id)).execute_one(connection).await
}
