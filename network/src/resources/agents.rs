//! `/agents`: what does Networking's work on hosts.
//!
//! There is one agent for DHCP and one for routers, which are this component itself, and one for each compute host that has
//! ports bound to it. None is a process of its own: an agent is alive as long as the component answers. What is scheduled to
//! one is kept.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use jiff::Timestamp;
use novella_common::{
    db::{Connection, list::List},
    sql,
};
use novella_rest::{ApiError, Operation, Path, delete, get, policy::EVERYBODY, post, put, truth};
use serde_json::{Map, Value, json};

use super::{ZONE, networks::Network, routers::Router};
use crate::{
    Networking, Request,
    errors::{conflict, missing},
    policy,
    resource::{self, Wanted, find, is_admin, rows_by, views},
};

/// The kinds of agents.
const DHCP: &str = "DHCP agent";
const L3: &str = "L3 agent";
const SWITCH: &str = "Open vSwitch agent";

/// The host of the agents that are this component.
const SELF: &str = "novella";

/// The operations.
pub(super) fn operations() -> Vec<Operation<Networking>> {
    vec![
        // Whoever asks is answered; only administrators see something.
        get("/agents", EVERYBODY, index),
        get("/agents/{agent_id}", EVERYBODY, show),
        put("/agents/{agent_id}", policy::UPDATE_AGENT, update),
        get("/agents/{agent_id}/dhcp-networks", policy::GET_DHCP_NETWORKS, dhcp_networks),
        post("/agents/{agent_id}/dhcp-networks", policy::CREATE_DHCP_NETWORK, add_network).status(201),
        delete("/agents/{agent_id}/dhcp-networks/{network_id}", policy::DELETE_DHCP_NETWORK, remove_network)
            .status(204),
        get("/networks/{network_id}/dhcp-agents", policy::GET_DHCP_AGENTS, dhcp_agents),
        get("/agents/{agent_id}/l3-routers", policy::GET_L3_ROUTERS, l3_routers),
        post("/agents/{agent_id}/l3-routers", policy::CREATE_L3_ROUTER, add_router).status(201),
        delete("/agents/{agent_id}/l3-routers/{router_id}", policy::DELETE_L3_ROUTER, remove_router).status(204),
        get("/routers/{router_id}/l3-agents", policy::GET_L3_AGENTS, l3_agents),
    ]
}

/// An agent.
struct Agent {
    id: String,
    kind: &'static str,
    host: String,
    admin_state_up: bool,
    description: Option<String>,
}

impl Agent {
    fn view(&self, since: Timestamp) -> Value {
        let (binary, topic, configurations) = match self.kind {
            DHCP => ("neutron-dhcp-agent", "dhcp_agent", json!({"dhcp_driver": "novella"})),
            L3 => {
                ("neutron-l3-agent", "l3_agent", json!({"agent_mode": "legacy", "handle_internal_only_routers": true}))
            }
            _ => ("neutron-openvswitch-agent", "N/A", json!({"tunnel_types": ["vxlan"]})),
        };
        let zone = (self.kind != SWITCH).then_some(ZONE);
        let time =
            |time: Timestamp| jiff::tz::TimeZone::UTC.to_datetime(time).strftime("%Y-%m-%d %H:%M:%S").to_string();
        json!({
            "id": self.id, "agent_type": self.kind, "binary": binary, "host": self.host, "topic": topic, "alive": true,
            "admin_state_up": self.admin_state_up, "availability_zone": zone, "configurations": configurations,
            "created_at": time(since), "started_at": time(since), "heartbeat_timestamp": time(Timestamp::now()),
            "description": self.description, "resources_synced": null,
        })
    }
}

