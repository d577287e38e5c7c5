//! `/ports`: what is plugged into networks.

pub(crate) mod bindings;
mod fixed_ips;
mod options;
pub(crate) mod several;

use std::collections::{BTreeMap, BTreeSet};

use novella_common::{
    db::{Connection, Sql, list::Condition},
    sql,
};
use novella_rest::{ApiError, Operation, list::nothing};
use serde_json::{Map, Value, json};

use super::{
    networks::{self, Network},
    security_groups,
    subnets::Subnet,
    trunks,
};
use crate::{
    Networking, Request,
    addresses::allocations::{self, FixedIp},
    attributes::{
        Attribute,
        Otherwise::{Flag, List, Null, Object, Text},
        attribute,
        checks::{self, any, boolean, name, text, text_or_null, uuid, uuid_or_null},
        read,
    },
    errors::{conflict, disallowed, refused},
    policy,
    resource::{
        self, About, Given, Resource, View, Wanted, Whose, Work, bump, check_rules, grouped, in_table, is_admin,
        is_service, look_up, rows_by, write_tags,
    },
};

pub(crate) use self::{
    fixed_ips::{RequestedIp, Source, default_sources, filter as fixed_ips_filter, none_left, place, sources_with},
    options::AddressPair,
};
pub(super) use self::{
    fixed_ips::{check as check_fixed_ips, requested_ips_in},
    several::remove_port,
};

crate::resource! {
    /// A port.
    struct Port in "ports" {
        name: String = attribute("name", name).given_or(Text("")).changed().filter().sort();
        description: String = attribute("description", name).given_or(Text("")).changed().filter();
        network_id: String = attribute("network_id", uuid).required().filter().sort();
        admin_state_up: bool = attribute("admin_state_up", boolean).given_or(Flag(true)).changed().filter().sort();
        mac_address: Option<String> = attribute("mac_address", checks::mac_or_null).given_or(Null).changed().filter()
            .sort_nullable().creating(policy::CREATE_PORT_MAC_ADDRESS).updating(policy::UPDATE_PORT_MAC_ADDRESS);
        status: String = attribute("status", any).begins(Text("DOWN")).filter().sort();
        device_id: String = attribute("device_id", text::<255>).given_or(Text("")).changed().filter().sort()
            .creating(policy::CREATE_PORT_DEVICE_ID).updating(policy::UPDATE_PORT_DEVICE_ID);
        device_owner: String = attribute("device_owner", text::<255>).given_or(Text("")).changed().filter().sort()
            .creating(policy::CREATE_PORT_DEVICE_OWNER).updating(policy::UPDATE_PORT_DEVICE_OWNER);
        /// `None`: as its network says.
        port_security_enabled: Option<bool> = attribute("port_security_enabled", boolean).given_or(Null).changed()
            .creating(policy::CREATE_PORT_PORT_SECURITY_ENABLED).updating(policy::UPDATE_PORT_PORT_SECURITY_ENABLED);
        allowed_address_pairs: Vec<AddressPair> [Json] = attribute("allowed_address_pairs", options::address_pairs)
            .given_or(List).changed().creating(policy::CREATE_PORT_ALLOWED_ADDRESS_PAIRS)
            .updating(policy::UPDATE_PORT_ALLOWED_ADDRESS_PAIRS);
        extra_dhcp_opts: Vec<Map<String, Value>> [Json] = attribute("extra_dhcp_opts", options::dhcp_options)
            .given_or(List).changed();
        host_id: String = attribute("binding:host_id", options::host).given_or(Text("")).changed().filter()
            .creating(policy::CREATE_PORT_BINDING_HOST_ID).updating(policy::UPDATE_PORT_BINDING_HOST_ID)
            .seeing(policy::GET_PORT_BINDING_HOST_ID);
        profile: Map<String, Value> [Json] = attribute("binding:profile", options::profile).given_or(Object).changed()
            .creating(policy::CREATE_PORT_BINDING_PROFILE).updating(policy::UPDATE_PORT_BINDING_PROFILE)
            .seeing(policy::GET_PORT_BINDING_PROFILE);
        vnic_type: String = attribute("binding:vnic_type", options::vnic_type).given_or(Text("normal")).changed()
            .creating(policy::CREATE_PORT_BINDING_VNIC_TYPE).updating(policy::UPDATE_PORT_BINDING_VNIC_TYPE);
        vif_type: String = attribute("binding:vif_type", any).begins(Text("unbound"))
            .seeing(policy::GET_PORT_BINDING_VIF_TYPE);
        vif_details: Map<String, Value> [Json] = attribute("binding:vif_details", any).begins(Object)
            .seeing(policy::GET_PORT_BINDING_VIF_DETAILS);
        dns_name: String = attribute("dns_name", super::names::host).given_or(Text("")).changed();
        qos_policy_id: Option<String> = attribute("qos_policy_id", uuid_or_null).given_or(Null).changed();
        device_profile: Option<String> = attribute("device_profile", text_or_null).given_or(Null).hidden();
        ip_allocation: String = attribute("ip_allocation", any).begins(Text("none")).filter().sort();
    }
}

