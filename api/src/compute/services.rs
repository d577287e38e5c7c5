//! `/os-services`: the services of the cloud, and what an operator says of compute hosts.

mod delete;

use axum::response::Response;
use novella_common::{
    db::services::{self, ServiceChange},
    models::{Binary, FreshSince, Service},
};
use novella_rest::{
    ApiError, Body, FieldTable, Microversion, Operation, Path, body, delete, field, get, inputs::Flag, put,
    times::Micros, wrong,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{Request, policy, state::Api};

/// The version from which services are known by UUID.
const BY_UUID: u16 = 53;

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    vec![
        get("/os-services", policy::SERVICES_LIST, index).query(QUERY, 75).answers_list::<ServiceView>("services"),
        put("/os-services/{service_id}", policy::SERVICES_UPDATE, update).answers::<ServiceView>("service"),
        delete("/os-services/{service_id}", policy::SERVICES_DELETE, delete::delete).status(204),
    ]
}

const FIELDS: FieldTable = FieldTable(&[field("forced_down").since(11)]);

const QUERY: FieldTable = FieldTable(&[field("host"), field("binary")]);

body! {
    /// A change, by what is to be done (until 2.52).
    struct ChangeByName {
        host: String = "host",
        binary: String = "binary",
        disabled_reason: Option<String> = "disabled_reason",
        forced_down: Option<Flag> = "forced_down".since(11),
    }
}

body! {
    /// A change, of one service (from 2.53).
    struct Change {
        status: Option<Status> = "status",
        disabled_reason: Option<String> = "disabled_reason",
        forced_down: Option<Flag> = "forced_down",
    }
}

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
        if version.at_least(BY_UUID) { Self::Uuid(uuid) } else { Self::Number(number) }
    }
}

fn view<'s>(service: &'s Service, fresh_since: &FreshSince, version: Microversion) -> ServiceView<'s> {
    ServiceView {
        id: Id::new(service.id, &service.uuid, version),
        binary: service.binary.as_str(),
        host: &service.host,
        zone: &service.zone,
        status: status(service),
        state: state(service, fresh_since),
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
pub(super) fn state(service: &Service, fresh_since: &FreshSince) -> &'static str {
    if service.is_up(fresh_since) { "up" } else { "down" }
}

async fn index(request: Request) -> Result<Response, ApiError> {
    let given = |name: &str| request.query.get(name).filter(|text| !text.is_empty());
    let mut connection = request.state.database.read().await?;
    let found = services::list(&mut connection, given("binary"), given("host")).await?;
    let fresh_since = request.state.fresh_since(&mut connection).await?;
    drop(connection);
    // As in Nova, whose own API services are not in this list either.
    let found = found.iter().filter(|service| service.binary != Binary::Api);
    let views: Vec<_> = found.map(|service| view(service, &fresh_since, request.version)).collect();
    Ok(request.answer(&FIELDS).list("services", &views, None))
}

/// Changes a compute service: in or out of scheduling, or declared down.
///
/// Until 2.52 the path says what is to be done (`enable`, `disable`, `disable-log-reason`, `force-down`) and the body to
/// which service; from 2.53 the path says which service and the body what.
async fn update(mut request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let version = request.version;
    let body = request.json().await?;
    if version.before(BY_UUID) {
        let change = ChangeByName::from_json(body, version)?;
        return update_by_name(&request, &id, change).await;
    }
    let (uuid, change) = (Uuid::try_parse(&id), read_change(Change::from_json(body, version)?)?);
    let uuid = uuid.map_err(|_| ApiError::bad_request(format!("Invalid uuid {id}")))?.to_string();
    let not_found = || ApiError::not_found(format!("Service {id} could not be found."));
    let mut connection = request.state.database.write().await?;
    let service = services::get(&mut connection, &uuid).await?.ok_or_else(not_found)?;
    only_compute(service.binary.as_str())?;
    services::update(&mut connection, &uuid, &change).await?;
    let service = services::get(&mut connection, &uuid).await?.ok_or_else(not_found)?;
    let fresh_since = request.state.fresh_since(&mut connection).await?;
    Ok(request.answer(&FIELDS).object("service", view(&service, &fresh_since, version)))
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    Enabled,
    Disabled,
}

fn read_change(change: Change) -> Result<ServiceChange, ApiError> {
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

async fn update_by_name(request: &Request, what: &str, asked: ChangeByName) -> Result<Response, ApiError> {
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
        "force-down" if request.version.at_least(11) => {
            let Flag(down) = asked.forced_down.ok_or_else(|| ApiError::bad_request("Missing forced_down field"))?;
            let change = ServiceChange { forced_down: Some(down), ..Default::default() };
            (change, json!({"host": host, "binary": binary, "forced_down": down}))
        }
        _ => return Err(ApiError::not_found("Unknown action")),
    };
    only_compute(&binary)?;
    let mut connection = request.state.database.write().await?;
    let service = services::find(&mut connection, Binary::Compute, &host).await?;
    let service =
        service.ok_or_else(|| ApiError::not_found(format!("Could not find binary {binary} on host {host}.")))?;
    services::update(&mut connection, &service.uuid, &change).await?;
    Ok(request.plain("service", answer))
}
