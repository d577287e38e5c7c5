//! What is shown of an image.

use std::collections::BTreeMap;

use novella_common::db::DbError;
use novella_rest::times::Seconds;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    Images,
    db::{Image, objects},
    status::{Status, Visibility},
};

/// An image, as Glance shows it.
#[derive(Serialize, ToSchema)]
pub(crate) struct ImageView {
    id: String,
    name: Option<String>,
    status: &'static str,
    visibility: &'static str,
    protected: bool,
    os_hidden: bool,
    owner: Option<String>,
    /// MD5 of the bytes.
    checksum: Option<String>,
    os_hash_algo: Option<String>,
    os_hash_value: Option<String>,
    /// Bytes.
    size: Option<i64>,
    /// Bytes.
    virtual_size: Option<i64>,
    /// GiB.
    min_disk: i64,
    /// MiB.
    min_ram: i64,
    disk_format: Option<String>,
    container_format: Option<String>,
    tags: Vec<String>,
    created_at: Seconds,
    updated_at: Seconds,
    #[serde(rename = "self")]
    own: String,
    file: String,
    schema: &'static str,
    /// Where its bytes are, once they are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    stores: Option<String>,
    /// Its properties stand beside the fixed fields.
    #[serde(flatten)]
    properties: BTreeMap<String, String>,
}

/// Images as they are shown.
pub(crate) async fn shown(images: &Images, found: Vec<Image>) -> Result<Vec<ImageView>, DbError> {
    if !images.stores.are_several() {
        let only = images.stores.default_id();
        return Ok(found.into_iter().map(|image| ImageView::new(image, Some(only.to_owned()))).collect());
    }
    let ids = found.iter().map(|image| image.id.clone()).collect();
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for copy in objects::copies_of(&mut *images.database.read().await?, ids).await? {
        places.entry(copy.image_id).or_default().push(copy.store);
    }
    let view = |image: Image| {
        // Those of a new cloud are in none.
        let mut stores = places.remove(&image.id).unwrap_or_else(|| vec![images.stores.default_id().to_owned()]);
        images.stores.sort(&mut stores);
        ImageView::new(image, Some(stores.join(",")))
    };
    Ok(found.into_iter().map(view).collect())
}

/// One image as it is shown.
pub(crate) async fn shown_one(images: &Images, image: Image) -> Result<ImageView, DbError> {
    let mut one = shown(images, vec![image.clone()]).await?;
    Ok(one.pop().unwrap_or_else(|| ImageView::new(image, None)))
}

impl ImageView {
    /// `stores`: where its bytes are, if they are somewhere.
    pub(crate) fn new(image: Image, stores: Option<String>) -> Self {
        // Of those that are deactivated nobody is told.
        let stored = image.status == Status::Active;
        Self {
            own: format!("/v2/images/{}", image.id),
            file: format!("/v2/images/{}/file", image.id),
            schema: "/v2/schemas/image",
            id: image.id,
            name: image.name,
            status: Status::as_str(image.status),
            visibility: Visibility::as_str(image.visibility),
            protected: image.protected,
            os_hidden: image.os_hidden,
            owner: image.owner,
            checksum: image.checksum,
            os_hash_algo: image.os_hash_algo,
            os_hash_value: image.os_hash_value,
            size: image.size,
            virtual_size: image.virtual_size,
            min_disk: image.min_disk_gb,
            min_ram: image.min_ram_mb,
            disk_format: image.disk_format,
            container_format: image.container_format,
            tags: image.tags,
            created_at: Seconds(image.created_at),
            updated_at: Seconds(image.updated_at),
            stores: stores.filter(|_| stored),
            properties: image.properties,
        }
    }
}
