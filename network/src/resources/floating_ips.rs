//! `/floatingips`: addresses outside that lead to ports inside.

use std::net::IpAddr;

use novella_common::{
    db::{Connection, list::Condition, table},
    sql,
};
use novella_rest::{ApiError, Operation, get};
use serde_json::{Value, json};

use super::{
    networks::{self, Network},
    port_forwardings::PortForwarding,
    ports::{self, Port, RequestedIp},
    router_interfaces::INTERFACE,
    subnets::Subnet,
};
use crate::{
    Networking, Request,
    attributes::{
        Attribute,
        Otherwise::{Null, Text},
        attribute,
        checks::{address_or_null, any, name, uuid, uuid_or_null},
    },
    errors::{bad_request_of, conflict, missing, refused},
    policy,
    resource::{
        self, About, Given, Resource, View, Wanted, Work, bump, delete_row, find, grouped, is_admin, look_up, rows_by,
    },
};

crate::resource! {
    /// A floating IP.
    struct FloatingIp in "floating_ips" {
        description: String = attribute("description", name).given_or(Text("")).changed().filter();
        floating_network_id: String = attribute("floating_network_id", uuid).required().filter().sort();
        floating_ip_address: Option<String> = attribute("floating_ip_address", address_or_null).given_or(Null).filter()
            .sort_nullable().creating(policy::CREATE_FLOATINGIP_FLOATING_IP_ADDRESS);
        port_id: Option<String> = attribute("port_id", uuid_or_null).given_or(Null).changed().filter();
        fixed_ip_address: Option<String> = attribute("fixed_ip_address", address_or_null).given_or(Null).changed()
            .filter().sort_nullable();
        router_id: Option<String> = attribute("router_id", any).filter().sort_nullable();
        status: String = attribute("status", any).begins(Text("DOWN")).filter().sort();
        qos_policy_id: Option<String> = attribute("qos_policy_id", uuid_or_null).given_or(Null).changed();
        dns_name: String = attribute("dns_name", super::names::floating).given_or(Text(""));
        dns_domain: String = attribute("dns_domain", super::names::domain).given_or(Text(""));
        /// Its port on the external network.
        floating_port_id: Option<String> = attribute("floating_port_id", any).hidden();
    }
}

static FLOATING_IPS: About = About {
    one: "floatingip",
    many: "floatingips",
    collection: "/floatingips",
    member: "/floatingips/{floatingip_id}",
    tags: Some(("/floatingips/{floatingip_id}/tags", "/floatingips/{floatingip_id}/tags/{tag}")),
    missing: ("FloatingIPNotFound", "Floating IP ", " could not be found"),
    get: policy::GET_FLOATINGIP,
    create: policy::CREATE_FLOATINGIP,
    update: Some(policy::UPDATE_FLOATINGIP),
    delete: policy::DELETE_FLOATINGIP,
    quota: Some("floatingip"),
    stamped: true,
    first_revision: 0,
    shared: None,
};

/// The owner of its port.
const FLOATING: &str = "network:floatingip";

/// The operations.
pub(super) fn operations() -> Vec<Operation<Networking>> {
    let mut operations = resource::operations::<FloatingIp>();
    operations.push(get("/floatingip_pools", policy::GET_FLOATINGIP_POOL, pools));
    operations
}

