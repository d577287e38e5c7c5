//! What is done to a server's addresses and security groups, for which this cloud has no network service.

use axum::response::Response;
use http::StatusCode;
use novella_rest::{
    ApiError, Operation, Path, body,
    inputs::{Name, UuidText},
    post,
};
use std::net::IpAddr;

use super::{super::operation::check_unlocked, PATH};
use crate::{Request, policy, state::Api};

/// The last minor version in which addresses were given by an action.
const ADDRESSES_UNTIL: u16 = 43;

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    let addresses = [
        post(PATH, policy::MULTINIC_ADD, add_fixed_ip).action("addFixedIp"),
        post(PATH, policy::MULTINIC_REMOVE, remove_fixed_ip).action("removeFixedIp"),
        post(PATH, policy::FLOATING_IPS_ADD, add_floating_ip).action("addFloatingIp"),
        post(PATH, policy::FLOATING_IPS_REMOVE, remove_floating_ip).action("removeFloatingIp"),
    ];
    let groups = [
        post(PATH, policy::SECURITY_GROUPS_ADD, add_security_group).action("addSecurityGroup"),
        post(PATH, policy::SECURITY_GROUPS_REMOVE, remove_security_group).action("removeSecurityGroup"),
    ];
    let mut operations: Vec<_> = addresses.into_iter().map(|operation| operation.until(ADDRESSES_UNTIL)).collect();
    operations.extend(groups);
    let mut operations: Vec<_> = operations.into_iter().map(|operation| operation.status(404)).collect();
    operations
        .push(post(PATH, policy::INJECT_NETWORK_INFO, inject_network_info).action("injectNetworkInfo").status(202));
    operations
}

macro_rules! bodies {
    ($($name:ident in $key:literal { $($field:ident: $type:ty = $wire:literal),* };)*) => {
        $(body! {
            #[doc = concat!("`", $key, "`.")]
            #[allow(dead_code, reason = "fields whose form is all there is to check")]
            struct $name in $key { $($field: $type = $wire),* }
        })*
    };
}

bodies! {
    AddFixedIp in "addFixedIp" { network: UuidText = "networkId" };
    RemoveFixedIp in "removeFixedIp" { address: Address = "address" };
    AddFloatingIp in "addFloatingIp" { address: Address = "address", fixed_address: Option<Address> = "fixed_address" };
    RemoveFloatingIp in "removeFloatingIp" { address: Address = "address" };
    AddSecurityGroup in "addSecurityGroup" { name: Name = "name" };
    RemoveSecurityGroup in "removeSecurityGroup" { name: Name = "name" };
}

#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(transparent)]
struct Address(IpAddr);

novella_rest::documented_as! {
    Address => String;
}

async fn add_fixed_ip(request: Request, Path(id): Path<String>, asked: AddFixedIp) -> Result<Response, ApiError> {
    let text = format!("Network {} could not be found: this cloud has no network service.", asked.network.0);
    refused(&request, &id, text).await
}

async fn remove_fixed_ip(request: Request, Path(id): Path<String>, asked: RemoveFixedIp) -> Result<Response, ApiError> {
    let text =
        format!("Fixed IP {} is not of a port of instance {id}: this cloud has no network service.", asked.address.0);
    refused(&request, &id, text).await
}

async fn add_floating_ip(request: Request, Path(id): Path<String>, asked: AddFloatingIp) -> Result<Response, ApiError> {
    refused(&request, &id, no_floating_ip(asked.address)).await
}

async fn remove_floating_ip(
    request: Request,
    Path(id): Path<String>,
    asked: RemoveFloatingIp,
) -> Result<Response, ApiError> {
    refused(&request, &id, no_floating_ip(asked.address)).await
}

async fn add_security_group(
    request: Request,
    Path(id): Path<String>,
    asked: AddSecurityGroup,
) -> Result<Response, ApiError> {
    refused(&request, &id, no_group(&asked.name)).await
}

async fn remove_security_group(
    request: Request,
    Path(id): Path<String>,
    asked: RemoveSecurityGroup,
) -> Result<Response, ApiError> {
    refused(&request, &id, no_group(&asked.name)).await
}

fn no_floating_ip(Address(address): Address) -> String {
    format!("Floating IP not found for address {address}.")
}

fn no_group(Name(name): &Name) -> String {
    format!("Security group {name} not found.")
}

async fn refused(request: &Request, id: &str, text: String) -> Result<Response, ApiError> {
    super::super::find(request, id).await?;
    Err(ApiError::not_found(text))
}

/// The host knows of a server's network what was asked for when it was built, and nothing changes it.
async fn inject_network_info(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let instance = super::super::find(&request, &id).await?;
    check_unlocked(&request.context, &instance)?;
    Ok(StatusCode::ACCEPTED)
}
