//! Flavors.

use super::{
    Connection, DbError,
    list::{Condition, Direction, List, SortKey},
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

/// What a list of flavors is sorted by. Ties are broken by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlavorSort {
    /// By id.
    #[default]
    Id,
    /// By name.
    Name,
    /// By memory.
    Memory,
    /// By root disk.
    Disk,
    /// By vCPUs.
    Vcpus,
}

/// Which flavors are wanted.
#[derive(Clone, Debug, Default)]
pub struct FlavorQuery {
    /// Only public ones, only private ones, or both.
    pub is_public: Option<bool>,
    /// At least this many GiB of root disk.
    pub min_disk_gb: Option<i64>,
    /// At least this many MiB of memory.
    pub min_ram_mb: Option<i64>,
    /// With this name.
    pub name: Option<String>,
    /// What to sort by.
    pub sort: FlavorSort,
    /// Largest first.
    pub descending: bool,
    /// Start after this one.
    pub after: Option<Flavor>,
    /// At most this many.
    pub limit: Option<i64>,
}

impl FlavorSort {
    fn key(self) -> SortKey {
        match self {
            Self::Id => SortKey::text("id"),
            Self::Name => SortKey::text("name"),
            Self::Memory => SortKey::int("memory_mb"),
            Self::Disk => SortKey::int("disk_gb"),
            Self::Vcpus => SortKey::int("vcpus"),
        }
    }
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

/// The flavors that fit, in order.
pub async fn list(connection: &mut Connection, wanted: &FlavorQuery) -> Result<Vec<Flavor>, DbError> {
    let direction = if wanted.descending { Direction::Descending } else { Direction::Ascending };
    let mut list = List::<Flavor>::all().sort(wanted.sort.key(), direction);
    if let Some(is_public) = wanted.is_public {
        list = list.filter(Condition::equal("is_public", &is_public));
    }
    if let Some(least) = wanted.min_disk_gb {
        list = list.filter(Condition::at_least("disk_gb", &least));
    }
    if let Some(least) = wanted.min_ram_mb {
        list = list.filter(Condition::at_least("memory_mb", &least));
    }
    if let Some(name) = &wanted.name {
        list = list.filter(Condition::equal("name", name));
    }
    let after = wanted.after.as_ref().map(|flavor| flavor.id.as_str());
    Ok(list.marker(after).limit(wanted.limit).page(connection).await?.unwrap_or_default())
}
