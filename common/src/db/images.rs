//! Images: records of them; the data is the hosts' matter.

use super::{
    Connection, DbError,
    list::{Condition, Direction, List, SortKey},
    table::{self, select},
};
use crate::{models::Image, sql, table};

table! {
    Image in "images", key text "id";
    id,
    name,
    status,
    visibility,
    owner,
    size,
    min_disk_gb,
    min_ram_mb,
    disk_format,
    container_format,
    properties as Json,
    created_at,
    updated_at,
}

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

impl ImageSort {
    fn key(self) -> SortKey {
        match self {
            Self::CreatedAt => SortKey::time("created_at"),
            Self::UpdatedAt => SortKey::time("updated_at"),
            Self::Name => SortKey::text("name"),
            Self::Id => SortKey::text("id"),
        }
    }
}

/// Adds an image.
///
/// # Errors
/// An id that is taken (see [`DbError::is_unique_violation`]).
pub async fn insert(connection: &mut Connection, image: &Image) -> Result<(), DbError> {
    table::insert(connection, image).await
}

/// The image with this id, whoever may see it.
pub async fn get(connection: &mut Connection, id: &str) -> Result<Option<Image>, DbError> {
    select::<Image>().push(" WHERE id = ").bind(id).fetch_optional(connection).await
}

/// The images that fit, in order.
pub async fn list(connection: &mut Connection, wanted: &ImageQuery) -> Result<Vec<Image>, DbError> {
    let direction = if wanted.ascending { Direction::Ascending } else { Direction::Descending };
    let mut list = List::<Image>::all().sort(wanted.sort.key(), direction);
    if let Some(project) = &wanted.visible_to {
        let visible = sql!("visibility IN ('public', 'community') OR owner = "(project));
        list = list.visible(Condition::raw(visible));
    }
    for (column, values) in [
        ("name", &wanted.names),
        ("id", &wanted.ids),
        ("status", &wanted.statuses),
        ("disk_format", &wanted.disk_formats),
        ("container_format", &wanted.container_formats),
    ] {
        if let Some(values) = values {
            list = list.filter(Condition::is_in(column, values));
        }
    }
    if let Some(visibility) = &wanted.visibility {
        list = list.filter(Condition::equal("visibility", visibility));
    }
    if let Some(owner) = &wanted.owner {
        list = list.filter(Condition::equal("owner", owner));
    }
    let after = wanted.after.as_ref().map(|image| image.id.as_str());
    Ok(list.marker(after).limit(wanted.limit).page(connection).await?.unwrap_or_default())
}
