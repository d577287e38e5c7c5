//! Networking: what Neutron's API does. Networks, subnets, ports, routers and what belongs to them, as records that hold
//! together; what hosts then do with a port is theirs.

mod addresses;
mod attributes;
mod config;
pub mod devices;
mod errors;
mod extensions;
mod policy;
mod quotas;
mod resource;
mod resources;
pub mod seed;
mod state;
mod watch;

use http::StatusCode;
use novella_rest::{Document, Links, Operation, Service};
use serde_json::{Value, json};

pub use config::NetworkConfig;
pub use state::Networking;
pub use watch::{DeviceChanges, DeviceWatcher};

/// A request of the Networking API.
type Request = novella_rest::Request<Networking>;

/// The Networking service.
pub static NETWORK: Service = Service {
    name: "neutron",
    kind: "network",
    root: "/networking",
    version_path: "/v2.0",
    // Without a version, since clients add it themselves.
    endpoint: "networking",
    microversions: None,
    envelope: errors::envelope,
    policy: policy::ALL,
    token_first: true,
    project_in_path: false,
    no_query_since: None,
    refused_methods: &[],
    documents: &[Document { path: "", write: versions }],
};

fn versions(links: &Links) -> (StatusCode, Value) {
    let link = json!([{"rel": "self", "href": links.to("")}]);
    (StatusCode::OK, json!({"versions": [{"id": "v2.0", "status": "CURRENT", "links": link}]}))
}

/// Every operation.
#[must_use]
pub fn operations() -> Vec<Operation<Networking>> {
    [resources::operations(), quotas::operations(), extensions::operations()].into_iter().flatten().collect()
}
