//! `/compute`, `/compute/v2.1`: which versions there are. Answered without a token: clients ask before they have one.

use http::StatusCode;
use novella_rest::{Document, Links};
use serde_json::{Value, json};

use super::MICROVERSIONS;

/// The documents. Version 2 is listed, as by Nova, and nothing else of it is served.
pub(super) const DOCUMENTS: &[Document] = &[
    Document {
        path: "",
        write: |links| {
            let versions = json!([document(links, "v2.0", false), document(links, "v2.1", false)]);
            (StatusCode::OK, json!({ "versions": versions }))
        },
    },
    Document { path: "/v2.0", write: |links| (StatusCode::OK, json!({"version": document(links, "v2.0", true)})) },
    Document { path: "/v2", write: |links| (StatusCode::OK, json!({"version": document(links, "v2.0", true)})) },
    Document { path: "/v2.1", write: |links| (StatusCode::OK, json!({"version": document(links, "v2.1", true)})) },
];

/// The two entries, as documents or as items of the list. Clients expect v2.0 to be there, and to be first.
fn document(links: &Links, id: &str, whole: bool) -> Value {
    let newest = id == "v2.1";
    let path = if newest { "compute/v2.1/" } else { "compute/v2/" };
    let mut document = json!({
        "id": id,
        "status": if newest { "CURRENT" } else { "SUPPORTED" },
        "version": if newest { MICROVERSIONS.max.to_string() } else { String::new() },
        "min_version": if newest { MICROVERSIONS.min.to_string() } else { String::new() },
        "updated": if newest { "2013-07-23T11:33:21Z" } else { "2011-01-21T11:33:21Z" },
        "links": [{"rel": "self", "href": format!("{}/{path}", links.base())}],
    });
    if whole {
        let number = if newest { "2.1" } else { "2" };
        document["media-types"] = json!([{
            "base": "application/json",
            "type": format!("application/vnd.openstack.compute+json;version={number}"),
        }]);
        document["links"] = json!([
            {"rel": "self", "href": format!("{}/{path}", links.base())},
            {"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"},
        ]);
    }
    document
}
