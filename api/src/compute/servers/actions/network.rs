//! Addresses that are given to servers by an action, until 2.43: Networking's, changed as the server's user.

use std::net::IpAddr;

use http::{Method, StatusCode};
use novella_common::{models::Instance, networks::NetworkError};
use novella_rest::{ApiError, Operation, Path, body, inputs::UuidText, post};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{super::operation::check_unlocked, PATH};
use crate::{
    Request,
    compute::{
        floating_ips::{lead, of_address, show_now},
        networking::{ask, failed, is_refused_as},
    },
    neighbours::caller,
    policy,
    state::Api,
};

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
    let mut operations: Vec<_> =
        addresses.into_iter().map(|operation| operation.until(ADDRESSES_UNTIL).status(202)).collect();
    operations
        .push(post(PATH, policy::INJECT_NETWORK_INFO, inject_network_info).action("injectNetworkInfo").status(202));
    operations
}

body! {
    /// `addFixedIp`.
    struct AddFixedIp in "addFixedIp" {
        network: UuidText = "networkId",
    }
}

body! {
    /// `removeFixedIp`.
    struct RemoveFixedIp in "removeFixedIp" {
        address: Address = "address",
    }
}

body! {
    /// `addFloatingIp`.
    struct AddFloatingIp in "addFloatingIp" {
        address: Address = "address",
        fixed_address: Option<Address> = "fixed_address",
    }
}