static PORTS: About = About {
    one: "port",
    many: "ports",
    collection: "/ports",
    member: "/ports/{port_id}",
    tags: Some(("/ports/{port_id}/tags", "/ports/{port_id}/tags/{tag}")),
    missing: ("PortNotFound", "Port ", " could not be found."),
    get: policy::GET_PORT,
    create: policy::CREATE_PORT,
    update: Some(policy::UPDATE_PORT),
    delete: policy::DELETE_PORT,
    quota: Some("port"),
    stamped: true,
    first_revision: 1,
    shared: None,
};

/// Owners of ports that a router or a floating IP has, which go with it and not by themselves.
const OF_ROUTERS: [&str; 5] = [
    "network:router_interface",
    "network:router_gateway",
    "network:floatingip",
    "network:router_centralized_snat",
    "network:ha_router_replicated_interface",
];

/// The operations.
pub(super) fn operations() -> Vec<Operation<Networking>> {
    let mut operations = resource::operations::<Port>();
    operations.extend(bindings::operations());
    operations
}

impl Resource for Port {
    const ABOUT: &'static About = &PORTS;
    const OTHERS: &'static [Attribute] = &[
        attribute("fixed_ips", fixed_ips::check)
            .given_or(Null)
            .changed()
            .filter()
            .creating(policy::CREATE_PORT_FIXED_IPS)
            .updating(policy::UPDATE_PORT_FIXED_IPS),
        attribute("security_groups", checks::uuids).given_or(Null).changed().filter(),
        attribute("tags", checks::tags).given_or(List).filter(),
        attribute("dns_assignment", any),
        attribute("qos_network_policy_id", any),
        attribute("trunk_details", any),
    ];

    fn visible(request: &Request) -> Option<Condition> {
        if is_admin(request) || is_service(request) {
            return None;
        }
        let project = request.context.project_id.as_deref().unwrap_or_default();
        Some(Condition::raw(sql!(
            "project_id = " (project) " OR network_id IN (SELECT id FROM networks WHERE project_id = " (project) ")"
        )))
    }

    fn filter(_: &Request, name: &str, values: &[&str]) -> Result<Option<Condition>, ApiError> {
        match name {
            "security_groups" => Ok(Some(in_table("SELECT port_id FROM port_security_groups", "group_id", values))),
            "fixed_ips" => fixed_ips::filter(values).map(Some),
            _ => Ok(Some(nothing())),
        }
    }

    /// Only what is the network's own is its owner's alone to say.
    fn asks(attribute: &Attribute, value: &Value) -> bool {
        attribute.name != "device_owner" || value.as_str().is_some_and(|owner| owner.starts_with("network:"))
    }

    async fn whose(&self, _: &Request, connection: &mut Connection) -> Result<Whose, ApiError> {
        let network = look_up::<Network>(connection, &self.network_id).await?;
        Ok(Whose { parent: network.map(|network| network.project_id), ..Whose::of(self.project_id.clone()) })
    }

    async fn whose_new(given: &Given, request: &Request, connection: &mut Connection) -> Result<Whose, ApiError> {
        let network = given.text("network_id").unwrap_or_default();
        networks::whose_on(request, connection, &given.project, network).await
    }

    async fn before_create(&mut self, work: &mut Work<'_>, given: &Given) -> Result<(), ApiError> {
        check_profile(work, given, "create_port")?;
        self.check_router(work).await?;
        let network = networks::seen(work, &self.network_id).await?;
        let requested_ips = fixed_ips::requested_ips(given)?;
        if requested_ips.iter().flatten().any(|requested_ip| requested_ip.address.is_some()) {
            let whose = Self::whose_new(given, work.request, &mut work.transaction).await?;
            let rules = [policy::CREATE_PORT, policy::CREATE_PORT_FIXED_IPS, policy::CREATE_PORT_FIXED_IPS_IP_ADDRESS];
            check_rules(work.request, &rules, &whose.target())?;
        }
        self.port_security_enabled.get_or_insert(network.port_security_enabled);
        super::qos::check_policy(work, self.qos_policy_id.as_deref()).await?;
        self.check_pairs()?;
        self.bind();
        Ok(())
    }

    async fn write(&self, work: &mut Work<'_>, _: &Given) -> Result<(), ApiError> {
        let mut sql = novella_common::db::table::insert_into(std::slice::from_ref(self));
        sql.push(" ON CONFLICT (network_id, mac_address) DO NOTHING");
        // Without one it is given one when the row is there.
        if sql.execute_one(&mut work.transaction).await? {
            return Ok(());
        }
        Err(self.mac_in_use())
    }

    async fn after_create(&mut self, work: &mut Work<'_>, given: &Given) -> Result<(), ApiError> {
        self.choose_mac(work).await?;
        let requested_ips = fixed_ips::requested_ips(given)?;
        match &requested_ips {
            Some(requested_ips) => fixed_ips::give(work, self, requested_ips).await?,
            None => fixed_ips::give_default(work, self).await?,
        };
        self.ip_allocation = allocation(requested_ips.as_deref() != Some(&[])).to_owned();
        sql!(
            "UPDATE ports SET ip_allocation = " (self.ip_allocation) " WHERE id = " (self.id)
        )
        .execute(&mut work.transaction)
        .await?;
        self.set_groups(work, given, true).await?;
        work.touched.port(self);
        let tags: Vec<String> = read("tags", given.values.get("tags").unwrap_or(&json!([])))?;
        write_tags(&mut work.transaction, &self.id, &tags).await
    }

    async fn before_update(&mut self, old: &Self, work: &mut Work<'_>, given: &Given) -> Result<(), ApiError> {
        check_profile(work, given, "update_port")?;
        if self.device_id != old.device_id || self.device_owner != old.device_owner {
            self.check_router(work).await?;
        }
        work.touched.port(old);
        work.touched.port(self);
        super::qos::check_policy(work, self.qos_policy_id.as_deref()).await?;
        if self.mac_address != old.mac_address {
            self.change_mac(old, work).await?;
        }
        if given.has("extra_dhcp_opts") {
            self.extra_dhcp_opts = options::merged(&old.extra_dhcp_opts, &self.extra_dhcp_opts);
        }
        self.check_pairs()?;
        let mut changed = false;
        if let Some(requested_ips) = fixed_ips::requested_ips(given)? {
            if requested_ips.iter().any(|requested_ip| requested_ip.address.is_some()) {
                let whose = self.whose(work.request, &mut work.transaction).await?;
                let rules =
                    [policy::UPDATE_PORT, policy::UPDATE_PORT_FIXED_IPS, policy::UPDATE_PORT_FIXED_IPS_IP_ADDRESS];
                check_rules(work.request, &rules, &whose.target())?;
            }
            fixed_ips::change(work, self, &requested_ips).await?;
            changed = true;
        } else if self.mac_address != old.mac_address {
            fixed_ips::follow_mac(work, self).await?;
        }
        if given.has("security_groups") || given.has("port_security_enabled") {
            self.set_groups(work, given, false).await?;
            changed |= given.has("security_groups");
        }
        let again = given.has("binding:host_id") || given.has("binding:vnic_type") || given.has("binding:profile");
        if again || given.has("admin_state_up") || given.has("device_owner") {
            self.bind();
        }
        if changed && self == old {
            // What has changed is in other tables.
            self.revision_number = old.revision_number + 1;
            self.updated_at = work.now;
        }
        Ok(())
    }

    async fn before_delete(&self, work: &mut Work<'_>) -> Result<(), ApiError> {
        let guarded = ["compute:", "baremetal:", "manila:"];
        if guarded.iter().any(|owner| self.device_owner.starts_with(owner))
            && !is_admin(work.request)
            && !is_service(work.request)
        {
            return Err(disallowed("rule:delete_port"));
        }
        if OF_ROUTERS.contains(&self.device_owner.as_str()) && self.is_held(work).await? {
            return Err(conflict(
                "ServicePortInUse",
                format!(
                    "Port {} cannot be deleted directly via the port API: has device owner {}.",
                    self.id, self.device_owner
                ),
            ));
        }
        trunks::check_unused(work, &self.id).await?;
        work.touched.deleted(self);
        several::release(work, &[&self.id]).await
    }

    async fn complete(
        rows: &[Self],
        views: &mut [View<'_>],
        wanted: &Wanted<'_>,
        request: &Request,
        connection: &mut Connection,
    ) -> Result<(), ApiError> {
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let addresses = if wanted.has("fixed_ips") || wanted.has("dns_assignment") {
            allocations::of_ports(connection, &ids).await?
        } else {
            Vec::new()
        };
        let mut addresses = grouped(addresses);
        let mut groups =
            if wanted.has("security_groups") { grouped(groups_of(connection, &ids).await?) } else { grouped([]) };
        let networks: BTreeSet<&str> = rows.iter().map(|row| row.network_id.as_str()).collect();
        let networks: Vec<Network> =
            if wanted.has("qos_network_policy_id") { rows_by(connection, "id", networks).await? } else { Vec::new() };
        let policies: BTreeMap<&str, &Option<String>> =
            networks.iter().map(|network| (network.id.as_str(), &network.qos_policy_id)).collect();
        let mut details =
            if wanted.has("trunk_details") { trunks::details_of(connection, &ids).await? } else { Default::default() };
        let domain = &request.state.config.dns_domain;
        for (row, view) in rows.iter().zip(views) {
            let addresses = addresses.remove(&row.id).unwrap_or_default();
            view.add("dns_assignment", super::names::assignment(&addresses, &row.dns_name, domain));
            view.add("fixed_ips", addresses.into_iter().map(View::from).collect::<Vec<_>>());
            view.add("security_groups", json!(groups.remove(&row.id).unwrap_or_default()));
            if !row.allowed_address_pairs.is_empty() {
                let pairs = row.allowed_address_pairs.iter().map(|pair| pair.shown(row.mac()));
                view.insert("allowed_address_pairs", pairs.collect::<Vec<_>>());
            }
            view.add("qos_network_policy_id", json!(policies.get(row.network_id.as_str())));
            if let Some(details) = details.remove(&row.id) {
                view.add("trunk_details", details);
            }
        }
        Ok(())
    }
}

