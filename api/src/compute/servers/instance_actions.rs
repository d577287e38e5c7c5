//! `/servers/{id}/os-instance-actions`: what was asked of a server, and how it went.

use axum::response::Response;
use novella_common::{
    db::actions,
    models::{ActionEvent, EventResult, Instance, InstanceAction},
};
use novella_rest::{
    ApiError, FieldTable, Operation, Path, Shaped, field, get,
    paging::Page,
    times::{self, Micros},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::view::host_id;
use crate::{Request, policy, state::Api};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    vec![
        get("/servers/{server_id}/os-instance-actions", policy::INSTANCE_ACTIONS_LIST, index)
            .query(QUERY, 58)
            .answers_list::<ActionView>("instanceActions"),
        get("/servers/{server_id}/os-instance-actions/{request_id}", policy::INSTANCE_ACTIONS_SHOW, show)
            .answers::<ActionView>("instanceAction"),
    ]
}

const FIELDS: FieldTable = FieldTable(&[field("updated_at").since(58)]);

const EVENT_FIELDS: FieldTable =
    FieldTable(&[field("host").since(62), field("hostId").since(62), field("details").since(84)]);

const QUERY: FieldTable = FieldTable(&[
    field("limit").since(58).once(),
    field("marker").since(58).once(),
    field("changes-since").since(58).once(),
    field("changes-before").since(66).once(),
]);

/// Something that was asked of a server.
#[derive(Serialize, ToSchema)]
struct ActionView<'a> {
    action: &'a str,
    instance_uuid: Uuid,
    request_id: &'a str,
    user_id: Option<&'a str>,
    project_id: Option<&'a str>,
    start_time: Micros,
    updated_at: Micros,
    message: Option<&'a str>,
    /// Only where one action is shown, to those who may see them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<EventView>>)]
    events: Option<Vec<Shaped<'a, EventView<'a>>>>,
}

/// One step of it.
#[derive(Serialize, ToSchema)]
struct EventView<'a> {
    event: &'a str,
    start_time: Micros,
    finish_time: Option<Micros>,
    result: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceback: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(rename = "hostId")]
    host_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Option<&'a str>>,
}

impl<'a> ActionView<'a> {
    fn new(action: &'a InstanceAction, events: Option<Vec<Shaped<'a, EventView<'a>>>>) -> Self {
        Self {
            action: &action.action,
            instance_uuid: action.instance.0,
            request_id: &action.request_id,
            user_id: action.user_id.as_deref(),
            project_id: action.project_id.as_deref(),
            start_time: Micros(action.start_time),
            updated_at: Micros(action.updated_at),
            message: action.message.as_deref(),
            events,
        }
    }
}

/// The server, a deleted one too from 2.21 on.
async fn find(request: &Request, id: &str) -> Result<Instance, ApiError> {
    if request.version.before(21) {
        super::find(request, id).await
    } else {
        super::find_with_deleted(request, id).await
    }
}

/// Lists what was asked of a server, newest first.
async fn index(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let instance = find(&request, &id).await?;
    let mut found = actions::list(&mut *request.state.database.read().await?, instance.uuid).await?;
    let mut next = None;
    if request.version.at_least(58) {
        let page = Page::from_query(&request.query, request.config.max_limit)?;
        found = part(found, &request, &page)?;
        let last = found.last().map(|action| action.request_id.as_str());
        let collection = format!("servers/{id}/os-instance-actions");
        next = page.next_link(&request.query, &request.links, &collection, found.len(), last);
    }
    let views: Vec<_> = found.iter().map(|action| ActionView::new(action, None)).collect();
    Ok(request.answer(&FIELDS).list_linked("instanceActions", &views, "links", next))
}

/// The part of a server's history that is asked for. It is short: nobody asks a thousand things of one server.
fn part(mut actions: Vec<InstanceAction>, request: &Request, page: &Page) -> Result<Vec<InstanceAction>, ApiError> {
    let since = times::filter(&request.query, "changes-since")?;
    let before = times::filter(&request.query, "changes-before")?.filter(|_| request.version.at_least(66));
    times::check_order(since, before)?;
    if let Some(marker) = &page.marker {
        let at = actions.iter().position(|action| action.request_id == *marker);
        let at = at.ok_or_else(|| ApiError::bad_request(format!("Marker {marker} could not be found.")))?;
        actions.drain(..=at);
    }
    actions.retain(|action| {
        since.is_none_or(|since| action.updated_at >= since) && before.is_none_or(|before| action.updated_at <= before)
    });
    actions.truncate(usize::try_from(page.limit).unwrap_or(usize::MAX));
    Ok(actions)
}

/// Shows one thing that was asked of a server, with its steps.
async fn show(request: Request, Path((id, request_id)): Path<(String, String)>) -> Result<Response, ApiError> {
    let instance = find(&request, &id).await?;
    let found = actions::get(&mut *request.state.database.read().await?, instance.uuid, &request_id).await?;
    let (action, events) = found.ok_or_else(|| ApiError::not_found(format!("Action {request_id} not found")))?;

    let project = Some(instance.project_id.as_str());
    let sees_all = policy::INSTANCE_ACTIONS_EVENTS.allows(&request.context, project);
    let sees_details = policy::INSTANCE_ACTIONS_EVENTS_DETAILS.allows(&request.context, project);
    let shape = request.answer(&EVENT_FIELDS);
    let event = |event| shape.shaped(event_view(event, &instance, sees_all, sees_details));
    // Before 2.51 those who may not see all of an event saw nothing of it.
    let shown = sees_all || request.version.at_least(51);
    let events = shown.then(|| events.iter().map(event).collect());
    Ok(request.answer(&FIELDS).object("instanceAction", ActionView::new(&action, events)))
}

fn event_view<'a>(event: &'a ActionEvent, instance: &Instance, sees_all: bool, sees_details: bool) -> EventView<'a> {
    let host = event.host.as_deref().unwrap_or_default();
    let details = event.details.as_deref();
    EventView {
        event: &event.event,
        start_time: Micros(event.start_time),
        finish_time: event.finish_time.map(Micros),
        result: event.result.map(EventResult::as_str),
        traceback: sees_all.then_some(details),
        host: sees_all.then_some(host),
        host_id: if host.is_empty() { String::new() } else { host_id(&instance.project_id, host) },
        details: sees_details.then_some(details),
    }
}
