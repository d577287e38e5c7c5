//! `/routers`: what connects subnets with each other, and with what is outside.

use ipnet::IpNet;
use novella_common::{
    db::{Connection, list::Condition},
    sql,
};
use novella_rest::{ApiError, Operation, Path, put};
use serde_json::{Map, Value, json};

use super::{
    networks::{self, Network},
    ports::{self, Port, RequestedIp},
    subnets::Route,
};
use crate::{
    Networking, Request,
    addresses::allocations::FixedIp,
    attributes::{
        Attribute, Fields as _,
        Otherwise::{Flag, List, Null, Text},
        attribute,
        checks::{self, Checked, Refusal, any, boolean, boolean_or_null, name, plain},
        read,
    },
    errors::{bad_request_of, conflict, disallowed, refused},
    policy,
    resource::{self, About, Given, Resource, View, Wanted, Work, grouped, is_admin, locked_for, rows_by, swap, views},
};

crate::resource! {
    /// A router.
    struct Router in "routers" {
        name: String = attribute("name", name).given_or(Text("")).changed().filter().sort();
        description: String = attribute("description", name).given_or(Text("")).changed().filter();
        admin_state_up: bool = attribute("admin_state_up", boolean).given_or(Flag(true)).changed().filter().sort();
        status: String = attribute("status", any).begins(Text("ACTIVE")).sort();
        distributed: Option<bool> = attribute("distributed", boolean_or_null).given_or(Null).changed()
            .creating(policy::CREATE_ROUTER_DISTRIBUTED).updating(policy::UPDATE_ROUTER_DISTRIBUTED)
            .seeing(policy::GET_ROUTER_DISTRIBUTED);
        ha: Option<bool> = attribute("ha", boolean_or_null).given_or(Null).changed()
            .creating(policy::CREATE_ROUTER_HA).updating(policy::UPDATE_ROUTER_HA).seeing(policy::GET_ROUTER_HA);
        flavor_id: Option<String> = attribute("flavor_id", checks::id_or_null).given_or(Null).sort_nullable();
        availability_zone_hints: Vec<String> [Json] = attribute("availability_zone_hints", checks::zones).given_or(List);
        routes: Vec<Route> [Json] = attribute("routes", checks::routes).begins(List).changed();
        gateway_network_id: Option<String> = attribute("gateway_network_id", any).hidden();
        gateway_port_id: Option<String> = attribute("gateway_port_id", any).hidden();
        enable_snat: bool = attribute("enable_snat", any).begins(Flag(true)).hidden();
    }
}

static ROUTERS: About = About {
    one: "router",
    many: "routers",
    collection: "/routers",
    member: "/routers/{router_id}",
    tags: Some(("/routers/{router_id}/tags", "/routers/{router_id}/tags/{tag}")),
    missing: ("RouterNotFound", "Router ", " could not be found"),
    get: policy::GET_ROUTER,
    create: policy::CREATE_ROUTER,
    update: Some(policy::UPDATE_ROUTER),
    delete: policy::DELETE_ROUTER,
    quota: Some("router"),
    stamped: true,
    first_revision: 1,
    shared: None,
};

/// The owner of a router's port on the external network.
pub(super) const GATEWAY: &str = "network:router_gateway";

/// The operations.
pub(super) fn operations() -> Vec<Operation<Networking>> {
    let mut operations = resource::operations::<Router>();
    operations.extend(super::router_interfaces::operations());
    operations.extend([
        put("/routers/{router_id}/add_extraroutes", policy::ADD_EXTRAROUTES, add_extraroutes),
        put("/routers/{router_id}/remove_extraroutes", policy::REMOVE_EXTRAROUTES, remove_extraroutes),
    ]);
    operations
}