/// The security groups of these ports, each with the port's id.
pub(crate) async fn groups_of(connection: &mut Connection, ports: &[&str]) -> Result<Vec<(String, String)>, ApiError> {
    let mut groups = Vec::new();
    for ports in ports.chunks(resource::AT_ONCE) {
        let mut sql = sql!("SELECT port_id, group_id FROM port_security_groups WHERE port_id");
        groups.extend(sql.is_in(ports).push(" ORDER BY port_id, group_id").fetch_all(connection).await?);
    }
    Ok(groups)
}

/// How its addresses are given to a new port that is to have some, or none.
pub(crate) const fn allocation(some: bool) -> &'static str {
    if some { "immediate" } else { "none" }
}

/// Only services say how a port is bound.
fn check_profile(work: &Work<'_>, given: &Given, rule: &str) -> Result<(), ApiError> {
    let said = given.has("binding:profile") && given.values.get("binding:profile") != Some(&json!({}));
    if said && !is_service(work.request) {
        return Err(disallowed(&format!("(rule:{rule} and rule:{rule}:binding:profile)")));
    }
    Ok(())
}

impl Port {
    /// Its MAC; every port has one.
    pub(crate) fn mac(&self) -> &str {
        self.mac_address.as_deref().unwrap_or_default()
    }

