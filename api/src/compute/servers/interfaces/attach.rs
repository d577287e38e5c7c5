//! Gives a server a port more, while it runs.
//!
//! ```text
//! check ──▶ the row: that it may have ports, or this one, which its user keeps ──▶ Networking: make or take it, bind it
//!     ──▶ the host plugs it ──▶ the row says what Networking says
//! ```
//!
//! Whatever dies in between, the port is given back with the server, and one that was brought is not deleted. What is refused
//! is undone: the port given back, the row made right.

use std::{net::IpAddr, sync::Arc};

use axum::response::Response;
use novella_common::{
    models::{Instance, NetworkInfo, RequestedNetworks, RequestedVif, Vif},
    networks::{Network, NetworkError, NetworkFilter, PortsWanted},
};
use novella_compute::rpcapi::ComputeError;
use novella_messaging::CallError;
use novella_rest::{
    ApiError, FieldTable, Path, body, field,
    inputs::{AnyValue, UuidText},
    object, typed, wrong,
};
use serde::Deserialize;

use super::{
    super::{
        create::networks::{AMBIGUOUS, check_external, check_groups, no_port},
        operation::uninterrupted,
        tags,
    },
    Change, answer, check_state, find_port, read_again,
};
use crate::{
    Request,
    compute::networking::{failed, is_not_found, is_refused_as},
    neighbours::caller,
};

body! {
    /// `POST /servers/{id}/os-interface`.
    pub(super) struct NewInterface {
        attachment: Option<AnyValue> = "interfaceAttachment",
    }
}

/// Nova's name of the action.
const NAME: &str = "attach_interface";

const FIELDS: FieldTable = FieldTable(&[field("fixed_ips"), field("net_id"), field("port_id"), field("tag").since(49)]);

#[derive(Default, Deserialize)]
struct Asked {
    fixed_ips: Option<Vec<FixedIp>>,
    net_id: Option<UuidText>,
    port_id: Option<UuidText>,
    tag: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FixedIp {
    ip_address: IpAddr,
}

fn read(request: &Request, NewInterface { attachment }: NewInterface) -> Result<Asked, ApiError> {
    const PLACE: &str = "interfaceAttachment";
    let Some(AnyValue(attachment)) = attachment else { return Ok(Asked::default()) };
    FIELDS.check(PLACE, object(PLACE, &attachment)?, request.version)?;
    let asked: Asked = typed(PLACE, &attachment)?;
    if asked.fixed_ips.as_ref().is_some_and(|list| list.len() != 1) {
        return Err(wrong("interfaceAttachment.fixed_ips", &attachment["fixed_ips"], "It must have one entry."));
    }
    if asked.tag.as_deref().is_some_and(|tag| !tags::is_tag(tag)) {
        return Err(wrong("interfaceAttachment.tag", &attachment["tag"], tags::RIGHT));
    }
    if asked.net_id.is_some() && asked.port_id.is_some() {
        return Err(ApiError::bad_request("Must not input both network_id and port_id"));
    }
    if asked.fixed_ips.is_some() && asked.net_id.is_none() {
        return Err(ApiError::bad_request("Must input network_id when request IP address"));
    }
    Ok(asked)
}

/// Attaches a port.
pub(super) async fn create(
    request: Request,
    Path(id): Path<String>,
    interface: NewInterface,
) -> Result<Response, ApiError> {
    let asked = read(&request, interface)?;
    let instance = super::super::find(&request, &id).await?;
    let uuid = instance.uuid;
    check_state(&request, &instance, NAME)?;
    let vif = resolve(&request, &instance, asked).await?;
    let (change, waiting) = Change::of(&request, instance, NAME).await?;
    let waiting = Arc::new(waiting);
    let attached = uninterrupted((change, vif, waiting), |(change, vif, _waiting)| async move {
        change.recorded(attach(&change, &vif)).await
    });
    let port = request.elsewhere(attached).await?;
    let instance = read_again(&request, uuid).await?;
    answer(&request, &instance, &port).await
}

/// Which network or port that is.
async fn resolve(request: &Request, instance: &Instance, asked: Asked) -> Result<RequestedVif, ApiError> {
    let (project, tag) = (&instance.project_id, asked.tag);
    if let Some(UuidText(port)) = asked.port_id {
        let id = port.to_string();
        let port = find_port(request, &id).await?.ok_or_else(|| ApiError::NotFound(no_port(&id)))?;
        if !port.device_id.is_empty() {
            return Err(ApiError::Conflict(format!("Port {id} is still in use.")));
        }
        if port.project_id != *project {
            return Err(ApiError::bad_request(format!("Port {id} not usable for instance {}.", instance.uuid)));
        }
        return Ok(RequestedVif { network_id: port.network_id, port_id: Some(id), fixed_ip: None, tag });
    }
    let network = match asked.net_id {
        Some(UuidText(id)) => {
            let filter = NetworkFilter::Ids(vec![id.to_string()]);
            let found = request.state.networks.networks(caller(request), filter).await.map_err(failed)?.pop();
            found.ok_or_else(|| ApiError::not_found(format!("Network {id} could not be found.")))?
        }
        None => the_network(request, project).await?,
    };
    check_external(request, &network)?;
    check_groups(&network, &[])?;
    let fixed_ip = asked.fixed_ips.and_then(|list| list.into_iter().next()).map(|fixed| fixed.ip_address.to_string());
    Ok(RequestedVif { network_id: network.id, port_id: None, fixed_ip, tag })
}

async fn the_network(request: &Request, project: &str) -> Result<Network, ApiError> {
    let filter = NetworkFilter::OfProject(project.to_owned());
    let mut found = request.state.networks.networks(caller(request), filter).await.map_err(failed)?;
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => Err(ApiError::bad_request(format!(
            "No specific network was requested and none are available for project '{project}'."
        ))),
        _ => Err(ApiError::bad_request(AMBIGUOUS)),
    }
}

