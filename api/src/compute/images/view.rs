//! What Compute shows of an image.

use std::collections::BTreeMap;

use axum::response::Response;
use novella_common::images::ImageRecord;
use novella_rest::{Link, Links, paging::NextLink, times::Seconds, truth};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::Request;

/// Properties that hold JSON, which is shown as what it is.
const JSON: [&str; 2] = ["block_device_mapping", "mappings"];

/// What Image sets itself, which Compute does not show.
pub(super) const OWN_PREFIX: &str = "os_glance";

/// An image in brief.
#[derive(Serialize, ToSchema)]
pub(super) struct Brief {
    id: String,
    name: Option<String>,
    #[schema(value_type = Vec<Link>)]
    links: (Link, Link, ImageLink),
}

/// An image in detail.
#[derive(Serialize, ToSchema)]
pub(super) struct Detail {
    id: String,
    name: Option<String>,
    #[schema(value_type = Vec<Link>)]
    links: (Link, Link, ImageLink),
    #[serde(rename = "minRam")]
    min_ram: i64,
    #[serde(rename = "minDisk")]
    min_disk: i64,
    metadata: BTreeMap<String, Value>,
    created: Seconds,
    updated: Seconds,
    status: &'static str,
    /// In per cent.
    progress: u8,
    /// Bytes.
    #[serde(rename = "OS-EXT-IMG-SIZE:size")]
    size: i64,
    /// The server that it was made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<Server>,
    #[serde(rename = "OS-DCF:diskConfig", skip_serializing_if = "Option::is_none")]
    disk_config: Option<&'static str>,
}

/// Where Image itself has it.
#[derive(Serialize)]
struct ImageLink {
    rel: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    href: String,
}

#[derive(Serialize, ToSchema)]
struct Server {
    id: String,
    links: [Link; 2],
}

fn links(links: &Links, id: &str) -> (Link, Link, ImageLink) {
    let [own, bookmark] = links.of(&format!("images/{id}"));
    let href = format!("{}/image/images/{id}", links.base());
    (own, bookmark, ImageLink { rel: "alternate", kind: "application/vnd.openstack.image", href })
}

fn brief(request: &Request, image: &ImageRecord) -> Brief {
    Brief { id: image.id.clone(), name: image.name.clone(), links: links(&request.links, &image.id) }
}

fn detail(request: &Request, image: ImageRecord) -> Detail {
    let (status, progress) = match image.status.as_str() {
        "active" => ("ACTIVE", 100),
        "queued" => ("SAVING", 25),
        "saving" => ("SAVING", 50),
        "deleted" | "pending_delete" => ("DELETED", 0),
        "killed" => ("ERROR", 0),
        _ => ("UNKNOWN", 0),
    };
    let property = |name: &str| image.properties.get(name);
    let server = property("instance_uuid")
        .map(|id| Server { id: id.clone(), links: request.links.of(&format!("servers/{id}")) });
    let automatic = property("auto_disk_config").map(|text| truth(text) == Some(true));
    Detail {
        links: links(&request.links, &image.id),
        id: image.id,
        name: image.name,
        min_ram: image.min_ram_mb,
        min_disk: image.min_disk_gb,
        metadata: metadata(image.properties),
        created: Seconds(image.created_at),
        updated: Seconds(image.updated_at),
        status,
        progress,
        size: image.size.unwrap_or(0),
        server,
        disk_config: automatic.map(|automatic| if automatic { "AUTO" } else { "MANUAL" }),
    }
}

/// An image's properties as they are shown.
pub(super) fn metadata(properties: BTreeMap<String, String>) -> BTreeMap<String, Value> {
    let shown = properties.into_iter().filter(|(name, _)| !name.starts_with(OWN_PREFIX));
    shown
        .map(|(name, text)| {
            let value = value(&name, text);
            (name, value)
        })
        .collect()
}

/// A property's value as it is shown.
pub(super) fn value(name: &str, text: String) -> Value {
    let json = JSON.contains(&name).then(|| serde_json::from_str(&text).ok()).flatten();
    json.unwrap_or(Value::String(text))
}

/// One image.
pub(super) fn one(request: &Request, image: ImageRecord) -> Response {
    request.plain("image", detail(request, image))
}

/// A page of images in detail.
pub(super) fn list(request: &Request, images: Vec<ImageRecord>, next: Option<NextLink>) -> Response {
    let views: Vec<_> = images.into_iter().map(|image| detail(request, image)).collect();
    request.answer(&novella_rest::FieldTable(&[])).list("images", &views, next)
}

/// A page of images in brief.
pub(super) fn brief_list(request: &Request, images: &[ImageRecord], next: Option<NextLink>) -> Response {
    let views: Vec<_> = images.iter().map(|image| brief(request, image)).collect();
    request.answer(&novella_rest::FieldTable(&[])).list("images", &views, next)
}
