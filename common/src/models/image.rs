//! An image: what a server boots from.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A record of an image, with the image API's names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
