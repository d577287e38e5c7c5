//! A host aggregate: hosts that have something in common.

use std::collections::BTreeMap;

use jiff::Timestamp;
use uuid::Uuid;

/// Hosts that have something in common, which its metadata say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// The API's id.
    pub id: i64,
    /// Shown from 2.41 on.
    pub uuid: Uuid,
    /// Unique.
    pub name: String,
    /// What filters look at; [`Aggregate::ZONE`] makes its hosts a zone.
    pub metadata: BTreeMap<String, String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Option<Timestamp>,
}

impl Aggregate {
    /// The key of the metadata that names the availability zone of its hosts.
    pub const ZONE: &'static str = "availability_zone";

    /// The availability zone that it makes of its hosts.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.metadata.get(Self::ZONE).map(String::as_str)
    }
}