/// The id of an agent: the same whenever it is asked for.
fn id_of(kind: &str, host: &str) -> String {
    // A hash that is written like an id.
    let hash = |salt: u64| {
        let mut sum = 0xcbf2_9ce4_8422_2325u64 ^ salt;
        for byte in kind.bytes().chain([0]).chain(host.bytes()) {
            sum = (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        sum
    };
    let bits = (u128::from(hash(0)) << 64) | u128::from(hash(0x9e37_79b9_7f4a_7c15));
    uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid().to_string()
}

async fn all(connection: &mut Connection) -> Result<Vec<Agent>, ApiError> {
    let hosts: Vec<String> = sql!("SELECT DISTINCT host_id FROM ports WHERE host_id <> " ("") " ORDER BY host_id")
        .fetch_all(connection)
        .await?;
    let changed: Vec<(String, bool, Option<String>)> =
        sql!("SELECT id, admin_state_up, description FROM network_agents").fetch_all(connection).await?;
    let own = [(DHCP, SELF.to_owned()), (L3, SELF.to_owned())];
    let of_hosts = hosts.into_iter().map(|host| (SWITCH, host));
    Ok(own
        .into_iter()
        .chain(of_hosts)
        .map(|(kind, host)| {
            let id = id_of(kind, &host);
            let change = changed.iter().find(|(changed, _, _)| *changed == id);
            let (admin_state_up, description) =
                change.map_or((true, None), |(_, up, description)| (*up, description.clone()));
            Agent { id, kind, host, admin_state_up, description }
        })
        .collect())
}

async fn one(connection: &mut Connection, id: &str) -> Result<Agent, ApiError> {
    let found = all(connection).await?.into_iter().find(|agent| agent.id == id);
    found.ok_or_else(|| missing("AgentNotFound", format!("Agent {id} could not be found.")))
}

async fn of_kind(connection: &mut Connection, id: &str, kind: &'static str) -> Result<Agent, ApiError> {
    let agent = one(connection, id).await?;
    if agent.kind == kind {
        return Ok(agent);
    }
    Err(conflict(
        if kind == DHCP { "InvalidDHCPAgent" } else { "InvalidL3Agent" },
        format!("Agent {id} is not a valid {kind} or has been disabled"),
    ))
}

fn cut(request: &Request, view: Value) -> Value {
    let fields: Vec<&str> = request.query.all("fields").collect();
    match view {
        Value::Object(view) if !fields.is_empty() => {
            Value::Object(view.into_iter().filter(|(name, _)| fields.contains(&name.as_str())).collect::<Map<_, _>>())
        }
        view => view,
    }
}

async fn index(request: Request) -> Result<Json<Value>, ApiError> {
    // Others see that there is a list, and nothing in it.
    if !is_admin(&request) {
        return Ok(Json(json!({"agents": []})));
    }
    let agents = all(&mut *request.state.database.read().await?).await?;
    let fits = |view: &Value| {
        request.query.iter().filter(|(name, _)| view.get(*name).is_some()).all(|(name, _)| {
            request.query.all(name).any(|value| match &view[name] {
                // Clients write the types as they like.
                Value::String(text) => text.eq_ignore_ascii_case(value),
                Value::Bool(flag) => truth(value) == Some(*flag),
                _ => false,
            })
        })
    };
    let views: Vec<Value> = agents
        .iter()
        .map(|agent| agent.view(request.state.since))
        .filter(fits)
        .map(|view| cut(&request, view))
        .collect();
    Ok(Json(json!({"agents": views})))
}

async fn show(request: Request, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    if !is_admin(&request) {
        return Err(missing("AgentNotFound", format!("Agent {id} could not be found.")));
    }
    let agent = one(&mut *request.state.database.read().await?, &id).await?;
    Ok(Json(json!({"agent": cut(&request, agent.view(request.state.since))})))
}

async fn update(mut request: Request, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let body = resource::body_of(request.json().await?, "agent")?.clone();
    let mut transaction = request.state.database.begin().await?;
    let mut agent = one(&mut transaction, &id).await?;
    for (name, value) in &body {
        let refuse = |refusal: crate::attributes::checks::Refusal| refusal.of(name);
        match name.as_str() {
            "admin_state_up" => {
                let up = crate::attributes::checks::boolean(value).map_err(refuse)?;
                agent.admin_state_up = up.as_bool().unwrap_or(true);
            }
            "description" => {
                let text = crate::attributes::checks::text_or_null(value).map_err(refuse)?;
                agent.description = text.as_str().map(ToOwned::to_owned);
            }
            other => return Err(ApiError::bad_request(format!("Cannot update read-only attribute {other}"))),
        }
    }
    sql!(
        "INSERT INTO network_agents (id, admin_state_up, description) VALUES (" (agent.id) ", " (agent.admin_state_up)
        ", " (agent.description) ") ON CONFLICT (id) DO UPDATE SET admin_state_up = excluded.admin_state_up, \
         description = excluded.description"
    )
    .execute(&mut transaction)
    .await?;
    transaction.commit().await?;
    Ok(Json(json!({"agent": agent.view(request.state.since)})))
}

/// What was taken from an agent, or given to it, against what it does by itself: everything.
async fn taken(connection: &mut Connection, kind: &str) -> Result<Vec<String>, ApiError> {
    Ok(sql!("SELECT object_id FROM network_agent_exceptions WHERE kind = "(kind)).fetch_all(connection).await?)
}

async fn set_taken(connection: &mut Connection, kind: &str, id: &str, out: bool) -> Result<bool, ApiError> {
    let mut sql = match out {
        true => sql!(
            "INSERT INTO network_agent_exceptions (kind, object_id) VALUES (" (kind) ", " (id)
            ") ON CONFLICT (kind, object_id) DO NOTHING"
        ),
        false => sql!("DELETE FROM network_agent_exceptions WHERE kind = " (kind) " AND object_id = " (id)),
    };
    Ok(sql.execute_one(connection).await?)
}

/// The networks that have DHCP, but those that were taken from the agent.
async fn served_networks(connection: &mut Connection) -> Result<Vec<String>, ApiError> {
    Ok(sql!(
        "SELECT DISTINCT network_id FROM subnets WHERE enable_dhcp AND network_id NOT IN (SELECT object_id FROM \
         network_agent_exceptions WHERE kind = " (DHCP) ") ORDER BY network_id"
    )
    .fetch_all(connection)
    .await?)
}

async fn dhcp_networks(request: Request, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let mut connection = request.state.database.read().await?;
    one(&mut connection, &id).await?;
    let mut networks: Vec<Network> = Vec::new();
    if one(&mut connection, &id).await?.kind == DHCP {
        let mut ids = served_networks(&mut connection).await?;
        let added: Vec<String> = taken(&mut connection, ADDED_NETWORK).await?;
        ids.extend(added);
        networks = rows_by(&mut connection, "id", ids).await?;
    }
    let networks = views(&request, &mut connection, &networks, &Wanted::all()).await?;
    Ok(Json(json!({"networks": networks})))
}

/// Networks without DHCP that were given to the agent all the same.
const ADDED_NETWORK: &str = "DHCP agent, added";

async fn add_network(mut request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let network = request.json().await?.get("network_id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut transaction = request.state.database.begin().await?;
    of_kind(&mut transaction, &id, DHCP).await?;
    find::<Network>(&request, &mut transaction, &network).await?;
    let served = served_networks(&mut transaction).await?.contains(&network);
    let back = set_taken(&mut transaction, DHCP, &network, false).await?;
    let new = back || (!served && set_taken(&mut transaction, ADDED_NETWORK, &network, true).await?);
    if !new {
        return Err(conflict(
            "NetworkHostedByDHCPAgent",
            format!("The network {network} has been already hosted by the DHCP Agent {id}."),
        ));
    }
    transaction.commit().await?;
    Ok((StatusCode::CREATED, Json(Value::Null)).into_response())
}

async fn remove_network(request: Request, Path((id, network)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    of_kind(&mut transaction, &id, DHCP).await?;
    let added = set_taken(&mut transaction, ADDED_NETWORK, &network, false).await?;
    let served = served_networks(&mut transaction).await?.contains(&network);
    if served {
        set_taken(&mut transaction, DHCP, &network, true).await?;
    } else if !added {
        return Err(conflict(
            "NetworkNotHostedByDhcpAgent",
            format!("The network {network} is not hosted by the DHCP agent {id}."),
        ));
    }
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn dhcp_agents(request: Request, Path(network): Path<String>) -> Result<Json<Value>, ApiError> {
    let mut connection = request.state.database.read().await?;
    find::<Network>(&request, &mut connection, &network).await?;
    let served = served_networks(&mut connection).await?.contains(&network)
        || taken(&mut connection, ADDED_NETWORK).await?.contains(&network);
    agents_of(&request, &mut connection, DHCP, served).await
}

async fn agents_of(
    request: &Request,
    connection: &mut Connection,
    kind: &str,
    served: bool,
) -> Result<Json<Value>, ApiError> {
    let agents = all(connection).await?;
    let views: Vec<Value> = agents
        .iter()
        .filter(|agent| served && agent.kind == kind)
        .map(|agent| agent.view(request.state.since))
        .collect();
    Ok(Json(json!({"agents": views})))
}

async fn l3_routers(request: Request, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let mut connection = request.state.database.read().await?;
    let mut routers: Vec<Router> = Vec::new();
    if one(&mut connection, &id).await?.kind == L3 {
        let out = taken(&mut connection, L3).await?;
        routers = List::<Router>::all().page(&mut connection).await?.unwrap_or_default();
        routers.retain(|router| !out.contains(&router.id));
    }
    let routers = views(&request, &mut connection, &routers, &Wanted::all()).await?;
    Ok(Json(json!({"routers": routers})))
}

async fn add_router(mut request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let router = request.json().await?.get("router_id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut transaction = request.state.database.begin().await?;
    of_kind(&mut transaction, &id, L3).await?;
    find::<Router>(&request, &mut transaction, &router).await?;
    if !set_taken(&mut transaction, L3, &router, false).await? {
        return Err(conflict(
            "RouterHostedByL3Agent",
            format!("The router {router} has already been hosted by the L3 Agent {id}."),
        ));
    }
    transaction.commit().await?;
    Ok((StatusCode::CREATED, Json(Value::Null)).into_response())
}

async fn remove_router(request: Request, Path((id, router)): Path<(String, String)>) -> Result<StatusCode, ApiError> {
    let mut transaction = request.state.database.begin().await?;
    of_kind(&mut transaction, &id, L3).await?;
    if !set_taken(&mut transaction, L3, &router, true).await? {
        return Err(conflict(
            "RouterNotHostedByL3Agent",
            format!("The router {router} is not hosted by L3 agent {id}."),
        ));
    }
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn l3_agents(request: Request, Path(router): Path<String>) -> Result<Json<Value>, ApiError> {
    let mut connection = request.state.database.read().await?;
    find::<Router>(&request, &mut connection, &router).await?;
    let served = !taken(&mut connection, L3).await?.contains(&router);
    agents_of(&request, &mut connection, L3, served).await
}
