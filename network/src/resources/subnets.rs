//! `/subnets`: blocks of addresses of a network.

use std::net::IpAddr;

use ipnet::IpNet;
use novella_common::{
    db::{
        Connection, Sql,
        list::{Condition, List},
        table,
    },
    sql,
};
use novella_rest::{ApiError, Operation, list::nothing};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    networks::{self, Network},
    subnet_layout as layout, subnet_pools,
};
use crate::{
    Networking, Request,
    addresses::{allocations, number, overlap, pool, ranges::Range},
    attributes::{
        Attribute,
        Otherwise::{Flag, List as Empty, Null, Text},
        attribute,
        checks::{self, any, boolean, name, uuid, uuid_or_null},
    },
    errors::{bad_request_of, conflict, invalid_input},
    policy,
    resource::{self, About, Given, Resource, View, Wanted, Whose, Work, bump, is_admin, is_service},
};

/// A range of addresses that are given out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AllocationPool {
    pub(crate) start: IpAddr,
    pub(crate) end: IpAddr,
}

/// A route that a subnet tells its devices of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Route {
    pub(crate) destination: IpNet,
    pub(crate) nexthop: IpAddr,
}

crate::resource! {
    /// A subnet.
    struct Subnet in "subnets" {
        name: String = attribute("name", name).given_or(Text("")).changed().filter().sort();
        description: String = attribute("description", name).given_or(Text("")).changed().filter();
        network_id: String = attribute("network_id", uuid).required().filter().sort();
        ip_version: i64 = attribute("ip_version", checks::ip_version).required().filter().sort();
        subnetpool_id: Option<String> = attribute("subnetpool_id", subnet_pools::id_or_null).given_or(Null).filter()
            .sort_nullable();
        cidr: String = attribute("cidr", checks::cidr_or_null).given_or(Text("")).filter().sort();
        gateway_ip: Option<String> = attribute("gateway_ip", checks::address_or_null).given_or(Null).changed().filter()
            .sort_nullable();
        allocation_pools: Vec<AllocationPool> [Json] = attribute("allocation_pools", checks::pools).given_or(Empty)
            .changed();
        dns_nameservers: Vec<IpAddr> [Json] = attribute("dns_nameservers", checks::nameservers).given_or(Empty)
            .changed();
        host_routes: Vec<Route> [Json] = attribute("host_routes", checks::routes).given_or(Empty).changed();
        enable_dhcp: bool = attribute("enable_dhcp", boolean).given_or(Flag(true)).changed().filter().sort();
        ipv6_ra_mode: Option<String> = attribute("ipv6_ra_mode", layout::ipv6_mode).given_or(Null).filter()
            .sort_nullable();
        ipv6_address_mode: Option<String> = attribute("ipv6_address_mode", layout::ipv6_mode).given_or(Null).filter()
            .sort_nullable();
        service_types: Vec<String> [Json] = attribute("service_types", layout::service_types).given_or(Empty).changed();
    }
}

static SUBNETS: About = About {
    one: "subnet",
    many: "subnets",
    collection: "/subnets",
    member: "/subnets/{subnet_id}",
    tags: Some(("/subnets/{subnet_id}/tags", "/subnets/{subnet_id}/tags/{tag}")),
    missing: ("SubnetNotFound", "Subnet ", " could not be found."),
    get: policy::GET_SUBNET,
    create: policy::CREATE_SUBNET,
    update: Some(policy::UPDATE_SUBNET),
    delete: policy::DELETE_SUBNET,
    quota: Some("subnet"),
    stamped: true,
    first_revision: 0,
    shared: None,
};

/// The operations.
pub(super) fn operations() -> Vec<Operation<Networking>> {
    resource::operations::<Subnet>()
}

