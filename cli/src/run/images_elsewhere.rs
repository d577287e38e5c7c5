//! An Image component elsewhere: Glance, or another Novella's, asked over HTTP. All is asked with the user's token, so that
//! Image's own rules hold.
//!
//! Source: nova/image/glance.py (34.0.0).

use std::{collections::BTreeMap, path::Path, sync::Arc};

use axum::http::{Method, StatusCode};
use futures_util::future::BoxFuture;
use novella_api::neighbours::{Asker, ImageRecord, Images};
use novella_neighbours::{As, Away, ServiceElsewhere};
use novella_rest::{ApiError, HttpAnswer, HttpClientError, Parameters, keystone::Keystone};
use serde_json::{Value, json};

/// Ids in one query: a URL of 8 KiB is what servers take.
const IDS_AT_ONCE: usize = 100;

/// Pages of one list at most: a server that always names a next one has no end.
const MOST_PAGES: usize = 1000;

/// What a change of an image is written in.
const PATCH: &str = "application/openstack-images-v2.1-json-patch";

/// What every image has; all else are its properties.
const BASE: [&str; 25] = [
    "id",
    "name",
    "status",
    "visibility",
    "protected",
    "os_hidden",
    "owner",
    "checksum",
    "os_hash_algo",
    "os_hash_value",
    "size",
    "virtual_size",
    "min_disk",
    "min_ram",
    "disk_format",
    "container_format",
    "tags",
    "created_at",
    "updated_at",
    "self",
    "file",
    "schema",
    "stores",
    "direct_url",
    "locations",
];

/// Answers by asking over HTTP.
#[derive(Debug)]
pub(super) struct ImagesElsewhere(ServiceElsewhere);

impl ImagesElsewhere {
    /// At this URL, or where the catalog says that `keystone` has. `authority` has signed its certificate; by default
    /// somebody whom the system trusts.
    ///
    /// # Errors
    /// The URL is none, or the authority's file can't be used.
    pub(super) fn new(
        url: Option<&str>,
        authority: Option<&Path>,
        keystone: Option<Arc<Keystone>>,
    ) -> Result<Self, HttpClientError> {
        Ok(Self(ServiceElsewhere::new("image", url, authority, keystone)?))
    }

    async fn ask(
        &self,
        asker: Asker<'_>,
        method: Method,
        path: &str,
        patch: Option<&Value>,
    ) -> Result<Value, ApiError> {
        let token = asker.token.ok_or(ApiError::Unauthorized)?;
        let answer = async {
            let url = format!("{}{path}", versioned(&self.0.base().await?));
            self.0.send_as(As::User(token), method, &url, patch, PATCH).await
        };
        read(&answer.await.map_err(|error| away(&error))?)
    }

