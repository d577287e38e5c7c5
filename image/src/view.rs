//! What is shown of an image.

use std::collections::BTreeMap;

use novella_rest::times::Seconds;
use serde::Serialize;
use utoipa::ToSchema;

use crate::db::Image;

/// An image, as Glance shows it.
#[derive(Serialize, ToSchema)]
pub(crate) struct ImageView {
    id: String,
    name: String,
    status: String,
    visibility: String,
    protected: bool,
    os_hidden: bool,
    owner: Option<String>,
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
    tags: [String; 0],
    created_at: Seconds,
    updated_at: Seconds,
    #[serde(rename = "self")]
    own: String,
    file: String,
    schema: &'static str,
    /// Its properties stand beside the fixed fields.
    #[serde(flatten)]
    properties: BTreeMap<String, String>,
}

impl ImageView {
    pub(crate) fn new(image: Image) -> Self {
        Self {
            own: format!("/v2/images/{}", image.id),
            file: format!("/v2/images/{}/file", image.id),
            schema: "/v2/schemas/image",
            id: image.id,
            name: image.name,
            status: image.status,
            visibility: image.visibility,
            protected: false,
            os_hidden: false,
            owner: image.owner,
            checksum: None,
            os_hash_algo: None,
            os_hash_value: None,
            size: image.size,
            virtual_size: None,
            min_disk: image.min_disk_gb,
            min_ram: image.min_ram_mb,
            disk_format: image.disk_format,
            container_format: image.container_format,
            tags: [],
            created_at: Seconds(image.created_at),
            updated_at: Seconds(image.updated_at),
            properties: image.properties,
        }
    }
}