body! {
    /// `removeFloatingIp`.
    struct RemoveFloatingIp in "removeFloatingIp" {
        address: Address = "address",
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(transparent)]
struct Address(IpAddr);

novella_rest::documented_as! {
    Address => String;
}

/// A port, with the addresses that a change of it names again.
#[derive(Debug, Deserialize)]
struct PortAddresses {
    id: String,
    fixed_ips: Vec<FixedIp>,
}

#[derive(Clone, Debug, Deserialize)]
struct FixedIp {
    subnet_id: String,
    ip_address: String,
}

impl FixedIp {
    fn is(&self, address: IpAddr) -> bool {
        self.ip_address.parse() == Ok(address)
    }

    fn stays(&self) -> Value {
        json!({"subnet_id": self.subnet_id, "ip_address": self.ip_address})
    }
}

impl PortAddresses {
    async fn set(&self, request: &Request, addresses: Vec<Value>) -> Result<(), NetworkError> {
        let path = format!("/ports/{}", self.id);
        let body = json!({"port": {"fixed_ips": addresses}});
        request.state.networking.send(caller(request), Method::PUT, &path, Some(body)).await.map(drop)
    }
}

async fn ports_of(request: &Request, instance: &Instance, more: &str) -> Result<Vec<PortAddresses>, ApiError> {
    let path = format!("/ports?fields=id&fields=fixed_ips&device_id={}{more}", instance.uuid);
    ask(&request.state, caller(request), (Method::GET, &path), None, "ports").await.map_err(failed)
}

async fn add_fixed_ip(request: Request, Path(id): Path<String>, asked: AddFixedIp) -> Result<StatusCode, ApiError> {
    let instance = super::super::find(&request, &id).await?;
    check_unlocked(&request.context, &instance)?;
    let network = asked.network.0;
    let no_network = || ApiError::not_found(format!("Network could not be found for instance {}.", instance.uuid));
    let ports = ports_of(&request, &instance, &format!("&network_id={network}")).await?;
    let port = ports.first().ok_or_else(no_network)?;
    let mut full = false;
    for subnet in subnets_of(&request, network).await? {
        let stay = port.fixed_ips.iter().map(FixedIp::stays);
        let addresses = stay.chain([json!({"subnet_id": subnet})]).collect();
        match port.set(&request, addresses).await {
            Ok(()) => {
                show_now(&request.state, &[instance.uuid]).await;
                return Ok(StatusCode::ACCEPTED);
            }
            Err(error) if is_refused_as(&error, &["IpAddressGenerationFailure"]) => full = true,
            Err(error) => return Err(failed(error)),
        }
    }
    match full {
        true => Err(ApiError::bad_request(format!("No fixed IP addresses available for network: {network}"))),
        false => Err(no_network()),
    }
}

async fn subnets_of(request: &Request, network: Uuid) -> Result<Vec<String>, ApiError> {
    #[derive(Deserialize)]
    struct Subnet {
        id: String,
    }
    let path = format!("/subnets?fields=id&network_id={network}");
    let found: Vec<Subnet> =
        ask(&request.state, caller(request), (Method::GET, &path), None, "subnets").await.map_err(failed)?;
    Ok(found.into_iter().map(|subnet| subnet.id).collect())
}

async fn remove_fixed_ip(
    request: Request,
    Path(id): Path<String>,
    RemoveFixedIp { address: Address(address) }: RemoveFixedIp,
) -> Result<StatusCode, ApiError> {
    let instance = super::super::find(&request, &id).await?;
    check_unlocked(&request.context, &instance)?;
    let ports = ports_of(&request, &instance, "").await?;
    let with_it = ports.iter().find(|port| port.fixed_ips.iter().any(|fixed| fixed.is(address)));
    let port = with_it.ok_or_else(|| {
        ApiError::bad_request(format!("Instance {} does not have fixed IP '{address}'.", instance.uuid))
    })?;
    let others = port.fixed_ips.iter().filter(|fixed| !fixed.is(address)).map(FixedIp::stays).collect();
    port.set(&request, others).await.map_err(failed)?;
    show_now(&request.state, &[instance.uuid]).await;
    Ok(StatusCode::ACCEPTED)
}

/// The port and the fixed address that a floating IP is to lead to.
fn target(instance: &Instance, address: IpAddr, asked: Option<IpAddr>) -> Result<(String, String), ApiError> {
    if instance.network_info.0.is_empty() {
        return Err(ApiError::bad_request("Instance network is not ready yet"));
    }
    let fixed: Vec<(&str, &str)> = instance
        .network_info
        .0
        .iter()
        .flat_map(|vif| vif.fixed_ips.iter().map(|fixed| (vif.port_id.as_str(), fixed.address.as_str())))
        .collect();
    if fixed.is_empty() {
        return Err(ApiError::bad_request("No fixed IPs associated to instance"));
    }
    let parsed = |text: &str| text.parse::<IpAddr>().ok();
    let found = match asked {
        Some(asked) => fixed.iter().find(|(_, fixed)| parsed(fixed) == Some(asked)),
        None => fixed.iter().find(|(_, fixed)| parsed(fixed).is_some_and(|fixed| fixed.is_ipv4())),
    };
    let (port, fixed) = found.ok_or_else(|| {
        ApiError::bad_request(match asked {
            Some(_) => "Specified fixed address not assigned to instance".to_owned(),
            None => format!(
                "Unable to associate floating IP {address} to any fixed IPs for instance {}. Instance has no fixed IPv4 \
                 addresses to associate.",
                instance.uuid
            ),
        })
    })?;
    Ok(((*port).to_owned(), (*fixed).to_owned()))
}

async fn add_floating_ip(
    request: Request,
    Path(id): Path<String>,
    AddFloatingIp { address: Address(address), fixed_address }: AddFloatingIp,
) -> Result<StatusCode, ApiError> {
    let instance = super::super::find(&request, &id).await?;
    let (port, fixed) = target(&instance, address, fixed_address.map(|fixed| fixed.0))?;
    let floating_ip = of_address(&request, &address.to_string()).await.map_err(|error| match error {
        ApiError::NotFound(_) => ApiError::not_found("floating IP not found"),
        error => error,
    })?;
    let led = lead(&request.state, caller(&request), &floating_ip.id, Some((&port, &fixed))).await;
    led.map_err(|error| match error {
        NetworkError::Refused { status: 409, message, .. } => ApiError::BadRequest(message),
        NetworkError::Refused { status: 400 | 404, message, .. } => ApiError::bad_request(format!(
            "Unable to associate floating IP {address} to fixed IP {fixed} for instance {}. Error: {message}",
            instance.uuid
        )),
        error => failed(error),
    })?;
    // Another server may have had it.
    let both: Vec<_> = floating_ip.instance().into_iter().chain([instance.uuid]).collect();
    show_now(&request.state, &both).await;
    Ok(StatusCode::ACCEPTED)
}

async fn remove_floating_ip(
    request: Request,
    Path(id): Path<String>,
    RemoveFloatingIp { address: Address(address) }: RemoveFloatingIp,
) -> Result<StatusCode, ApiError> {
    let instance = super::super::find(&request, &id).await?;
    let floating_ip = of_address(&request, &address.to_string()).await?;
    if floating_ip.port_id.is_none() || floating_ip.instance() != Some(instance.uuid) {
        return Err(ApiError::Conflict(format!(
            "Floating IP {address} is not associated with instance {}.",
            instance.uuid
        )));
    }
    lead(&request.state, caller(&request), &floating_ip.id, None).await.map_err(failed)?;
    show_now(&request.state, &[instance.uuid]).await;
    Ok(StatusCode::ACCEPTED)
}

/// Has the server show what Networking says now, as its host would be told.
async fn inject_network_info(request: Request, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let instance = super::super::find(&request, &id).await?;
    check_unlocked(&request.context, &instance)?;
    show_now(&request.state, &[instance.uuid]).await;
    Ok(StatusCode::ACCEPTED)
}