/// `{"network_id", "enable_snat", "external_fixed_ips"}`; null or nothing: no gateway.
fn gateway(value: &Value) -> Checked {
    if value.is_null() || value.as_object().is_some_and(Map::is_empty) {
        return Ok(Value::Null);
    }
    let reason = |text: String| Refusal::Reason(text);
    let Some(given) = value.as_object() else {
        return Err(reason(format!("'{}' is not a dictionary", plain(value))));
    };
    let Some(network) = given.get("network_id") else {
        let keys: Vec<String> = given.keys().map(|key| format!("'{key}'")).collect();
        return Err(reason(format!(
            "Validation of dictionary's keys failed. Expected keys: {{'network_id'}} Provided keys: {{{}}}",
            keys.join(", ")
        )));
    };
    let known = ["network_id", "enable_snat", "external_fixed_ips", "qos_policy_id"];
    let unknown: Vec<&str> = given.keys().map(String::as_str).filter(|key| !known.contains(key)).collect();
    if !unknown.is_empty() {
        return Err(reason(format!("Unexpected keys supplied: {}", unknown.join(", "))));
    }
    let mut info = json!({"network_id": checks::uuid(network)?});
    if let Some(fixed) = given.get("external_fixed_ips") {
        info["external_fixed_ips"] = ports::check_fixed_ips(fixed)?;
    }
    if let Some(snat) = given.get("enable_snat") {
        info["enable_snat"] = boolean(snat)?;
    }
    Ok(info)
}

impl Resource for Router {
    const ABOUT: &'static About = &ROUTERS;
    const OTHERS: &'static [Attribute] =
        &[attribute("external_gateway_info", gateway).given_or(Null).changed(), attribute("availability_zones", any)];

    async fn before_create(&mut self, work: &mut Work<'_>, given: &Given) -> Result<(), ApiError> {
        super::check_zones(&self.availability_zone_hints)?;
        if let Some(flavor) = &self.flavor_id {
            return Err(crate::errors::missing("FlavorNotFound", format!("Flavor {flavor} could not be found.")));
        }
        self.distributed.get_or_insert(false);
        self.ha.get_or_insert(false);
        check_gateway_rules(work, given, "create_router")
    }

    async fn after_create(&mut self, work: &mut Work<'_>, given: &Given) -> Result<(), ApiError> {
        if let Some(info) = given.get("external_gateway_info") {
            let seen = self.revision_number;
            self.set_gateway(work, info).await?;
            self.bump(work.now);
            swap(&mut work.transaction, seen, self).await?;
        }
        Ok(())
    }

    async fn before_update(&mut self, old: &Self, work: &mut Work<'_>, given: &Given) -> Result<(), ApiError> {
        check_gateway_rules(work, given, "update_router")?;
        if given.has("distributed") && self.distributed != old.distributed && self.admin_state_up {
            return Err(bad_request_of(
                "router",
                "Cannot change the 'distributed' attribute of active routers. Please set router admin_state_up to False \
                 prior to upgrade",
            ));
        }
        if given.has("external_gateway_info") {
            match given.get("external_gateway_info") {
                Some(info) => self.set_gateway(work, info).await?,
                None => self.clear_gateway(work).await?,
            }
        }
        if given.has("routes") {
            self.check_routes(work, &self.routes).await?;
        }
        Ok(())
    }

    async fn before_delete(&self, work: &mut Work<'_>) -> Result<(), ApiError> {
        let own: Vec<Port> = rows_by(&mut work.transaction, "device_id", [&self.id]).await?;
        let mut attached: Vec<&str> = own
            .iter()
            .filter(|port| port.device_owner.starts_with("network:") && port.device_owner != GATEWAY)
            .map(|port| port.id.as_str())
            .collect();
        attached.sort_unstable();
        if !attached.is_empty() {
            let attached = attached.join(", ");
            return Err(conflict("RouterInUse", format!("Router {} has ports still attached: {attached}", self.id)));
        }
        let mut gone = self.clone();
        gone.clear_gateway(work).await
    }

