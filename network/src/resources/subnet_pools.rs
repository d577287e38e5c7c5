//! `/subnetpools`: blocks of addresses that subnets are cut from.

use std::collections::BTreeMap;

use ipnet::IpNet;
use novella_common::{db::Connection, sql};
use novella_rest::{ApiError, Operation, Path, put};
use serde_json::{Value, json};

use super::{address_scopes::AddressScope, subnets::Subnet};
use crate::{
    Networking, Request,
    addresses::overlap,
    attributes::{
        Attribute, Fields as _,
        Otherwise::{Flag, Null, Text},
        attribute,
        checks::{self, Checked, any, boolean, name, non_negative_or_null, some_name},
    },
    errors::{bad_request_of, conflict, invalid_input, refused, typed},
    policy,
    resource::{
        self, About, Given, Resource, SharedAs, Shown, View, Wanted, Work, is_admin, locked_for, rows_by, swap,
    },
};

crate::resource! {
    /// A subnet pool.
    struct SubnetPool in "subnet_pools" {
        name: String = attribute("name", some_name).required().changed().filter().sort();
        description: String = attribute("description", name).given_or(Text("")).changed().filter();
        prefixes: Vec<IpNet> [Json] = attribute("prefixes", checks::subnets).required().changed();
        ip_version: i64 = attribute("ip_version", any).begins(crate::attributes::Otherwise::Int(4)).filter().sort();
        default_prefixlen: Option<i64> = attribute("default_prefixlen", non_negative_or_null).given_or(Null).changed()
            .filter().sort_nullable();
        min_prefixlen: Option<i64> = attribute("min_prefixlen", non_negative_or_null).given_or(Null).changed().filter()
            .sort_nullable();
        max_prefixlen: Option<i64> = attribute("max_prefixlen", non_negative_or_null).given_or(Null).changed().filter()
            .sort_nullable();
        /// How much of it one project may have: addresses in IPv4, blocks of 64 bits in IPv6.
        default_quota: Option<i64> = attribute("default_quota", non_negative_or_null).given_or(Null).changed().filter()
            .sort_nullable();
        address_scope_id: Option<String> = attribute("address_scope_id", checks::uuid_or_null).given_or(Null).changed()
            .filter().sort_nullable();
        is_default: bool = attribute("is_default", boolean).given_or(Flag(false)).changed().filter().sort()
            .creating(policy::CREATE_SUBNETPOOL_IS_DEFAULT).updating(policy::UPDATE_SUBNETPOOL_IS_DEFAULT);
    }
}

static SUBNET_POOLS: About = About {
    one: "subnetpool",
    many: "subnetpools",
    collection: "/subnetpools",
    member: "/subnetpools/{subnetpool_id}",
    tags: Some(("/subnetpools/{subnetpool_id}/tags", "/subnetpools/{subnetpool_id}/tags/{tag}")),
    missing: ("SubnetPoolNotFound", "Subnet pool ", " could not be found."),
    get: policy::GET_SUBNETPOOL,
    create: policy::CREATE_SUBNETPOOL,
    update: Some(policy::UPDATE_SUBNETPOOL),
    delete: policy::DELETE_SUBNETPOOL,
    quota: Some("subnetpool"),
    stamped: true,
    first_revision: 0,
    shared: Some(&SHARED),
};

pub(super) static SHARED: SharedAs = SharedAs::of("subnetpool");

/// The pool that takes what IPv6 is delegated; none here.
const DELEGATED: &str = "prefix_delegation";

/// The operations.
pub(super) fn operations() -> Vec<Operation<Networking>> {
    let mut operations = resource::operations::<SubnetPool>();
    operations.extend([
        put("/subnetpools/{subnetpool_id}/add_prefixes", policy::ADD_PREFIXES, add_prefixes),
        put("/subnetpools/{subnetpool_id}/remove_prefixes", policy::REMOVE_PREFIXES, remove_prefixes),
        put(
            "/subnetpools/{subnetpool_id}/onboard_network_subnets",
            policy::ONBOARD_NETWORK_SUBNETS,
            onboard_network_subnets,
        ),
    ]);
    operations
}

