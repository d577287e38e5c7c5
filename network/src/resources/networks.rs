//! `/networks`: segments that ports are on.

use novella_common::{
    db::{Connection, Sql, list::Condition},
    sql,
};
use novella_rest::{ApiError, Operation};
use serde_json::{Value, json};

use super::{segmentation, subnets::Subnet};
use crate::{
    Networking, Request,
    attributes::{
        Attribute,
        Otherwise::{Flag, Int, List, Null, Text},
        attribute,
        checks::{self, any, boolean, name, non_negative, uuid_or_null},
    },
    errors::{conflict, invalid_input},
    policy,
    resource::{
        self, About, Given, Resource, SharedAs, View, Wanted, Whose, Work, delete_row, grouped, is_admin, is_service,
        rows_by, sharing,
    },
};

crate::resource! {
    /// A network.
    struct Network in "networks" {
        name: String = attribute("name", name).given_or(Text("")).changed().filter().sort();
        description: String = attribute("description", name).given_or(Text("")).changed().filter();
        admin_state_up: bool = attribute("admin_state_up", boolean).given_or(Flag(true)).changed().filter().sort();
        status: String = attribute("status", any).begins(Text("ACTIVE")).filter().sort();
        /// Bytes of the largest packet.
        mtu: i64 = attribute("mtu", non_negative).given_or(Int(0)).changed().filter().sort();
        /// Whether routers can have it as their gateway.
        external: bool = attribute("router:external", boolean).given_or(Flag(false)).changed().filter()
            .creating(policy::CREATE_NETWORK_ROUTER_EXTERNAL).updating(policy::UPDATE_NETWORK_ROUTER_EXTERNAL);
        /// Whether it is the external network of topologies that are made by themselves.
        is_default: bool = attribute("is_default", boolean).given_or(Flag(false)).changed().filter().hidden()
            .creating(policy::CREATE_NETWORK_IS_DEFAULT).updating(policy::UPDATE_NETWORK_IS_DEFAULT);
        port_security_enabled: bool = attribute("port_security_enabled", boolean).given_or(Flag(true)).changed()
            .creating(policy::CREATE_NETWORK_PORT_SECURITY_ENABLED)
            .updating(policy::UPDATE_NETWORK_PORT_SECURITY_ENABLED);
        network_type: Option<String> = attribute("provider:network_type", checks::text::<32>).given_or(Null).changed()
            .filter().creating(policy::CREATE_NETWORK_PROVIDER_NETWORK_TYPE)
            .updating(policy::UPDATE_NETWORK_PROVIDER_NETWORK_TYPE).seeing(policy::GET_NETWORK_PROVIDER_NETWORK_TYPE);
        physical_network: Option<String> = attribute("provider:physical_network", checks::text_or_null).given_or(Null)
            .changed().filter().creating(policy::CREATE_NETWORK_PROVIDER_PHYSICAL_NETWORK)
            .updating(policy::UPDATE_NETWORK_PROVIDER_PHYSICAL_NETWORK)
            .seeing(policy::GET_NETWORK_PROVIDER_PHYSICAL_NETWORK);
        segmentation_id: Option<i64> = attribute("provider:segmentation_id", checks::int).given_or(Null).changed()
            .filter().creating(policy::CREATE_NETWORK_PROVIDER_SEGMENTATION_ID)
            .updating(policy::UPDATE_NETWORK_PROVIDER_SEGMENTATION_ID)
            .seeing(policy::GET_NETWORK_PROVIDER_SEGMENTATION_ID);
        qos_policy_id: Option<String> = attribute("qos_policy_id", uuid_or_null).given_or(Null).changed();
        dns_domain: String = attribute("dns_domain", super::names::domain).given_or(Text("")).changed();
        availability_zone_hints: Vec<String> [Json] = attribute("availability_zone_hints", checks::zones).given_or(List);
    }
}

static NETWORKS: About = About {
    one: "network",
    many: "networks",
    collection: "/networks",
    member: "/networks/{network_id}",
    tags: Some(("/networks/{network_id}/tags", "/networks/{network_id}/tags/{tag}")),
    missing: ("NetworkNotFound", "Network ", " could not be found."),
    get: policy::GET_NETWORK,
    create: policy::CREATE_NETWORK,
    update: Some(policy::UPDATE_NETWORK),
    delete: policy::DELETE_NETWORK,
    quota: Some("network"),
    stamped: true,
    first_revision: 1,
    shared: Some(&SHARED),
};

/// With whom networks are shared, to have ports on them. External ones are seen by all.
pub(crate) static SHARED: SharedAs = SharedAs { seen_by: &[EXTERNAL.action], ..SharedAs::of("network") };

const EXTERNAL: SharedAs = SharedAs { action: "access_as_external", ..SharedAs::of("network") };

/// Owners of ports that go with their network.
pub(super) const GOES_WITH_NETWORK: [&str; 3] =
    ["network:dhcp", "network:distributed", "network:floatingip_agent_gateway"];

/// The operations.
pub(super) fn operations() -> Vec<Operation<Networking>> {
    resource::operations::<Network>()
}

