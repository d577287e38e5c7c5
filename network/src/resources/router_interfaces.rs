//! A router's ports on the subnets that it connects.

use axum::Json;
use ipnet::IpNet;
use novella_common::sql;
use novella_rest::{ApiError, Operation, Path, put};
use serde_json::{Value, json};

use super::{
    networks,
    ports::{self, Port, RequestedIp},
    routers::{GATEWAY, Router},
    subnets::Subnet,
};
use crate::{
    Networking, Request,
    addresses::{allocations::FixedIp, overlap},
    attributes::Fields as _,
    errors::{bad_request_of, conflict, missing, refused},
    policy,
    resource::{Work, find, is_admin, locked, locked_for, look_up, retried, rows_by, sharing, swap},
};

/// The owner of such a port.
pub(super) const INTERFACE: &str = "network:router_interface";

/// The operations.
pub(super) fn operations() -> Vec<Operation<Networking>> {
    vec![
        put("/routers/{router_id}/add_router_interface", policy::ADD_ROUTER_INTERFACE, add),
        put("/routers/{router_id}/remove_router_interface", policy::REMOVE_ROUTER_INTERFACE, remove),
    ]
}

/// What a request names.
struct Named {
    subnet: Option<String>,
    port: Option<String>,
}

async fn named(request: &mut Request) -> Result<Named, ApiError> {
    let body = request.json().await?;
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
    let named = Named { subnet: text("subnet_id"), port: text("port_id") };
    for id in [&named.port, &named.subnet].into_iter().flatten() {
        if uuid::Uuid::try_parse(id).is_err() {
            return Err(bad_request_of("router", &format!("'{id}' is not a valid UUID")));
        }
    }
    if named.subnet.is_none() && named.port.is_none() {
        return Err(bad_request_of("router", "Either subnet_id or port_id must be specified"));
    }
    Ok(named)
}

fn answer(router: &Router, port: &Port, subnets: &[String]) -> Json<Value> {
    Json(json!({
        "id": router.id, "project_id": router.project_id, "port_id": port.id, "network_id": port.network_id,
        "subnet_id": subnets.first(), "subnet_ids": subnets,
    }))
}

async fn add(mut request: Request, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let named = named(&mut request).await?;
    retried!(try_add(&request, &id, &named))
}

async fn try_add(request: &Request, id: &str, named: &Named) -> Result<Json<Value>, ApiError> {
    let mut work = Work::begin(request).await?;
    let mut router = locked_for::<Router>(&mut work, policy::ADD_ROUTER_INTERFACE, id).await?;
    let (port, subnets) = match named {
        Named { subnet: Some(_), port: Some(_) } => {
            return Err(bad_request_of("router", "Cannot specify both subnet-id and port-id"));
        }
        Named { port: Some(port), .. } => add_port(&mut work, &router, port).await?,
        Named { subnet, .. } => add_subnet(&mut work, &router, subnet.as_deref().unwrap_or_default()).await?,
    };
    let seen = router.revision_number;
    router.bump(work.now);
    swap(&mut work.transaction, seen, &router).await?;
    crate::quotas::check::<Port>(&mut work, [router.project_id.as_str()].into_iter()).await?;
    work.commit().await?;
    Ok(answer(&router, &port, &subnets))
}

/// 400 if the router is connected with this subnet, or with one that has addresses in common with it.
async fn check_new(work: &mut Work<'_>, router: &Router, subnet: &Subnet) -> Result<(), ApiError> {
    let block = subnet.network()?;
    for (fixed, other) in router.connected(work).await? {
        if fixed.subnet_id == subnet.id {
            return Err(bad_request_of("router", &format!("Router already has a port on subnet {}", subnet.id)));
        }
        if overlap(&block, &other) {
            return Err(bad_request_of(
                "router",
                &format!(
                    "Cidr {block} of subnet {} overlaps with cidr {other} of subnet {}",
                    subnet.id, fixed.subnet_id
                ),
            ));
        }
    }
    Ok(())
}

