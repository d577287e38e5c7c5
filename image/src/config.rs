//! `[image]`: the configuration of the Image API.

use std::{path::PathBuf, time::Duration};

use novella_common::config::{Secret, seconds};
use serde::{Deserialize, Serialize};

/// One of several stores.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// What it is called in the API.
    pub id: String,
    /// What it is for, in words.
    pub description: Option<String>,
    /// Where it is, as in `store_url`.
    pub url: Option<String>,
    /// Of several stores that have an image the one with the largest is read, and shown first.
    pub weight: i64,
    /// As in `[image]`.
    pub s3_endpoint: Option<String>,
    /// As in `[image]`.
    pub s3_region: Option<String>,
    /// As in `[image]`.
    pub s3_access_key: Option<Secret>,
    /// As in `[image]`.
    pub s3_secret_key: Option<Secret>,
}

/// `[image]`: images and their bytes. Glance's names where Glance has the like.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageConfig {
    /// Where the bytes of images are kept: a folder (`file:///srv/images`), or a bucket of S3 (`s3://bucket/prefix`). All
    /// processes that serve images must reach the same. Unset: the folder `images` among the cloud's data.
    pub store_url: Option<String>,
    /// S3: where it is, if that is not Amazon's (`https://minio.example.org`).
    pub s3_endpoint: Option<String>,
    /// S3: the region.
    pub s3_region: String,
    /// S3: the id of the access key.
    pub s3_access_key: Option<Secret>,
    /// S3: the access key's secret.
    pub s3_secret_key: Option<Secret>,
    /// Several stores instead of that one, each with an `id` and a `url`, and as it needs them `description`, `weight` (an image is
    /// read from the store with the largest), `s3_endpoint`, `s3_region`, `s3_access_key` and `s3_secret_key`: `[{id = "fast", url = "file:///srv/images"}, {id = "far", url =
    /// "s3://bucket/prefix"}]`. Images from before are in the one called `default`.
    pub stores: Vec<StoreConfig>,
    /// Of several stores the one that is taken where nobody names another. Unset: the first.
    pub default_store: Option<String>,
    /// Bytes that an image may have.
    pub image_size_cap: u64,
    /// Bytes that the images of a project may have together; 0: any number.
    pub user_storage_quota: u64,
    /// Properties that an image may have; -1: any number.
    pub image_property_quota: i64,
    /// Tags that an image may have; -1: any number.
    pub image_tag_quota: i64,
    /// Projects that an image may be shared with; -1: any number.
    pub image_member_quota: i64,
    /// Whether the bytes of an image must be of the disk format that it is said to have, and must not lead to other files.
    pub require_image_format_match: bool,
    /// Uploads at once in one process; those beyond get 503. An upload is not a request in flight while its bytes come.
    pub max_uploads: usize,
    /// Of `max_uploads`, those of one client address; it gets 429 beyond.
    pub max_uploads_per_address: usize,
    /// A folder of this machine in which copies of images are kept that were read from a store far away. Unset: none are.
    pub image_cache_dir: Option<PathBuf>,
    /// Bytes that there may be in it; the images that were not read for longest go.
    pub image_cache_max_size: u64,
    /// Seconds without a sign of life after which an upload or an import is given up, and its bytes are removed.
    #[serde(with = "seconds")]
    pub upload_lease: Duration,
    /// Hosts that images may be fetched from by the import method `web-download`. Without any there is no such method.
    pub web_download_hosts: Vec<String>,
    /// Ports that images may be fetched from.
    pub web_download_ports: Vec<u16>,
}

impl Default for ImageConfig {
    fn default() -> Self {
        Self {
            store_url: None,
            s3_endpoint: None,
            s3_region: "us-east-1".into(),
            s3_access_key: None,
            s3_secret_key: None,
            stores: Vec::new(),
            default_store: None,
            image_size_cap: 1 << 40,
            user_storage_quota: 0,
            image_property_quota: 128,
            image_tag_quota: 128,
            image_member_quota: 128,
            require_image_format_match: true,
            max_uploads: 64,
            max_uploads_per_address: 32,
            image_cache_dir: None,
            image_cache_max_size: 10 << 30,
            upload_lease: Duration::from_secs(60),
            web_download_hosts: Vec::new(),
            web_download_ports: vec![80, 443],
        }
    }
}

impl ImageConfig {
    /// The ways to import an image that there are.
    #[must_use]
    pub fn import_methods(&self) -> Vec<&'static str> {
        let methods = [
            ("glance-direct", true),
            ("web-download", !self.web_download_hosts.is_empty()),
            ("copy-image", self.stores.len() > 1),
        ];
        methods.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect()
    }
}
