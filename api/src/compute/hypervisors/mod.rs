//! `/os-hypervisors`: the compute hosts, as what they give.

mod view;

use std::collections::HashMap;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use novella_common::{
    RequestContext,
    db::{Connection, compute_nodes, instances, services},
    models::{Binary, ComputeNode, Instance, Service},
    policy,
};
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    microversion::{FieldTable, Microversion, Served, ServedExt, field},
    services::is_host,
    strict_query,
};
use crate::{authentication::Caller, error::ApiError, links::Links, paging::Page, query::Parameters, state::Api};
use view::{Host, HypervisorBody, HypervisorsBody, StatisticsBody, View};

/// The version from which hypervisors are known by UUID, and found by a query.
const BY_UUID: Microversion = Microversion::v2(53);
/// The version from which lists come in pages.
const PAGES: Microversion = Microversion::v2(33);

/// The routes.
pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(index))
        .routes(routes!(detail))
        .routes(routes!(statistics).served(Served::until(87)))
        .routes(routes!(show))
        .routes(routes!(uptime).served(Served::until(87)))
        .routes(routes!(search).served(Served::until(52)))
        .routes(routes!(servers).served(Served::until(52)))
}

const QUERY: FieldTable = FieldTable(&[
    field("limit").since(33).once(),
    field("marker").since(33).once(),
    field("hypervisor_hostname_pattern").since(53).once(),
    field("with_servers").since(53).once(),
]);

const SHOW_QUERY: FieldTable = FieldTable(&[field("with_servers").since(53).once()]);

/// Lists hypervisors in brief.
#[utoipa::path(
    get,
    path = "/os-hypervisors",
    tag = "hypervisors",
    params(
        ("hypervisor_hostname_pattern" = Option<String>, Query), ("with_servers" = Option<bool>, Query),
        ("limit" = Option<i64>, Query), ("marker" = Option<String>, Query),
    ),
    responses((status = 200, body = HypervisorsBody)),
)]
async fn index(
    State(api): State<Api>,
    caller: Caller,
    version: Microversion,
    links: Links,
    query: Parameters,
) -> Result<Response, ApiError> {
    policy::HYPERVISORS_LIST.check_own(&caller.context)?;
    list(&api, &caller.context, version, &links, &query, false).await
}

/// Lists hypervisors.
#[utoipa::path(
    get,
    path = "/os-hypervisors/detail",
    tag = "hypervisors",
    params(
        ("hypervisor_hostname_pattern" = Option<String>, Query), ("with_servers" = Option<bool>, Query),
        ("limit" = Option<i64>, Query), ("marker" = Option<String>, Query),
    ),
    responses((status = 200, body = HypervisorsBody)),
)]
async fn detail(
    State(api): State<Api>,
    caller: Caller,
    version: Microversion,
    links: Links,
    query: Parameters,
) -> Result<Response, ApiError> {
    policy::HYPERVISORS_LIST_DETAIL.check_own(&caller.context)?;
    list(&api, &caller.context, version, &links, &query, true).await
}