impl Resource for FloatingIp {
    const ABOUT: &'static About = &FLOATING_IPS;
    const OTHERS: &'static [Attribute] = &[
        attribute("subnet_id", uuid_or_null).given_or(Null).hidden(),
        attribute("port_details", any),
        attribute("port_forwardings", any),
    ];

    fn filter(_: &Request, _: &str, _: &[&str]) -> Result<Option<Condition>, ApiError> {
        Ok(None)
    }

    async fn before_create(&mut self, work: &mut Work<'_>, given: &Given) -> Result<(), ApiError> {
        let network = networks::seen(work, &self.floating_network_id).await?;
        if !network.external {
            return Err(bad_request_of(
                "floatingip",
                &format!("Network {} is not a valid external network", network.id),
            ));
        }
        super::qos::check_policy(work, self.qos_policy_id.as_deref()).await?;
        let requested_ip = RequestedIp {
            subnet: Some(self.subnet(work, given).await?),
            address: self.floating_ip_address.as_deref().and_then(|address| address.parse().ok()),
        };
        let values = json!({
            "network_id": network.id, "device_id": self.id, "device_owner": FLOATING, "status": "N/A",
            "admin_state_up": true,
        });
        // Only administrators know of it.
        let (port, addresses) = ports::make_port(work, "", values, &[requested_ip]).await?;
        self.floating_port_id = Some(port.id);
        self.floating_ip_address = addresses.into_iter().next().map(|fixed| fixed.ip_address);
        self.associate(work).await
    }

    async fn before_update(&mut self, old: &Self, work: &mut Work<'_>, given: &Given) -> Result<(), ApiError> {
        super::qos::check_policy(work, self.qos_policy_id.as_deref()).await?;
        old.touch(work);
        if given.named.is_empty() {
            // An empty change takes it from its port.
            self.port_id = None;
            self.fixed_ip_address = None;
        } else if !given.has("port_id") {
            return if given.has("fixed_ip_address") { Err(without_port()) } else { Ok(()) };
        } else if !given.has("fixed_ip_address") {
            self.fixed_ip_address = None;
        }
        self.associate(work).await?;
        if self.port_id.is_some() && self.is_forwarded(work).await? {
            return Err(conflict(
                "FipInUseByPortForwarding",
                format!("Floating IP {} in use by Port Forwarding resources.", self.id),
            ));
        }
        Ok(())
    }

    async fn before_delete(&self, work: &mut Work<'_>) -> Result<(), ApiError> {
        self.touch(work);
        sql!("DELETE FROM port_forwardings WHERE floatingip_id = "(self.id)).execute(&mut work.transaction).await?;
        let Some(port) = &self.floating_port_id else { return Ok(()) };
        match look_up::<Port>(&mut work.transaction, port).await? {
            Some(port) => ports::remove_port(work, &port).await,
            None => Ok(()),
        }
    }

    async fn complete(
        rows: &[Self],
        views: &mut [View<'_>],
        wanted: &Wanted<'_>,
        _: &Request,
        connection: &mut Connection,
    ) -> Result<(), ApiError> {
        let ports: Vec<&str> = rows.iter().filter_map(|row| row.port_id.as_deref()).collect();
        let ports: Vec<Port> =
            if wanted.has("port_details") { rows_by(connection, "id", ports).await? } else { Vec::new() };
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let forwardings: Vec<PortForwarding> =
            if wanted.has("port_forwardings") { rows_by(connection, "floatingip_id", ids).await? } else { Vec::new() };
        let mut forwardings = grouped(forwardings.into_iter().map(|one| (one.floatingip_id.clone(), one)));
        for (row, view) in rows.iter().zip(views) {
            let port = ports.iter().find(|port| Some(&port.id) == row.port_id.as_ref());
            let details = port.map(|port| {
                json!({
                    "name": port.name, "network_id": port.network_id, "mac_address": port.mac(),
                    "admin_state_up": port.admin_state_up, "status": port.status, "device_id": port.device_id,
                    "device_owner": port.device_owner,
                })
            });
            view.insert("port_details", json!(details));
            let of_row = forwardings.remove(&row.id).unwrap_or_default();
            let of_row: Vec<Value> = of_row.iter().map(PortForwarding::in_floating_ip).collect();
            view.insert("port_forwardings", json!(of_row));
        }
        Ok(())
    }
}

fn several_addresses(port: &str) -> ApiError {
    bad_request_of(
        "floatingip",
        &format!(
            "Port {port} has multiple fixed IPv4 addresses.  Must provide a specific IPv4 address when assigning a \
             floating IP"
        ),
    )
}

fn without_port() -> ApiError {
    bad_request_of("floatingip", "fixed_ip_address cannot be specified without a port_id")
}

impl FloatingIp {
    /// The subnet that its address is from.
    async fn subnet(&self, work: &mut Work<'_>, given: &Given) -> Result<String, ApiError> {
        let subnets = super::subnets::of_network(&mut work.transaction, &self.floating_network_id).await?;
        if let Some(id) = given.text("subnet_id") {
            let elsewhere = look_up::<Subnet>(&mut work.transaction, id).await?.is_some();
            return match subnets.iter().find(|subnet| subnet.id == id) {
                Some(found) => Ok(found.id.clone()),
                None if elsewhere => Err(crate::errors::invalid_input(format!(
                    "Failed to create port on network {}, because fixed_ips included invalid subnet {id}",
                    self.floating_network_id
                ))),
                None => Err(Subnet::missing(id)),
            };
        }
        let network = &self.floating_network_id;
        if let Some(text) = &self.floating_ip_address {
            let Ok(address) = text.parse::<IpAddr>() else { return Err(without_port()) };
            for subnet in &subnets {
                if subnet.network()?.contains(&address) {
                    return Ok(subnet.id.clone());
                }
            }
            return Err(refused(
                "InvalidIpForNetwork",
                format!("IP address {text} is not a valid IP for any of the subnets on the specified network."),
            ));
        }
        let of_ipv4: Vec<&Subnet> = subnets
            .iter()
            .filter(|subnet| subnet.ip_version == 4)
            .filter(|subnet| {
                subnet.service_types.is_empty() || subnet.service_types.iter().any(|kind| kind == FLOATING)
            })
            .collect();
        if of_ipv4.is_empty() {
            return Err(bad_request_of("floatingip", &format!("Network {network} does not contain any IPv4 subnet")));
        }
        for subnet in &of_ipv4 {
            let left: Option<String> =
                sql!("SELECT first FROM network_free_ranges WHERE subnet_id = " (subnet.id) " LIMIT 1")
                    .fetch_optional(&mut work.transaction)
                    .await?;
            if left.is_some() {
                return Ok(subnet.id.clone());
            }
        }
        Err(conflict("IpAddressGenerationFailure", format!("No more IP addresses available on network {network}.")))
    }

