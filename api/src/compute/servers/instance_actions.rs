//! `/servers/{id}/os-instance-actions`: what was asked of a server, and how it went.

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use novella_common::{
    db::{actions, instances},
    ids::InstanceUuid,
    models::{ActionEvent, EventResult, Instance, InstanceAction},
    policy::{self, Rule},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    super::{
        microversion::{FieldTable, Microversion, Shaped, field},
        strict_query::{self, WithoutQueryExt},
    },
    view::host_id,
};
use crate::{
    authentication::Caller,
    error::ApiError,
    links::Links,
    paging::{Next, Page},
    query::Parameters,
    state::Api,
    times::{self, Micros},
};

/// The routes.
pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(index)).routes(routes!(show).without_query())
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
    #[schema(value_type = String)]
    start_time: Micros,
    #[schema(value_type = String)]
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
    #[schema(value_type = String)]
    start_time: Micros,
    #[schema(value_type = Option<String>)]
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

/// `{"instanceActions": [...]}`.
#[derive(Serialize, ToSchema)]
struct ActionsBody<'a> {
    #[serde(rename = "instanceActions")]
    #[schema(value_type = Vec<ActionView>)]
    actions: Vec<Shaped<'a, ActionView<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    links: Option<[Next; 1]>,
}

/// `{"instanceAction": ...}`.
#[derive(Serialize, ToSchema)]
struct ActionBody<'a> {
    #[serde(rename = "instanceAction")]
    #[schema(value_type = ActionView)]
    action: Shaped<'a, ActionView<'a>>,
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
async fn find(api: &Api, caller: &Caller, version: Microversion, id: &str, rule: Rule) -> Result<Instance, ApiError> {
    if version < Microversion::v2(21) {
        return super::find(api, caller, id, rule).await;
    }
    let uuid: InstanceUuid = id.parse().map_err(|_| super::not_found(id))?;
    let instance = instances::get_with_deleted(&mut *api.database.read().await?, uuid).await?;
    let instance = instance.filter(|instance| super::knows(caller, instance)).ok_or_else(|| super::not_found(id))?;
    rule.check(&caller.context, Some(&instance.project_id))?;
    Ok(instance)
}

/// Lists what was asked of a server, newest first.
#[utoipa::path(
    get,
    path = "/servers/{server_id}/os-instance-actions",
    tag = "instance actions",
    params(("server_id" = String, Path)),
    responses((status = 200, body = ActionsBody)),
)]
async fn index(
    State(api): State<Api>,
    caller: Caller,
    version: Microversion,
    links: Links,
    query: Parameters,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    strict_query::check(&query, &QUERY, version, Microversion::v2(58))?;
    let instance = find(&api, &caller, version, &id, policy::INSTANCE_ACTIONS_LIST).await?;
    let found = actions::list(&mut *api.database.read().await?, instance.uuid).await?;
    let hidden = FIELDS.hidden(version);
    let view = |action| Shaped { whole: ActionView::new(action, None), hidden: &hidden };
    if version < Microversion::v2(58) {
        let actions = found.iter().map(view).collect();
        return Ok(Json(ActionsBody { actions, links: None }).into_response());
    }
    let page = Page::from_query(&query, api.config.max_limit)?;
    let found = part(found, &query, &page, version)?;
    let last = found.last().map(|action| action.request_id.as_str());
    let collection = format!("servers/{id}/os-instance-actions");
    let next = page.collection_links(&query, &links, &collection, found.len(), last);
    Ok(Json(ActionsBody { actions: found.iter().map(view).collect(), links: next }).into_response())
}

/// The part of a server's history that is asked for. It is short: nobody asks a thousand things of one server.
fn part(
    mut actions: Vec<InstanceAction>,
    query: &Parameters,
    page: &Page,
    version: Microversion,
) -> Result<Vec<InstanceAction>, ApiError> {
    let since = times::filter(query, "changes-since")?;
    let before = times::filter(query, "changes-before")?.filter(|_| version >= Microversion::v2(66));
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
#[utoipa::path(
    get,
    path = "/servers/{server_id}/os-instance-actions/{request_id}",
    tag = "instance actions",
    params(("server_id" = String, Path), ("request_id" = String, Path)),
    responses((status = 200, body = ActionBody)),
)]
async fn show(
    State(api): State<Api>,
    caller: Caller,
    version: Microversion,
    Path((id, request_id)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let instance = find(&api, &caller, version, &id, policy::INSTANCE_ACTIONS_SHOW).await?;
    let found = actions::get(&mut *api.database.read().await?, instance.uuid, &request_id).await?;
    let (action, events) = found.ok_or_else(|| ApiError::not_found(format!("Action {request_id} not found")))?;

    let project = Some(instance.project_id.as_str());
    let sees_all = policy::INSTANCE_ACTIONS_EVENTS.allows(&caller.context, project);
    let sees_details = policy::INSTANCE_ACTIONS_EVENTS_DETAILS.allows(&caller.context, project);
    let hidden = EVENT_FIELDS.hidden(version);
    let event = |event| Shaped { whole: event_view(event, &instance, sees_all, sees_details), hidden: &hidden };
    // Before 2.51 those who may not see all of an event saw nothing of it.
    let shown = sees_all || version >= Microversion::v2(51);
    let events = shown.then(|| events.iter().map(event).collect());
    let hidden = FIELDS.hidden(version);
    let action = Shaped { whole: ActionView::new(&action, events), hidden: &hidden };
    Ok(Json(ActionBody { action }).into_response())
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
