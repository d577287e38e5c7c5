//! `/auto-allocated-topology/{project}`: a network with subnet and router that is made when it is first asked for.

use axum::Json;
use http::StatusCode;
use novella_common::sql;
use novella_rest::{ApiError, Operation, Path, delete, get};
use serde_json::{Value, json};

use super::{
    networks::Network,
    ports::{self, Port, RequestedIp},
    router_interfaces::INTERFACE,
    routers::Router,
    subnet_pools::{self, SubnetPool},
    subnets::Subnet,
};
use crate::{
    Networking, Request,
    attributes::Fields as _,
    errors::{conflict, typed},
    policy,
    resource::{
        Resource as _, Whose, Work, by_default, check_rules, delete_row, is_admin, look_up, make, rows_by, swap,
    },
};

/// The name of what is made.
const NAME: &str = "auto_allocated_network";

/// The operations.
pub(super) fn operations() -> Vec<Operation<Networking>> {
    const ONE: &str = "/auto-allocated-topology/{project_id}";
    vec![
        get(ONE, policy::GET_AUTO_ALLOCATED_TOPOLOGY, show).takes(["fields"]),
        delete(ONE, policy::DELETE_AUTO_ALLOCATED_TOPOLOGY, remove).status(204),
    ]
}

fn failure(why: &str) -> ApiError {
    conflict("AutoAllocationFailure", format!("Deployment error: {why}."))
}

/// The project of the path, where `None` is one's own.
fn project_of(request: &Request, given: &str) -> Result<String, ApiError> {
    let own = request.context.project_id.clone().unwrap_or_default();
    let project = if given == "None" { own } else { given.to_owned() };
    if is_admin(request) || Some(&project) == request.context.project_id.as_ref() {
        return Ok(project);
    }
    Err(typed(StatusCode::FORBIDDEN, "NotAuthorized", "Not authorized."))
}

/// The router of a project's topology with its network, if it is there.
async fn found(work: &mut Work<'_>, project: &str) -> Result<Option<(String, String)>, ApiError> {
    Ok(sql!("SELECT network_id, router_id FROM auto_allocated_topologies WHERE project_id = "(project))
        .fetch_optional(&mut work.transaction)
        .await?)
}

/// What it is made of: the default external network, and the default subnet pools.
async fn material(work: &mut Work<'_>) -> Result<(Network, Vec<SubnetPool>), ApiError> {
    let external: Option<String> = sql!("SELECT id FROM networks WHERE external AND is_default LIMIT 1")
        .fetch_optional(&mut work.transaction)
        .await?;
    let external = external.ok_or_else(|| failure("No default router:external network"))?;
    let external = look_up::<Network>(&mut work.transaction, &external).await?;
    let external = external.ok_or_else(|| failure("No default router:external network"))?;
    let mut pools = Vec::new();
    for version in [4, 6] {
        pools.extend(subnet_pools::default_pool(&mut work.transaction, version).await?);
    }
    if pools.is_empty() {
        return Err(failure("No default subnetpools defined"));
    }
    Ok((external, pools))
}

async fn show(request: Request, Path(project): Path<String>) -> Result<Json<Value>, ApiError> {
    let project = project_of(&request, &project)?;
    check_rules(&request, &[policy::GET_AUTO_ALLOCATED_TOPOLOGY], &Whose::of(project.clone()).target())?;
    let dry = request.query.all("fields").any(|field| field == "dry-run");
    let id = topology(&request, &project, dry).await?;
    let id = id.as_deref().unwrap_or("dry-run=pass");
    Ok(Json(json!({"auto_allocated_topology": {"id": id, "project_id": project, "tenant_id": project}})))
}

/// The network of a project's topology, which is made if it is not there. `dry`: nothing is made, and there is no network in
/// the answer.
///
/// # Errors
/// 409 for what is missing to make it.
pub(crate) async fn topology(request: &Request, project: &str, dry: bool) -> Result<Option<String>, ApiError> {
    let mut work = Work::begin(request).await?;
    let lock = format!("network topology {project}");
    novella_common::db::quotas::lock(&mut work.transaction, &lock).await?;
    if dry {
        material(&mut work).await?;
        return Ok(None);
    }
    if let Some((network, _)) = found(&mut work, project).await? {
        return Ok(Some(network));
    }
    let (external, pools) = material(&mut work).await?;
    let network = by_default::<Network>(project, json!({"name": NAME}));
    let network = make::<Network>(&mut work, &network).await?;
    let info = json!({"network_id": external.id});
    let router = by_default::<Router>(project, json!({"name": "auto_allocated_router", "external_gateway_info": info}));
    let router = make::<Router>(&mut work, &router).await?;
    for pool in pools {
        let values = json!({
            "name": format!("auto_allocated_subnet_v{}", pool.ip_version), "network_id": network.id,
            "ip_version": pool.ip_version, "subnetpool_id": pool.id,
        });
        let subnet = make::<Subnet>(&mut work, &by_default::<Subnet>(project, values)).await?;
        let requested_ip = RequestedIp { subnet: Some(subnet.id.clone()), address: subnet.gateway() };
        let values = json!({
            "network_id": network.id, "device_id": router.id, "device_owner": INTERFACE, "status": "ACTIVE",
        });
        ports::make_port(&mut work, project, values, &[requested_ip]).await?;
    }
    sql!(
        "INSERT INTO auto_allocated_topologies (project_id, network_id, router_id) VALUES (" (project) ", " (network.id)
        ", " (router.id) ")"
    )
    .execute(&mut work.transaction)
    .await?;
    work.commit().await?;
    Ok(Some(network.id))
}

async fn remove(request: Request, Path(project): Path<String>) -> Result<StatusCode, ApiError> {
    let project = project_of(&request, &project)?;
    let mut work = Work::begin(&request).await?;
    let whose = Whose::of(project.clone());
    check_rules(&request, &[policy::DELETE_AUTO_ALLOCATED_TOPOLOGY], &whose.target())?;
    let Some((network, router)) = found(&mut work, &project).await? else { return Ok(StatusCode::NO_CONTENT) };
    sql!("DELETE FROM auto_allocated_topologies WHERE project_id = "(project)).execute(&mut work.transaction).await?;
    if let Some(mut router) = look_up::<Router>(&mut work.transaction, &router).await? {
        let ports: Vec<Port> = rows_by(&mut work.transaction, "device_id", [&router.id]).await?;
        for port in ports.iter().filter(|port| port.device_owner == INTERFACE) {
            ports::remove_port(&mut work, port).await?;
        }
        router.before_delete(&mut work).await?;
        let seen = router.revision_number;
        router.bump(work.now);
        swap(&mut work.transaction, seen, &router).await?;
        delete_row::<Router>(&mut work.transaction, &router.id).await?;
    }
    if let Some(network) = look_up::<Network>(&mut work.transaction, &network).await? {
        network.before_delete(&mut work).await?;
        delete_row::<Network>(&mut work.transaction, &network.id).await?;
    }
    work.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
