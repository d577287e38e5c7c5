//! `/requests/{request_id}`: the story of a request, as a list of spans: who did what of it, from when to when.

use std::collections::BTreeMap;

use axum::response::Response;
use novella_common::{
    db::{actions, instances},
    models::{EventResult, Instance},
    traces::KeptSpan,
};
use novella_messaging::trace::{Hex, TraceContext};
use novella_rest::{ApiError, Operation, Path, get};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::spans;
use crate::{Request, policy, state::Api};

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
    /// Services that may know more and did not answer.
    silent: Vec<String>,
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
    /// From the server's history: `action`, what was asked of it, and `event`, a step of it. From what services have kept for
    /// a short time: `request`, the HTTP request; `message`, one that was sent, with its answer; `queue`, its time on the bus;
    /// `handler`, the method that was done for it; `owner`, whose the work was until it handed it over.
    kind: String,
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
    // Of a request that changed no server nobody knows whose it is.
    if servers.is_empty() && !(request.context.is_admin && found.is_empty()) {
        return Err(absent(&id));
    }
    let hosts =
        events.iter().filter_map(|of| of.event.host.clone()).chain(servers.iter().filter_map(|it| it.host.clone()));
    let asked = spans::of_request(&request.state, &request.context, &id, hosts.collect());
    let (kept, silent) = request.elsewhere(asked).await?;
    if servers.is_empty() && kept.is_empty() {
        return Err(absent(&id));
    }
    let with_hosts = policy::EXTENDED_SERVER_ATTRIBUTES.allows(&request.context, None);
    let with_details = policy::INSTANCE_ACTIONS_EVENTS_DETAILS.allows(&request.context, None);
    let is_shown = |uuid| servers.iter().any(|server| server.uuid == uuid);

    let first = TraceContext::of_request(&id).map(|first| Hex(&first.span_id).to_string());
    let first = first.filter(|first| kept.iter().any(|span| span.id == *first));
    let mut spans: Vec<SpanView> = kept.into_iter().flat_map(|span| views(span, with_hosts)).collect();
    for action in found.iter().filter(|action| is_shown(action.instance)) {
        let open = events.iter().any(|of| of.instance == action.instance && of.event.finish_time.is_none());
        let steps = events.iter().any(|of| of.instance == action.instance);
        let failed = action.message.is_some();
        spans.push(SpanView {
            id: action.instance.to_string(),
            parent: first.clone(),
            kind: "action".to_owned(),
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
            kind: "event".to_owned(),
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
    Ok(request.plain("request", Story { id, servers, spans, silent: if with_hosts { silent } else { Vec::new() } }))
}

fn absent(id: &str) -> ApiError {
    ApiError::not_found(format!("Request {id} could not be found."))
}

/// A kept span, and the time that its message was on the bus.
fn views(span: KeptSpan, with_hosts: bool) -> Vec<SpanView> {
    let KeptSpan { id, parent, kind, name, service, host, peer, sent, start, end, error } = span;
    let host = host.filter(|_| with_hosts);
    let mut fields = BTreeMap::new();
    if with_hosts {
        match kind.as_str() {
            "message" => fields.insert("sent", peer),
            "request" => fields.insert("status", peer),
            _ => None,
        };
        if let Some(error) = &error {
            fields.insert("error", error.clone());
        }
    }
    let mut views = Vec::new();
    if let Some(sent) = sent {
        views.push(SpanView {
            id: format!("{id}-queue"),
            parent: parent.clone(),
            kind: "queue".to_owned(),
            name: format!("{name} waits"),
            service: Some(service.clone()),
            host: host.clone(),
            server: None,
            // Two clocks: it can't have been taken before it was sent.
            start: sent.min(start),
            end: Some(start),
            result: None,
            fields: BTreeMap::new(),
        });
    }
    views.push(SpanView {
        id,
        parent,
        kind,
        name,
        service: Some(service).filter(|service| !service.is_empty()),
        host,
        server: None,
        start,
        end: Some(end),
        result: Some(if error.is_some() { "Error" } else { "Success" }),
        fields,
    });
    views
}