    async fn complete(
        rows: &[Self],
        views: &mut [View<'_>],
        _: &Wanted<'_>,
        _: &Request,
        connection: &mut Connection,
    ) -> Result<(), ApiError> {
        let gateways: Vec<&str> = rows.iter().filter_map(|row| row.gateway_port_id.as_deref()).collect();
        let addresses = crate::addresses::allocations::of_ports(connection, &gateways).await?;
        let mut addresses = grouped(addresses);
        for (row, view) in rows.iter().zip(views) {
            let info = row.gateway_network_id.as_ref().map(|network| {
                let fixed = row.gateway_port_id.as_ref().and_then(|port| addresses.remove(port)).unwrap_or_default();
                let fixed: Vec<View<'_>> = fixed.into_iter().map(View::from).collect();
                json!({"network_id": network, "external_fixed_ips": fixed, "enable_snat": row.enable_snat})
            });
            let zones: &[&str] = if info.is_some() { &[super::ZONE] } else { &[] };
            view.insert("availability_zones", json!(zones));
            view.insert("external_gateway_info", json!(info));
        }
        Ok(())
    }

    fn filter(_: &Request, _: &str, _: &[&str]) -> Result<Option<Condition>, ApiError> {
        Ok(None)
    }
}

/// Which parts of a gateway only administrators say.
fn check_gateway_rules(work: &Work<'_>, given: &Given, rule: &str) -> Result<(), ApiError> {
    let Some(info) = given.get("external_gateway_info") else { return Ok(()) };
    let special: Vec<&str> =
        ["enable_snat", "external_fixed_ips"].into_iter().filter(|name| info.get(*name).is_some()).collect();
    if special.is_empty() || is_admin(work.request) {
        return Ok(());
    }
    let of = format!("{rule}:external_gateway_info");
    let parts =
        special.iter().fold(format!("rule:{of}:network_id"), |all, part| format!("({all} and rule:{of}:{part})"));
    Err(disallowed(&format!("(rule:{rule} and (rule:{of} and {parts}))")))
}

impl Router {
    /// Lets it have its gateway on this external network.
    async fn set_gateway(&mut self, work: &mut Work<'_>, info: &Value) -> Result<(), ApiError> {
        let id = info["network_id"].as_str().unwrap_or_default();
        let network = networks::seen(work, id).await?;
        if !network.external {
            return Err(bad_request_of("router", &format!("Network {id} is not an external network")));
        }
        let requested_ips = match info.get("external_fixed_ips").and_then(Value::as_array) {
            Some(items) => Some(ports::requested_ips_in(items)?),
            None => None,
        };
        let enable_snat = info.get("enable_snat").and_then(Value::as_bool).unwrap_or(true);
        if self.gateway_network_id.as_deref() == Some(id)
            && let Some(port) = self.gateway_port_id.clone()
        {
            self.enable_snat = enable_snat;
            if let Some(requested_ips) = requested_ips
                && let Some(port) = resource::look_up::<Port>(&mut work.transaction, &port).await?
            {
                ports::set_addresses(work, &port, &requested_ips).await?;
            }
            return Ok(());
        }
        self.clear_gateway(work).await?;
        let requested_ips = match requested_ips {
            Some(requested_ips) => requested_ips,
            None => first_subnets(work, &network).await?,
        };
        let values = json!({
            "network_id": id, "device_id": self.id, "device_owner": GATEWAY, "admin_state_up": true,
        });
        // Only administrators know of it.
        let (port, _) = ports::make_port(work, "", values, &requested_ips).await?;
        self.gateway_network_id = Some(id.to_owned());
        self.gateway_port_id = Some(port.id);
        self.enable_snat = enable_snat;
        Ok(())
    }

    /// Takes its gateway from it, unless floating IPs need it.
    async fn clear_gateway(&mut self, work: &mut Work<'_>) -> Result<(), ApiError> {
        let (Some(network), Some(port)) = (self.gateway_network_id.clone(), self.gateway_port_id.clone()) else {
            return Ok(());
        };
        let used: i64 = sql!(
            "SELECT COUNT(*) FROM floating_ips WHERE router_id = " (self.id) " AND floating_network_id = " (network)
        )
        .fetch_one(&mut work.transaction)
        .await?;
        if used > 0 {
            return Err(conflict(
                "RouterExternalGatewayInUseByFloatingIp",
                format!(
                    "Gateway cannot be updated for router {}, since a gateway to external network {network} is required by \
                     one or more floating IPs.",
                    self.id
                ),
            ));
        }
        if let Some(port) = resource::look_up::<Port>(&mut work.transaction, &port).await? {
            ports::remove_port(work, &port).await?;
        }
        self.gateway_network_id = None;
        self.gateway_port_id = None;
        self.enable_snat = true;
        Ok(())
    }

    /// Its ports' addresses, each with its subnet's block.
    pub(super) async fn connected(&self, work: &mut Work<'_>) -> Result<Vec<(FixedIp, IpNet)>, ApiError> {
        let rows: Vec<(String, String, String)> = sql!(
            "SELECT a.subnet_id, a.ip_address, s.cidr FROM network_allocations a JOIN ports p ON p.id = a.port_id \
             JOIN subnets s ON s.id = a.subnet_id WHERE p.device_id = "(self.id)
        )
        .fetch_all(&mut work.transaction)
        .await?;
        rows.into_iter()
            .map(|(subnet_id, ip_address, cidr)| {
                Ok((FixedIp { subnet_id, ip_address }, crate::addresses::allocations::network(&cidr)?))
            })
            .collect()
    }