/// A subnet pool's id, or null.
pub(super) fn id_or_null(value: &Value) -> Checked {
    if value.as_str() == Some(DELEGATED) { Ok(value.clone()) } else { checks::uuid_or_null(value) }
}

impl Resource for SubnetPool {
    const ABOUT: &'static About = &SUBNET_POOLS;
    const OTHERS: &'static [Attribute] =
        &[attribute("shared", boolean).given_or(Flag(false)).filter().creating(policy::CREATE_SUBNETPOOL_SHARED)];

    async fn before_create(&mut self, work: &mut Work<'_>, _: &Given) -> Result<(), ApiError> {
        self.prefixes = compact(&self.prefixes)?;
        self.ip_version = if matches!(self.prefixes[0], IpNet::V4(_)) { 4 } else { 6 };
        self.complete_lengths()?;
        self.check_default(work).await?;
        self.check_scope(work).await
    }

    async fn before_update(&mut self, old: &Self, work: &mut Work<'_>, given: &Given) -> Result<(), ApiError> {
        if given.has("prefixes") {
            self.prefixes = compact(&self.prefixes)?;
            self.check_covers(&old.prefixes)?;
        }
        self.complete_lengths()?;
        self.check_default(work).await?;
        self.check_scope(work).await
    }

    async fn before_delete(&self, work: &mut Work<'_>) -> Result<(), ApiError> {
        let used: i64 = sql!("SELECT COUNT(*) FROM subnets WHERE subnetpool_id = "(self.id))
            .fetch_one(&mut work.transaction)
            .await?;
        if used == 0 {
            return Ok(());
        }
        Err(refused("SubnetPoolDeleteError", "Unable to delete subnet pool: Subnet pool has existing allocations."))
    }

    async fn complete(
        _: &[Self],
        views: &mut [View<'_>],
        _: &Wanted<'_>,
        _: &Request,
        _: &mut Connection,
    ) -> Result<(), ApiError> {
        for view in views {
            for name in ["default_prefixlen", "min_prefixlen", "max_prefixlen"] {
                // As texts, as Neutron has them.
                if let Some(length) = view.get(name).and_then(Shown::as_i64) {
                    view.insert(name, length.to_string());
                }
            }
        }
        Ok(())
    }
}

impl SubnetPool {
    /// The bits of an address of its version.
    const fn bits(&self) -> i64 {
        if self.ip_version == 4 { 32 } else { 128 }
    }

    fn complete_lengths(&mut self) -> Result<(), ApiError> {
        let (bits, least) = (self.bits(), if self.ip_version == 4 { 8 } else { 64 });
        let min = *self.min_prefixlen.get_or_insert(least);
        let max = *self.max_prefixlen.get_or_insert(bits);
        let default = *self.default_prefixlen.get_or_insert(min);
        let illegal = |kind: &str, length: i64, base_kind: &str, base: i64| {
            refused(
                "IllegalSubnetPoolPrefixBounds",
                format!("Illegal prefix bounds: {kind}={length}, {base_kind}={base}."),
            )
        };
        if min > max {
            return Err(illegal("min_prefixlen", min, "max_prefixlen", max));
        }
        if max > bits {
            return Err(illegal("max_prefixlen", max, "ip_version_max", bits));
        }
        if default < min {
            return Err(illegal("default_prefixlen", default, "min_prefixlen", min));
        }
        if default > max {
            return Err(illegal("default_prefixlen", default, "max_prefixlen", max));
        }
        Ok(())
    }

    /// At most one of a version is the default.
    async fn check_default(&self, work: &mut Work<'_>) -> Result<(), ApiError> {
        if !self.is_default {
            return Ok(());
        }
        let other = default_pool(&mut work.transaction, self.ip_version).await?;
        match other.filter(|other| other.id != self.id) {
            None => Ok(()),
            Some(_) => Err(invalid_input(
                "A default subnetpool for this IP family has already been set. Only one default may exist per IP family",
            )),
        }
    }

