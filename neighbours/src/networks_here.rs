//! The Networking component of the same process.

use http::StatusCode;
use novella_common::{
    ids::InstanceUuid,
    models::{NetworkInfo, RequestedVif, Vif, VifAddress},
    networks::{
        Answer, Binding, Caller, Network, NetworkError, NetworkFilter, Networks, Port, PortFilter, PortsWanted,
        SecurityGroup,
    },
};
use novella_network::{
    NETWORK, Networking,
    devices::{self, DevicePorts, Devices, Interface, NetworksAsked, PortWanted, PortsAsked, Release},
};
use novella_rest::ApiError;

/// Answers by calling the component.
#[derive(Clone, Debug)]
pub struct NetworksHere(Devices);

impl NetworksHere {
    /// On this component.
    #[must_use]
    pub fn new(networking: Networking) -> Self {
        Self(Devices::new(networking))
    }

    async fn allocate_ports(&self, wanted: DevicePorts) -> Result<NetworkInfo, NetworkError> {
        self.0.allocate(wanted).await.map(network_info).map_err(refusal)
    }
}

/// What Networking says, as Compute hears it.
fn refusal(error: ApiError) -> NetworkError {
    let status = error.status();
    match error {
        ApiError::Typed { kind, text, .. } => {
            NetworkError::Refused { status: status.as_u16(), kind: kind.to_owned(), message: text }
        }
        // It may do the next time what it could not do now.
        error if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => {
            NetworkError::Unavailable(error.to_string())
        }
        error => {
            let message = error.to_string();
            let kind = (NETWORK.envelope)(status, &message)["NeutronError"]["type"].as_str().unwrap_or_default().into();
            NetworkError::Refused { status: status.as_u16(), kind, message }
        }
    }
}

fn wanted(wanted: &PortsWanted, vifs: &[RequestedVif], more: bool) -> DevicePorts {
    let ports = vifs.iter().map(|vif| PortWanted {
        network: vif.network_id.clone(),
        port: vif.port_id.clone(),
        address: vif.fixed_ip.clone(),
    });
    DevicePorts {
        device: wanted.instance.to_string(),
        owner: format!("compute:{}", wanted.zone),
        project: wanted.project_id.clone(),
        name: super::dns_name(&wanted.hostname),
        host: wanted.host.clone(),
        ports: ports.collect(),
        security_groups: wanted.requested.security_groups.clone(),
        more,
    }
}

fn network_info(interfaces: Vec<Interface>) -> NetworkInfo {
    NetworkInfo(interfaces.into_iter().map(vif).collect())
}

fn vif(interface: Interface) -> Vif {
    let addresses = interface.addresses.into_iter().map(|address| VifAddress {
        address: address.address,
        subnet_id: address.subnet,
        floating_ips: address.floating_ips,
    });
    Vif {
        port_id: interface.port,
        network_id: interface.network,
        network_name: interface.network_name,
        mac_address: interface.mac,
        fixed_ips: addresses.collect(),
        vif_type: interface.vif_type,
        vnic_type: interface.vnic_type,
        active: interface.active,
        preserve_on_delete: false,
        tag: None,
    }
}

fn network(view: devices::NetworkView) -> Network {
    Network {
        id: view.id,
        name: view.name,
        project_id: view.project,
        shared: view.shared,
        external: view.external,
        admin_state_up: view.admin_state_up,
        port_security_enabled: view.port_security_enabled,
        subnets: view.subnets,
    }
}

fn port(view: devices::PortView) -> Port {
    Port {
        id: view.id,
        network_id: view.network,
        project_id: view.project,
        device_id: view.device,
        device_owner: view.owner,
        mac_address: view.mac,
        status: view.status,
        fixed_ips: view.addresses,
        security_groups: view.security_groups,
        host: view.host,
        vif_type: view.vif_type,
        ip_allocation: view.ip_allocation,
        port_security_enabled: view.port_security_enabled,
    }
}

fn security_group(view: devices::SecurityGroupView) -> SecurityGroup {
    SecurityGroup { id: view.id, name: view.name, description: view.description, project_id: view.project }
}

impl Networks for NetworksHere {
    fn networks<'a>(&'a self, caller: Caller<'a>, filter: NetworkFilter) -> Answer<'a, Vec<Network>> {
        let asked = match filter {
            NetworkFilter::Ids(ids) => NetworksAsked::Ids(ids),
            NetworkFilter::OfProject(project) => NetworksAsked::OfProject(project),
            NetworkFilter::All => NetworksAsked::All,
        };
        Box::pin(async move {
            let found = self.0.networks(caller.context, asked).await.map_err(refusal)?;
            Ok(found.into_iter().map(network).collect())
        })
    }

