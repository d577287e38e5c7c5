//! `/os-hypervisors`: the compute hosts, as what they give.

mod view;

use std::collections::HashMap;

use axum::response::Response;
use novella_common::{
    db::{
        Connection, instances,
        list::{Condition, Direction, List, Pattern, SortKey},
        services,
    },
    ids::InstanceUuid,
    models::{Binary, ComputeNode, Service},
    sql,
};
use novella_rest::{
    ApiError, FieldTable, Microversion, Operation, Parameters, Path, field, get,
    list::{ListDescription, own},
};
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
            .list(&HYPERVISORS, BY_UUID)
            .answers_list::<Hypervisor>("hypervisors"),
        get("/os-hypervisors/detail", policy::HYPERVISORS_LIST_DETAIL, detail)
            .list(&HYPERVISORS, BY_UUID)
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

/// What can be asked of a list of hypervisors. By number, so that a page that was seen stays as it is when a host is
/// added.
static HYPERVISORS: ListDescription = ListDescription {
    filters: &[own("hypervisor_hostname_pattern").since(BY_UUID).once(), own("with_servers").since(BY_UUID).once()],
    sort_keys: &[],
    default_sort: &[(SortKey::int("id"), Direction::Ascending)],
    paging: &[field("limit").since(PAGES).once(), field("marker").since(PAGES).once()],
    marker: |version| version.at_least(BY_UUID).then(|| SortKey::uuid("uuid")),
    no_marker: |marker| format!("marker [{marker}] not found"),
};

const SHOW_QUERY: FieldTable = FieldTable(&[field("with_servers").since(53).once()]);

async fn index(request: Request) -> Result<Response, ApiError> {
    list(&request, false).await
}

async fn detail(request: Request) -> Result<Response, ApiError> {
    list(&request, true).await
}

async fn list(request: &Request, detail: bool) -> Result<Response, ApiError> {
    let pattern = request.filter_value(&HYPERVISORS, "hypervisor_hostname_pattern");
    if let Some(other) = pattern.filter(|pattern| !is_host(pattern)) {
        return Err(ApiError::bad_request(format!(
            "Invalid input for query parameters hypervisor_hostname_pattern. Value: {other}. It must have 1 to 255 \
             letters, digits, dots, dashes and underscores."
        )));
    }
    if pattern.is_some() && (request.query.get("limit").is_some() || request.query.get("marker").is_some()) {
        return Err(ApiError::bad_request(
            "Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not supported.",
        ));
    }
    let with_servers = wants_servers(&request.query, request.version)?;
    let listing = request.list::<ComputeNode>(&HYPERVISORS)?.visible(has_service()).filter_by(pattern.map(named));
    let mut connection = request.state.database.read().await?;
    let found = listing.page(&mut connection).await?;
    if let Some(pattern) = pattern.filter(|_| found.items.is_empty()) {
        return Err(no_match(pattern));
    }
    let collection = if detail { "os-hypervisors/detail" } else { "os-hypervisors" };
    let by_uuid = request.version.at_least(BY_UUID);
    let id = |node: &ComputeNode| if by_uuid { node.uuid.clone() } else { node.id.to_string() };
    let next = request.next_link(&found, collection, id).filter(|_| pattern.is_none());
    let mut hosts = hosts(&mut connection, found.items).await?;
    if with_servers {
        add_servers(&mut connection, &mut hosts).await?;
    }
    let fresh_since = request.state.fresh_since(&mut connection).await?;
    drop(connection);
    let view = View { request, fresh_since, detail, with_servers };
    if detail && request.version.at_least(88) {
        view.ask_uptimes(&mut hosts).await;
    }
    Ok(view.list(&hosts, next))
}

/// Hosts that have a service: those that have said hello, and were not deleted since.
fn has_service() -> Condition {
    Condition::raw(sql!(
        "EXISTS (SELECT 1 FROM services s WHERE s.host = compute_nodes.host AND s.binary_name = " (Binary::Compute) ")"
    ))
}

/// Hosts with this in their names.
fn named(pattern: &str) -> Condition {
    Condition::text("(inventory ->> 'hypervisor_hostname')", &Pattern::Contains(pattern.to_owned()))
}

async fn show(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let with_servers = wants_servers(&request.query, request.version)?;
    let mut connection = request.state.database.read().await?;
    let mut found = [find(&mut connection, &id, request.version).await?];
    if with_servers {
        add_servers(&mut connection, &mut found).await?;
    }
    let fresh_since = request.state.fresh_since(&mut connection).await?;
    drop(connection);
    let view = View { request: &request, fresh_since, detail: true, with_servers };
    if request.version.at_least(88) {
        view.ask_uptimes(&mut found).await;
    }
    Ok(view.one(&found[0]))
}

/// Shows the sums over all hypervisors.
async fn statistics(request: Request) -> Result<Response, ApiError> {
    let hosts = matching(&mut *request.state.database.read().await?, None).await?;
    Ok(request.plain("hypervisor_statistics", Statistics::new(&hosts)))
}

