//! Which images a new cloud has. Running it again changes nothing that is there.

use std::collections::BTreeMap;

use novella_common::db::{Connection, Database, DbError, table::select};
use serde::Deserialize;
use uuid::Uuid;

use crate::{
    db::{self, Image},
    status::{Status, Visibility},
};

/// The size of the images that every cloud has, and of one of which nobody says another.
const SIZE: i64 = 21_692_416;

/// An image to make: a record, whose bytes are an empty disk of that size.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedImage {
    /// Its name, by which it is found again.
    pub name: String,
    /// Its id; without one, a new one.
    pub id: Option<Uuid>,
    /// Bytes.
    #[serde(default = "size")]
    pub size: u32,
    /// The least root disk in GiB.
    #[serde(default)]
    pub min_disk: u32,
    /// The least memory in MiB.
    #[serde(default)]
    pub min_ram: u32,
    /// Further properties, such as `hw_architecture`.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
}

fn size() -> u32 {
    SIZE.unsigned_abs() as u32
}

/// Puts in what a new cloud has of images, and these. Those that are there stay as they are. Several processes may do so
/// at once.
///
/// # Errors
/// The database can't be written.
pub async fn run(database: &Database, further: &[SeedImage]) -> Result<(), DbError> {
    loop {
        match put_missing(&mut *database.write().await?, further).await {
            // Another process has put in the same row since this one looked: it is there now, and the next may be so too.
            Err(error) if error.is_unique_violation() => {}
            result => return result,
        }
    }
}

/// The images of every cloud have fixed ids, so that two clouds made alike are alike and a script can name them.
async fn put_missing(connection: &mut Connection, further: &[SeedImage]) -> Result<(), DbError> {
    for (id, name, size) in [
        ("c1227000-0000-4000-8000-000000000001", "cirros", SIZE),
        ("c1227000-0000-4000-8000-000000000002", "cirros-alt", SIZE),
        ("deb1a000-0000-4000-8000-000000000012", "debian-12", 441_450_496),
    ] {
        if db::get(connection, id).await?.is_none() {
            db::insert(connection, &image(id.into(), name, size)).await?;
        }
    }
    for seed in further {
        let named: Option<Image> = select::<Image>()
            .push(" WHERE owner IS NULL AND name = ")
            .bind(&seed.name)
            .fetch_optional(connection)
            .await?;
        if named.is_some() {
            continue;
        }
        let id = seed.id.unwrap_or_else(Uuid::new_v4).to_string();
        let image = Image {
            min_disk_gb: seed.min_disk.into(),
            min_ram_mb: seed.min_ram.into(),
            properties: seed.properties.clone(),
            ..image(id, &seed.name, seed.size.into())
        };
        db::insert(connection, &image).await?;
    }
    Ok(())
}

fn image(id: String, name: &str, size: i64) -> Image {
    Image {
        name: Some(name.into()),
        status: Status::Active,
        visibility: Visibility::Public,
        size: Some(size),
        disk_format: Some("qcow2".into()),
        container_format: Some("bare".into()),
        ..Image::queued(id, None)
    }
}
