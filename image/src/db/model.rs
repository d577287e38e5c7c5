//! What the tables hold.

use std::collections::BTreeMap;

use jiff::Timestamp;
use novella_common::table;
use serde_json::Value;
use uuid::Uuid;

use crate::status::{MemberStatus, Status, TaskStatus, Visibility};

/// A record of an image, with the image API's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// UUID.
    pub id: String,
    /// Name, not unique.
    pub name: Option<String>,
    /// What can be done with it.
    pub status: Status,
    /// Who sees it.
    pub visibility: Visibility,
    /// The project it belongs to.
    pub owner: Option<String>,
    /// Whether it can't be deleted.
    pub protected: bool,
    /// Whether it is in lists only when it is asked for.
    pub os_hidden: bool,
    /// MD5 of its bytes, in hexadecimal digits.
    pub checksum: Option<String>,
    /// By what the next is made.
    pub os_hash_algo: Option<String>,
    /// The hash of its bytes, in hexadecimal digits.
    pub os_hash_value: Option<String>,
    /// Bytes.
    pub size: Option<i64>,
    /// Bytes of the disk that is in it.
    pub virtual_size: Option<i64>,
    /// The least root disk in GiB.
    pub min_disk_gb: i64,
    /// The least memory in MiB.
    pub min_ram_mb: i64,
    /// `qcow2`, `raw`, ...
    pub disk_format: Option<String>,
    /// `bare`, ...
    pub container_format: Option<String>,
    /// Words that it can be found by, each once.
    pub tags: Vec<String>,
    /// Properties that the image API shows beside the fixed ones, such as `hw_architecture`.
    pub properties: BTreeMap<String, String>,
    /// Its bytes in the store, or what is to be them. An active image without them is one that a new cloud has.
    pub object: Option<Uuid>,
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
    protected,
    os_hidden,
    checksum,
    os_hash_algo,
    os_hash_value,
    size,
    virtual_size,
    min_disk_gb,
    min_ram_mb,
    disk_format,
    container_format,
    tags as Json,
    properties as Json,
    object,
    created_at,
    updated_at,
}

impl Image {
    /// A record without bytes.
    pub(crate) fn queued(id: String, owner: Option<String>) -> Self {
        let now = Timestamp::now();
        Self {
            id,
            name: None,
            status: Status::Queued,
            visibility: Visibility::Shared,
            owner,
            protected: false,
            os_hidden: false,
            checksum: None,
            os_hash_algo: None,
            os_hash_value: None,
            size: None,
            virtual_size: None,
            min_disk_gb: 0,
            min_ram_mb: 0,
            disk_format: None,
            container_format: None,
            tags: Vec::new(),
            properties: BTreeMap::new(),
            object: None,
            created_at: now,
            updated_at: now,
        }
    }
}

/// A project that an image is shared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) image_id: String,
    /// The project.
    pub(crate) member_id: String,
    pub(crate) status: MemberStatus,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

table! {
    Member in "image_members", key text "member_id";
    image_id,
    member_id,
    status,
    created_at,
    updated_at,
}

/// Work on an image that goes on after the answer, or that is shown as if it did.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) status: TaskStatus,
    pub(crate) owner: Option<String>,
    pub(crate) image_id: Option<String>,
    pub(crate) user_id: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) input: Value,
    pub(crate) result: Value,
    pub(crate) message: String,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    /// From when on it need not be kept.
    pub(crate) expires_at: Option<Timestamp>,
}

table! {
    Task in "image_tasks", key text "id";
    id,
    kind = "type",
    status,
    owner,
    image_id,
    user_id,
    request_id,
    input as Json,
    result as Json,
    message,
    created_at,
    updated_at,
    expires_at,
}