/// Shows how long a hypervisor has been up.
async fn uptime(request: Request, Path(id): Path<String>) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    let mut found = [find(&mut connection, &id, request.version).await?];
    let fresh_since = request.state.fresh_since(&mut connection).await?;
    drop(connection);
    let view = View { request: &request, fresh_since, detail: false, with_servers: false };
    view.ask_uptimes(&mut found).await;
    let host = &found[0];
    let Some(uptime) = &host.uptime else {
        let name = &host.node.host;
        return Err(ApiError::bad_request(format!("Compute service of {name} is unavailable at this time.")));
    };
    Ok(request.plain("hypervisor", view.with_uptime(host, uptime)))
}

/// Finds hypervisors by a part of their names.
async fn search(request: Request, Path(pattern): Path<String>) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    let hosts = matching(&mut connection, Some(&pattern)).await?;
    let fresh_since = request.state.fresh_since(&mut connection).await?;
    Ok(View { request: &request, fresh_since, detail: false, with_servers: false }.list(&hosts, None))
}

/// Finds hypervisors by a part of their names, with the servers on them.
async fn servers(request: Request, Path(pattern): Path<String>) -> Result<Response, ApiError> {
    let mut connection = request.state.database.read().await?;
    let mut hosts = matching(&mut connection, Some(&pattern)).await?;
    add_servers(&mut connection, &mut hosts).await?;
    let fresh_since = request.state.fresh_since(&mut connection).await?;
    Ok(View { request: &request, fresh_since, detail: false, with_servers: true }.list(&hosts, None))
}

fn wants_servers(query: &Parameters, version: Microversion) -> Result<bool, ApiError> {
    if version.before(BY_UUID) {
        return Ok(false);
    }
    Ok(query.boolean("with_servers").transpose()?.unwrap_or(false))
}

/// Every host, or those with the pattern in their names.
///
/// # Errors
/// 404 if there is none of them.
async fn matching(connection: &mut Connection, pattern: Option<&str>) -> Result<Vec<Host>, ApiError> {
    let mut list = List::<ComputeNode>::all().visible(has_service()).sort(SortKey::int("id"), Direction::Ascending);
    if let Some(pattern) = pattern {
        list = list.filter(named(pattern));
    }
    let nodes = list.page(connection).await?.unwrap_or_default();
    match pattern {
        Some(pattern) if nodes.is_empty() => Err(no_match(pattern)),
        _ => hosts(connection, nodes).await,
    }
}

/// What else is known of these hosts: two queries, however many they are.
async fn hosts(connection: &mut Connection, nodes: Vec<ComputeNode>) -> Result<Vec<Host>, ApiError> {
    let names: Vec<&str> = nodes.iter().map(|node| node.host.as_str()).collect();
    let services = services::of_compute_hosts(connection, &names).await?;
    let mut by_host: HashMap<String, Service> =
        services.into_iter().map(|service| (service.host.clone(), service)).collect();
    let load = instances::list::load_by_host(connection, &names).await?;
    let load: HashMap<String, (i64, i64)> = load.into_iter().map(|(host, all, busy)| (host, (all, busy))).collect();
    let host = |node: ComputeNode| {
        // A service that was deleted between the two queries takes its host with it.
        let service = by_host.remove(&node.host)?;
        let (instances, busy) = load.get(&node.host).copied().unwrap_or_default();
        Some(Host { node, service, instances, busy, servers: Vec::new(), uptime: None })
    };
    Ok(nodes.into_iter().filter_map(host).collect())
}

async fn find(connection: &mut Connection, id: &str, version: Microversion) -> Result<Host, ApiError> {
    let called = match (version.at_least(BY_UUID), Uuid::try_parse(id)) {
        (true, Ok(uuid)) => Condition::equal("uuid", &uuid),
        (true, Err(_)) => return Err(ApiError::bad_request(format!("Invalid uuid {id}"))),
        (false, _) => Condition::is_in("id", id.parse::<i64>().ok()),
    };
    let found = List::<ComputeNode>::all().visible(has_service()).filter(called).page(connection).await?;
    let found = hosts(connection, found.unwrap_or_default()).await?.pop();
    found.ok_or_else(|| ApiError::not_found(format!("Hypervisor with ID '{id}' could not be found.")))
}

fn no_match(pattern: &str) -> ApiError {
    ApiError::not_found(format!("No hypervisor matching '{pattern}' could be found."))
}

/// Reads the servers on these hosts, in one query.
async fn add_servers(connection: &mut Connection, hosts: &mut [Host]) -> Result<(), ApiError> {
    let names: Vec<&str> = hosts.iter().map(|host| host.node.host.as_str()).collect();
    let mut by_host: HashMap<String, Vec<(InstanceUuid, String)>> = HashMap::new();
    for (host, uuid, name) in instances::list::on_hosts(connection, &names).await? {
        by_host.entry(host).or_default().push((uuid, name));
    }
    for host in hosts {
        host.servers = by_host.remove(&host.node.host).unwrap_or_default();
    }
    Ok(())
}