    fn ports<'a>(&'a self, caller: Caller<'a>, filter: PortFilter) -> Answer<'a, Vec<Port>> {
        let asked = match filter {
            PortFilter::Ids(ids) => PortsAsked::Ids(ids),
            PortFilter::Instances(instances) => {
                PortsAsked::Devices(instances.iter().map(ToString::to_string).collect())
            }
            PortFilter::AddressPart(part) => PortsAsked::AddressPart(part),
        };
        Box::pin(async move {
            let found = self.0.ports(caller.context, asked).await.map_err(refusal)?;
            Ok(found.into_iter().map(port).collect())
        })
    }

    fn security_groups<'a>(&'a self, caller: Caller<'a>, project: &'a str) -> Answer<'a, Vec<SecurityGroup>> {
        Box::pin(async move {
            let found = self.0.security_groups(caller.context, project).await.map_err(refusal)?;
            Ok(found.into_iter().map(security_group).collect())
        })
    }

    fn security_groups_of<'a>(
        &'a self,
        caller: Caller<'a>,
        instances: &'a [InstanceUuid],
    ) -> Answer<'a, Vec<(InstanceUuid, SecurityGroup)>> {
        Box::pin(async move {
            let devices: Vec<String> = instances.iter().map(ToString::to_string).collect();
            let found = self.0.security_groups_of(caller.context, &devices).await.map_err(refusal)?;
            let pairs =
                found.into_iter().filter_map(|(device, group)| Some((device.parse().ok()?, security_group(group))));
            Ok(pairs.collect())
        })
    }

    fn ports_left<'a>(&'a self, _: Caller<'a>, project: &'a str) -> Answer<'a, Option<u64>> {
        Box::pin(async move { self.0.ports_left(project).await.map_err(refusal) })
    }

    fn auto_allocate<'a>(&'a self, caller: Caller<'a>, project: &'a str, check: bool) -> Answer<'a, Option<String>> {
        Box::pin(async move { self.0.auto_allocate(caller.context, project, check).await.map_err(refusal) })
    }

    fn allocate<'a>(&'a self, ports: &'a PortsWanted) -> Answer<'a, NetworkInfo> {
        Box::pin(self.allocate_ports(wanted(ports, &ports.requested.vifs, false)))
    }

    fn add<'a>(&'a self, ports: &'a PortsWanted, vif: &'a RequestedVif) -> Answer<'a, NetworkInfo> {
        Box::pin(self.allocate_ports(wanted(ports, std::slice::from_ref(vif), true)))
    }

    fn deallocate<'a>(&'a self, instances: &'a [(InstanceUuid, Vec<String>)]) -> Answer<'a, ()> {
        let release = |(instance, kept): &(InstanceUuid, Vec<String>)| Release {
            device: instance.to_string(),
            only: None,
            kept: kept.clone(),
        };
        Box::pin(async move { self.0.release(instances.iter().map(release).collect()).await.map_err(refusal) })
    }

    fn remove<'a>(&'a self, instance: InstanceUuid, port: &'a str, keep: bool) -> Answer<'a, ()> {
        let kept = if keep { vec![port.to_owned()] } else { Vec::new() };
        let release = Release { device: instance.to_string(), only: Some(port.to_owned()), kept };
        Box::pin(async move { self.0.release(vec![release]).await.map_err(refusal) })
    }

    fn bind<'a>(&'a self, instance: InstanceUuid, binding: Binding<'a>) -> Answer<'a, ()> {
        let binding = match binding {
            Binding::Add(host) => devices::Binding::Add(host),
            Binding::Activate(host) => devices::Binding::Activate(host),
            Binding::Remove(host) => devices::Binding::Remove(host),
            Binding::Only(host) => devices::Binding::Only(host),
        };
        Box::pin(async move { self.0.bind(&instance.to_string(), binding).await.map_err(refusal) })
    }

    fn describe<'a>(&'a self, instances: &'a [(InstanceUuid, String)]) -> Answer<'a, Vec<(InstanceUuid, NetworkInfo)>> {
        Box::pin(async move {
            let device = |(instance, project): &(InstanceUuid, String)| (instance.to_string(), project.clone());
            let found = self.0.describe(&instances.iter().map(device).collect::<Vec<_>>()).await.map_err(refusal)?;
            Ok(instances.iter().zip(found).map(|((instance, _), found)| (*instance, network_info(found))).collect())
        })
    }

    fn change_security_groups<'a>(
        &'a self,
        caller: Caller<'a>,
        instance: InstanceUuid,
        add: &'a [String],
        remove: &'a [String],
    ) -> Answer<'a, ()> {
        Box::pin(async move {
            let device = instance.to_string();
            self.0.change_security_groups(caller.context, &device, add, remove).await.map_err(refusal)
        })
    }
}
