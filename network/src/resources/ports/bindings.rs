//! `/ports/{port_id}/bindings`: on which hosts a port is, or is about to be. One is active; a live migration makes another
//! one beforehand, and activates it at the switch.

use axum::{
    Json as Body,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use novella_common::{
    db::{Connection, Json},
    sql,
};
use novella_rest::{ApiError, Operation, Path, delete, get, post, put};
use serde_json::{Map, Value, json};

use super::{Port, options};
use crate::{
    Networking, Request,
    attributes::Fields as _,
    errors::{conflict, disallowed, missing},
    policy,
    resource::{Work, find, is_admin, is_service, locked, swap},
};

/// What a bound port is plugged with.
pub(super) fn vif() -> (String, Map<String, Value>) {
    let details = json!({
        "connectivity": "l2", "port_filter": true, "ovs_hybrid_plug": false, "ovs_create_tap": true,
        "datapath_type": "system", "bridge_name": "br-int", "bound_drivers": {"0": "openvswitch"},
    });
    let Value::Object(details) = details else { return ("ovs".to_owned(), Map::new()) };
    ("ovs".to_owned(), details)
}

/// A binding that is not the active one.
struct Inactive {
    host: String,
    vnic_type: String,
    profile: Map<String, Value>,
}

/// The operations.
pub(super) fn operations() -> Vec<Operation<Networking>> {
    const ALL: &str = "/ports/{port_id}/bindings";
    const ONE: &str = "/ports/{port_id}/bindings/{host}";
    vec![
        get(ALL, policy::GET_PORT_BINDING, list),
        get(ONE, policy::GET_PORT_BINDING, show),
        post(ALL, policy::CREATE_PORT_BINDING, create).status(201),
        delete(ONE, policy::DELETE_PORT_BINDING, remove).status(204),
        put("/ports/{port_id}/bindings/{host}/activate", policy::ACTIVATE, activate),
    ]
}

fn view(host: &str, vnic_type: &str, profile: &Map<String, Value>, active: bool) -> Value {
    let (vif_type, vif_details) = vif();
    json!({
        "host": host, "vif_type": vif_type, "vnic_type": vnic_type, "profile": profile, "vif_details": vif_details,
        "status": if active { "ACTIVE" } else { "INACTIVE" },
    })
}

fn active(port: &Port) -> Value {
    view(&port.host_id, &port.vnic_type, &port.profile, true)
}

async fn inactive(connection: &mut Connection, port: &str) -> Result<Vec<Inactive>, ApiError> {
    let found = inactive_of(connection, &[port]).await?;
    Ok(found.into_iter().map(|(_, host, vnic_type, profile)| Inactive { host, vnic_type, profile }).collect())
}

/// The bindings of these ports that are not active: the port, the host, what the port is there and how it is bound.
pub(crate) async fn inactive_of(
    connection: &mut Connection,
    ports: &[&str],
) -> Result<Vec<(String, String, String, Map<String, Value>)>, ApiError> {
    let mut sql = sql!("SELECT port_id, host, vnic_type, profile FROM port_bindings WHERE port_id");
    let rows: Vec<(String, String, String, Json<Map<String, Value>>)> =
        sql.is_in(ports).push(" ORDER BY port_id, host").fetch_all(connection).await?;
    Ok(rows.into_iter().map(|(port, host, vnic_type, profile)| (port, host, vnic_type, profile.0)).collect())
}

fn no_binding(port: &str, host: &str) -> ApiError {
    missing("PortBindingNotFound", format!("Binding for port {port} for host {host} could not be found."))
}

/// Only services bind ports.
fn check_service(request: &Request, rule: &str) -> Result<(), ApiError> {
    if is_service(request) { Ok(()) } else { Err(disallowed(&format!("rule:{rule}"))) }
}

async fn all(request: &Request, port: &str) -> Result<Vec<Value>, ApiError> {
    if !is_admin(request) && !is_service(request) {
        return Err(disallowed("rule:get_port_binding"));
    }
    let mut connection = request.state.database.read().await?;
    let port = find::<Port>(request, &mut connection, port).await?;
    let mut bindings = Vec::new();
    if !port.host_id.is_empty() {
        bindings.push(active(&port));
    }
    for other in inactive(&mut connection, &port.id).await? {
        bindings.push(view(&other.host, &other.vnic_type, &other.profile, false));
    }
    Ok(bindings)
}

async fn list(request: Request, Path(port): Path<String>) -> Result<Body<Value>, ApiError> {
    Ok(Body(json!({"bindings": all(&request, &port).await?})))
}

async fn show(request: Request, Path((port, host)): Path<(String, String)>) -> Result<Body<Value>, ApiError> {
    let binding = all(&request, &port).await?.into_iter().find(|binding| binding["host"] == host);
    Ok(Body(json!({"binding": binding.ok_or_else(|| no_binding(&port, &host))?})))
}

async fn create(mut request: Request, Path(port): Path<String>) -> Result<Response, ApiError> {
    check_service(&request, "create_port_binding")?;
    let body = crate::resource::body_of(request.json().await?, "binding")?.clone();
    let refuse = |name: &'static str| move |refusal: crate::attributes::checks::Refusal| refusal.of(name);
    let host = body
        .get("host")
        .ok_or_else(|| ApiError::bad_request("Failed to parse request. Required attribute 'host' not specified"))?;
    let host = options::host(host).map_err(refuse("host"))?.as_str().unwrap_or_default().to_owned();
    let vnic_type = match body.get("vnic_type") {
        Some(kind) => options::vnic_type(kind).map_err(refuse("vnic_type"))?,
        None => "normal".into(),
    };
    let vnic_type = vnic_type.as_str().unwrap_or_default().to_owned();
    let profile = options::profile(body.get("profile").unwrap_or(&Value::Null)).map_err(refuse("profile"))?;
    let profile: Map<String, Value> = crate::attributes::read("profile", &profile)?;
    let mut work = Work::begin(&request).await?;
    let row = locked::<Port>(&mut work, &port).await?;
    let exists =
        || conflict("PortBindingAlreadyExists", format!("Binding for port {port} on host {host} already exists."));
    if row.host_id == host {
        return Err(exists());
    }
    let made = sql!(
        "INSERT INTO port_bindings (port_id, host, vnic_type, profile) VALUES (" (row.id) ", " (host) ", " (vnic_type)
        ", " (Json(&profile)) ") ON CONFLICT (port_id, host) DO NOTHING"
    )
    .execute_one(&mut work.transaction)
    .await?;
    if !made {
        return Err(exists());
    }
    work.commit().await?;
    Ok((StatusCode::CREATED, Body(json!({"binding": view(&host, &vnic_type, &profile, false)}))).into_response())
}

/// Makes a binding the active one. The one that was is kept, inactive.
async fn activate(request: Request, Path((port, host)): Path<(String, String)>) -> Result<Body<Value>, ApiError> {
    check_service(&request, "activate")?;
    let mut work = Work::begin(&request).await?;
    let mut row = locked::<Port>(&mut work, &port).await?;
    if row.host_id == host {
        return Err(conflict(
            "PortBindingAlreadyActive",
            format!("Binding for port {port} on host {host} is already active."),
        ));
    }
    let others = inactive(&mut work.transaction, &row.id).await?;
    let Some(next) = others.into_iter().find(|other| other.host == host) else {
        return Err(no_binding(&port, &host));
    };
    sql!("DELETE FROM port_bindings WHERE port_id = " (row.id) " AND host = " (host))
        .execute(&mut work.transaction)
        .await?;
    if !row.host_id.is_empty() {
        sql!(
            "INSERT INTO port_bindings (port_id, host, vnic_type, profile) VALUES (" (row.id) ", " (row.host_id) ", "
            (row.vnic_type) ", " (Json(&row.profile)) ")"
        )
        .execute(&mut work.transaction)
        .await?;
    }
    let seen = row.revision_number;
    row.host_id = next.host;
    row.vnic_type = next.vnic_type;
    row.profile = next.profile;
    row.bind();
    row.bump(work.now);
    swap(&mut work.transaction, seen, &row).await?;
    work.touched.port(&row);
    work.commit().await?;
    Ok(Body(active(&row)))
}

async fn remove(request: Request, Path((port, host)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    check_service(&request, "delete_port_binding")?;
    let mut work = Work::begin(&request).await?;
    let mut row = locked::<Port>(&mut work, &port).await?;
    if row.host_id == host && !host.is_empty() {
        let seen = row.revision_number;
        row.host_id = String::new();
        row.profile = Map::new();
        row.bind();
        row.bump(work.now);
        swap(&mut work.transaction, seen, &row).await?;
        work.touched.port(&row);
    } else {
        let gone = sql!("DELETE FROM port_bindings WHERE port_id = " (row.id) " AND host = " (host))
            .execute_one(&mut work.transaction)
            .await?;
        if !gone {
            return Err(no_binding(&port, &host));
        }
    }
    work.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
