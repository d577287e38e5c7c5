//! `/os-hosts`: hosts as they were shown before hypervisors and services were, until 2.42.

use std::collections::BTreeMap;

use axum::response::Response;
use novella_common::{
    db::{
        compute_nodes, instances,
        services::{self, ServiceChange},
    },
    models::{Binary, Resources},
};
use novella_rest::{ApiError, FieldTable, Operation, Path, body, field, get, put};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::{Request, policy, state::Api};

/// The last minor version that has them.
const UNTIL: u16 = 42;

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    const ONE: &str = "/os-hosts/{host_name}";
    let operations = vec![
        get("/os-hosts", policy::HOSTS_LIST, index).query(QUERY, UNTIL + 1).answers_list::<Host>("hosts"),
        get(ONE, policy::HOSTS_SHOW, show).answers_list::<Entry>("host"),
        put(ONE, policy::HOSTS_UPDATE, update),
        get("/os-hosts/{host_name}/startup", policy::HOSTS_START, power).status(400),
        get("/os-hosts/{host_name}/shutdown", policy::HOSTS_SHUTDOWN, power).status(400),
        get("/os-hosts/{host_name}/reboot", policy::HOSTS_REBOOT, power).status(400),
    ];
    operations.into_iter().map(|operation| operation.until(UNTIL)).collect()
}

const QUERY: FieldTable = FieldTable(&[field("zone")]);

#[derive(Serialize, ToSchema)]
struct Host {
    host_name: String,
    service: &'static str,
    zone: String,
}

/// What one of the sums is.
#[derive(Serialize, ToSchema)]
struct Entry {
    resource: Sum,
}

#[derive(Serialize, ToSchema)]
struct Sum {
    host: String,
    /// A project, or which of the sums over all it is.
    project: String,
    cpu: i64,
    memory_mb: i64,
    disk_gb: i64,
}

body! {
    /// A change of a host.
    struct Change {
        status: Option<Switch> = "status",
        maintenance_mode: Option<Switch> = "maintenance_mode",
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize, ToSchema)]
enum Switch {
    #[serde(rename = "enable", alias = "Enable", alias = "ENABLE")]
    Enable,
    #[serde(rename = "disable", alias = "Disable", alias = "DISABLE")]
    Disable,
}

async fn index(request: Request) -> Result<Response, ApiError> {
    let zone = request.query.get("zone").filter(|zone| !zone.is_empty());
    let found = services::list(&mut *request.state.database.read().await?, None, None).await?;
    // As in Nova: neither disabled ones nor the API's own.
    let shown = found.into_iter().filter(|service| !service.disabled && service.binary != Binary::Api);
    let hosts: Vec<Host> = shown
        .filter(|service| zone.is_none_or(|zone| service.zone == zone))
        .map(|service| Host {
            host_name: service.host,
            service: service.binary.as_str().trim_start_matches("nova-"),
            zone: service.zone,
        })
        .collect();
    Ok(request.plain("hosts", hosts))
}

async fn show(request: Request, Path(host): Path<String>) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    let node = compute_nodes::get(&mut connection, &host).await?.ok_or_else(|| not_found(&host))?;
    let instances = instances::on_host(&mut connection, &host).await?;
    drop(connection);
    let mut all = Resources::default();
    let mut by_project: BTreeMap<String, Resources> = BTreeMap::new();
    for instance in instances {
        let flavor = &instance.flavor;
        let disk_gb = flavor.disk_gb + flavor.ephemeral_gb;
        let taken = Resources { vcpus: flavor.vcpus, memory_mb: flavor.memory_mb, disk_gb };
        all = all.plus(&taken);
        let sum = by_project.entry(instance.project_id).or_default();
        *sum = sum.plus(&taken);
    }
    let sums = [("(total)", node.inventory.total), ("(used_now)", node.used), ("(used_max)", all)]
        .into_iter()
        .map(|(project, sum)| (project.to_owned(), sum))
        .chain(by_project);
    let entries: Vec<Entry> = sums
        .map(|(project, Resources { vcpus, memory_mb, disk_gb })| Entry {
            resource: Sum { host: host.clone(), project, cpu: vcpus, memory_mb, disk_gb },
        })
        .collect();
    Ok(request.plain("host", entries))
}

/// Lets a host be given work, or not.
async fn update(request: Request, Path(host): Path<String>, change: Change) -> Result<axum::Json<Value>, ApiError> {
    if change.status.is_none() && change.maintenance_mode.is_none() {
        return Err(ApiError::bad_request("Invalid input: 'status' or 'maintenance_mode' is a required property"));
    }
    let mut connection = request.state.database.write().await?;
    let service = services::find(&mut connection, Binary::Compute, &host).await?.ok_or_else(|| not_found(&host))?;
    if change.maintenance_mode.is_some() {
        return Err(not_supported());
    }
    let mut answer = Map::from_iter([("host".to_owned(), json!(host))]);
    if let Some(status) = change.status {
        let disabled = status == Switch::Disable;
        let change = ServiceChange { disabled: Some(disabled), disabled_reason: Some(None), forced_down: None };
        services::update(&mut connection, &service.uuid, &change).await?;
        answer.insert("status".into(), json!(if disabled { "disabled" } else { "enabled" }));
    }
    Ok(axum::Json(Value::Object(answer)))
}

/// No driver here can switch its own machine on or off.
async fn power(request: Request, Path(host): Path<String>) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    services::find(&mut connection, Binary::Compute, &host).await?.ok_or_else(|| not_found(&host))?;
    Err(not_supported())
}

fn not_supported() -> ApiError {
    ApiError::bad_request(
        "The requested functionality is not supported: no driver of this cloud switches hosts on or off.",
    )
}

fn not_found(host: &str) -> ApiError {
    ApiError::not_found(format!("Compute host {host} could not be found."))
}
