//! `/cloud`: the Cloud API, Novella's own: what people and programs want to know of a cloud and OpenStack has no API for.

mod bus;
mod events;
mod requests;
mod rights;
mod spans;

pub(crate) use self::events::Feed;

use http::StatusCode;
use novella_rest::{Document, Links, Operation, Service, keystone_envelope};
use serde_json::{Value, json};

use crate::{policy, state::Api};

/// The service.
pub static CLOUD: Service = Service {
    name: "novella",
    kind: "cloud",
    root: "/cloud",
    version_path: "/v1",
    endpoint: "cloud/v1",
    microversions: None,
    envelope: keystone_envelope,
    policy: policy::ALL,
    token_first: true,
    project_in_path: false,
    no_query_since: Some(0),
    refused_methods: &[],
    documents: &[Document { path: "", write: versions }, Document { path: "/v1", write: versions }],
};

/// Every operation.
#[must_use]
pub fn operations() -> Vec<Operation<Api>> {
    [events::operations(), rights::operations(), requests::operations(), bus::operations()]
        .into_iter()
        .flatten()
        .collect()
}

fn versions(links: &Links) -> (StatusCode, Value) {
    let href = format!("{}/cloud/v1/", links.base());
    (
        StatusCode::OK,
        json!({"versions": [{"id": "v1.0", "status": "CURRENT", "links": [{"rel": "self", "href": href}]}]}),
    )
}
