//! Images: records of them; the data is the hosts' matter.

use super::{
    Connection, DbError,
    table::{self, select},
};
use crate::{models::Image, table};

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