async fn list(
    api: &Api,
    context: &RequestContext,
    version: Microversion,
    links: &Links,
    query: &Parameters,
    detail: bool,
) -> Result<Response, ApiError> {
    strict_query::check(query, &QUERY, version, BY_UUID)?;
    let get = |name: &str| query.get(name).filter(|_| QUERY.has(name, version));
    let pattern = get("hypervisor_hostname_pattern");
    if let Some(other) = pattern.filter(|pattern| !is_host(pattern)) {
        return Err(ApiError::bad_request(format!(
            "Invalid input for query parameters hypervisor_hostname_pattern. Value: {other}. It must have 1 to 255 \
             letters, digits, dots, dashes and underscores."
        )));
    }
    let with_servers = wants_servers(query, version)?;
    let none = Parameters::default();
    let page = Page::from_query(if version >= PAGES { query } else { &none }, api.config.max_limit)?;
    if pattern.is_some() && (get("limit").is_some() || page.marker.is_some()) {
        return Err(ApiError::bad_request(
            "Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not supported.",
        ));
    }
    let mut connection = api.database.read().await?;
    let mut hosts = hosts(&mut connection).await?;
    // By number, so that a page that was seen stays as it is when a host is added.
    hosts.sort_by_key(|host| host.node.id);
    match pattern {
        Some(pattern) => keep_matching(&mut hosts, pattern)?,
        None => {
            if let Some(marker) = &page.marker {
                let at = hosts.iter().position(|host| host.is_called(marker, version));
                let at = at.ok_or_else(|| ApiError::bad_request(format!("marker [{marker}] not found")))?;
                hosts.drain(..=at);
            }
            hosts.truncate(usize::try_from(page.limit).unwrap_or(usize::MAX));
        }
    }
    if with_servers {
        add_servers(&mut connection, &mut hosts).await?;
    }
    drop(connection);
    if detail && version >= Microversion::v2(88) {
        view::ask_uptimes(api, context, &mut hosts).await;
    }
    let last = hosts.last().map(|host| host.id(version));
    let collection = if detail { "os-hypervisors/detail" } else { "os-hypervisors" };
    let next = page.collection_links(query, links, collection, hosts.len(), last.as_deref());
    let next = next.filter(|_| version >= PAGES && pattern.is_none());
    Ok(View { api, version, detail, with_servers }.list(&hosts, next))
}

/// Shows a hypervisor.
#[utoipa::path(
    get,
    path = "/os-hypervisors/{hypervisor_id}",
    tag = "hypervisors",
    params(("hypervisor_id" = String, Path), ("with_servers" = Option<bool>, Query)),
    responses((status = 200, body = HypervisorBody)),
)]
async fn show(
    State(api): State<Api>,
    caller: Caller,
    version: Microversion,
    query: Parameters,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    policy::HYPERVISORS_SHOW.check_own(&caller.context)?;
    strict_query::check(&query, &SHOW_QUERY, version, BY_UUID)?;
    let with_servers = wants_servers(&query, version)?;
    let mut connection = api.database.read().await?;
    let mut found = [find(&mut connection, &id, version).await?];
    if with_servers {
        add_servers(&mut connection, &mut found).await?;
    }
    drop(connection);
    if version >= Microversion::v2(88) {
        view::ask_uptimes(&api, &caller.context, &mut found).await;
    }
    Ok(View { api: &api, version, detail: true, with_servers }.one(&found[0]))
}

/// Shows the sums over all hypervisors.
#[utoipa::path(
    get,
    path = "/os-hypervisors/statistics",
    tag = "hypervisors",
    responses((status = 200, body = StatisticsBody)),
)]
async fn statistics(State(api): State<Api>, caller: Caller) -> Result<Response, ApiError> {
    policy::HYPERVISORS_STATISTICS.check_own(&caller.context)?;
    let hosts = hosts(&mut *api.database.read().await?).await?;
    Ok(Json(StatisticsBody::new(&hosts)).into_response())
}

/// Shows how long a hypervisor has been up.
#[utoipa::path(
    get,
    path = "/os-hypervisors/{hypervisor_id}/uptime",
    tag = "hypervisors",
    params(("hypervisor_id" = String, Path)),
    responses((status = 200)),
)]
async fn uptime(
    State(api): State<Api>,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    policy::HYPERVISORS_UPTIME.check_own(&caller.context)?;
    let mut found = [find(&mut *api.database.read().await?, &id, version).await?];
    view::ask_uptimes(&api, &caller.context, &mut found).await;
    let host = &found[0];
    let Some(uptime) = &host.uptime else {
        let name = &host.node.host;
        return Err(ApiError::bad_request(format!("Compute service of {name} is unavailable at this time.")));
    };
    let view = View { api: &api, version, detail: false, with_servers: false };
    Ok(Json(json!({"hypervisor": view.with_uptime(host, uptime)})).into_response())
}

