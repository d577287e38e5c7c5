//! Images: records of them; the data is the hosts' matter.

use std::collections::BTreeMap;

use jiff::Timestamp;
use novella_common::{
    db::{
        Connection, Database, DbError,
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

/// Puts in what a new cloud has of images. Those that are there stay as they are. Several processes may do so at once.
///
/// # Errors
/// The database can't be written.
pub async fn seed(database: &Database) -> Result<(), DbError> {
    loop {
        match put_missing(&mut *database.write().await?).await {
            // Another process has put in the same row since this one looked: it is there now, and the next may be so too.
            Err(error) if error.is_unique_violation() => {}
            result => return result,
        }
    }
}

/// The images have fixed ids, so that two clouds made alike are alike and a script can name them.
async fn put_missing(connection: &mut Connection) -> Result<(), DbError> {
    for (id, name, size) in [
        ("c1227000-0000-4000-8000-000000000001", "cirros", 21_692_416),
        ("c1227000-0000-4000-8000-000000000002", "cirros-alt", 21_692_416),
        ("deb1a000-0000-4000-8000-000000000012", "debian-12", 441_450_496),
    ] {
        if get(connection, id).await?.is_some() {
            continue;
        }
        let now = Timestamp::now();
        let image = Image {
            id: id.into(),
            name: name.into(),
            status: "active".into(),
            visibility: "public".into(),
            owner: None,
            size: Some(size),
            min_disk_gb: 0,
            min_ram_mb: 0,
            disk_format: Some("qcow2".into()),
            container_format: Some("bare".into()),
            properties: BTreeMap::new(),
            created_at: now,
            updated_at: now,
        };
        insert(connection, &image).await?;
    }
    Ok(())
}