    /// Whether security groups say what passes it.
    pub(crate) fn is_secured(&self) -> bool {
        self.port_security_enabled.unwrap_or(true)
    }

    fn mac_in_use(&self) -> ApiError {
        conflict(
            "MacAddressInUse",
            format!(
                "Unable to complete operation for network {}. The mac address {} is in use.",
                self.network_id,
                self.mac()
            ),
        )
    }

    /// Gives it a MAC that no other port of its network has, unless it was given one.
    async fn choose_mac(&mut self, work: &mut Work<'_>) -> Result<(), ApiError> {
        const ATTEMPTS: u32 = 16;
        if self.mac_address.is_some() {
            return Ok(());
        }
        for _ in 0..ATTEMPTS {
            let mac = several::any_mac();
            let taken: Option<String> = sql!(
                "SELECT id FROM ports WHERE network_id = " (self.network_id) " AND mac_address = " (mac)
            )
            .fetch_optional(&mut work.transaction)
            .await?;
            if taken.is_some() {
                continue;
            }
            sql!("UPDATE ports SET mac_address = " (mac) " WHERE id = " (self.id))
                .execute(&mut work.transaction)
                .await
                // Another port has got it at the same time.
                .map_err(|error| if error.is_unique_violation() { ApiError::TransactionLost } else { error.into() })?;
            self.mac_address = Some(mac);
            return Ok(());
        }
        Err(several::no_mac(&self.network_id))
    }

