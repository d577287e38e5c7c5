//! `networks` and `security_groups` of a create: what may be asked for, version by version, and what Networking says of it.
//!
//! What is asked is resolved here, so that the ports themselves need no more decisions: a scheduler has them made for the host
//! that it chooses. Nova finds some of it out only then, on a host, and puts the server into ERROR; here that is refused.
//! But whether an address is one of a network's, and is still free then, only Networking can say: such a server goes into
//! ERROR, as in Nova (`_ports_needed_per_instance` in nova/network/neutron.py looks only whether a port has the address).

use std::{collections::BTreeSet, net::IpAddr};

use novella_common::{
    models::{RequestedNetworks, RequestedVif},
    networks::{Network, NetworkError, NetworkFilter, Port, PortFilter},
};
use novella_rest::{ApiError, FieldTable, Microversion, field, inputs::UuidText, object, typed, wrong};
use serde::Deserialize;
use serde_json::Value;

use super::super::tags;
use crate::{
    Request,
    compute::{
        networking::{NoGroup, failed, group_ids},
        quotas::servers::Wanted,
    },
    neighbours::caller,
    policy,
};

/// What a create says of networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AskedNetworks {
    /// Nothing: the one network there is, if there is one.
    Any,
    /// The same, and one is made if there is none.
    Auto,
    /// No network.
    None,
    /// These.
    These(Vec<AskedVif>),
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AskedVif {
    on: On,
    fixed_ip: Option<String>,
    tag: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum On {
    Network(String),
    Port(String),
}

const FIELDS: FieldTable = FieldTable(&[
    field("fixed_ip"),
    field("port").nullable(),
    field("uuid"),
    // It came, was forgotten when words came, and came again.
    field("tag").since(32).until(36),
    field("tag").since(42),
]);

#[derive(Deserialize)]
struct Entry {
    fixed_ip: Option<IpAddr>,
    port: Option<UuidText>,
    uuid: Option<String>,
    tag: Option<String>,
}

/// Reads `networks`.
///
/// # Errors
/// 400 that names what is wrong.
pub(super) fn read(networks: Option<&Value>, version: Microversion) -> Result<AskedNetworks, ApiError> {
    let words = version.at_least(37);
    match networks {
        None if words => {
            Err(ApiError::bad_request("Invalid input for field/attribute server. 'networks' is a required property"))
        }
        None => Ok(AskedNetworks::Any),
        Some(Value::Array(list)) if list.is_empty() => Ok(AskedNetworks::Any),
        Some(Value::String(word)) if words && word == "none" => Ok(AskedNetworks::None),
        Some(Value::String(word)) if words && word == "auto" => Ok(AskedNetworks::Auto),
        Some(Value::Array(list)) => these(list, version).map(AskedNetworks::These),
        Some(other) => Err(wrong("server.networks", other, "It is not one that this microversion takes.")),
    }
}

fn these(list: &[Value], version: Microversion) -> Result<Vec<AskedVif>, ApiError> {
    let mut ports = BTreeSet::new();
    let mut vifs = Vec::with_capacity(list.len());
    for (index, item) in list.iter().enumerate() {
        let place = format!("server.networks[{index}]");
        FIELDS.check(&place, object(&place, item)?, version)?;
        let entry: Entry = typed(&place, item)?;
        if let (Some(uuid), true) = (&entry.uuid, version.at_least(37)) {
            typed::<UuidText>(&format!("{place}.uuid"), &uuid.as_str().into())?;
        }
        if let Some(tag) = entry.tag.as_deref().filter(|tag| !tags::is_tag(tag)) {
            return Err(wrong(&format!("{place}.tag"), &tag.into(), tags::RIGHT));
        }
        let on = match (entry.port, entry.uuid) {
            (Some(UuidText(port)), _) => {
                if !ports.insert(port) {
                    return Err(ApiError::bad_request(format!(
                        "Port ID '{port}' was specified twice: you cannot attach a port multiple times."
                    )));
                }
                if let Some(address) = entry.fixed_ip {
                    return Err(ApiError::bad_request(format!(
                        "Specified Fixed IP '{address}' cannot be used with port '{port}': the two cannot be specified \
                         together."
                    )));
                }
                On::Port(port.to_string())
            }
            (None, Some(network)) => On::Network(network_id(&network)?),
            (None, None) => return Err(ApiError::bad_request("Bad network format: missing 'uuid'")),
        };
        vifs.push(AskedVif { on, fixed_ip: entry.fixed_ip.map(|address| address.to_string()), tag: entry.tag });
    }
    Ok(vifs)
}

fn network_id(text: &str) -> Result<String, ApiError> {
    uuid::Uuid::try_parse(text).map(|uuid| uuid.to_string()).map_err(|_| {
        ApiError::bad_request(format!("Bad networks format: network uuid is not in proper format ({text})"))
    })
}

impl AskedNetworks {
    /// Whether several servers can have what is asked.
    ///
    /// # Errors
    /// 400: an address or a port is one server's.
    pub(super) fn check_count(&self, most: u32) -> Result<(), ApiError> {
        let Self::These(vifs) = self else { return Ok(()) };
        if most <= 1 {
            return Ok(());
        }
        let refuse = |why: &str| Err(ApiError::bad_request(format!("Failed to launch instances: {why}")));
        if vifs.iter().any(|vif| vif.fixed_ip.is_some()) {
            return refuse("max_count cannot be greater than 1 if an fixed_ip is specified.");
        }
        if vifs.iter().any(|vif| matches!(vif.on, On::Port(_))) {
            return refuse(
                "Unable to launch multiple instances with a single configured port ID. Please launch your instance one by \
                 one with different ports.",
            );
        }
        Ok(())
    }
}

/// What is to be made of it.
#[derive(Debug)]
pub(super) struct Resolved {
    /// What a scheduler asks Networking for.
    pub(super) networks: RequestedNetworks,
    /// So many servers can have it.
    pub(super) count: Wanted,
    /// The network of the one interface is still to be made.
    unmade: bool,
}

/// Asks Networking whether and how the servers of a create can have what is asked for.
///
/// # Errors
/// What Nova answers: 400 for what is not there or can't be used, 403 for more ports than there may be and for an external
/// network, 409 for what is in use or not clear; 503 if Networking can't be asked.
pub(super) async fn resolve(
    request: &Request,
    project: &str,
    asked: &AskedNetworks,
    groups: &[String],
    count: Wanted,
) -> Result<Resolved, ApiError> {
    let security_groups = security_groups(request, project, groups).await?;
    let (vifs, unmade) = match asked {
        AskedNetworks::None => (Vec::new(), false),
        AskedNetworks::Any | AskedNetworks::Auto => {
            match the_network(request, project, *asked == AskedNetworks::Auto).await? {
                Some(network) => {
                    check_usable(request, &network, &security_groups)?;
                    (vec![RequestedVif { network_id: network.id, ..RequestedVif::default() }], false)
                }
                None if *asked == AskedNetworks::Auto => (vec![RequestedVif::default()], true),
                None => (Vec::new(), false),
            }
        }
        AskedNetworks::These(asked) => (given(request, project, asked, &security_groups).await?, false),
    };
    let count = affordable(request, project, &vifs, count).await?;
    Ok(Resolved { networks: RequestedNetworks { vifs, security_groups }, count, unmade })
}

impl Resolved {
    /// Has the network made that is not there yet; once nothing else can be refused.
    ///
    /// # Errors
    /// 400 if it can't be made.
    pub(super) async fn complete(mut self, request: &Request, project: &str) -> Result<RequestedNetworks, ApiError> {
        if self.unmade {
            let made = request.state.networks.auto_allocate(caller(request), project, false).await;
            let made = made.map_err(|error| not_made(error, project))?;
            let network_id = made.ok_or_else(|| no_topology(project))?;
            self.networks.vifs = vec![RequestedVif { network_id, ..RequestedVif::default() }];
        }
        Ok(self.networks)
    }
}

/// The ids of the groups; none for the default group alone, which Networking gives by itself.
async fn security_groups(request: &Request, project: &str, names: &[String]) -> Result<Vec<String>, ApiError> {
    if names.iter().all(|name| name == "default") {
        return Ok(Vec::new());
    }
    group_ids(&request.state, caller(request), project, names).await.map_err(|error| match error {
        NoGroup::Unknown(name) => {
            ApiError::bad_request(format!("Unable to find security_group with name or id '{name}'"))
        }
        NoGroup::Ambiguous(name) => NoGroup::ambiguous(&name),
        NoGroup::Failed(error) => failed(error),
    })
}

/// The network of a server that names none; `None`: there is none, and with `make` one can be made.
///
/// Of several, an external one is left out: nobody who names none means the way out of the cloud. Nova asks for a name.
async fn the_network(request: &Request, project: &str, make: bool) -> Result<Option<Network>, ApiError> {
    let networks = &request.state.networks;
    let filter = NetworkFilter::OfProject(project.to_owned());
    let mut found = networks.networks(caller(request), filter).await.map_err(failed)?;
    if make {
        // One that is being made for the project just now.
        found.retain(|network| network.admin_state_up);
    }
    if found.iter().any(|network| !is_way_out(network)) {
        found.retain(|network| !is_way_out(network));
    }
    if found.len() > 1 {
        return Err(ambiguous());
    }
    if let (None, true) = (found.first(), make) {
        networks.auto_allocate(caller(request), project, true).await.map_err(|error| not_made(error, project))?;
    }
    Ok(found.pop())
}

/// 409 in Nova's words.
fn ambiguous() -> ApiError {
    ApiError::Conflict(AMBIGUOUS.into())
}

/// That a network has to be named.
pub(in crate::compute::servers) const AMBIGUOUS: &str =
    "Multiple possible networks found, use a Network ID to be more specific.";

fn is_way_out(network: &Network) -> bool {
    network.external && !network.shared
}

fn not_made(error: NetworkError, project: &str) -> ApiError {
    match error {
        NetworkError::Refused { status: 409, .. } => no_topology(project),
        error => failed(error),
    }
}

fn no_topology(project: &str) -> ApiError {
    ApiError::bad_request(format!("Unable to automatically allocate a network for project {project}"))
}

/// Whether whoever asks may be put on the network: an external one is for administrators.
///
/// # Errors
/// 403 in Nova's words.
pub(in crate::compute::servers) fn check_external(request: &Request, network: &Network) -> Result<(), ApiError> {
    if is_way_out(network) && !policy::NETWORK_ATTACH_EXTERNAL.allows_own(&request.context) {
        return Err(ApiError::Forbidden(format!(
            "It is not allowed to create an interface on external network {}",
            network.id
        )));
    }
    Ok(())
}

/// Whether ports on the network can have these security groups, or the default one.
///
/// # Errors
/// 400 in Nova's words.
pub(in crate::compute::servers) fn check_groups(network: &Network, groups: &[String]) -> Result<(), ApiError> {
    let fits = if network.port_security_enabled { !network.subnets.is_empty() } else { groups.is_empty() };
    if fits {
        return Ok(());
    }
    Err(ApiError::bad_request(
        "Network requires port_security_enabled and subnet associated in order to apply security groups.",
    ))
}

fn check_usable(request: &Request, network: &Network, groups: &[String]) -> Result<(), ApiError> {
    check_external(request, network)?;
    check_groups(network, groups)
}

/// What is asked for one by one: a question for all ports, one for all networks, one for each address.
async fn given(
    request: &Request,
    project: &str,
    asked: &[AskedVif],
    groups: &[String],
) -> Result<Vec<RequestedVif>, ApiError> {
    let networks = &request.state.networks;
    let ids = |port: bool| {
        asked.iter().filter_map(move |vif| match &vif.on {
            On::Port(id) if port => Some(id.clone()),
            On::Network(id) if !port => Some(id.clone()),
            _ => None,
        })
    };
    let wanted: Vec<String> = ids(true).collect();
    let ports = match wanted.is_empty() {
        true => Vec::new(),
        false => networks.ports(caller(request), PortFilter::Ids(wanted.clone())).await.map_err(failed)?,
    };
    for id in &wanted {
        let port = ports.iter().find(|port| port.id == *id);
        check_port(port.ok_or_else(|| ApiError::BadRequest(no_port(id)))?, project)?;
    }
    for vif in asked {
        if let (On::Network(network), Some(address)) = (&vif.on, &vif.fixed_ip) {
            check_free(request, network, address).await?;
        }
    }
    let named: BTreeSet<String> = ids(false).collect();
    let all: BTreeSet<String> = named.iter().cloned().chain(ports.iter().map(|port| port.network_id.clone())).collect();
    let filter = NetworkFilter::Ids(all.into_iter().collect());
    let found = networks.networks(caller(request), filter).await.map_err(failed)?;
    if let Some(bare) = found.iter().find(|network| named.contains(&network.id) && network.subnets.is_empty()) {
        return Err(ApiError::bad_request(format!(
            "Network {} requires a subnet in order to boot instances on.",
            bare.id
        )));
    }
    let missing: Vec<&str> =
        named.iter().filter(|id| found.iter().all(|network| network.id != **id)).map(String::as_str).collect();
    if !missing.is_empty() {
        return Err(ApiError::bad_request(format!("Network {} could not be found.", missing.join(", "))));
    }
    for network in &found {
        check_usable(request, network, groups)?;
    }
    let requested = |vif: &AskedVif| {
        let (network_id, port_id) = match &vif.on {
            On::Network(id) => (id.clone(), None),
            On::Port(id) => {
                let port = ports.iter().find(|port| port.id == *id);
                (port.map(|port| port.network_id.clone()).unwrap_or_default(), Some(id.clone()))
            }
        };
        RequestedVif { network_id, port_id, fixed_ip: vif.fixed_ip.clone(), tag: vif.tag.clone() }
    };
    Ok(asked.iter().map(requested).collect())
}

/// That there is no such port, in Nova's words.
pub(in crate::compute::servers) fn no_port(id: &str) -> String {
    format!("Port id {id} could not be found.")
}

fn check_port(port: &Port, project: &str) -> Result<(), ApiError> {
    let id = &port.id;
    if !port.device_id.is_empty() {
        return Err(ApiError::Conflict(format!("Port {id} is still in use.")));
    }
    if port.project_id != project {
        return Err(ApiError::bad_request(format!("Port {id} is not usable: it belongs to another project.")));
    }
    if port.fixed_ips.is_empty() && !matches!(port.ip_allocation.as_str(), "none" | "deferred") {
        return Err(ApiError::bad_request(format!("Port {id} requires a FixedIP in order to be used.")));
    }
    Ok(())
}

async fn check_free(request: &Request, network: &str, address: &str) -> Result<(), ApiError> {
    let filter = PortFilter::AddressPart(address.to_owned());
    let ports = request.state.networks.ports(caller(request), filter).await.map_err(failed)?;
    let has = |port: &&Port| port.network_id == network && port.fixed_ips.iter().any(|(ip, _)| ip == address);
    match ports.iter().find(has) {
        Some(port) => Err(ApiError::bad_request(format!(
            "Fixed IP address {address} is already in use on instance {}.",
            port.device_id
        ))),
        None => Ok(()),
    }
}

/// How many of the servers the quota of ports leaves room for.
async fn affordable(
    request: &Request,
    project: &str,
    vifs: &[RequestedVif],
    count: Wanted,
) -> Result<Wanted, ApiError> {
    let each = vifs.iter().filter(|vif| vif.port_id.is_none()).count();
    let Some(each) = u64::try_from(each).ok().filter(|each| *each > 0) else { return Ok(count) };
    let Some(left) = request.state.networks.ports_left(caller(request), project).await.map_err(failed)? else {
        return Ok(count);
    };
    let most = u32::try_from(left / each).unwrap_or(u32::MAX).min(count.most);
    if most < count.least {
        return Err(ApiError::Forbidden("Maximum number of ports exceeded".into()));
    }
    Ok(Wanted { least: count.least, most })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "c1227000-0000-4000-8000-000000000001";

    fn taken(minor: u16, networks: &Value) -> Result<AskedNetworks, String> {
        read(Some(networks), Microversion::new(2, minor)).map_err(|error| error.to_string())
    }

    /// Each form, at which minor versions it is taken, and what is said elsewhere (nova/api/openstack/compute/schemas/servers.py).
    #[test]
    fn each_form_is_taken_at_novas_versions() {
        const ALL: [u16; 7] = [1, 31, 32, 36, 37, 42, 104];
        for (form, versions, text) in [
            (json!([]), &ALL[..], ""),
            (json!("auto"), &[37, 42, 104][..], "not one that this microversion takes"),
            (json!("none"), &[37, 42, 104], "not one that this microversion takes"),
            (json!("some"), &[], "not one that this microversion takes"),
            (json!([{"uuid": ID}]), &ALL, ""),
            (json!([{"uuid": ID, "fixed_ip": "10.0.0.9"}, {"uuid": ID}]), &ALL, ""),
            (json!([{"uuid": ID, "fixed_ip": "10.0.0"}]), &[], "fixed_ip"),
            (json!([{"uuid": "net-1"}]), &[], "net-1"),
            (json!([{"port": ID}]), &ALL, ""),
            (json!([{"port": null, "uuid": ID}]), &ALL, ""),
            (json!([{"port": "p"}]), &[], "is not a 'uuid'"),
            (json!([{"port": ID, "uuid": ID}]), &ALL, ""),
            (json!([{"port": ID, "fixed_ip": "10.0.0.9"}]), &[], "the two cannot be specified together"),
            (json!([{"port": ID}, {"port": ID}]), &[], "was specified twice"),
            (json!([{"uuid": ID, "tag": "nic"}]), &[32, 36, 42, 104], "('tag' was unexpected)"),
            (json!([{"uuid": ID, "tag": "a,b"}]), &[], "tag"),
            (json!([{"port": null}]), &[], "missing 'uuid'"),
            (json!([{}]), &[], "missing 'uuid'"),
            (json!([{"uuid": null}]), &[], "not be null"),
            (json!([{"uuid": ID, "net": 1}]), &[], "('net' was unexpected)"),
            (json!([ID]), &[], "is not of type 'object'"),
            (json!({"uuid": ID}), &[], "not one that this microversion takes"),
        ] {
            for minor in ALL {
                match taken(minor, &form) {
                    Ok(_) => assert!(versions.contains(&minor), "{form} at 2.{minor}"),
                    Err(said) => {
                        assert!(!versions.contains(&minor) && said.contains(text), "{form} at 2.{minor}: {said}");
                    }
                }
            }
        }
        assert_eq!(read(None, Microversion::new(2, 36)).unwrap(), AskedNetworks::Any);
        assert!(read(None, Microversion::new(2, 37)).unwrap_err().to_string().contains("'networks' is a required"));
    }

    #[test]
    fn an_address_or_a_port_is_one_servers() {
        let refused = |form: Value| taken(1, &form).unwrap().check_count(2).unwrap_err().to_string();
        assert!(refused(json!([{"uuid": ID, "fixed_ip": "::1"}])).contains("if an fixed_ip is specified"));
        assert!(refused(json!([{"uuid": ID}, {"port": ID}])).contains("a single configured port ID"));
        assert!(taken(1, &json!([{"port": ID}])).unwrap().check_count(1).is_ok());
        assert!(taken(1, &json!([{"uuid": ID}])).unwrap().check_count(9).is_ok());
    }
}