    /// What leads to its port changes.
    fn touch(&self, work: &mut Work<'_>) {
        if let Some(port) = &self.port_id {
            work.touched.port_id(port);
        }
    }

    async fn is_forwarded(&self, work: &mut Work<'_>) -> Result<bool, ApiError> {
        let found: Option<String> = sql!("SELECT id FROM port_forwardings WHERE floatingip_id = " (self.id) " LIMIT 1")
            .fetch_optional(&mut work.transaction)
            .await?;
        Ok(found.is_some())
    }

    /// Lets it lead to its port, or nowhere.
    async fn associate(&mut self, work: &mut Work<'_>) -> Result<(), ApiError> {
        self.touch(work);
        let Some(id) = self.port_id.clone() else {
            if self.fixed_ip_address.is_some() {
                return Err(without_port());
            }
            self.router_id = None;
            self.status = "DOWN".to_owned();
            return Ok(());
        };
        find::<Port>(work.request, &mut work.transaction, &id).await?;
        // Of several that want one port the second sees what the first has got.
        let port = table::lock::<Port, _>(&mut work.transaction, &id).await?.ok_or_else(|| Port::missing(&id))?;
        if port.project_id != self.project_id && !is_admin(work.request) {
            return Err(bad_request_of(
                "floatingip",
                &format!(
                    "Cannot process floating IP association with Port {id}, since that port is owned by a different \
                     project"
                ),
            ));
        }
        let addresses = ports::addresses_of(&mut work.transaction, &id).await?;
        let fixed = match &self.fixed_ip_address {
            Some(wanted) => addresses
                .into_iter()
                .find(|fixed| fixed.ip_address == *wanted)
                .ok_or_else(|| bad_request_of("floatingip", &format!("Port {id} does not have fixed ip {wanted}")))?,
            None => {
                let mut of_ipv4 = addresses.into_iter().filter(|fixed| !fixed.ip_address.contains(':'));
                match (of_ipv4.next(), of_ipv4.next()) {
                    (Some(only), None) => only,
                    (None, _) => {
                        return Err(bad_request_of(
                            "floatingip",
                            &format!("Cannot add floating IP to port {id} that has no fixed IPv4 addresses"),
                        ));
                    }
                    (Some(_), Some(_)) => return Err(several_addresses(&id)),
                }
            }
        };
        let (router, _) = reach(work, &self.floating_network_id, &fixed.subnet_id, &id).await?;
        let other: Option<String> = sql!(
            "SELECT id FROM floating_ips WHERE port_id = " (id) " AND fixed_ip_address = " (fixed.ip_address)
            " AND floating_network_id = " (self.floating_network_id) " AND id <> " (self.id)
        )
        .fetch_optional(&mut work.transaction)
        .await?;
        if other.is_some() {
            return Err(conflict(
                "FloatingIPPortAlreadyAssociated",
                format!(
                    "Cannot associate floating IP {} ({}) with port {id} using fixed IP {}, as that fixed IP already has a \
                     floating IP on external network {}.",
                    self.floating_ip_address.as_deref().unwrap_or_default(),
                    self.id,
                    fixed.ip_address,
                    self.floating_network_id
                ),
            ));
        }
        self.fixed_ip_address = Some(fixed.ip_address);
        self.router_id = Some(router);
        self.status = "ACTIVE".to_owned();
        // Whoever waits for changes of the port learns of it.
        bump::<Port>(&mut work.transaction, &port.id, work.now).await
    }
}

/// The router between an external network and a subnet.
pub(super) async fn reach(
    work: &mut Work<'_>,
    network: &str,
    subnet: &str,
    port: &str,
) -> Result<(String, String), ApiError> {
    let found: Option<(String, String)> = sql!(
        "SELECT r.id, p.id FROM routers r JOIN ports p ON p.device_id = r.id AND p.device_owner = " (INTERFACE)
        " JOIN network_allocations a ON a.port_id = p.id WHERE r.gateway_network_id = " (network) " AND a.subnet_id = "
        (subnet) " ORDER BY r.id LIMIT 1"
    )
    .fetch_optional(&mut work.transaction)
    .await?;
    found.ok_or_else(|| {
        missing(
            "ExternalGatewayForFloatingIPNotFound",
            format!(
                "External network {network} is not reachable from subnet {subnet}.  Therefore, cannot associate Port {port} \
                 with a Floating IP."
            ),
        )
    })
}