/// See the module's head. Returns the port's id.
async fn attach(change: &Change, vif: &RequestedVif) -> Result<String, ApiError> {
    let (api, instance) = (&change.api, &change.instance);
    change.write_down(|info| note_brought(info, vif)).await?;
    let wanted = PortsWanted {
        instance: instance.uuid,
        project_id: instance.project_id.clone(),
        hostname: instance.hostname.clone(),
        host: change.host.clone(),
        zone: instance.availability_zone.clone().unwrap_or_default(),
        requested: RequestedNetworks { vifs: vec![vif.clone()], security_groups: Vec::new() },
    };
    let added = match api.networks.add(&wanted, vif).await {
        Ok(info) => info,
        Err(error) => {
            change.refresh().await;
            return Err(refused(error, vif));
        }
    };
    let Some(mut added) = added.0.into_iter().next() else {
        change.refresh().await;
        return Err(ApiError::Broken);
    };
    (added.tag, added.preserve_on_delete) = (vif.tag.clone(), vif.port_id.is_some());
    let port = added.port_id.clone();
    let plugged = async {
        change.write_down(|info| note_added(info, &added)).await?;
        let host = api.compute.clone().server(&change.host);
        host.attach_interface(&change.context, instance.uuid, added.clone()).await.map_err(|error| {
            tracing::warn!(instance = %instance.uuid, %port, %error, "a host could not plug an interface");
            not_plugged(change, &error)
        })
    };
    let plugged = plugged.await;
    if plugged.is_err()
        && let Err(error) = api.networks.remove(instance.uuid, &port, added.preserve_on_delete).await
    {
        tracing::warn!(instance = %instance.uuid, %port, %error, "a port that could not be plugged stays");
    }
    change.refresh().await;
    plugged.map(|()| port)
}

/// That a port is to be the server's which its user keeps, before it is.
fn note_brought(info: &mut NetworkInfo, vif: &RequestedVif) {
    let Some(port) = &vif.port_id else { return };
    info.0.retain(|known| known.port_id != *port);
    info.0.push(Vif {
        port_id: port.clone(),
        network_id: vif.network_id.clone(),
        preserve_on_delete: true,
        tag: vif.tag.clone(),
        ..Vif::default()
    });
}

fn note_added(info: &mut NetworkInfo, added: &Vif) {
    match info.0.iter_mut().find(|known| known.port_id == added.port_id) {
        Some(known) => known.clone_from(added),
        None => info.0.push(added.clone()),
    }
}

fn not_plugged(change: &Change, error: &CallError<ComputeError>) -> ApiError {
    let uuid = change.instance.uuid;
    match error {
        CallError::Remote(ComputeError::InvalidState { .. }) => {
            ApiError::Conflict(format!("Instance {uuid} is not ready"))
        }
        _ => ApiError::Unavailable(format!("Failed to attach network adapter device to {uuid}")),
    }
}

/// What it comes to that Networking does not give the port, in Nova's words.
fn refused(error: NetworkError, vif: &RequestedVif) -> ApiError {
    let network = &vif.network_id;
    let address = vif.fixed_ip.as_deref().unwrap_or_default();
    if is_refused_as(&error, &["IpAddressAlreadyAllocated", "IpAddressInUse"]) {
        return ApiError::Conflict(format!("Fixed IP {address} is already in use."));
    }
    if is_refused_as(&error, &["InvalidIpForNetwork", "InvalidIpForSubnet"]) {
        return ApiError::bad_request(format!(
            "Invalid input received: Fixed IP {address} is not a valid ip address for network {network}."
        ));
    }
    if is_refused_as(&error, &["OverQuota"]) {
        return ApiError::Forbidden("Maximum number of ports exceeded".into());
    }
    if is_refused_as(&error, &["IpAddressGenerationFailure"]) {
        return ApiError::bad_request(format!("No fixed IP addresses available for network: {network}"));
    }
    match &vif.port_id {
        Some(port) if is_refused_as(&error, &["PortInUse"]) => {
            ApiError::Conflict(format!("Port {port} is still in use."))
        }
        Some(port) if is_not_found(&error) => ApiError::NotFound(no_port(port)),
        None if is_not_found(&error) => ApiError::not_found(format!("Network {network} could not be found.")),
        _ => failed(error),
    }
}
