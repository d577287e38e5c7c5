//! Images: records of them; the data is the hosts' matter.

use std::collections::BTreeMap;

use jiff::Timestamp;
use novella_common::{
    db::{
        Connection, DbError,
        table::{self, select},
    },
    table,
};

/// A record of an image, with the image API's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// UUID.
    pub id: String,
    /// Name, not unique.
    pub name: String,
    /// `active`, `queued`, ...
    pub status: String,
    /// `public`, `private`, `shared` or `community`.
    pub visibility: String,
    /// The project it belongs to.
    pub owner: Option<String>,
    /// Bytes.
    pub size: Option<i64>,
    /// The least root disk in GiB.
    pub min_disk_gb: i64,
    /// The least memory in MiB.
    pub min_ram_mb: i64,
    /// `qcow2`, `raw`, ...
    pub disk_format: Option<String>,
    /// `bare`, ...
    pub container_format: Option<String>,
    /// Properties that the image API shows beside the fixed ones, such as `hw_architecture`.
    pub properties: BTreeMap<String, String>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

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
///
/// # Errors
/// The database can't be read.
pub async fn get(connection: &mut Connection, id: &str) -> Result<Option<Image>, DbError> {
    select::<Image>().push(" WHERE id = ").bind(id).fetch_optional(connection).await
}
