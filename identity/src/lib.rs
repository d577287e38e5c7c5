//! Identity: what Keystone does. Who and what there is, which roles that comes to, tokens, and the catalog.

mod auth;
mod cache;
mod catalog;
mod config;
pub mod db;
mod inputs;
mod lockout;
mod login_queue;
mod passwords;
mod policy;
mod resource;
mod resources;
mod secrets;
pub mod seed;
mod state;
mod token_view;

use http::StatusCode;
use novella_rest::{Document, Links, Operation, Service, keystone_envelope};
use serde_json::{Value, json};

pub use config::{IdentityConfig, PasswordCost};
pub use lockout::SecurityComplianceConfig;
pub use state::Identity;

/// A request of the Identity API.
type Request = novella_rest::Request<Identity>;

/// The Identity service.
pub static IDENTITY: Service = Service {
    name: "keystone",
    kind: "identity",
    root: "/identity",
    version_path: "/v3",
    endpoint: "identity",
    microversions: None,
    envelope: keystone_envelope,
    policy: policy::ALL,
    token_first: false,
    project_in_path: false,
    no_query_since: None,
    refused_methods: &[auth::delegation::EC2],
    documents: &[
        // 300 with the versions, as Keystone.
        Document {
            path: "",
            write: |links| (StatusCode::MULTIPLE_CHOICES, json!({"versions": {"values": [version_document(links)]}})),
        },
        Document { path: "/v3", write: |links| (StatusCode::OK, json!({"version": version_document(links)})) },
    ],
};

fn version_document(links: &Links) -> Value {
    json!({
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": links.to("")}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    })
}

/// Every operation.
#[must_use]
pub fn operations() -> Vec<Operation<Identity>> {
    [auth::operations(), resources::operations()].into_iter().flatten().collect()
}