impl Resource for Subnet {
    const ABOUT: &'static About = &SUBNETS;
    const OTHERS: &'static [Attribute] = &[
        attribute("prefixlen", checks::non_negative).given_or(Null).hidden(),
        attribute("use_default_subnetpool", boolean).given_or(Flag(false)).hidden(),
        attribute("segment_id", uuid_or_null).given_or(Null).hidden().filter(),
        attribute("router:external", any).filter(),
        attribute("shared", any).filter().hidden(),
    ];

    fn visible(request: &Request) -> Option<Condition> {
        let mut on = networks::on_visible(request)?;
        let project = request.context.project_id.as_deref().unwrap_or_default();
        Some(Condition::raw({
            on.push(" OR project_id = ").bind(project);
            on
        }))
    }

    fn filter(request: &Request, name: &str, values: &[&str]) -> Result<Option<Condition>, ApiError> {
        match name {
            "router:external" => {
                let mut sql = Sql::new("network_id IN (SELECT id FROM networks WHERE external");
                sql.is_in(resource::flags(values)?).push(")");
                Ok(Some(Condition::raw(sql)))
            }
            "shared" => {
                let project = request.context.project_id.as_deref().unwrap_or_default();
                let Ok([wanted]) = <[bool; 1]>::try_from(resource::flags(values)?) else { return Ok(None) };
                let mut sql = Sql::new(if wanted { "network_id IN (" } else { "network_id NOT IN (" });
                sql.append(resource::shared_with(&networks::SHARED, project)).push(")");
                Ok(Some(Condition::raw(sql)))
            }
            _ => Ok(Some(nothing())),
        }
    }

    async fn whose(&self, _: &Request, connection: &mut Connection) -> Result<Whose, ApiError> {
        let network = resource::look_up::<Network>(connection, &self.network_id).await?;
        Ok(Whose { parent: network.map(|network| network.project_id), ..Whose::of(self.project_id.clone()) })
    }

    async fn whose_new(given: &Given, request: &Request, connection: &mut Connection) -> Result<Whose, ApiError> {
        let network = given.text("network_id").unwrap_or_default();
        networks::whose_on(request, connection, &given.project, network).await
    }

    /// Its network, as whoever makes a port on it does.
    async fn lock_before(work: &mut Work<'_>, id: &str) -> Result<(), ApiError> {
        if let Some(subnet) = resource::look_up::<Self>(&mut work.transaction, id).await? {
            table::lock::<Network, _>(&mut work.transaction, &subnet.network_id).await?;
        }
        Ok(())
    }

    async fn before_create(&mut self, work: &mut Work<'_>, given: &Given) -> Result<(), ApiError> {
        let network = resource::locked::<Network>(work, &self.network_id).await?;
        if !is_admin(work.request) && !is_service(work.request) {
            // A part of a network is the network's owner's.
            self.project_id.clone_from(&network.project_id);
        }
        layout::check_modes(self)?;
        if let Some(id) = given.text("segment_id") {
            return Err(crate::errors::missing("SegmentNotFound", format!("Segment {id} could not be found.")));
        }
        subnet_pools::choose(work, self, given).await?;
        if self.cidr.is_empty() {
            return Err(bad_request_of("subnets", "a subnetpool must be specified in the absence of a cidr"));
        }
        layout::complete(self, given)?;
        let network = self.network()?;
        let others: Vec<Self> = resource::rows_by(&mut work.transaction, "network_id", [&self.network_id]).await?;
        for other in &others {
            if overlap(&network, &other.network()?) {
                return Err(invalid_input(format!(
                    "Requested subnet with cidr: {network} for network: {} overlaps with another subnet",
                    self.network_id
                )));
            }
        }
        subnet_pools::check_same(self, &others)?;
        Ok(())
    }

    async fn after_create(&mut self, work: &mut Work<'_>, _: &Given) -> Result<(), ApiError> {
        pool::fill(&mut work.transaction, &self.id, &self.pools()?).await?;
        bump::<Network>(&mut work.transaction, &self.network_id, work.now).await?;
        if self.makes_own_addresses() {
            super::ports::add_own_addresses(work, self).await?;
        }
        Ok(())
    }

    async fn before_update(&mut self, old: &Self, work: &mut Work<'_>, given: &Given) -> Result<(), ApiError> {
        if given.has("gateway_ip") && self.gateway_ip != old.gateway_ip {
            super::router_interfaces::check_gateway_unused(work, old).await?;
        }
        layout::check_change(self, given)?;
        if self.allocation_pools != old.allocation_pools {
            allocations::reset(&mut work.transaction, &self.id, &self.pools()?).await?;
        }
        Ok(())
    }

    async fn before_delete(&self, work: &mut Work<'_>) -> Result<(), ApiError> {
        super::ports::leave_subnet(work, self).await?;
        let used: i64 = sql!("SELECT COUNT(*) FROM network_allocations WHERE subnet_id = "(self.id))
            .fetch_one(&mut work.transaction)
            .await?;
        if used > 0 {
            return Err(conflict(
                "SubnetInUse",
                format!(
                    "Unable to complete operation on subnet {}: One or more ports have an IP allocation from this subnet.",
                    self.id
                ),
            ));
        }
        self.forget_addresses(&mut work.transaction).await?;
        bump::<Network>(&mut work.transaction, &self.network_id, work.now).await
    }

    async fn complete(
        rows: &[Self],
        views: &mut [View<'_>],
        wanted: &Wanted<'_>,
        _: &Request,
        connection: &mut Connection,
    ) -> Result<(), ApiError> {
        if !wanted.has("router:external") {
            return Ok(());
        }
        let ids: Vec<&str> = rows.iter().map(|row| row.network_id.as_str()).collect();
        let external = Condition::equal("external", &true);
        let external = List::<Network>::all().filter(external).filter(Condition::is_in("id", ids));
        let external = external.page(connection).await?.unwrap_or_default();
        for (row, view) in rows.iter().zip(views) {
            let is = external.iter().any(|network| network.id == row.network_id);
            view.insert("router:external", json!(is));
        }
        Ok(())
    }
}

