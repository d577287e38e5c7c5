//! `/requests/{request_id}`: the story of a request, as a list of spans: who did what of it, from when to when.

use std::collections::BTreeMap;

use axum::response::Response;
use novella_common::{
    db::{actions, instances},
    models::{EventResult, Instance},
};
use novella_rest::{ApiError, Operation, Path, get};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::policy;
use crate::{Request, policy as compute, state::Api};

/// Of a request that asked for more servers than this, the first ones are told of.
const SERVERS: i64 = 100;

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    vec![get("/requests/{request_id}", policy::REQUESTS_SHOW, show).answers::<Story>("request")]
}

/// What became of a request.
#[derive(Serialize, ToSchema)]
struct Story {
    id: String,
    /// The servers that it was about.
    servers: Vec<ServerOf>,
    /// By their beginnings.
    spans: Vec<SpanView>,
}

#[derive(Serialize, ToSchema)]
struct ServerOf {
    id: Uuid,
    name: String,
    status: &'static str,
}

/// Something that was done for it.
#[derive(Serialize, ToSchema)]
struct SpanView {
    id: String,
    /// The span that it is a part of.
    parent: Option<String>,
    /// `action`: what was asked of a server; `event`: a step of it, from the server's history.
    kind: &'static str,
    name: String,
    /// Who did it.
    service: Option<String>,
    host: Option<String>,
    /// The server that it was done for.
    server: Option<Uuid>,
    /// Microseconds since 1970.
    start: i64,
    /// Null while it goes on.
    end: Option<i64>,
    /// `Success`, `Error`, or null.
    result: Option<&'static str>,
    fields: BTreeMap<&'static str, String>,
}

/// Tells of a request on whose servers the caller may look: 404 where there is none, as for a request that never was.
async fn show(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    let (found, events) = actions::of_request(&mut connection, &id, SERVERS).await?;
    let uuids: Vec<_> = found.iter().map(|action| action.instance).collect();
    let servers = instances::get_many(&mut connection, &uuids).await?;
    drop(connection);
    let own = |server: &Instance| policy::REQUESTS_SHOW.allows(&request.context, Some(&server.project_id));
    let servers: Vec<Instance> = servers.into_iter().filter(own).collect();
    if servers.is_empty() {
        return Err(ApiError::not_found(format!("Request {id} could not be found.")));
    }
    let with_hosts = compute::EXTENDED_SERVER_ATTRIBUTES.allows(&request.context, None);
    let with_details = compute::INSTANCE_ACTIONS_EVENTS_DETAILS.allows(&request.context, None);
    let is_shown = |uuid| servers.iter().any(|server| server.uuid == uuid);

    let mut spans = Vec::new();
    for action in found.iter().filter(|action| is_shown(action.instance)) {
        let open = events.iter().any(|of| of.instance == action.instance && of.event.finish_time.is_none());
        let steps = events.iter().any(|of| of.instance == action.instance);
        let failed = action.message.is_some();
        spans.push(SpanView {
            id: action.instance.to_string(),
            parent: None,
            kind: "action",
            name: action.action.clone(),
            service: None,
            host: None,
            server: Some(action.instance.0),
            start: action.start_time.as_microsecond(),
            end: (steps && !open).then(|| action.updated_at.as_microsecond()),
            result: (steps && !open).then_some(if failed { "Error" } else { "Success" }),
            fields: BTreeMap::new(),
        });
    }
    for (number, of) in events.iter().enumerate().filter(|(_, of)| is_shown(of.instance)) {
        let event = &of.event;
        let (service, method) = event.event.split_once('_').unwrap_or(("", &event.event));
        let mut fields = BTreeMap::from([("event", event.event.clone())]);
        if let Some(details) = event.details.as_ref().filter(|_| with_details) {
            fields.insert("details", details.clone());
        }
        spans.push(SpanView {
            id: format!("event-{number}"),
            parent: Some(of.instance.to_string()),
            kind: "event",
            name: method.trim_start_matches('_').to_owned(),
            service: Some(service.to_owned()),
            host: event.host.clone().filter(|_| with_hosts),
            server: Some(of.instance.0),
            start: event.start_time.as_microsecond(),
            end: event.finish_time.map(|time| time.as_microsecond()),
            result: event.result.map(EventResult::as_str),
            fields,
        });
    }
    spans.sort_by_key(|span| span.start);
    let servers = servers
        .iter()
        .map(|server| ServerOf {
            id: server.uuid.0,
            name: server.name.clone(),
            status: novella_common::lifecycle::server_status(server.vm_state, server.task_state),
        })
        .collect();
    Ok(request.plain("request", Story { id, servers, spans }))
}
