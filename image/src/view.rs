//! What is shown of an image.

use std::collections::BTreeMap;

use novella_rest::times::Seconds;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    db::Image,
    status::{Status, Visibility},
    store::STORE,
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
    stores: Option<&'static str>,
    /// Its properties stand beside the fixed fields.
    #[serde(flatten)]
    properties: BTreeMap<String, String>,
}

impl ImageView {
    pub(crate) fn new(image: Image) -> Self {
        let stored = matches!(image.status, Status::Active | Status::Deactivated);
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
            stores: stored.then_some(STORE),
            properties: image.properties,
        }
    }
}