impl Subnet {
    /// Its block of addresses.
    pub(crate) fn network(&self) -> Result<IpNet, ApiError> {
        allocations::network(&self.cidr)
    }

    /// The addresses that are given out.
    pub(crate) fn pools(&self) -> Result<Vec<Range>, ApiError> {
        Ok(self
            .allocation_pools
            .iter()
            .map(|pool| Range { first: number(pool.start), last: number(pool.end) })
            .collect())
    }

    /// Whether devices make their addresses in it themselves, from their MAC.
    pub(crate) fn makes_own_addresses(&self) -> bool {
        let auto = |mode: &Option<String>| matches!(mode.as_deref(), Some("slaac" | "dhcpv6-stateless"));
        auto(&self.ipv6_address_mode) || auto(&self.ipv6_ra_mode)
    }

    /// Forgets what is free in it.
    pub(crate) async fn forget_addresses(&self, connection: &mut Connection) -> Result<(), ApiError> {
        pool::empty(connection, &self.id).await
    }

    /// Its gateway.
    pub(crate) fn gateway(&self) -> Option<IpAddr> {
        self.gateway_ip.as_deref().and_then(|gateway| gateway.parse().ok())
    }
}

/// The subnets of a network, in the order in which they were made. None is changed or deleted until the transaction ends:
/// its addresses may be given out.
pub(super) async fn of_network(connection: &mut Connection, network: &str) -> Result<Vec<Subnet>, ApiError> {
    of_networks(connection, &[network]).await
}

/// Those of several networks, likewise.
pub(crate) async fn of_networks(connection: &mut Connection, networks: &[&str]) -> Result<Vec<Subnet>, ApiError> {
    let mut sql = table::select::<Subnet>();
    sql.push(" WHERE network_id").is_in(networks).push(" ORDER BY id").push_for("", " FOR SHARE");
    let mut subnets: Vec<Subnet> = sql.fetch_all(connection).await?;
    subnets.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
    Ok(subnets)
}