/// Finds hypervisors by a part of their names.
#[utoipa::path(
    get,
    path = "/os-hypervisors/{pattern}/search",
    tag = "hypervisors",
    params(("pattern" = String, Path)),
    responses((status = 200, body = HypervisorsBody)),
)]
async fn search(
    State(api): State<Api>,
    caller: Caller,
    version: Microversion,
    Path(pattern): Path<String>,
) -> Result<Response, ApiError> {
    policy::HYPERVISORS_SEARCH.check_own(&caller.context)?;
    let mut hosts = hosts(&mut *api.database.read().await?).await?;
    keep_matching(&mut hosts, &pattern)?;
    Ok(View { api: &api, version, detail: false, with_servers: false }.list(&hosts, None))
}

/// Finds hypervisors by a part of their names, with the servers on them.
#[utoipa::path(
    get,
    path = "/os-hypervisors/{pattern}/servers",
    tag = "hypervisors",
    params(("pattern" = String, Path)),
    responses((status = 200, body = HypervisorsBody)),
)]
async fn servers(
    State(api): State<Api>,
    caller: Caller,
    version: Microversion,
    Path(pattern): Path<String>,
) -> Result<Response, ApiError> {
    policy::HYPERVISORS_SERVERS.check_own(&caller.context)?;
    let mut connection = api.database.read().await?;
    let mut hosts = hosts(&mut connection).await?;
    keep_matching(&mut hosts, &pattern)?;
    add_servers(&mut connection, &mut hosts).await?;
    Ok(View { api: &api, version, detail: false, with_servers: true }.list(&hosts, None))
}

fn wants_servers(query: &Parameters, version: Microversion) -> Result<bool, ApiError> {
    if version < BY_UUID {
        return Ok(false);
    }
    Ok(query.boolean("with_servers").transpose()?.unwrap_or(false))
}

/// Every host that has said hello, and has a service.
async fn hosts(connection: &mut Connection) -> Result<Vec<Host>, ApiError> {
    let mut by_host: HashMap<String, Service> = services::list(connection, Some(Binary::Compute.as_str()), None)
        .await?
        .into_iter()
        .map(|service| (service.host.clone(), service))
        .collect();
    let load: HashMap<String, (i64, i64)> = instances::list::load_by_host(connection)
        .await?
        .into_iter()
        .map(|(host, instances, busy)| (host, (instances, busy)))
        .collect();
    let host = |node: ComputeNode| {
        let service = by_host.remove(&node.host)?;
        let (instances, busy) = load.get(&node.host).copied().unwrap_or_default();
        Some(Host { node, service, instances, busy, servers: Vec::new(), uptime: None })
    };
    Ok(compute_nodes::list(connection).await?.into_iter().filter_map(host).collect())
}

async fn find(connection: &mut Connection, id: &str, version: Microversion) -> Result<Host, ApiError> {
    if version >= BY_UUID && Uuid::try_parse(id).is_err() {
        return Err(ApiError::bad_request(format!("Invalid uuid {id}")));
    }
    let found = hosts(connection).await?.into_iter().find(|host| host.is_called(id, version));
    found.ok_or_else(|| ApiError::not_found(format!("Hypervisor with ID '{id}' could not be found.")))
}

fn keep_matching(hosts: &mut Vec<Host>, pattern: &str) -> Result<(), ApiError> {
    hosts.retain(|host| host.node.inventory.hypervisor_hostname.contains(pattern));
    if hosts.is_empty() {
        return Err(ApiError::not_found(format!("No hypervisor matching '{pattern}' could be found.")));
    }
    Ok(())
}

async fn add_servers(connection: &mut Connection, hosts: &mut [Host]) -> Result<(), ApiError> {
    for host in hosts {
        let found = instances::on_host(connection, &host.node.host).await?;
        host.servers = found.into_iter().map(|Instance { uuid, name, .. }| (uuid, name)).collect();
    }
    Ok(())
}