impl Resource for Network {
    const ABOUT: &'static About = &NETWORKS;
    const OTHERS: &'static [Attribute] = &[
        attribute("shared", boolean)
            .given_or(Flag(false))
            .changed()
            .filter()
            .creating(policy::CREATE_NETWORK_SHARED)
            .updating(policy::UPDATE_NETWORK_SHARED),
        attribute("subnets", any),
        attribute("availability_zones", any),
        attribute("ipv4_address_scope", any),
        attribute("ipv6_address_scope", any),
        attribute("l2_adjacency", any),
    ];

    fn visible(request: &Request) -> Option<Condition> {
        if is_service(request) { None } else { resource::visible_rows(request, &NETWORKS) }
    }

    async fn before_create(&mut self, work: &mut Work<'_>, given: &Given) -> Result<(), ApiError> {
        super::check_zones(&self.availability_zone_hints)?;
        if self.is_default && !self.external {
            return Err(invalid_input("A network that is not external can't be the default"));
        }
        super::qos::check_policy(work, self.qos_policy_id.as_deref()).await?;
        segmentation::choose(work, self).await?;
        self.set_mtu(given)?;
        super::security_groups::ensure_default(work, &self.project_id).await?;
        Ok(())
    }

    async fn after_create(&mut self, work: &mut Work<'_>, _: &Given) -> Result<(), ApiError> {
        if self.external {
            self.share_external(work).await?;
        }
        self.only_default(work).await
    }

    async fn before_update(&mut self, old: &Self, work: &mut Work<'_>, given: &Given) -> Result<(), ApiError> {
        super::qos::check_policy(work, self.qos_policy_id.as_deref()).await?;
        segmentation::check_change(old, given)?;
        if self.name != old.name {
            work.touched.network(&self.id);
        }
        self.network_type.clone_from(&old.network_type);
        self.physical_network.clone_from(&old.physical_network);
        self.segmentation_id = old.segmentation_id;
        if given.has("mtu") {
            self.set_mtu(given)?;
        }
        if old.external && !self.external {
            self.check_unused_outside(work).await?;
            sql!(
                "DELETE FROM network_rbac WHERE object_id = " (self.id) " AND action = " ("access_as_external")
            )
            .execute(&mut work.transaction)
            .await?;
        }
        if self.external && !old.external {
            self.share_external(work).await?;
        }
        if let Some(shared) = given.flag("shared") {
            if shared {
                sharing::share(work, &SHARED, &self.id, &self.project_id).await?;
            } else {
                self.check_unshared(work).await?;
                sharing::unshare(work, &SHARED, &self.id).await?;
            }
        }
        self.only_default(work).await
    }

    async fn before_delete(&self, work: &mut Work<'_>) -> Result<(), ApiError> {
        super::floating_ips::remove_unused_of(work, &self.id).await?;
        let ports: Vec<super::ports::Port> = rows_by(&mut work.transaction, "network_id", [&self.id]).await?;
        let (gone, left): (Vec<_>, Vec<_>) =
            ports.into_iter().partition(|port| GOES_WITH_NETWORK.contains(&port.device_owner.as_str()));
        if !left.is_empty() {
            let ids: Vec<&str> = left.iter().map(|port| port.id.as_str()).collect();
            return Err(conflict(
                "NetworkInUse",
                format!(
                    "Unable to complete operation on network {}. There are one or more ports still in use on the \
                     network, id for these ports is: {}.",
                    self.id,
                    ids.join(",")
                ),
            ));
        }
        for port in gone {
            super::ports::remove_port(work, &port).await?;
        }
        let subnets: Vec<Subnet> = rows_by(&mut work.transaction, "network_id", [&self.id]).await?;
        for subnet in subnets {
            subnet.forget_addresses(&mut work.transaction).await?;
            delete_row::<Subnet>(&mut work.transaction, &subnet.id).await?;
        }
        segmentation::give_back(work, self).await
    }

    async fn complete(
        rows: &[Self],
        views: &mut [View<'_>],
        wanted: &Wanted<'_>,
        _: &Request,
        connection: &mut Connection,
    ) -> Result<(), ApiError> {
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let of_subnets = ["subnets", "availability_zones", "ipv4_address_scope", "ipv6_address_scope"];
        let mut subnets = if of_subnets.iter().any(|name| wanted.has(name)) {
            let subnets: Vec<Subnet> = rows_by(connection, "network_id", &ids).await?;
            grouped(subnets.into_iter().map(|subnet| (subnet.network_id.clone(), subnet)))
        } else {
            std::collections::BTreeMap::new()
        };
        let scopes = super::subnet_pools::scopes_of(connection, subnets.values().flatten()).await?;
        for (row, view) in rows.iter().zip(views) {
            let mut subnets = subnets.remove(&row.id).unwrap_or_default();
            subnets.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
            let scope = |version: i64| {
                subnets
                    .iter()
                    .filter(|subnet| subnet.ip_version == version)
                    .find_map(|subnet| scopes.get(subnet.subnetpool_id.as_deref()?).cloned().flatten())
            };
            view.insert("ipv4_address_scope", json!(scope(4)));
            view.insert("ipv6_address_scope", json!(scope(6)));
            let zones: &[&str] = if subnets.iter().any(|subnet| subnet.enable_dhcp) { &[super::ZONE] } else { &[] };
            view.insert("availability_zones", json!(zones));
            let subnets: Vec<&str> = subnets.iter().map(|subnet| subnet.id.as_str()).collect();
            view.insert("subnets", json!(subnets));
            view.insert("l2_adjacency", true);
            if row.external || wanted.new {
                view.insert("is_default", row.is_default);
            }
        }
        Ok(())
    }
}

