//! What Compute asks of Image, in Compute's words.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{neighbours::Answer, networks::Caller};

/// An image, as far as Compute cares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageRecord {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Its state; only `active` ones can be booted from.
    pub status: String,
    /// Bytes.
    pub size: Option<i64>,
    /// The least root disk in GiB.
    pub min_disk_gb: i64,
    /// The least memory in MiB.
    pub min_ram_mb: i64,
    /// Its properties, such as `hw_architecture`.
    pub properties: BTreeMap<String, String>,
}

/// The Image component.
pub trait Images: Send + Sync + 'static {
    /// The images of these ids that the caller may use, in no order.
    fn find_many<'a>(&'a self, caller: Caller<'a>, ids: Vec<String>) -> Answer<'a, Vec<ImageRecord>>;

    /// The images that the caller may list, by the names and values of a query of the Image API, at most so many. 400 for a
    /// query that is none.
    fn list<'a>(&'a self, caller: Caller<'a>, query: Vec<(String, String)>, limit: i64)
    -> Answer<'a, Vec<ImageRecord>>;

    /// Sets properties of an image, and takes others away. 403 and 404 as the component says.
    fn change_properties<'a>(
        &'a self,
        caller: Caller<'a>,
        id: &'a str,
        set: BTreeMap<String, String>,
        removed: Vec<String>,
    ) -> Answer<'a, ()>;

    /// Deletes an image. 403 and 404 as the component says.
    fn delete<'a>(&'a self, caller: Caller<'a>, id: &'a str) -> Answer<'a, ()>;
}