    async fn change_mac(&mut self, old: &Self, work: &mut Work<'_>) -> Result<(), ApiError> {
        if !old.host_id.is_empty() && old.vif_type != "unbound" && old.vif_type != "binding_failed" {
            return Err(conflict(
                "PortBound",
                format!(
                    "Unable to complete operation on port {}, port is already bound, port type: {}, old_mac {}, new_mac \
                     {}.",
                    self.id,
                    old.vif_type,
                    old.mac(),
                    self.mac()
                ),
            ));
        }
        let Some(mac) = &self.mac_address else { return self.choose_mac(work).await };
        let taken: Option<String> = sql!(
            "SELECT id FROM ports WHERE network_id = " (self.network_id) " AND mac_address = " (mac)
        )
        .fetch_optional(&mut work.transaction)
        .await?;
        if taken.is_some() { Err(self.mac_in_use()) } else { Ok(()) }
    }

    /// Address pairs need port security, and without a MAC of their own have the port's.
    fn check_pairs(&self) -> Result<(), ApiError> {
        if self.allowed_address_pairs.is_empty() || self.is_secured() {
            return Ok(());
        }
        Err(conflict(
            "AddressPairAndPortSecurityRequired",
            "Port Security must be enabled in order to have allowed address pairs on a port.",
        ))
    }

    /// Binds it to its host, which plugs whatever it is told.
    pub(crate) fn bind(&mut self) {
        if self.host_id.is_empty() {
            self.vif_type = "unbound".to_owned();
            self.vif_details = Map::new();
            if !OF_ROUTERS.contains(&self.device_owner.as_str()) {
                self.status = "DOWN".to_owned();
            }
            return;
        }
        (self.vif_type, self.vif_details) = bindings::vif();
        let up = self.admin_state_up && !self.device_owner.is_empty();
        self.status = if up { "ACTIVE" } else { "DOWN" }.to_owned();
    }

    /// Writes which security groups it has.
    async fn set_groups(&self, work: &mut Work<'_>, given: &Given, new: bool) -> Result<(), ApiError> {
        let named = given.has("security_groups");
        let own: Vec<String> = match given.get("security_groups") {
            Some(groups) => read("security_groups", groups)?,
            None if new && self.is_secured() && !named && !self.device_owner.starts_with("network:") => {
                let group = security_groups::ensure_default(work, &self.project_id).await?;
                // Unless an administrator has just deleted it: then another one is made.
                let held = resource::held::<security_groups::SecurityGroup>(&mut work.transaction, &group).await?;
                vec![held.ok_or(ApiError::TransactionLost)?.id]
            }
            None if new => Vec::new(),
            None => groups_of(&mut work.transaction, &[&self.id]).await?.into_iter().map(|(_, group)| group).collect(),
        };
        if !own.is_empty() && !self.is_secured() {
            let text =
                "Port security must be enabled and port must have an IP address in order to use security groups.";
            return Err(match named {
                true => refused("PortSecurityAndIPRequiredForSecurityGroups", text),
                false => conflict(
                    "PortSecurityPortHasSecurityGroup",
                    "Port has security group associated. Cannot disable port security or IP address until security \
                     group is removed.",
                ),
            });
        }
        if named {
            security_groups::check_seen(work, &own).await?;
        }
        sql!("DELETE FROM port_security_groups WHERE port_id = "(self.id)).execute(&mut work.transaction).await?;
        if own.is_empty() {
            return Ok(());
        }
        let mut sql = Sql::new("INSERT INTO port_security_groups (port_id, group_id) ");
        sql.rows(&own, |group, cells| {
            cells.bind(&self.id).bind(group);
        });
        sql.execute(&mut work.transaction).await?;
        Ok(())
    }