impl Network {
    /// Its packets' size: what was asked for, or what its kind can carry.
    fn set_mtu(&mut self, given: &Given) -> Result<(), ApiError> {
        let most = segmentation::largest_packet(self.network_type.as_deref());
        match given.get("mtu").and_then(Value::as_i64).filter(|mtu| *mtu > 0) {
            Some(mtu) if mtu > most => Err(invalid_input(format!("Requested MTU is too big, maximum is {most}"))),
            mtu => {
                self.mtu = mtu.unwrap_or(most);
                Ok(())
            }
        }
    }

    /// Everybody sees an external network.
    async fn share_external(&self, work: &mut Work<'_>) -> Result<(), ApiError> {
        sharing::share(work, &EXTERNAL, &self.id, &self.project_id).await
    }

    /// At most one external network is the default.
    async fn only_default(&self, work: &mut Work<'_>) -> Result<(), ApiError> {
        if !self.is_default {
            return Ok(());
        }
        let other: Option<String> = sql!(
            "SELECT id FROM networks WHERE is_default AND external AND id <> " (self.id) " LIMIT 1"
        )
        .fetch_optional(&mut work.transaction)
        .await?;
        match other {
            None => Ok(()),
            Some(other) => Err(conflict(
                "DefaultExternalNetworkExists",
                format!("A default external network already exists: {other}."),
            )),
        }
    }

    /// 409 while routers have their gateways on it, or floating IPs are from it.
    async fn check_unused_outside(&self, work: &mut Work<'_>) -> Result<(), ApiError> {
        let mut sql = sql!("SELECT COUNT(*) FROM ports WHERE network_id = " (self.id) " AND device_owner");
        let used: i64 =
            sql.is_in(["network:router_gateway", "network:floatingip"]).fetch_one(&mut work.transaction).await?;
        if used == 0 {
            return Ok(());
        }
        Err(conflict(
            "ExternalNetworkInUse",
            format!(
                "External network {} cannot be updated to be made non-external, since it has existing gateway ports.",
                self.id
            ),
        ))
    }

    /// 409 while others have ports on it.
    async fn check_unshared(&self, work: &mut Work<'_>) -> Result<(), ApiError> {
        let mut sql = sql!(
            "SELECT COUNT(*) FROM ports WHERE network_id = " (self.id) " AND project_id <> " (self.project_id)
            " AND project_id <> " ("") " AND device_owner NOT IN (" ("network:router_gateway") ", " ("network:floatingip")
            ") AND project_id NOT IN (SELECT target_project FROM network_rbac WHERE object_id = " (self.id)
            " AND action = " ("access_as_shared") " AND target_project <> " ("*") ")"
        );
        let others: i64 = sql.fetch_one(&mut work.transaction).await?;
        if others == 0 {
            return Ok(());
        }
        Err(conflict(
            "InvalidSharedSetting",
            format!("Unable to reconfigure sharing settings for network {}. Multiple tenants are using it.", self.name),
        ))
    }
}

/// The network of this id, if whoever asks may see it, which is not deleted until the transaction ends.
///
/// # Errors
/// 404.
pub(super) async fn seen(work: &mut Work<'_>, id: &str) -> Result<Network, ApiError> {
    resource::find::<Network>(work.request, &mut work.transaction, id).await?;
    resource::held::<Network>(&mut work.transaction, id).await?.ok_or_else(|| Network::missing(id))
}

/// Whose something on a network is, for the policy.
///
/// # Errors
/// 404 for a network that whoever asks may not know of.
pub(super) async fn whose_on(
    request: &Request,
    connection: &mut Connection,
    project: &str,
    network: &str,
) -> Result<Whose, ApiError> {
    let network = resource::find::<Network>(request, connection, network).await?;
    let shared = sharing::shared_now(request, connection, &SHARED, &[&network.id]).await?;
    Ok(Whose { project: project.to_owned(), shared: shared.contains(&network.id), parent: Some(network.project_id) })
}

/// Rows whose `network_id` is one that whoever asks has, or may see.
pub(super) fn on_visible(request: &Request) -> Option<Sql> {
    if is_admin(request) || is_service(request) {
        return None;
    }
    let project = request.context.project_id.as_deref().unwrap_or_default();
    let mut sql = sql!("network_id IN (SELECT id FROM networks WHERE project_id = " (project) ")");
    sql.push(" OR network_id IN (").append(sharing::seen_by(&SHARED, project)).push(")");
    Some(sql)
}
