//! `/os-services`: the services of the cloud, and what an operator says of compute hosts.

mod delete;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use novella_common::{
    db::services::{self, ServiceChange},
    models::{Binary, Service},
    policy,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    inputs::Flag,
    microversion::{FieldTable, Microversion, Shaped, field},
    strict_query,
};
use crate::{
    authentication::Caller,
    body::{JsonBody, typed, wrong},
    error::ApiError,
    query::Parameters,
    state::Api,
    times::Micros,
};

/// The version from which services are known by UUID.
const BY_UUID: Microversion = Microversion::v2(53);

/// The routes.
pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(index)).routes(routes!(update)).routes(routes!(delete::delete))
}

const FIELDS: FieldTable = FieldTable(&[field("forced_down").since(11)]);

const QUERY: FieldTable = FieldTable(&[field("host"), field("binary")]);

/// A change, by what is to be done (until 2.52).
const OLD_CHANGE: FieldTable =
    FieldTable(&[field("host"), field("binary"), field("disabled_reason"), field("forced_down").since(11)]);

/// A change, of one service (from 2.53).
const CHANGE: FieldTable = FieldTable(&[field("status"), field("disabled_reason"), field("forced_down")]);

/// A service.
#[derive(Serialize, ToSchema)]
pub(super) struct ServiceView<'s> {
    #[schema(value_type = String)]
    id: Id<'s>,
    binary: &'static str,
    host: &'s str,
    zone: &'s str,
    status: &'static str,
    state: &'static str,
    #[schema(value_type = Option<String>)]
    updated_at: Option<Micros>,
    disabled_reason: Option<&'s str>,
    forced_down: bool,
}

/// A number until 2.52, a UUID from 2.53.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Id<'s> {
    Number(i64),
    Uuid(&'s str),
}

impl<'s> Id<'s> {
    pub(super) fn new(number: i64, uuid: &'s str, version: Microversion) -> Self {
        if version >= BY_UUID { Self::Uuid(uuid) } else { Self::Number(number) }
    }
}

/// `{"services": [...]}`.
#[derive(Serialize, ToSchema)]
struct ServicesBody<'s> {
    #[schema(value_type = Vec<ServiceView>)]
    services: Vec<Shaped<'s, ServiceView<'s>>>,
}

/// `{"service": ...}`.
#[derive(Serialize, ToSchema)]
struct ServiceBody<'s> {
    #[schema(value_type = ServiceView)]
    service: Shaped<'s, ServiceView<'s>>,
}

fn view<'s>(service: &'s Service, api: &Api, version: Microversion) -> ServiceView<'s> {
    ServiceView {
        id: Id::new(service.id, &service.uuid, version),
        binary: service.binary.as_str(),
        host: &service.host,
        zone: &service.zone,
        status: status(service),
        state: state(service, api),
        updated_at: Some(Micros(service.last_seen)),
        disabled_reason: service.disabled_reason.as_deref(),
        forced_down: service.forced_down,
    }
}

/// Whether it is given work.
pub(super) fn status(service: &Service) -> &'static str {
    if service.disabled { "disabled" } else { "enabled" }
}

/// Whether it is there.
pub(super) fn state(service: &Service, api: &Api) -> &'static str {
    if service.is_up(Timestamp::now(), api.service.service_down_time) { "up" } else { "down" }
}

/// Lists services.
#[utoipa::path(
    get,
    path = "/os-services",
    tag = "services",
    params(("host" = Option<String>, Query), ("binary" = Option<String>, Query)),
    responses((status = 200, body = ServicesBody)),
)]
async fn index(
    State(api): State<Api>,
    caller: Caller,
    version: Microversion,
    query: Parameters,
) -> Result<Response, ApiError> {
    policy::SERVICES_LIST.check_own(&caller.context)?;
    strict_query::check(&query, &QUERY, version, strict_query::LISTS)?;
    let given = |name: &str| query.get(name).filter(|text| !text.is_empty());
    let found = services::list(&mut *api.database.read().await?, given("binary"), given("host")).await?;
    let hidden = FIELDS.hidden(version);
    // As in Nova, whose own API services are not in this list either.
    let found = found.iter().filter(|service| service.binary != Binary::Api);
    let services = found.map(|service| Shaped { whole: view(service, &api, version), hidden: &hidden });
    Ok(Json(ServicesBody { services: services.collect() }).into_response())
}

/// Changes a compute service: in or out of scheduling, or declared down.
///
/// Until 2.52 the path says what is to be done (`enable`, `disable`, `disable-log-reason`, `force-down`) and the body to
/// which service; from 2.53 the path says which service and the body what.
#[utoipa::path(
    put,
    path = "/os-services/{service_id}",
    tag = "services",
    params(("service_id" = String, Path)),
    request_body(content = Object),
    responses((status = 200, body = ServiceBody)),
)]
async fn update(
    State(api): State<Api>,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    policy::SERVICES_UPDATE.check_own(&caller.context)?;
    if version < BY_UUID {
        return update_by_name(&api, version, &id, &body).await;
    }
    let (uuid, change) = (Uuid::try_parse(&id), read_change(&body, version)?);
    let uuid = uuid.map_err(|_| ApiError::bad_request(format!("Invalid uuid {id}")))?.to_string();
    let not_found = || ApiError::not_found(format!("Service {id} could not be found."));
    let mut connection = api.database.write().await?;
    let service = services::get(&mut connection, &uuid).await?.ok_or_else(not_found)?;
    only_compute(service.binary.as_str())?;
    services::update(&mut connection, &uuid, &change).await?;
    let service = services::get(&mut connection, &uuid).await?.ok_or_else(not_found)?;
    let hidden = FIELDS.hidden(version);
    Ok(Json(ServiceBody { service: Shaped { whole: view(&service, &api, version), hidden: &hidden } }).into_response())
}