    /// 409 if it is to be of a router of others, which only administrators and services give ports.
    async fn check_router(&self, work: &mut Work<'_>) -> Result<(), ApiError> {
        let of_router = ["network:router", "network:ha_router"].iter().any(|kind| self.device_owner.starts_with(kind));
        if !of_router || is_admin(work.request) || is_service(work.request) {
            return Ok(());
        }
        let project: Option<String> = sql!("SELECT project_id FROM routers WHERE id = "(self.device_id))
            .fetch_optional(&mut work.transaction)
            .await?;
        if project.is_none_or(|project| project == work.own_project()) {
            return Ok(());
        }
        let text = format!(
            "The following device_id {} is not owned by your project or matches another project router.",
            self.device_id
        );
        Err(conflict("DeviceIDNotOwnedByTenant", text))
    }

    /// Whether the router or the floating IP that it is of is there.
    async fn is_held(&self, work: &mut Work<'_>) -> Result<bool, ApiError> {
        let found: Option<String> = sql!(
            "SELECT id FROM routers WHERE id = " (self.device_id) " UNION ALL SELECT id FROM floating_ips WHERE id = "
            (self.device_id)
        )
        .fetch_optional(&mut work.transaction)
        .await?;
        Ok(found.is_some())
    }
}

/// Makes a port on behalf of a router or a floating IP.
pub(super) async fn make_port(
    work: &mut Work<'_>,
    project: &str,
    values: Value,
    requested_ips: &[RequestedIp],
) -> Result<(Port, Vec<FixedIp>), ApiError> {
    let mut given = resource::by_default::<Port>(project, values);
    given.values.insert("fixed_ips".to_owned(), json!([]));
    given.values.insert("security_groups".to_owned(), json!([]));
    given.values.insert("port_security_enabled".to_owned(), json!(false));
    let port = resource::make::<Port>(work, &given).await?;
    let addresses = fixed_ips::give(work, &port, requested_ips).await?;
    sql!("UPDATE ports SET ip_allocation = " (allocation(!requested_ips.is_empty())) " WHERE id = " (port.id))
        .execute(&mut work.transaction)
        .await?;
    Ok((port, addresses))
}

/// The addresses of a port, in their order.
pub(super) async fn addresses_of(connection: &mut Connection, port: &str) -> Result<Vec<FixedIp>, ApiError> {
    Ok(allocations::of_ports(connection, &[port]).await?.into_iter().map(|(_, fixed)| fixed).collect())
}

/// Other addresses for a port, on behalf of a router.
pub(super) async fn set_addresses(
    work: &mut Work<'_>,
    port: &Port,
    requested_ips: &[RequestedIp],
) -> Result<Vec<FixedIp>, ApiError> {
    let addresses = fixed_ips::change(work, port, requested_ips).await?;
    bump::<Port>(&mut work.transaction, &port.id, work.now).await?;
    Ok(addresses)
}

/// Ports whose addresses of a subnet don't keep it from being deleted give them back: those of DHCP, and what devices have
/// made themselves.
pub(super) async fn leave_subnet(work: &mut Work<'_>, subnet: &Subnet) -> Result<(), ApiError> {
    let held: Vec<(String, String, String)> = sql!(
        "SELECT a.port_id, a.ip_address, p.device_owner FROM network_allocations a JOIN ports p ON p.id = a.port_id \
         WHERE a.subnet_id = "(subnet.id)
    )
    .fetch_all(&mut work.transaction)
    .await?;
    let own = subnet.makes_own_addresses();
    for (port, ip_address, owner) in held {
        let goes =
            networks::GOES_WITH_NETWORK.contains(&owner.as_str()) || (own && !owner.starts_with("network:router"));
        if goes {
            let fixed = FixedIp { subnet_id: subnet.id.clone(), ip_address };
            allocations::take_back(&mut work.transaction, subnet, &fixed).await?;
            work.touched.port_id(&port);
        }
    }
    Ok(())
}

/// Ports that are on the network when a subnet comes in which devices make their addresses themselves have one, too.
pub(super) async fn add_own_addresses(work: &mut Work<'_>, subnet: &Subnet) -> Result<(), ApiError> {
    let ports: Vec<Port> = rows_by(&mut work.transaction, "network_id", [&subnet.network_id]).await?;
    for port in ports.iter().filter(|port| !port.device_owner.starts_with("network:router")) {
        let addresses = addresses_of(&mut work.transaction, &port.id).await?;
        fixed_ips::give_own(work, port, subnet, addresses.len()).await?;
        work.touched.port(port);
    }
    Ok(())
}
