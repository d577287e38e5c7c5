//! `/compute`, `/compute/v2.1`: which versions there are. Answered without a token: clients ask before they have one.

use axum::Json;
use serde_json::{Value, json};

use super::microversion::Microversion;
use crate::links::Links;

/// The two entries, as documents or as items of the list. Clients expect v2.0 to be there, and to be first.
fn document(links: &Links, id: &str, whole: bool) -> Value {
    let newest = id == "v2.1";
    let path = if newest { "compute/v2.1/" } else { "compute/v2/" };
    let mut document = json!({
        "id": id,
        "status": if newest { "CURRENT" } else { "SUPPORTED" },
        "version": if newest { Microversion::MAX.to_string() } else { String::new() },
        "min_version": if newest { Microversion::MIN.to_string() } else { String::new() },
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

/// `GET /compute`.
pub(super) async fn list(links: Links) -> Json<Value> {
    Json(json!({"versions": [document(&links, "v2.0", false), document(&links, "v2.1", false)]}))
}

/// `GET /compute/v2`: that version is listed, as by Nova, and nothing else of it is served.
pub(super) async fn v2_0(links: Links) -> Json<Value> {
    Json(json!({"version": document(&links, "v2.0", true)}))
}

/// `GET /compute/v2.1`.
pub(super) async fn v2_1(links: Links) -> Json<Value> {
    Json(json!({"version": document(&links, "v2.1", true)}))
}
