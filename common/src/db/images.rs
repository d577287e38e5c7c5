//! Images: records of them; the data is the hosts' matter.

use sqlx::any::AnyRow;

use super::{
    Connection, DbError,
    row::{Columns, json, micros},
    sql::Sql,
};
use crate::models::Image;

const COLUMNS: &str = "SELECT id, name, status, visibility, owner, size, min_disk_gb, min_ram_mb, disk_format, \
                       container_format, properties, created_at, updated_at FROM images WHERE 1 = 1";

/// What a list of images is sorted by. Ties are broken by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImageSort {
    /// By the time of registration.
    #[default]
    CreatedAt,
    /// By the time of the last change.
    UpdatedAt,
    /// By name.
    Name,
    /// By id.
    Id,
}

/// Which images are wanted.
#[derive(Clone, Debug, Default)]
pub struct ImageQuery {
    /// Those that this project may use: public and community ones, and its own. `None`: all.
    pub visible_to: Option<String>,
    /// With one of these names.
    pub names: Option<Vec<String>>,
    /// With one of these ids.
    pub ids: Option<Vec<String>>,
    /// With one of these statuses.
    pub statuses: Option<Vec<String>>,
    /// With this visibility.
    pub visibility: Option<String>,
    /// Of this project.
    pub owner: Option<String>,
    /// In one of these disk formats.
    pub disk_formats: Option<Vec<String>>,
    /// In one of these container formats.
    pub container_formats: Option<Vec<String>>,
    /// What to sort by.
    pub sort: ImageSort,
    /// Smallest first.
    pub ascending: bool,
    /// Start after this one.
    pub after: Option<Image>,
    /// At most this many.
    pub limit: Option<i64>,
}

fn read(row: &AnyRow) -> Result<Image, DbError> {
    Ok(Image {
        id: row.text("id")?,
        name: row.text("name")?,
        status: row.text("status")?,
        visibility: row.text("visibility")?,
        owner: row.text_or_null("owner")?,
        size: row.int_or_null("size")?,
        min_disk_gb: row.int("min_disk_gb")?,
        min_ram_mb: row.int("min_ram_mb")?,
        disk_format: row.text_or_null("disk_format")?,
        container_format: row.text_or_null("container_format")?,
        properties: row.json("properties")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

/// Adds an image.
///
/// # Errors
/// An id that is taken (see [`DbError::is_unique_violation`]).
pub async fn insert(connection: &mut Connection, image: &Image) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO images (id, name, status, visibility, owner, size, min_disk_gb, min_ram_mb, disk_format, \
         container_format, properties, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(&image.id)
    .bind(&image.name)
    .bind(&image.status)
    .bind(&image.visibility)
    .bind(image.owner.as_deref())
    .bind(image.size)
    .bind(image.min_disk_gb)
    .bind(image.min_ram_mb)
    .bind(image.disk_format.as_deref())
    .bind(image.container_format.as_deref())
    .bind(json("properties", &image.properties)?)
    .bind(micros(image.created_at))
    .bind(micros(image.updated_at))
    .execute(connection)
    .await?;
    Ok(())
}

/// The image with this id, whoever may see it.
///
/// # Errors
/// The database can't be read.
pub async fn get(connection: &mut Connection, id: &str) -> Result<Option<Image>, DbError> {
    let mut query = Sql::new(COLUMNS);
    query.push(" AND id = ").bind(id.to_owned())?;
    query.fetch_all(connection).await?.first().map(read).transpose()
}

/// The images that fit, in order.
///
/// # Errors
/// The database can't be read.
pub async fn list(connection: &mut Connection, wanted: &ImageQuery) -> Result<Vec<Image>, DbError> {
    let mut query = Sql::new(COLUMNS);
    if let Some(project) = &wanted.visible_to {
        query.push(" AND (visibility IN ('public', 'community') OR owner = ").bind(project.clone())?.push(")");
    }
    for (column, values) in [
        (" AND name IN ", &wanted.names),
        (" AND id IN ", &wanted.ids),
        (" AND status IN ", &wanted.statuses),
        (" AND disk_format IN ", &wanted.disk_formats),
        (" AND container_format IN ", &wanted.container_formats),
    ] {
        match values {
            None => {}
            Some(values) if values.is_empty() => return Ok(Vec::new()),
            Some(values) => {
                query.push(column).bind_list(values.iter().cloned())?;
            }
        }
    }
    if let Some(visibility) = &wanted.visibility {
        query.push(" AND visibility = ").bind(visibility.clone())?;
    }
    if let Some(owner) = &wanted.owner {
        query.push(" AND owner = ").bind(owner.clone())?;
    }
    let column = match wanted.sort {
        ImageSort::CreatedAt => "created_at",
        ImageSort::UpdatedAt => "updated_at",
        ImageSort::Name => "name",
        ImageSort::Id => "id",
    };
    if let Some(after) = &wanted.after {
        let beyond = if wanted.ascending { " > " } else { " < " };
        query.push(" AND (").push(column).push(beyond);
        sort_value(&mut query, wanted.sort, after)?.push(" OR (").push(column).push(" = ");
        sort_value(&mut query, wanted.sort, after)?.push(" AND id").push(beyond).bind(after.id.clone())?;
        query.push("))");
    }
    let direction = if wanted.ascending { " ASC" } else { " DESC" };
    query.push(" ORDER BY ").push(column).push(direction).push(", id").push(direction);
    if let Some(limit) = wanted.limit {
        query.push(" LIMIT ").bind(limit)?;
    }
    query.fetch_all(connection).await?.iter().map(read).collect()
}

fn sort_value<'q>(query: &'q mut Sql, sort: ImageSort, image: &Image) -> Result<&'q mut Sql, DbError> {
    match sort {
        ImageSort::CreatedAt => query.bind(micros(image.created_at)),
        ImageSort::UpdatedAt => query.bind(micros(image.updated_at)),
        ImageSort::Name => query.bind(image.name.clone()),
        ImageSort::Id => query.bind(image.id.clone()),
    }
}