/// Takes all floating IPs from ports that go.
pub(super) async fn leave_ports(work: &mut Work<'_>, ports: &[&str]) -> Result<(), ApiError> {
    for ports in ports.chunks(resource::AT_ONCE) {
        sql!(
            "UPDATE floating_ips SET port_id = NULL, fixed_ip_address = NULL, router_id = NULL, status = " ("DOWN")
            ", revision_number = revision_number + 1, updated_at = " (work.now) " WHERE port_id"
        )
        .is_in(ports)
        .execute(&mut work.transaction)
        .await?;
        stop_forwarding(work, ports).await?;
    }
    Ok(())
}

/// Forwards nothing more to ports that go. A floating IP that then forwards nothing has no router, either.
async fn stop_forwarding(work: &mut Work<'_>, ports: &[&str]) -> Result<(), ApiError> {
    // Whoever deletes the other forwardings of one at the same time waits.
    let mut sql = sql!(
        "SELECT id FROM floating_ips WHERE id IN (SELECT floatingip_id FROM port_forwardings WHERE internal_port_id"
    );
    sql.is_in(ports).push(") ORDER BY id").push_for("", " FOR UPDATE");
    let forwarding: Vec<String> = sql.fetch_all(&mut work.transaction).await?;
    if forwarding.is_empty() {
        return Ok(());
    }
    sql!("DELETE FROM port_forwardings WHERE internal_port_id").is_in(ports).execute(&mut work.transaction).await?;
    sql!(
        "UPDATE floating_ips SET router_id = NULL, status = " ("DOWN") " WHERE port_id IS NULL AND NOT EXISTS (SELECT \
         1 FROM port_forwardings f WHERE f.floatingip_id = floating_ips.id) AND id"
    )
    .is_in(&forwarding)
    .execute(&mut work.transaction)
    .await?;
    Ok(())
}

/// The floating IPs that lead to these ports: the port, its address, and the floating IP's.
pub(crate) async fn of_ports(
    connection: &mut Connection,
    ports: &[&str],
) -> Result<Vec<(String, String, String)>, ApiError> {
    let mut found = Vec::new();
    for ports in ports.chunks(resource::AT_ONCE) {
        let mut sql = sql!(
            "SELECT port_id, fixed_ip_address, floating_ip_address FROM floating_ips WHERE fixed_ip_address IS NOT NULL \
             AND floating_ip_address IS NOT NULL AND port_id"
        );
        found.extend(sql.is_in(ports).push(" ORDER BY id").fetch_all(connection).await?);
    }
    Ok(found)
}

/// The floating IPs of an external network that lead nowhere go with it.
pub(super) async fn remove_unused_of(work: &mut Work<'_>, network: &str) -> Result<(), ApiError> {
    let all: Vec<FloatingIp> = rows_by(&mut work.transaction, "floating_network_id", [network]).await?;
    for unused in all.iter().filter(|floating| floating.port_id.is_none()) {
        if !unused.is_forwarded(work).await? {
            unused.before_delete(work).await?;
            delete_row::<FloatingIp>(&mut work.transaction, &unused.id).await?;
        }
    }
    Ok(())
}

/// The subnets that floating IPs can be from.
async fn pools(request: Request) -> Result<axum::Json<Value>, ApiError> {
    let own = request.context.project_id.as_deref();
    request.check_target(&novella_rest::policy::Target { project: own, ..Default::default() })?;
    let mut connection = request.state.database.read().await?;
    let list = novella_common::db::list::List::<Network>::all().filter(Condition::equal("external", &true));
    let list = match Network::visible(&request) {
        Some(visible) => list.visible(visible),
        None => list,
    };
    let networks = list.page(&mut connection).await?.unwrap_or_default();
    let ids: Vec<&str> = networks.iter().map(|network| network.id.as_str()).collect();
    let subnets: Vec<Subnet> = rows_by(&mut connection, "network_id", ids).await?;
    let project = request.context.project_id.as_deref().unwrap_or_default();
    let pools: Vec<Value> = subnets
        .iter()
        .filter(|subnet| subnet.ip_version == 4)
        .map(|subnet| {
            json!({
                "subnet_id": subnet.id, "subnet_name": subnet.name, "cidr": subnet.cidr,
                "network_id": subnet.network_id, "project_id": project, "tenant_id": project,
            })
        })
        .collect();
    Ok(axum::Json(json!({"floatingip_pools": pools})))
}
