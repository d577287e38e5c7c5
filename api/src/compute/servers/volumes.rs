//! `/servers/{id}/os-volume_attachments`, `/shares`: volumes and shared file systems of a server. There is neither a service
//! for the one nor for the other, so that nothing is attached to any server, and nothing can be.

use axum::response::Response;
use novella_rest::{
    ApiError, FieldTable, Nullable, Operation, Path, body, delete, field, get,
    inputs::{Flag, UuidText},
    paging, post, put,
};
use serde::{Deserialize, Deserializer, de};

use super::tags::Tag;
use crate::{Request, policy, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    const VOLUMES: &str = "/servers/{server_id}/os-volume_attachments";
    const VOLUME: &str = "/servers/{server_id}/os-volume_attachments/{volume_id}";
    const SHARES: &str = "/servers/{server_id}/shares";
    const SHARE: &str = "/servers/{server_id}/shares/{share_id}";
    const PAGE: FieldTable = FieldTable(&[field("limit"), field("offset")]);
    const NONE: FieldTable = FieldTable(&[]);
    vec![
        get(VOLUMES, policy::VOLUME_ATTACHMENTS_INDEX, volumes).query(PAGE, 75),
        get(VOLUME, policy::VOLUME_ATTACHMENTS_SHOW, volume).any_query().status(404),
        post(VOLUMES, policy::VOLUME_ATTACHMENTS_CREATE, attach_volume).status(404),
        put(VOLUME, policy::VOLUME_ATTACHMENTS_UPDATE, update_volume).status(404),
        delete(VOLUME, policy::VOLUME_ATTACHMENTS_DELETE, volume).status(404),
        get(SHARES, policy::SERVER_SHARES_INDEX, shares).since(97).query(NONE, 97),
        get(SHARE, policy::SERVER_SHARES_SHOW, share).since(97).query(NONE, 97).status(404),
        post(SHARES, policy::SERVER_SHARES_CREATE, attach_share).since(97).status(404),
        delete(SHARE, policy::SERVER_SHARES_DELETE, share).since(97).status(404),
    ]
}

body! {
    /// `POST /servers/{id}/os-volume_attachments`.
    #[allow(dead_code, reason = "fields whose form is all there is to check")]
    struct NewAttachment in "volumeAttachment" {
        volume_id: UuidText = "volumeId",
        device: Nullable<Device> = "device".nullable(),
        tag: Option<Tag> = "tag".since(49),
        delete_on_termination: Option<Flag> = "delete_on_termination".since(79),
    }
}

body! {
    /// `PUT /servers/{id}/os-volume_attachments/{volume_id}`: what `GET` shows can be sent back.
    #[allow(dead_code, reason = "fields whose form is all there is to check")]
    struct AttachmentChange in "volumeAttachment" {
        volume_id: UuidText = "volumeId",
        device: Nullable<Device> = "device".since(85).nullable(),
        tag: Option<Tag> = "tag".since(85),
        delete_on_termination: Option<Flag> = "delete_on_termination".since(85),
        server_id: Option<UuidText> = "serverId".since(85),
        id: Option<UuidText> = "id".since(85),
    }
}

body! {
    /// `POST /servers/{id}/shares`.
    #[allow(dead_code, reason = "fields whose form is all there is to check")]
    struct NewShare in "share" {
        share_id: UuidText = "share_id",
        tag: Option<ShareTag> = "tag",
    }
}

/// Where a guest sees a disk: `/dev/vdb`.
#[derive(Debug)]
struct Device;

impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let name = text.strip_prefix("/dev/").map(|name| name.trim_end_matches(|c: char| c.is_ascii_digit()));
        match name {
            Some(name) if !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase()) => Ok(Self),
            _ => Err(de::Error::custom("it must be a device such as /dev/vdb")),
        }
    }
}

/// How a guest finds a share.
#[derive(Debug)]
struct ShareTag;

impl<'de> Deserialize<'de> for ShareTag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            true => Ok(Self),
            false => Err(de::Error::custom("it must have 1 to 255 letters, digits and dashes")),
        }
    }
}

novella_rest::documented_as! {
    Device => String;
    ShareTag => String;
}

async fn empty(request: Request, id: &str, key: &'static str) -> Result<Response, ApiError> {
    super::find(&request, id).await?;
    Ok(request.plain(key, [(); 0]))
}

async fn volumes(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    paging::count(&request.query, "limit")?;
    paging::count(&request.query, "offset")?;
    empty(request, &id, "volumeAttachments").await
}

async fn shares(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    empty(request, &id, "shares").await
}

async fn share(request: Request, Path((id, share)): Path<(String, String)>) -> Result<Response, ApiError> {
    super::find(&request, &id).await?;
    Err(ApiError::not_found(format!("Share mapping of share {share} and instance {id} could not be found.")))
}

async fn attach_share(request: Request, Path(id): Path<String>, _: NewShare) -> Result<Response, ApiError> {
    super::find(&request, &id).await?;
    Err(ApiError::not_found("This cloud has no service of shared file systems: there is no share to attach."))
}

async fn volume(request: Request, Path((id, volume)): Path<(String, String)>) -> Result<Response, ApiError> {
    super::find(&request, &id).await?;
    Err(ApiError::not_found(format!("Instance {id} is not attached to volume {volume}")))
}

async fn update_volume(
    request: Request,
    path: Path<(String, String)>,
    _: AttachmentChange,
) -> Result<Response, ApiError> {
    volume(request, path).await
}

async fn attach_volume(request: Request, Path(id): Path<String>, _: NewAttachment) -> Result<Response, ApiError> {
    super::find(&request, &id).await?;
    Err(ApiError::not_found("This cloud has no volume service: there is no volume to attach."))
}
