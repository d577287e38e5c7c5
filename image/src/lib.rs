//! Image: what Glance does. Records of images, who sees them, and their bytes.

mod access;
mod cache;
mod config;
mod data;
pub mod db;
mod elsewhere;
mod filters;
mod info;
mod inspect;
mod list;
mod metadefs;
mod neighbour;
mod policy;
mod records;
mod schema;
pub mod seed;
mod state;
pub mod status;
mod store;
mod stores;
mod tasks;
mod uploads;
mod view;

use http::StatusCode;
use novella_rest::{Document, Links, Operation, Service};
use serde_json::{Value, json};

pub use config::{ImageConfig, StoreConfig};
pub use state::Images;
pub use store::StoreError;
pub use stores::Stores;

/// A request of the Image API.
type Request = novella_rest::Request<Images>;

/// The Image service.
pub static IMAGE: Service = Service {
    name: "glance",
    kind: "image",
    root: "/image",
    version_path: "/v2",
    // Without a version, since clients add it themselves.
    endpoint: "image",
    microversions: None,
    envelope,
    policy: policy::ALL,
    token_first: true,
    project_in_path: false,
    no_query_since: None,
    refused_methods: &[],
    documents: &[
        Document { path: "", write: |links| (StatusCode::MULTIPLE_CHOICES, versions(links)) },
        Document { path: "/versions", write: |links| (StatusCode::OK, versions(links)) },
    ],
};

/// Every operation.
#[must_use]
pub fn operations() -> Vec<Operation<Images>> {
    [
        records::operations(),
        data::operations(),
        tasks::operations(),
        info::operations(),
        schema::operations(),
        metadefs::operations(),
        cache::operations(),
        elsewhere::operations(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The versions that Glance has with stores and without a cache, in its order. All of them are one.
fn versions(links: &Links) -> Value {
    const NEWEST: &str = "v2.17";
    const ALL: [&str; 16] = [
        "v2.15", "v2.13", "v2.12", "v2.11", "v2.10", "v2.9", "v2.8", NEWEST, "v2.7", "v2.6", "v2.5", "v2.4", "v2.3",
        "v2.2", "v2.1", "v2.0",
    ];
    let href = format!("{}/image/v2/", links.base());
    let versions = ALL.map(|id| {
        let status = if id == NEWEST { "CURRENT" } else { "SUPPORTED" };
        json!({"id": id, "status": status, "links": [{"rel": "self", "href": href}]})
    });
    json!({"versions": versions})
}

fn envelope(status: StatusCode, message: &str) -> Value {
    let title = status.canonical_reason().unwrap_or_default();
    json!({"code": format!("{} {title}", status.as_u16()), "title": title, "message": message})
}