    async fn check_scope(&self, work: &mut Work<'_>) -> Result<(), ApiError> {
        let Some(id) = &self.address_scope_id else { return Ok(()) };
        let scope = resource::find::<AddressScope>(work.request, &mut work.transaction, id).await?;
        if scope.ip_version != self.ip_version {
            return Err(refused(
                "IllegalSubnetPoolIpVersionAssociationToAddressScope",
                format!(
                    "Illegal subnetpool association: subnetpool {} cannot associate with address scope {id} because \
                     subnetpool ip_version is not {}.",
                    self.id, scope.ip_version
                ),
            ));
        }
        let others: Vec<Self> = rows_by(&mut work.transaction, "address_scope_id", [id]).await?;
        for other in others.iter().filter(|other| other.id != self.id) {
            if self.prefixes.iter().any(|prefix| other.prefixes.iter().any(|taken| overlap(prefix, taken))) {
                return Err(conflict(
                    "AddressScopePrefixConflict",
                    "Failed to associate address scope: subnetpools within an address scope must have unique prefixes.",
                ));
            }
        }
        Ok(())
    }

    /// A change of the prefixes leaves none out.
    fn check_covers(&self, old: &[IpNet]) -> Result<(), ApiError> {
        if old.iter().all(|prefix| self.prefixes.iter().any(|wider| wider.contains(prefix))) {
            return Ok(());
        }
        Err(refused(
            "IllegalSubnetPoolPrefixUpdate",
            "Illegal update to prefixes: Existing prefixes must be a subset of the new prefixes.",
        ))
    }
}

/// Prefixes without what others contain, and with halves joined.
fn compact(prefixes: &[IpNet]) -> Result<Vec<IpNet>, ApiError> {
    let Some(first) = prefixes.first() else {
        return Err(refused("EmptySubnetPoolPrefixList", "Empty subnet pool prefix list."));
    };
    if prefixes.iter().any(|prefix| prefix.addr().is_ipv4() != first.addr().is_ipv4()) {
        return Err(refused("PrefixVersionMismatch", "Cannot mix IPv4 and IPv6 prefixes in a subnet pool."));
    }
    let prefixes: Vec<IpNet> = prefixes.iter().map(IpNet::trunc).collect();
    Ok(IpNet::aggregate(&prefixes))
}

/// The default pool of a version of IP.
pub(super) async fn default_pool(connection: &mut Connection, version: i64) -> Result<Option<SubnetPool>, ApiError> {
    let mut sql = novella_common::db::table::select::<SubnetPool>();
    sql.push(" WHERE is_default AND ip_version = ").bind(&version);
    Ok(sql.fetch_optional(connection).await?)
}

/// Chooses the block of a subnet that is to be cut from a pool.
pub(super) async fn choose(work: &mut Work<'_>, subnet: &mut Subnet, given: &Given) -> Result<(), ApiError> {
    let version = subnet.ip_version;
    let length = given.get("prefixlen").and_then(Value::as_i64);
    let id = if given.flag("use_default_subnetpool") == Some(true) {
        if subnet.subnetpool_id.is_some() {
            let text = "subnetpool_id and use_default_subnetpool cannot both be specified";
            return Err(bad_request_of("subnets", text));
        }
        let pool = default_pool(&mut work.transaction, version).await?;
        pool.ok_or_else(|| bad_request_of("subnets", &format!("No default subnetpool found for IPv{version}")))?.id
    } else {
        match subnet.subnetpool_id.clone() {
            Some(id) if id == DELEGATED => {
                return Err(bad_request_of(
                    "subnets",
                    "Prefix Delegation can only be used with IPv6 subnets in SLAAC or \
                    DHCPv6 stateless mode",
                ));
            }
            Some(id) => id,
            None => return Ok(()),
        }
    };
    if length.is_some() && !subnet.cidr.is_empty() {
        return Err(bad_request_of("subnets", "cidr and prefixlen must not be supplied together"));
    }
    resource::find::<SubnetPool>(work.request, &mut work.transaction, &id).await?;
    let pool = resource::locked::<SubnetPool>(work, &id).await?;
    if pool.ip_version != version {
        let text = format!("Cannot allocate IPv{version} subnet from IPv{} subnet pool", pool.ip_version);
        return Err(bad_request_of("subnets", &text));
    }
    let length = match (length, subnet.cidr.is_empty()) {
        (Some(length), _) => length,
        (None, true) => pool.default_prefixlen.unwrap_or_default(),
        (None, false) => subnet.network()?.prefix_len().into(),
    };
    let (min, max) = (pool.min_prefixlen.unwrap_or(0), pool.max_prefixlen.unwrap_or(128));
    if length < min {
        return Err(refused(
            "MinPrefixSubnetAllocationError",
            format!("Unable to allocate subnet with prefix length {length}, minimum allowed prefix is {min}."),
        ));
    }
    if length > max {
        return Err(refused(
            "MaxPrefixSubnetAllocationError",
            format!("Unable to allocate subnet with prefix length {length}, maximum allowed prefix is {max}."),
        ));
    }
    let used: Vec<Subnet> = rows_by(&mut work.transaction, "subnetpool_id", [&pool.id]).await?;
    check_quota(&pool, &used, &subnet.project_id, length)?;
    let taken: Vec<IpNet> = used.iter().map(Subnet::network).collect::<Result<_, _>>()?;
    let block = if subnet.cidr.is_empty() {
        let length = u8::try_from(length).unwrap_or(128);
        free_block(&pool.prefixes, &taken, length)
    } else {
        let wanted = subnet.network()?.trunc();
        let inside = pool.prefixes.iter().any(|prefix| prefix.contains(&wanted));
        Some(wanted).filter(|wanted| inside && !taken.iter().any(|taken| overlap(taken, wanted)))
    };
    let Some(block) = block else {
        let asked = if subnet.cidr.is_empty() {
            "Insufficient prefix space to allocate subnet size /".to_owned() + &length.to_string()
        } else {
            "Cannot allocate requested subnet from the available set of prefixes".to_owned()
        };
        return Err(refused("SubnetAllocationError", format!("Failed to allocate subnet: {asked}.")));
    };
    subnet.cidr = block.to_string();
    subnet.subnetpool_id = Some(pool.id);
    Ok(())
}

/// The first block of this length in prefixes that has nothing in common with what is taken.
fn free_block(prefixes: &[IpNet], taken: &[IpNet], length: u8) -> Option<IpNet> {
    use crate::addresses::{address_in, number};
    let mut taken: Vec<&IpNet> = taken.iter().collect();
    taken.sort();
    for prefix in prefixes.iter().filter(|prefix| prefix.prefix_len() <= length) {
        let Some(step) = 1u128.checked_shl(u32::from(prefix.max_prefix_len().saturating_sub(length))) else { continue };
        let (mut at, last) = (number(prefix.network()), number(prefix.broadcast()));
        for used in taken.iter().filter(|used| overlap(used, prefix)) {
            let (first, end) = (number(used.network()), number(used.broadcast()));
            if first >= at.saturating_add(step) {
                break;
            }
            if end >= at {
                // The next block after it.
                at = end.checked_add(1)?.checked_next_multiple_of(step)?;
            }
        }
        if at.checked_add(step - 1).is_some_and(|end| end <= last) {
            return IpNet::new(address_in(prefix, at), length).ok();
        }
    }
    None
}

fn check_quota(pool: &SubnetPool, used: &[Subnet], project: &str, length: i64) -> Result<(), ApiError> {
    let Some(quota) = pool.default_quota else { return Ok(()) };
    // In addresses, or in networks of 64 bits.
    let unit = if pool.ip_version == 4 { 32 } else { 64 };
    let size = |length: i64| 1i64.checked_shl(u32::try_from((unit - length).max(0)).unwrap_or(0)).unwrap_or(i64::MAX);
    let mut sum = size(length);
    for subnet in used.iter().filter(|subnet| subnet.project_id == project) {
        sum = sum.saturating_add(size(subnet.network()?.prefix_len().into()));
    }
    if sum > quota {
        return Err(conflict("SubnetPoolQuotaExceeded", "Per-project subnet pool prefix quota exceeded."));
    }
    Ok(())
}

/// All subnets of a network and version are from one pool, or from none.
pub(super) fn check_same(subnet: &Subnet, others: &[Subnet]) -> Result<(), ApiError> {
    let other = others
        .iter()
        .find(|other| other.ip_version == subnet.ip_version && other.subnetpool_id != subnet.subnetpool_id);
    match other {
        None => Ok(()),
        Some(_) => Err(refused(
            "NetworkSubnetPoolAffinityError",
            "Subnets hosted on the same network must be allocated from the same subnet pool.",
        )),
    }
}

/// The address scope of each pool that one of these subnets is from.
pub(super) async fn scopes_of<'s>(
    connection: &mut Connection,
    subnets: impl Iterator<Item = &'s Subnet>,
) -> Result<BTreeMap<String, Option<String>>, ApiError> {
    let pools: Vec<&str> = subnets.filter_map(|subnet| subnet.subnetpool_id.as_deref()).collect();
    let pools: Vec<SubnetPool> = rows_by(connection, "id", pools).await?;
    Ok(pools.into_iter().map(|pool| (pool.id, pool.address_scope_id)).collect())
}