async fn add_subnet(work: &mut Work<'_>, router: &Router, id: &str) -> Result<(Port, Vec<String>), ApiError> {
    let subnet = find::<Subnet>(work.request, &mut work.transaction, id).await?;
    let Some(gateway) = subnet.gateway() else {
        return Err(bad_request_of("router", "Subnet for router interface must have a gateway IP"));
    };
    if subnet.ip_version == 6 && subnet.ipv6_ra_mode.is_none() && subnet.ipv6_address_mode.is_some() {
        return Err(bad_request_of(
            "router",
            &format!(
                "IPv6 subnet {id} configured to receive RAs from an external router cannot be added to Neutron Router"
            ),
        ));
    }
    check_owned(work, &subnet).await?;
    check_new(work, router, &subnet).await?;
    let requested_ip = RequestedIp { subnet: Some(subnet.id.clone()), address: Some(gateway) };
    let subnets = vec![subnet.id.clone()];
    if subnet.ip_version == 6
        && let Some(port) = port_of_ipv6(work, router, &subnet.network_id).await?
    {
        // One port for all subnets of IPv6 of a network.
        let had = ports::addresses_of(&mut work.transaction, &port.id).await?;
        let mut requested_ips: Vec<RequestedIp> = had.iter().map(RequestedIp::from).collect();
        requested_ips.push(requested_ip);
        ports::set_addresses(work, &port, &requested_ips).await?;
        return Ok((port, subnets));
    }
    let values = json!({
        "network_id": subnet.network_id, "device_id": router.id, "device_owner": INTERFACE, "admin_state_up": true,
        "status": "ACTIVE",
    });
    let (port, _) = ports::make_port(work, &router.project_id, values, &[requested_ip]).await?;
    Ok((port, subnets))
}

/// Others' subnets are connected by administrators only, unless their network is shared.
async fn check_owned(work: &mut Work<'_>, subnet: &Subnet) -> Result<(), ApiError> {
    if is_admin(work.request) || subnet.project_id == work.own_project() {
        return Ok(());
    }
    let network = [subnet.network_id.as_str()];
    let shared = sharing::shared_now(work.request, &mut work.transaction, &networks::SHARED, &network).await?;
    if !shared.is_empty() {
        return Ok(());
    }
    Err(bad_request_of(
        "router",
        &format!(
            "Cannot add interface to router because subnet {} is not owned by project making the request",
            subnet.id
        ),
    ))
}

/// The router's port on a network that has addresses of IPv6.
async fn port_of_ipv6(work: &mut Work<'_>, router: &Router, network: &str) -> Result<Option<Port>, ApiError> {
    for port in interfaces(work, &router.id).await? {
        let addresses = ports::addresses_of(&mut work.transaction, &port.id).await?;
        if port.network_id == network && addresses.iter().any(|fixed| fixed.ip_address.contains(':')) {
            return Ok(Some(port));
        }
    }
    Ok(None)
}

/// The router's ports but its gateway's.
async fn interfaces(work: &mut Work<'_>, router: &str) -> Result<Vec<Port>, ApiError> {
    let ports: Vec<Port> = rows_by(&mut work.transaction, "device_id", [router]).await?;
    Ok(ports.into_iter().filter(|port| port.device_owner == INTERFACE).collect())
}

async fn add_port(work: &mut Work<'_>, router: &Router, id: &str) -> Result<(Port, Vec<String>), ApiError> {
    let mut port = locked::<Port>(work, id).await?;
    if !port.device_id.is_empty() {
        return Err(ports::several::in_use(&port));
    }
    let addresses = ports::addresses_of(&mut work.transaction, id).await?;
    if addresses.is_empty() {
        return Err(bad_request_of("router", "Router port must have at least one fixed IP"));
    }
    let mut subnets = Vec::new();
    for fixed in &addresses {
        let Some(subnet) = look_up::<Subnet>(&mut work.transaction, &fixed.subnet_id).await? else { continue };
        check_new(work, router, &subnet).await?;
        subnets.push(subnet);
    }
    if subnets.iter().filter(|subnet| subnet.ip_version == 4).count() > 1 {
        return Err(bad_request_of("router", "Cannot have multiple IPv4 subnets on router port"));
    }
    let seen = port.revision_number;
    port.device_id.clone_from(&router.id);
    port.device_owner = INTERFACE.to_owned();
    port.status = "ACTIVE".to_owned();
    port.bump(work.now);
    swap(&mut work.transaction, seen, &port).await?;
    Ok((port, subnets.into_iter().map(|subnet| subnet.id).collect()))
}

async fn remove(mut request: Request, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let named = named(&mut request).await?;
    retried!(try_remove(&request, &id, &named))
}

