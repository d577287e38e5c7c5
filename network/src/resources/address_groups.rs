//! `/address-groups`: addresses that rules name together.

use axum::Json;
use ipnet::IpNet;
use novella_common::sql;
use novella_rest::{ApiError, Operation, Path, put};
use serde_json::{Value, json};

use crate::{
    Networking, Request,
    attributes::{
        Attribute, Fields as _,
        Otherwise::{List, Text},
        attribute,
        checks::{self, any, name},
    },
    errors::{conflict, missing, refused},
    policy,
    resource::{self, About, Resource, SharedAs, Wanted, Work, locked_for, swap, views},
};

crate::resource! {
    /// An address group.
    struct AddressGroup in "address_groups" {
        name: String = attribute("name", name).given_or(Text("")).changed().filter().sort();
        description: String = attribute("description", checks::text::<1024>).given_or(Text("")).changed().filter().sort();
        addresses: Vec<IpNet> [Json] = attribute("addresses", checks::subnets).given_or(List);
    }
}

static ADDRESS_GROUPS: About = About {
    one: "address_group",
    many: "address_groups",
    collection: "/address-groups",
    member: "/address-groups/{address_group_id}",
    tags: None,
    missing: ("AddressGroupNotFound", "Address group ", " could not be found."),
    get: policy::GET_ADDRESS_GROUP,
    create: policy::CREATE_ADDRESS_GROUP,
    update: Some(policy::UPDATE_ADDRESS_GROUP),
    delete: policy::DELETE_ADDRESS_GROUP,
    quota: None,
    stamped: true,
    first_revision: 0,
    shared: Some(&SHARED),
};

pub(super) static SHARED: SharedAs = SharedAs::of("address_group");

/// The operations.
pub(super) fn operations() -> Vec<Operation<Networking>> {
    let mut operations = resource::operations::<AddressGroup>();
    operations.extend([
        put("/address-groups/{address_group_id}/add_addresses", policy::ADD_ADDRESSES, add_addresses),
        put("/address-groups/{address_group_id}/remove_addresses", policy::REMOVE_ADDRESSES, remove_addresses),
    ]);
    operations
}

impl Resource for AddressGroup {
    const ABOUT: &'static About = &ADDRESS_GROUPS;
    const OTHERS: &'static [Attribute] = &[attribute("shared", any)];

    async fn before_delete(&self, work: &mut Work<'_>) -> Result<(), ApiError> {
        let used: i64 = sql!("SELECT COUNT(*) FROM security_group_rules WHERE remote_address_group_id = "(self.id))
            .fetch_one(&mut work.transaction)
            .await?;
        if used == 0 {
            return Ok(());
        }
        Err(conflict(
            "AddressGroupInUse",
            format!("Address group {} is in use on one or more security group rules.", self.id),
        ))
    }
}

/// The addresses of a body, bare or under the key of a group.
async fn addresses_in(request: &mut Request) -> Result<Vec<IpNet>, ApiError> {
    let body = request.json().await?;
    let inner = body.get("address_group").unwrap_or(body);
    let addresses = inner.get("addresses").cloned().unwrap_or_default();
    if addresses.as_array().is_none_or(Vec::is_empty) {
        return Err(refused("AddressesNotSpecified", "At least one address must be specified."));
    }
    let is_none = |address: &&Value| address.as_str().and_then(checks::parse_cidr).is_none();
    if let Some(none) = addresses.as_array().into_iter().flatten().find(is_none) {
        return Err(refused("AddrFormatError", format!("invalid IPNetwork {}", checks::plain(none))));
    }
    let addresses = checks::subnets(&addresses).map_err(|refusal| refusal.of("addresses"))?;
    crate::attributes::read("addresses", &addresses)
}

fn listed(addresses: &[&IpNet]) -> String {
    let addresses: Vec<String> = addresses.iter().map(|address| format!("'{address}'")).collect();
    format!("[{}]", addresses.join(", "))
}

async fn changed(request: &Request, mut work: Work<'_>, mut group: AddressGroup) -> Result<Json<Value>, ApiError> {
    let seen = group.revision_number;
    group.bump(work.now);
    swap(&mut work.transaction, seen, &group).await?;
    let view = views(request, &mut work.transaction, std::slice::from_ref(&group), &Wanted::all()).await?.pop();
    work.commit().await?;
    Ok(Json(json!({"address_group": view})))
}

async fn add_addresses(mut request: Request, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let more = addresses_in(&mut request).await?;
    let mut work = Work::begin(&request).await?;
    let mut group = locked_for::<AddressGroup>(&mut work, policy::ADD_ADDRESSES, &id).await?;
    let there: Vec<&IpNet> = more.iter().filter(|address| group.addresses.contains(address)).collect();
    if !there.is_empty() {
        return Err(refused(
            "AddressesAlreadyExist",
            format!("Addresses {} already exist in the address group {id}.", listed(&there)),
        ));
    }
    group.addresses.extend(more);
    changed(&request, work, group).await
}

async fn remove_addresses(mut request: Request, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let less = addresses_in(&mut request).await?;
    let mut work = Work::begin(&request).await?;
    let mut group = locked_for::<AddressGroup>(&mut work, policy::REMOVE_ADDRESSES, &id).await?;
    let absent: Vec<&IpNet> = less.iter().filter(|address| !group.addresses.contains(address)).collect();
    if !absent.is_empty() {
        return Err(missing(
            "AddressesNotFound",
            format!("Addresses {} not found in the address group {id}.", listed(&absent)),
        ));
    }
    group.addresses.retain(|address| !less.contains(address));
    changed(&request, work, group).await
}
