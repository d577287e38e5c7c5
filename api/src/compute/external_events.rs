//! `/os-server-external-events`: what other services tell of what they have done for servers.
//!
//! An event is taken where the server is on a host. Those of Networking have the server show what Networking says now; no
//! build waits for one.

use std::collections::{BTreeSet, HashMap};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use novella_common::{db::instances, ids::InstanceUuid};
use novella_rest::{
    ApiError, Microversion, Operation, body,
    inputs::{UuidText, not_null},
    post, wrong,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::floating_ips::show_now;
use crate::{Request, policy, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    vec![post("/os-server-external-events", policy::EXTERNAL_EVENTS, create).answers_list::<Taken>("events")]
}

/// The events, the versions that have them, and whether they must have a tag.
static EVENTS: &[(&str, u16, bool)] = &[
    ("network-changed", 1, false),
    ("network-vif-plugged", 1, false),
    ("network-vif-unplugged", 1, false),
    ("network-vif-deleted", 1, false),
    ("volume-extended", 51, true),
    ("power-update", 76, true),
    ("accelerator-request-bound", 82, true),
    ("volume-reimaged", 93, false),
];

body! {
    /// `POST /os-server-external-events`.
    struct NewEvents {
        events: Vec<Event> = "events",
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Event {
    name: String,
    server_uuid: UuidText,
    #[serde(default, deserialize_with = "not_null")]
    status: Option<Status>,
    #[serde(default, deserialize_with = "not_null")]
    tag: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Status {
    Failed,
    Completed,
    InProgress,
}

/// An event, and whether it was taken.
#[derive(Serialize, ToSchema)]
struct Taken {
    name: String,
    server_uuid: Uuid,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    code: u16,
}

/// Whether an event of this name must have a tag; `None`: there is none at this version.
fn needs_tag(name: &str, version: Microversion) -> Option<bool> {
    let (_, _, tag) = EVENTS.iter().find(|(known, since, _)| *known == name && version.at_least(*since))?;
    Some(*tag)
}

async fn create(request: Request, NewEvents { events }: NewEvents) -> Result<Response, ApiError> {
    if events.is_empty() {
        return Err(ApiError::bad_request("Invalid input for field/attribute events. Value: []. [] is too short"));
    }
    let mut tagged = Vec::with_capacity(events.len());
    for (index, event) in events.iter().enumerate() {
        let needs_tag = needs_tag(&event.name, request.version).ok_or_else(|| {
            let name = event.name.as_str();
            wrong(
                &format!("events[{index}].name"),
                &name.into(),
                &format!("'{name}' is not an event of this microversion"),
            )
        })?;
        if let Some(tag) = event.tag.as_ref().filter(|tag| tag.chars().count() > 255) {
            return Err(wrong(
                &format!("events[{index}].tag"),
                &tag.as_str().into(),
                "it is longer than 255 characters",
            ));
        }
        tagged.push(needs_tag);
    }
    let uuids: Vec<_> = events.iter().map(|event| InstanceUuid(event.server_uuid.0)).collect();
    let found = instances::get_many(&mut *request.state.database.read().await?, &uuids).await?;
    let on_host: HashMap<_, _> = found
        .into_iter()
        .filter(|instance| instance.deleted_at.is_none())
        .map(|instance| (instance.uuid, instance.host.is_some()))
        .collect();
    let taken: Vec<Taken> = events
        .into_iter()
        .zip(tagged)
        .map(|(event, needs_tag)| {
            let uuid = event.server_uuid.0;
            let code = match on_host.get(&InstanceUuid(uuid)) {
                None => 404,
                Some(_) if needs_tag && event.tag.is_none() => 400,
                Some(true) => 200,
                Some(false) => 422,
            };
            tracing::debug!(instance = %uuid, event = event.name, status = ?event.status, code, "an event of another service");
            let status = if code == 200 { Status::Completed } else { Status::Failed };
            Taken { name: event.name, server_uuid: uuid, status, tag: event.tag, code }
        })
        .collect();
    let of_network = |event: &&Taken| event.code == 200 && event.name.starts_with("network-");
    let changed: BTreeSet<_> = taken.iter().filter(of_network).map(|event| InstanceUuid(event.server_uuid)).collect();
    if !changed.is_empty() {
        show_now(&request.state, &Vec::from_iter(changed)).await;
    }
    let all = taken.iter().all(|event| event.code == 200);
    let status = if all { StatusCode::OK } else { StatusCode::MULTI_STATUS };
    Ok((status, request.plain("events", taken)).into_response())
}