async fn try_remove(request: &Request, id: &str, named: &Named) -> Result<Json<Value>, ApiError> {
    let mut work = Work::begin(request).await?;
    let mut router = locked_for::<Router>(&mut work, policy::REMOVE_ROUTER_INTERFACE, id).await?;
    let ports = interfaces(&mut work, id).await?;
    let (port, addresses) = match &named.port {
        Some(wanted) => {
            let port = ports.into_iter().find(|port| port.id == *wanted);
            let port = port.ok_or_else(|| {
                missing("RouterInterfaceNotFound", format!("Router {id} does not have an interface with id {wanted}"))
            })?;
            let addresses = ports::addresses_of(&mut work.transaction, &port.id).await?;
            if let Some(subnet) = &named.subnet
                && !addresses.iter().any(|fixed| fixed.subnet_id == *subnet)
            {
                return Err(refused(
                    "SubnetMismatchForPort",
                    format!("Subnet on port {wanted} does not match the requested subnet {subnet}."),
                ));
            }
            (port, addresses)
        }
        None => {
            let wanted = named.subnet.clone().unwrap_or_default();
            find::<Subnet>(request, &mut work.transaction, &wanted).await?;
            let mut found = None;
            for port in ports {
                let addresses = ports::addresses_of(&mut work.transaction, &port.id).await?;
                if addresses.iter().any(|fixed| fixed.subnet_id == wanted) {
                    found = Some((port, addresses));
                }
            }
            found.ok_or_else(|| {
                missing("RouterInterfaceNotFoundForSubnet", format!("Router {id} has no interface on subnet {wanted}"))
            })?
        }
    };
    let by_subnet = named.subnet.as_ref().filter(|_| named.port.is_none());
    let (gone, left): (Vec<FixedIp>, Vec<FixedIp>) =
        addresses.into_iter().partition(|fixed| by_subnet.is_none_or(|subnet| fixed.subnet_id == *subnet));
    for fixed in &gone {
        check_unneeded(&mut work, &router, &fixed.subnet_id).await?;
    }
    if left.is_empty() {
        ports::remove_port(&mut work, &port).await?;
    } else {
        let requested_ips: Vec<RequestedIp> = left.iter().map(RequestedIp::from).collect();
        ports::set_addresses(&mut work, &port, &requested_ips).await?;
    }
    let seen = router.revision_number;
    router.bump(work.now);
    swap(&mut work.transaction, seen, &router).await?;
    work.commit().await?;
    let subnets: Vec<String> = gone.into_iter().map(|fixed| fixed.subnet_id).collect();
    Ok(answer(&router, &port, &subnets))
}

/// 409 while a route or a floating IP needs the router on this subnet.
async fn check_unneeded(work: &mut Work<'_>, router: &Router, id: &str) -> Result<(), ApiError> {
    let Some(subnet) = look_up::<Subnet>(&mut work.transaction, id).await? else { return Ok(()) };
    let block: IpNet = subnet.network()?;
    let in_use = |kind: &'static str, by: &str| {
        conflict(
            kind,
            format!(
                "Router interface for subnet {id} on router {} cannot be deleted, as it is required by one or more {by}.",
                router.id
            ),
        )
    };
    if router.routes.iter().any(|route| block.contains(&route.nexthop)) {
        return Err(in_use("RouterInterfaceInUseByRoute", "routes"));
    }
    let used: i64 = sql!(
        "SELECT COUNT(*) FROM floating_ips f JOIN network_allocations a ON a.port_id = f.port_id AND \
         a.ip_address = f.fixed_ip_address WHERE f.router_id = " (router.id) " AND a.subnet_id = " (id)
    )
    .fetch_one(&mut work.transaction)
    .await?;
    if used > 0 { Err(in_use("RouterInterfaceInUseByFloatingIP", "floating IPs")) } else { Ok(()) }
}

/// 409 while a router has a subnet's gateway as its address: it can't be another one then.
pub(super) async fn check_gateway_unused(work: &mut Work<'_>, subnet: &Subnet) -> Result<(), ApiError> {
    let Some(gateway) = &subnet.gateway_ip else { return Ok(()) };
    let port: Option<String> = sql!(
        "SELECT p.id FROM ports p JOIN network_allocations a ON a.port_id = p.id WHERE a.subnet_id = " (subnet.id)
        " AND a.ip_address = " (gateway) " AND p.device_owner IN (" (INTERFACE) ", " (GATEWAY) ")"
    )
    .fetch_optional(&mut work.transaction)
    .await?;
    match port {
        None => Ok(()),
        Some(port) => Err(conflict(
            "GatewayIpInUse",
            format!("Current gateway ip {gateway} already in use by port {port}. Unable to update."),
        )),
    }
}