    /// Routes lead over what the router is connected with, and not over itself.
    async fn check_routes(&self, work: &mut Work<'_>, routes: &[Route]) -> Result<(), ApiError> {
        let connected = self.connected(work).await?;
        let invalid = |route: &Route, why: &str| {
            refused(
                "InvalidRoutes",
                format!(
                    "Invalid format for routes: [{{'destination': '{}', 'nexthop': '{}'}}], the nexthop is {why}",
                    route.destination, route.nexthop
                ),
            )
        };
        for route in routes {
            if !connected.iter().any(|(_, block)| block.contains(&route.nexthop)) {
                return Err(invalid(route, "not connected with router"));
            }
            if connected.iter().any(|(fixed, _)| fixed.ip_address.parse() == Ok(route.nexthop)) {
                return Err(invalid(route, "used by router"));
            }
        }
        crate::quotas::check_routes(work, &self.project_id, routes.len()).await
    }
}

/// An address of IPv4 and one of IPv6 on an external network, as far as it has subnets of them.
async fn first_subnets(work: &mut Work<'_>, network: &Network) -> Result<Vec<RequestedIp>, ApiError> {
    let subnets = super::subnets::of_network(&mut work.transaction, &network.id).await?;
    let mut requested_ips = Vec::new();
    for version in [4, 6] {
        let usable = subnets
            .iter()
            .filter(|subnet| subnet.ip_version == version)
            .filter(|subnet| subnet.service_types.is_empty());
        let mut chosen = None;
        for subnet in usable {
            // The first that has an address left.
            let left: Option<String> =
                sql!("SELECT first FROM network_free_ranges WHERE subnet_id = " (subnet.id) " LIMIT 1")
                    .fetch_optional(&mut work.transaction)
                    .await?;
            if left.is_some() || chosen.is_none() {
                chosen = Some(subnet.id.clone());
            }
            if left.is_some() {
                break;
            }
        }
        requested_ips.extend(chosen.map(|subnet| RequestedIp { subnet: Some(subnet), address: None }));
    }
    Ok(requested_ips)
}

async fn routes_in(request: &mut Request) -> Result<Vec<Route>, ApiError> {
    let body = resource::body_of(request.json().await?, "router")?;
    let routes = checks::routes(body.get("routes").unwrap_or(&Value::Null)).map_err(|refusal| refusal.of("routes"))?;
    read("routes", &routes)
}

async fn add_extraroutes(mut request: Request, Path(id): Path<String>) -> Result<axum::Json<Value>, ApiError> {
    let more = routes_in(&mut request).await?;
    let work = Work::begin(&request).await?;
    change_routes(work, policy::ADD_EXTRAROUTES, &id, |routes| {
        let new: Vec<Route> = more.into_iter().filter(|route| !routes.contains(route)).collect();
        routes.extend(new);
    })
    .await
}

async fn remove_extraroutes(mut request: Request, Path(id): Path<String>) -> Result<axum::Json<Value>, ApiError> {
    let less = routes_in(&mut request).await?;
    let work = Work::begin(&request).await?;
    change_routes(work, policy::REMOVE_EXTRAROUTES, &id, |routes| routes.retain(|route| !less.contains(route))).await
}

async fn change_routes(
    mut work: Work<'_>,
    rule: novella_rest::policy::Rule,
    id: &str,
    change: impl FnOnce(&mut Vec<Route>),
) -> Result<axum::Json<Value>, ApiError> {
    let mut router = locked_for::<Router>(&mut work, rule, id).await?;
    let (seen, before) = (router.revision_number, router.routes.clone());
    change(&mut router.routes);
    router.check_routes(&mut work, &router.routes).await?;
    if router.routes != before {
        router.bump(work.now);
        swap(&mut work.transaction, seen, &router).await?;
    }
    let request = work.request;
    let view = views(request, &mut work.transaction, std::slice::from_ref(&router), &Wanted::all()).await?.pop();
    work.commit().await?;
    Ok(axum::Json(json!({"router": view})))
}