#[derive(Deserialize, ToSchema)]
struct Change {
    #[serde(default)]
    status: Option<Status>,
    #[serde(default)]
    disabled_reason: Option<String>,
    #[serde(default)]
    forced_down: Option<Flag>,
}

#[derive(Clone, Copy, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    Enabled,
    Disabled,
}

fn read_change(body: &JsonBody, version: Microversion) -> Result<ServiceChange, ApiError> {
    CHANGE.check("service", body.object()?, version)?;
    let change: Change = typed("", &body.0)?;
    let reason = change.disabled_reason.map(reason).transpose()?;
    if change.status.is_none() && change.forced_down.is_none() {
        return Err(ApiError::bad_request(
            "No updates were requested. Fields 'status' or 'forced_down' should be specified.",
        ));
    }
    if reason.is_some() && change.status == Some(Status::Enabled) {
        return Err(ApiError::bad_request("Specifying 'disabled_reason' with status 'enabled' is invalid."));
    }
    Ok(ServiceChange {
        disabled: change.status.map(|status| status == Status::Disabled),
        disabled_reason: change.status.map(|_| reason),
        forced_down: change.forced_down.map(|flag| flag.0),
    })
}

fn reason(text: String) -> Result<String, ApiError> {
    if (1..=255).contains(&text.chars().count()) {
        return Ok(text);
    }
    Err(ApiError::bad_request("Invalid input for field/attribute disabled_reason. It must have 1 to 255 characters."))
}

/// Whether a text can be a host's name, as Nova's schema has it.
pub(super) fn is_host(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (1..=255).contains(&text.len()) && text.chars().all(allowed)
}

fn only_compute(binary: &str) -> Result<(), ApiError> {
    if binary == Binary::Compute.as_str() {
        return Ok(());
    }
    Err(ApiError::bad_request(format!(
        "Updating a {binary} service is not supported. Only nova-compute services can be updated."
    )))
}

#[derive(Deserialize)]
struct OldChange {
    host: String,
    binary: String,
    #[serde(default)]
    disabled_reason: Option<String>,
    #[serde(default)]
    forced_down: Option<Flag>,
}

async fn update_by_name(api: &Api, version: Microversion, what: &str, body: &JsonBody) -> Result<Response, ApiError> {
    OLD_CHANGE.check("service", body.object()?, version)?;
    let asked: OldChange = typed("", &body.0)?;
    let given = asked.disabled_reason.map(reason).transpose()?;
    let (host, binary) = (asked.host, asked.binary);
    if !is_host(&host) {
        return Err(wrong(
            "host",
            &Value::from(host),
            "It must have 1 to 255 letters, digits, dots, dashes and underscores.",
        ));
    }
    if !(1..=255).contains(&binary.chars().count()) {
        return Err(wrong("binary", &Value::from(binary), "It must have 1 to 255 characters."));
    }
    let disabled = |reason: Option<String>| ServiceChange {
        disabled: Some(true),
        disabled_reason: Some(reason),
        forced_down: None,
    };
    let (change, answer) = match what {
        "enable" => (
            ServiceChange { disabled: Some(false), disabled_reason: Some(None), forced_down: None },
            json!({"host": host, "binary": binary, "status": "enabled"}),
        ),
        "disable" => (disabled(None), json!({"host": host, "binary": binary, "status": "disabled"})),
        "disable-log-reason" => {
            let reason = given.ok_or_else(|| ApiError::bad_request("Missing disabled reason field"))?;
            let answer = json!({"host": host, "binary": binary, "status": "disabled", "disabled_reason": reason});
            (disabled(Some(reason)), answer)
        }
        "force-down" if version >= Microversion::v2(11) => {
            let Flag(down) = asked.forced_down.ok_or_else(|| ApiError::bad_request("Missing forced_down field"))?;
            let change = ServiceChange { forced_down: Some(down), ..Default::default() };
            (change, json!({"host": host, "binary": binary, "forced_down": down}))
        }
        _ => return Err(ApiError::not_found("Unknown action")),
    };
    only_compute(&binary)?;
    let mut connection = api.database.write().await?;
    let service = services::find(&mut connection, Binary::Compute, &host).await?;
    let service =
        service.ok_or_else(|| ApiError::not_found(format!("Could not find binary {binary} on host {host}.")))?;
    services::update(&mut connection, &service.uuid, &change).await?;
    Ok(Json::<Value>(json!({ "service": answer })).into_response())
}