async fn prefixes_in(request: &mut Request) -> Result<Vec<IpNet>, ApiError> {
    let body = request.json().await?;
    let prefixes = body
        .get("prefixes")
        .ok_or_else(|| ApiError::bad_request("Invalid input for prefixes. Reason: 'None' is not a list."))?;
    let prefixes = checks::subnets(prefixes).map_err(|refusal| refusal.of("prefixes"))?;
    crate::attributes::read("prefixes", &prefixes)
}

async fn add_prefixes(mut request: Request, Path(id): Path<String>) -> Result<axum::Json<Value>, ApiError> {
    let more = prefixes_in(&mut request).await?;
    let mut work = Work::begin(&request).await?;
    let mut pool = locked_for::<SubnetPool>(&mut work, policy::ADD_PREFIXES, &id).await?;
    let seen = pool.revision_number;
    pool.prefixes.extend(more);
    pool.prefixes = compact(&pool.prefixes)?;
    pool.check_scope(&mut work).await?;
    pool.bump(work.now);
    swap(&mut work.transaction, seen, &pool).await?;
    work.commit().await?;
    Ok(axum::Json(json!({"prefixes": pool.prefixes})))
}

async fn remove_prefixes(mut request: Request, Path(id): Path<String>) -> Result<axum::Json<Value>, ApiError> {
    let less = prefixes_in(&mut request).await?;
    let mut work = Work::begin(&request).await?;
    let mut pool = locked_for::<SubnetPool>(&mut work, policy::REMOVE_PREFIXES, &id).await?;
    let seen = pool.revision_number;
    let used: Vec<Subnet> = rows_by(&mut work.transaction, "subnetpool_id", [&id]).await?;
    for subnet in &used {
        let block = subnet.network()?;
        if less.iter().any(|prefix| overlap(prefix, &block)) {
            return Err(conflict(
                "IllegalSubnetPoolPrefixUpdate",
                "Illegal update to prefixes: One or more of the prefixes to be removed is in use by a subnet.",
            ));
        }
    }
    pool.prefixes = pool.prefixes.iter().flat_map(|prefix| without(*prefix, &less)).collect();
    pool.prefixes = compact(&pool.prefixes)?;
    pool.bump(work.now);
    swap(&mut work.transaction, seen, &pool).await?;
    work.commit().await?;
    Ok(axum::Json(json!({"prefixes": pool.prefixes})))
}

