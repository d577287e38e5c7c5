//! Flavors.

use sqlx::any::AnyRow;

use super::{
    Connection, DbError,
    row::{Columns, json},
    sql::Sql,
};
use crate::models::Flavor;

const COLUMNS: &str = "SELECT id, name, vcpus, memory_mb, disk_gb, ephemeral_gb, swap_mb, is_public, description, \
                       extra_specs FROM flavors WHERE 1 = 1";

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

fn read(row: &AnyRow) -> Result<Flavor, DbError> {
    Ok(Flavor {
        id: row.text("id")?,
        name: row.text("name")?,
        vcpus: row.int("vcpus")?,
        memory_mb: row.int("memory_mb")?,
        disk_gb: row.int("disk_gb")?,
        ephemeral_gb: row.int("ephemeral_gb")?,
        swap_mb: row.int("swap_mb")?,
        is_public: row.flag("is_public")?,
        description: row.text_or_null("description")?,
        extra_specs: row.json("extra_specs")?,
    })
}

/// Adds a flavor.
///
/// # Errors
/// An id or a name that is taken (see [`DbError::is_unique_violation`]).
pub async fn insert(connection: &mut Connection, flavor: &Flavor) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO flavors (id, name, vcpus, memory_mb, disk_gb, ephemeral_gb, swap_mb, is_public, description, \
         extra_specs) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(&flavor.id)
    .bind(&flavor.name)
    .bind(flavor.vcpus)
    .bind(flavor.memory_mb)
    .bind(flavor.disk_gb)
    .bind(flavor.ephemeral_gb)
    .bind(flavor.swap_mb)
    .bind(i64::from(flavor.is_public))
    .bind(flavor.description.as_deref())
    .bind(json("extra_specs", &flavor.extra_specs)?)
    .execute(connection)
    .await?;
    Ok(())
}

/// The flavor with this id.
///
/// # Errors
/// The database can't be read.
pub async fn get(connection: &mut Connection, id: &str) -> Result<Option<Flavor>, DbError> {
    let mut query = Sql::new(COLUMNS);
    query.push(" AND id = ").bind(id.to_owned())?;
    query.fetch_all(connection).await?.first().map(read).transpose()
}

/// Gives a flavor another description. Says whether there is such a flavor.
///
/// # Errors
/// The database can't be written.
pub async fn set_description(
    connection: &mut Connection,
    id: &str,
    description: Option<&str>,
) -> Result<bool, DbError> {
    let done = sqlx::query("UPDATE flavors SET description = $1 WHERE id = $2")
        .bind(description)
        .bind(id)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Removes a flavor; instances keep their copies of it. Says whether there was one.
///
/// # Errors
/// The database can't be written.
pub async fn delete(connection: &mut Connection, id: &str) -> Result<bool, DbError> {
    let done = sqlx::query("DELETE FROM flavors WHERE id = $1").bind(id).execute(connection).await?;
    Ok(done.rows_affected() > 0)
}

/// The flavors that fit, in order.
///
/// # Errors
/// The database can't be read.
pub async fn list(connection: &mut Connection, wanted: &FlavorQuery) -> Result<Vec<Flavor>, DbError> {
    let mut query = Sql::new(COLUMNS);
    if let Some(is_public) = wanted.is_public {
        query.push(" AND is_public = ").bind(i64::from(is_public))?;
    }
    if let Some(least) = wanted.min_disk_gb {
        query.push(" AND disk_gb >= ").bind(least)?;
    }
    if let Some(least) = wanted.min_ram_mb {
        query.push(" AND memory_mb >= ").bind(least)?;
    }
    if let Some(name) = &wanted.name {
        query.push(" AND name = ").bind(name.clone())?;
    }
    let column = match wanted.sort {
        FlavorSort::Id => "id",
        FlavorSort::Name => "name",
        FlavorSort::Memory => "memory_mb",
        FlavorSort::Disk => "disk_gb",
        FlavorSort::Vcpus => "vcpus",
    };
    if let Some(after) = &wanted.after {
        let beyond = if wanted.descending { " < " } else { " > " };
        query.push(" AND (").push(column).push(beyond);
        sort_value(&mut query, wanted.sort, after)?.push(" OR (").push(column).push(" = ");
        sort_value(&mut query, wanted.sort, after)?.push(" AND id").push(beyond).bind(after.id.clone())?;
        query.push("))");
    }
    let direction = if wanted.descending { " DESC" } else { " ASC" };
    query.push(" ORDER BY ").push(column).push(direction).push(", id").push(direction);
    if let Some(limit) = wanted.limit {
        query.push(" LIMIT ").bind(limit)?;
    }
    query.fetch_all(connection).await?.iter().map(read).collect()
}

fn sort_value<'q>(query: &'q mut Sql, sort: FlavorSort, flavor: &Flavor) -> Result<&'q mut Sql, DbError> {
    match sort {
        FlavorSort::Id => query.bind(flavor.id.clone()),
        FlavorSort::Name => query.bind(flavor.name.clone()),
        FlavorSort::Memory => query.bind(flavor.memory_mb),
        FlavorSort::Disk => query.bind(flavor.disk_gb),
        FlavorSort::Vcpus => query.bind(flavor.vcpus),
    }
}
