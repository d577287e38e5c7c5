//! `/os-hypervisors`: the compute hosts, as what they give.

mod view;

use std::collections::HashMap;

use axum::response::Response;
use novella_common::{
    db::{Connection, compute_nodes, instances, services},
    models::{Binary, ComputeNode, Instance, Service},
};
use novella_rest::{ApiError, FieldTable, Microversion, Operation, Parameters, Path, field, get, paging::Page};
use uuid::Uuid;

use super::services::is_host;
use crate::{Request, policy, state::Api};
use view::{Host, Hypervisor, Statistics, View};

/// The version from which hypervisors are known by UUID, and found by a query.
const BY_UUID: u16 = 53;
/// The version from which lists come in pages.
const PAGES: u16 = 33;

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    vec![
        get("/os-hypervisors", policy::HYPERVISORS_LIST, index)
            .query(QUERY, BY_UUID)
            .answers_list::<Hypervisor>("hypervisors"),
        get("/os-hypervisors/detail", policy::HYPERVISORS_LIST_DETAIL, detail)
            .query(QUERY, BY_UUID)
            .answers_list::<Hypervisor>("hypervisors"),
        get("/os-hypervisors/statistics", policy::HYPERVISORS_STATISTICS, statistics)
            .until(87)
            .answers::<Statistics>("hypervisor_statistics"),
        get("/os-hypervisors/{hypervisor_id}", policy::HYPERVISORS_SHOW, show)
            .query(SHOW_QUERY, BY_UUID)
            .answers::<Hypervisor>("hypervisor"),
        get("/os-hypervisors/{hypervisor_id}/uptime", policy::HYPERVISORS_UPTIME, uptime).until(87),
        get("/os-hypervisors/{hypervisor_id}/search", policy::HYPERVISORS_SEARCH, search)
            .until(52)
            .answers_list::<Hypervisor>("hypervisors"),
        get("/os-hypervisors/{hypervisor_id}/servers", policy::HYPERVISORS_SERVERS, servers)
            .until(52)
            .answers_list::<Hypervisor>("hypervisors"),
    ]
}

const QUERY: FieldTable = FieldTable(&[
    field("limit").since(33).once(),
    field("marker").since(33).once(),
    field("hypervisor_hostname_pattern").since(53).once(),
    field("with_servers").since(53).once(),
]);

const SHOW_QUERY: FieldTable = FieldTable(&[field("with_servers").since(53).once()]);

async fn index(request: Request) -> Result<Response, ApiError> {
    list(&request, false).await
}

async fn detail(request: Request) -> Result<Response, ApiError> {
    list(&request, true).await
}

async fn list(request: &Request, detail: bool) -> Result<Response, ApiError> {
    let (query, version) = (&request.query, request.version);
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
    let page = Page::from_query(if version.at_least(PAGES) { query } else { &none }, request.config.max_limit)?;
    if pattern.is_some() && (get("limit").is_some() || page.marker.is_some()) {
        return Err(ApiError::bad_request(
            "Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not supported.",
        ));
    }
    let mut connection = request.state.database.read().await?;
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
    if detail && version.at_least(88) {
        view::ask_uptimes(request, &mut hosts).await;
    }
    let last = hosts.last().map(|host| host.id(version));
    let collection = if detail { "os-hypervisors/detail" } else { "os-hypervisors" };
    let next = page.next_link(query, &request.links, collection, hosts.len(), last.as_deref());
    let next = next.filter(|_| version.at_least(PAGES) && pattern.is_none());
    Ok(View { request, detail, with_servers }.list(&hosts, next))
}

async fn show(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let with_servers = wants_servers(&request.query, request.version)?;
    let mut connection = request.state.database.read().await?;
    let mut found = [find(&mut connection, &id, request.version).await?];
    if with_servers {
        add_servers(&mut connection, &mut found).await?;
    }
    drop(connection);
    if request.version.at_least(88) {
        view::ask_uptimes(&request, &mut found).await;
    }
    Ok(View { request: &request, detail: true, with_servers }.one(&found[0]))
}

/// Shows the sums over all hypervisors.
async fn statistics(request: Request) -> Result<Response, ApiError> {
    let hosts = hosts(&mut *request.state.database.read().await?).await?;
    Ok(request.plain("hypervisor_statistics", Statistics::new(&hosts)))
}

/// Shows how long a hypervisor has been up.
async fn uptime(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let mut found = [find(&mut *request.state.database.read().await?, &id, request.version).await?];
    view::ask_uptimes(&request, &mut found).await;
    let host = &found[0];
    let Some(uptime) = &host.uptime else {
        let name = &host.node.host;
        return Err(ApiError::bad_request(format!("Compute service of {name} is unavailable at this time.")));
    };
    let view = View { request: &request, detail: false, with_servers: false };
    Ok(request.plain("hypervisor", view.with_uptime(host, uptime)))
}

/// Finds hypervisors by a part of their names.
async fn search(request: Request, Path(pattern): Path<String>) -> Result<Response, ApiError> {
    let mut hosts = hosts(&mut *request.state.database.read().await?).await?;
    keep_matching(&mut hosts, &pattern)?;
    Ok(View { request: &request, detail: false, with_servers: false }.list(&hosts, None))
}

/// Finds hypervisors by a part of their names, with the servers on them.
async fn servers(request: Request, Path(pattern): Path<String>) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    let mut hosts = hosts(&mut connection).await?;
    keep_matching(&mut hosts, &pattern)?;
    add_servers(&mut connection, &mut hosts).await?;
    Ok(View { request: &request, detail: false, with_servers: true }.list(&hosts, None))
}

fn wants_servers(query: &Parameters, version: Microversion) -> Result<bool, ApiError> {
    if version.before(BY_UUID) {
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
    if version.at_least(BY_UUID) && Uuid::try_parse(id).is_err() {
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