/// A prefix without parts of it.
fn without(prefix: IpNet, less: &[IpNet]) -> Vec<IpNet> {
    if less.iter().any(|gone| gone.contains(&prefix)) {
        return Vec::new();
    }
    if !less.iter().any(|gone| prefix.contains(gone)) {
        return vec![prefix];
    }
    let halves = prefix.subnets(prefix.prefix_len() + 1);
    halves.into_iter().flatten().flat_map(|half| without(half, less)).collect()
}

async fn onboard_network_subnets(mut request: Request, Path(id): Path<String>) -> Result<axum::Json<Value>, ApiError> {
    let body = request.json().await?;
    let network = body.get("network_id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let version = body.get("ip_version").and_then(Value::as_i64).unwrap_or(4);
    let mut work = Work::begin(&request).await?;
    let mut pool = locked_for::<SubnetPool>(&mut work, policy::ONBOARD_NETWORK_SUBNETS, &id).await?;
    let seen = pool.revision_number;
    if pool.ip_version != version {
        return Err(refused(
            "IllegalSubnetPoolUpdate",
            format!("Illegal subnetpool update : IP version mismatch of subnet pool {id}."),
        ));
    }
    let network = resource::find::<super::networks::Network>(&request, &mut work.transaction, &network).await?;
    // What others share is seen, and stays theirs.
    let may_take = |project: &str| is_admin(&request) || project == pool.project_id;
    if !may_take(&network.project_id) {
        return Err(typed(http::StatusCode::FORBIDDEN, "NotAuthorized", "Not authorized."));
    }
    let mut subnets: Vec<Subnet> = rows_by(&mut work.transaction, "network_id", [&network.id]).await?;
    subnets.retain(|subnet| subnet.ip_version == version && may_take(&subnet.project_id));
    let mut onboarded = Vec::new();
    for mut subnet in subnets {
        let block = subnet.network()?;
        if pool.prefixes.iter().any(|prefix| overlap(prefix, &block)) && subnet.subnetpool_id.as_ref() != Some(&id) {
            return Err(conflict(
                "IllegalSubnetPoolUpdate",
                format!("Illegal subnetpool update : subnet {block} overlaps with the pool."),
            ));
        }
        pool.prefixes.push(block);
        let before = subnet.revision_number;
        subnet.subnetpool_id = Some(id.clone());
        subnet.bump(work.now);
        swap(&mut work.transaction, before, &subnet).await?;
        onboarded.push(json!({"id": subnet.id, "cidr": subnet.cidr}));
    }
    pool.prefixes = compact(&pool.prefixes)?;
    pool.bump(work.now);
    swap(&mut work.transaction, seen, &pool).await?;
    work.commit().await?;
    Ok(axum::Json(Value::Array(onboarded)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_block_is_the_first_that_is_free() {
        let pool = nets(&["10.0.0.0/16"]);
        assert_eq!(free_block(&pool, &[], 24), Some("10.0.0.0/24".parse().unwrap()));
        assert_eq!(free_block(&pool, &nets(&["10.0.0.0/24", "10.0.2.0/24"]), 24), Some("10.0.1.0/24".parse().unwrap()));
        assert_eq!(free_block(&pool, &nets(&["10.0.0.0/26"]), 24), Some("10.0.1.0/24".parse().unwrap()));
        assert_eq!(free_block(&pool, &nets(&["10.0.0.0/16"]), 24), None);
        assert_eq!(free_block(&nets(&["10.0.0.0/24"]), &[], 16), None);
    }

    #[test]
    fn a_prefix_without_a_part_is_what_is_around_it() {
        let left = without("10.0.0.0/24".parse().unwrap(), &nets(&["10.0.0.64/26"]));
        assert_eq!(left, nets(&["10.0.0.0/26", "10.0.0.128/25"]));
    }

    proptest! {
        /// However many blocks of whatever lengths are cut from a pool, no two have an address in common.
        #[test]
        fn blocks_that_are_cut_from_a_pool_never_overlap(lengths in proptest::collection::vec(18u8..=28, 1..40)) {
            let pool = nets(&["10.0.0.0/20", "10.7.0.0/18"]);
            let mut taken: Vec<IpNet> = Vec::new();
            for length in lengths {
                if let Some(block) = free_block(&pool, &taken, length) {
                    prop_assert!(pool.iter().any(|prefix| prefix.contains(&block)));
                    prop_assert!(!taken.iter().any(|other| overlap(other, &block)), "{} {:?}", block, taken);
                    taken.push(block);
                }
            }
        }
    }
}
