//! `/compute`, `/compute/v2.1`: which versions there are. Answered without a token: clients ask before they have one.

use http::StatusCode;
use novella_rest::{ApiError, Document, Links, Operation, Path, get, policy::EVERYBODY};
use serde_json::{Value, json};

use super::MICROVERSIONS;
use crate::{Request, state::Api};

/// The documents. Version 2.0, which Nova lists first, is not served, and so it is not promised.
pub(super) const DOCUMENTS: &[Document] = &[
    Document { path: "", write: |links| (StatusCode::OK, json!({"versions": [document(links, false)]})) },
    Document { path: "/v2.1", write: |links| (StatusCode::OK, json!({"version": document(links, true)})) },
];

/// The same by its name, as an operation.
pub(super) fn operations() -> Vec<Operation<Api>> {
    vec![get("/versions/{version}", EVERYBODY, show).any_query().summary("Show a version.")]
}

async fn show(request: Request, Path(version): Path<String>) -> Result<axum::Json<Value>, ApiError> {
    match version.as_str() {
        "v2.1" => Ok(axum::Json(json!({"version": document(&request.links, true)}))),
        _ => Err(ApiError::not_found(format!("There is no version {version}."))),
    }
}

/// The version, as a document or as an item of the list.
fn document(links: &Links, whole: bool) -> Value {
    let href = format!("{}/compute/v2.1/", links.base());
    let mut document = json!({
        "id": "v2.1",
        "status": "CURRENT",
        "version": MICROVERSIONS.max.to_string(),
        "min_version": MICROVERSIONS.min.to_string(),
        "updated": "2013-07-23T11:33:21Z",
        "links": [{"rel": "self", "href": href}],
    });
    if whole {
        document["media-types"] = json!([{
            "base": "application/json",
            "type": "application/vnd.openstack.compute+json;version=2.1",
        }]);
        document["links"] = json!([
            {"rel": "self", "href": href},
            {"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"},
        ]);
    }
    document
}