    /// The image of this id; `None`: there is none that the asker may see.
    async fn find(&self, asker: Asker<'_>, id: &str) -> Result<Option<ImageRecord>, ApiError> {
        // What could mean something else in a path is no id.
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
            return Ok(None);
        }
        match self.ask(asker, Method::GET, &format!("/images/{id}"), None).await {
            Ok(image) => Ok(Some(record(&image))),
            Err(ApiError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn find_all(&self, asker: Asker<'_>, ids: Vec<String>) -> Result<Vec<ImageRecord>, ApiError> {
        if let [id] = ids.as_slice() {
            return Ok(self.find(asker, id).await?.into_iter().collect());
        }
        let mut found = Vec::new();
        for ids in ids.chunks(IDS_AT_ONCE) {
            // A list leaves out what is hidden, unless that is what it is of.
            for hidden in ["false", "true"] {
                let of_ids = format!("in:{}", ids.join(","));
                let query = [("id", &*of_ids), ("visibility", "all"), ("member_status", "all"), ("os_hidden", hidden)];
                found.extend(self.pages(asker, encoded(query), ids.len()).await?);
            }
        }
        Ok(found)
    }

    /// What a query finds, at most so many, page by page if it comes so.
    async fn pages(&self, asker: Asker<'_>, query: String, limit: usize) -> Result<Vec<ImageRecord>, ApiError> {
        let mut found = Vec::new();
        let mut query = format!("{query}{}limit={limit}", if query.is_empty() { "" } else { "&" });
        for _ in 0..MOST_PAGES {
            let answer = self.ask(asker, Method::GET, &format!("/images?{query}"), None).await?;
            found.extend(answer["images"].as_array().into_iter().flatten().map(record));
            let next = answer["next"].as_str().and_then(|next| next.split_once('?'));
            let Some((_, next)) = next.filter(|_| found.len() < limit) else { break };
            query = next.to_owned();
        }
        found.truncate(limit);
        Ok(found)
    }
}

fn encoded<'q>(query: impl IntoIterator<Item = (&'q str, &'q str)>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish()
}

/// With the version of the API, which catalogs leave out.
fn versioned(url: &str) -> String {
    if url.ends_with("/v2") { url.to_owned() } else { format!("{url}/v2") }
}

fn away(error: &Away) -> ApiError {
    tracing::warn!(%error, "Image could not be asked");
    ApiError::Unavailable("The Image service can't be asked at present. Please try again.".into())
}

/// What an answer says.
fn read(answer: &HttpAnswer) -> Result<Value, ApiError> {
    let (status, body) = (answer.status, answer.json());
    if status.is_success() {
        return Ok(body);
    }
    let message = body["message"].as_str().or_else(|| body["error"]["message"].as_str());
    let message = message.map_or_else(|| status.to_string(), ToOwned::to_owned);
    Err(match status {
        StatusCode::BAD_REQUEST => ApiError::BadRequest(message),
        StatusCode::UNAUTHORIZED => ApiError::Unauthorized,
        StatusCode::FORBIDDEN => ApiError::Forbidden(message),
        StatusCode::NOT_FOUND => ApiError::NotFound(message),
        StatusCode::CONFLICT => ApiError::Conflict(message),
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::OverLimit(message),
        status => away(&Away::because(format!("{status}: {message}"))),
    })
}

/// An image as Compute knows it.
fn record(image: &Value) -> ImageRecord {
    let text = |name: &str| image[name].as_str().map(ToOwned::to_owned);
    let time = |name: &str| image[name].as_str().and_then(|time| time.parse().ok()).unwrap_or_default();
    let properties = image.as_object().into_iter().flatten().filter(|(name, _)| !BASE.contains(&name.as_str()));
    let properties = properties.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    ImageRecord {
        id: text("id").unwrap_or_default(),
        name: text("name"),
        created_at: time("created_at"),
        updated_at: time("updated_at"),
        status: text("status").unwrap_or_default(),
        size: image["size"].as_i64(),
        min_disk_gb: image["min_disk"].as_i64().unwrap_or_default(),
        min_ram_mb: image["min_ram"].as_i64().unwrap_or_default(),
        properties: properties.collect(),
    }
}

/// What is done to one property, in the words of a patch.
fn step(operation: &str, name: &str, value: Option<&str>) -> Value {
    let mut step = json!({"op": operation, "path": format!("/{}", name.replace('~', "~0").replace('/', "~1"))});
    if let Some(value) = value {
        step["value"] = value.into();
    }
    step
}

impl Images for ImagesElsewhere {
    fn find_many<'a>(
        &'a self,
        asker: Asker<'a>,
        ids: Vec<String>,
    ) -> BoxFuture<'a, Result<Vec<ImageRecord>, ApiError>> {
        Box::pin(self.find_all(asker, ids))
    }

    fn list<'a>(
        &'a self,
        asker: Asker<'a>,
        query: Parameters,
        limit: i64,
    ) -> BoxFuture<'a, Result<Vec<ImageRecord>, ApiError>> {
        Box::pin(self.pages(asker, encoded(query.iter()), usize::try_from(limit).unwrap_or_default()))
    }

    fn change_properties<'a>(
        &'a self,
        asker: Asker<'a>,
        id: &'a str,
        set: BTreeMap<String, String>,
        removed: Vec<String>,
    ) -> BoxFuture<'a, Result<(), ApiError>> {
        let removed = removed.iter().map(|name| step("remove", name, None));
        let patch: Value = removed.chain(set.iter().map(|(name, value)| step("add", name, Some(value)))).collect();
        Box::pin(async move { self.ask(asker, Method::PATCH, &format!("/images/{id}"), Some(&patch)).await.map(drop) })
    }

    fn delete<'a>(&'a self, asker: Asker<'a>, id: &'a str) -> BoxFuture<'a, Result<(), ApiError>> {
        Box::pin(async move { self.ask(asker, Method::DELETE, &format!("/images/{id}"), None).await.map(drop) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_of_every_image_is_a_property() {
        let image = record(&json!({
            "id": "i", "name": null, "status": "active", "size": 7, "min_disk": 1, "min_ram": 64,
            "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:06Z", "tags": ["t"], "stores": "file",
            "os_hidden": false, "hw_architecture": "x86_64", "kernel_id": null, "self": "/v2/images/i",
        }));
        let expected = ImageRecord {
            id: "i".into(),
            name: None,
            created_at: "2026-01-02T03:04:05Z".parse().unwrap(),
            updated_at: "2026-01-02T03:04:06Z".parse().unwrap(),
            status: "active".into(),
            size: Some(7),
            min_disk_gb: 1,
            min_ram_mb: 64,
            properties: [("hw_architecture".to_owned(), "x86_64".to_owned())].into(),
        };
        assert_eq!(image, expected);
    }

    #[test]
    fn a_property_of_any_name_is_named_in_a_patch() {
        assert_eq!(step("add", "a/b~c", Some("v")), json!({"op": "add", "path": "/a~1b~0c", "value": "v"}));
        assert_eq!(step("remove", "a", None), json!({"op": "remove", "path": "/a"}));
    }
}
