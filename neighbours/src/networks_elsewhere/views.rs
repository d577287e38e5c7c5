//! What Neutron's answers say, in Compute's words.

use novella_common::{
    models::{NetworkInfo, Vif, VifAddress},
    networks::{Network, NetworkError, Port, SecurityGroup},
};
use serde_json::Value;

use super::{NetworksElsewhere, neutron::As};

/// A text; empty if it is none.
pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

pub(super) fn network(value: &Value) -> Network {
    Network {
        id: text(&value["id"]),
        name: text(&value["name"]),
        project_id: text(&value["tenant_id"]),
        shared: value["shared"] == true,
        external: value["router:external"] == true,
        admin_state_up: value["admin_state_up"] == true,
        // Of a Neutron without the extension every port has them.
        port_security_enabled: value["port_security_enabled"].as_bool().unwrap_or(true),
        subnets: texts(&value["subnets"]),
    }
}

pub(super) fn port(value: &Value) -> Port {
    let fixed = value["fixed_ips"].as_array().into_iter().flatten();
    Port {
        id: text(&value["id"]),
        network_id: text(&value["network_id"]),
        project_id: text(&value["tenant_id"]),
        device_id: text(&value["device_id"]),
        device_owner: text(&value["device_owner"]),
        mac_address: text(&value["mac_address"]),
        status: text(&value["status"]),
        fixed_ips: fixed.map(|fixed| (text(&fixed["ip_address"]), text(&fixed["subnet_id"]))).collect(),
        security_groups: texts(&value["security_groups"]),
        host: text(&value["binding:host_id"]),
        vif_type: text(&value["binding:vif_type"]),
        // Of a Neutron without these extensions every port has addresses and groups.
        ip_allocation: value["ip_allocation"].as_str().unwrap_or("immediate").to_owned(),
        port_security_enabled: value["port_security_enabled"].as_bool().unwrap_or(true),
    }
}

pub(super) fn security_group(value: &Value) -> SecurityGroup {
    SecurityGroup {
        id: text(&value["id"]),
        name: text(&value["name"]),
        description: text(&value["description"]),
        project_id: text(&value["tenant_id"]),
    }
}

fn vif(port: &Value, networks: &[Value], floating: &[Value]) -> Vif {
    let network = networks.iter().find(|network| network["id"] == port["network_id"]);
    let leading_to = |address: &Value| {
        let here =
            move |floating: &&Value| floating["port_id"] == port["id"] && floating["fixed_ip_address"] == *address;
        floating.iter().filter(here).map(|floating| text(&floating["floating_ip_address"])).collect()
    };
    let fixed = port["fixed_ips"].as_array().into_iter().flatten();
    Vif {
        port_id: text(&port["id"]),
        network_id: text(&port["network_id"]),
        network_name: network.map(|network| text(&network["name"])).unwrap_or_default(),
        mac_address: text(&port["mac_address"]),
        fixed_ips: fixed
            .map(|fixed| VifAddress {
                address: text(&fixed["ip_address"]),
                subnet_id: text(&fixed["subnet_id"]),
                floating_ips: leading_to(&fixed["ip_address"]),
            })
            .collect(),
        vif_type: text(&port["binding:vif_type"]),
        vnic_type: text(&port["binding:vnic_type"]),
        active: port["status"] == "ACTIVE",
        preserve_on_delete: false,
        tag: None,
    }
}

impl NetworksElsewhere {
    /// What ports are for their instances, each with its own.
    pub(super) async fn vifs(&self, ports: &[Value]) -> Result<Vec<Vif>, NetworkError> {
        if ports.is_empty() {
            return Ok(Vec::new());
        }
        let of = |name: &str| {
            let mut values: Vec<String> = ports.iter().map(|port| text(&port[name])).collect();
            values.sort_unstable();
            values.dedup();
            values
        };
        let (networks, ids) = (of("network_id"), of("id"));
        let networks: Vec<&str> = networks.iter().map(String::as_str).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let (networks, floating) = futures_util::future::try_join(
            self.neutron.list_by(As::Service, "/networks?fields=id&fields=name", "id", &networks),
            self.neutron.list_by(As::Service, "/floatingips", "port_id", &ids),
        )
        .await?;
        Ok(ports.iter().map(|port| vif(port, &networks, &floating)).collect())
    }

    pub(super) async fn network_info(&self, ports: &[Value]) -> Result<NetworkInfo, NetworkError> {
        self.vifs(ports).await.map(NetworkInfo)
    }
}
