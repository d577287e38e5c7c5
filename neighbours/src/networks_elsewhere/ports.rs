//! Ports of instances, asked for, bound and given back over HTTP.
//!
//! Nothing here is a transaction. What is made in vain is deleted again; what is left when the process dies has the
//! instance as its device, so that the next try finds it, or whoever gives back the instance's ports.

use std::collections::BTreeMap;

use http::Method;
use novella_common::{
    ids::InstanceUuid,
    models::{NetworkInfo, RequestedVif},
    networks::{NetworkError, PortsWanted},
};
use serde_json::{Value, json};

use super::{
    NetworksElsewhere,
    neutron::{As, but},
    views::text,
};

/// A port that an instance gets, and what is to be undone if another one is refused.
struct Got {
    port: Value,
    /// It was made; or it was taken, and was nobody's.
    made: bool,
    taken: bool,
}

/// A port that is there, and whether it was nobody's; or what is asked of a new one.
type Planned = Result<(Value, bool), Value>;

impl NetworksElsewhere {
    /// Ports that have one of these values.
    pub(super) async fn ports_by(&self, name: &str, values: &[&str]) -> Result<Vec<Value>, NetworkError> {
        self.neutron.list_by(As::Service, "/ports", name, values).await
    }

    /// The ports of an instance, in the order in which they were made.
    pub(super) async fn ports_of(&self, instances: &[&str]) -> Result<Vec<Value>, NetworkError> {
        let mut ports = self.ports_by("device_id", instances).await?;
        ports.sort_by_key(|port| (text(&port["created_at"]), text(&port["id"])));
        Ok(ports)
    }

    /// Makes or takes these ports for an instance. With `more` they are beside its others; or they are all, of which some may
    /// be there.
    pub(super) async fn get_ports(
        &self,
        wanted: &PortsWanted,
        vifs: &[RequestedVif],
        more: bool,
    ) -> Result<NetworkInfo, NetworkError> {
        let device = wanted.instance.to_string();
        let mut got = Vec::new();
        match self.try_ports(wanted, vifs, more, &device, &mut got).await {
            Ok(()) => {
                let ports: Vec<Value> = got.into_iter().map(|got| got.port).collect();
                self.network_info(&ports).await
            }
            Err(error) => {
                self.undo(&got).await;
                Err(error)
            }
        }
    }

    async fn try_ports(
        &self,
        wanted: &PortsWanted,
        vifs: &[RequestedVif],
        more: bool,
        device: &str,
        got: &mut Vec<Got>,
    ) -> Result<(), NetworkError> {
        let brought: Vec<&str> = vifs.iter().filter_map(|vif| vif.port_id.as_deref()).collect();
        let is_brought = |port: &Value| brought.contains(&port["id"].as_str().unwrap_or_default());
        let mut had = if more { Vec::new() } else { self.ports_of(&[device]).await? };
        // Another project's is not what an earlier call has made.
        had.retain(|port| !is_brought(port) && port["tenant_id"] == wanted.project_id);
        let brought = if brought.is_empty() { Vec::new() } else { self.ports_by("id", &brought).await? };
        // All is decided before anything is changed. Those with an address of their own find their ports first: no other one
        // takes them.
        let mut there: Vec<Option<Value>> = vec![None; vifs.len()];
        for named in [true, false] {
            for (vif, there) in vifs.iter().zip(&mut there) {
                if vif.port_id.is_none() && vif.fixed_ip.is_some() == named {
                    *there = had.iter().position(|port| fits(port, vif)).map(|at| had.remove(at));
                }
            }
        }
        let mut planned: Vec<Planned> = Vec::new();
        for (vif, there) in vifs.iter().zip(there) {
            planned.push(match (&vif.port_id, there) {
                (Some(id), _) => {
                    let port = brought.iter().find(|port| port["id"] == **id).ok_or_else(|| no_port(id))?;
                    let owner = text(&port["device_id"]);
                    if !owner.is_empty() && owner != device {
                        return Err(in_use(port));
                    }
                    Ok((port.clone(), owner.is_empty()))
                }
                (None, Some(port)) => Ok((port, false)),
                (None, None) => Err(self.new_port(wanted, vif, device).await?),
            });
        }
        planned.extend(had.into_iter().map(|port| Ok((port, false))));
        let mut made = self.make_ports(&planned).await?;
        for (index, planned) in planned.into_iter().enumerate() {
            got.push(match planned {
                Ok((port, taken)) => Got { port, made: false, taken },
                Err(_) => {
                    let port = made.remove(&index);
                    let port = port.ok_or_else(|| NetworkError::Unavailable("Networking left out a port".into()))?;
                    Got { port, made: true, taken: false }
                }
            });
        }
        for got in got.iter_mut().filter(|got| !got.made) {
            got.port = self.bind_to(wanted, &got.port, device).await?;
        }
        match got.iter().find(|got| got.port["binding:vif_type"] == "binding_failed") {
            None => Ok(()),
            Some(failed) => Err(NetworkError::Refused {
                status: 500,
                kind: "PortBindingFailed".into(),
                message: format!(
                    "Binding failed for port {}, please check neutron logs for more information.",
                    text(&failed.port["id"])
                ),
            }),
        }
    }

    /// Makes all that are new in one request, which is all or none. By their places among the others.
    async fn make_ports(&self, planned: &[Planned]) -> Result<BTreeMap<usize, Value>, NetworkError> {
        let new = planned.iter().enumerate().filter_map(|(index, planned)| Some((index, planned.as_ref().err()?)));
        // Those with an address of their own first: no other one gets it by chance.
        let (named, others): (Vec<_>, Vec<_>) = new.partition(|(_, port)| port.get("fixed_ips").is_some());
        let (places, ports): (Vec<usize>, Vec<&Value>) = named.into_iter().chain(others).unzip();
        if ports.is_empty() {
            return Ok(BTreeMap::new());
        }
        let body = json!({ "ports": ports });
        let mut answer = self.neutron.ask(As::Service, Method::POST, "/ports", Some(&body)).await?;
        let made = match answer["ports"].take() {
            Value::Array(made) => made,
            _ => Vec::new(),
        };
        Ok(places.into_iter().zip(made).collect())
    }

    /// What is asked of a new port.
    async fn new_port(&self, wanted: &PortsWanted, vif: &RequestedVif, device: &str) -> Result<Value, NetworkError> {
        let mut port = json!({
            "network_id": vif.network_id, "device_id": device, "device_owner": format!("compute:{}", wanted.zone),
            "admin_state_up": true, "tenant_id": wanted.project_id, "binding:host_id": wanted.host,
        });
        if let Some(address) = &vif.fixed_ip {
            port["fixed_ips"] = json!([{"ip_address": address}]);
        }
        if !wanted.requested.security_groups.is_empty() && self.is_secured(&vif.network_id).await? {
            port["security_groups"] = json!(wanted.requested.security_groups);
        }
        if self.neutron.has("dns-integration").await? {
            port["dns_name"] = json!(crate::dns_name(&wanted.hostname));
        }
        Ok(port)
    }

    /// Whether the ports of a network have security groups.
    async fn is_secured(&self, network: &str) -> Result<bool, NetworkError> {
        let shown = self.neutron.get(As::Service, &format!("/networks/{network}?fields=port_security_enabled")).await?;
        Ok(shown["network"]["port_security_enabled"].as_bool().unwrap_or(true))
    }

    /// Gives a port that is there to the instance, on its host.
    async fn bind_to(&self, wanted: &PortsWanted, port: &Value, device: &str) -> Result<Value, NetworkError> {
        let mut change = json!({
            "device_id": device, "device_owner": format!("compute:{}", wanted.zone), "binding:host_id": wanted.host,
        });
        if self.neutron.has("dns-integration").await? && text(&port["dns_name"]).is_empty() {
            change["dns_name"] = json!(crate::dns_name(&wanted.hostname));
        }
        let same = change.as_object().into_iter().flatten().all(|(name, value)| port.get(name) == Some(value));
        if same {
            return Ok(port.clone());
        }
        let id = text(&port["id"]);
        if text(&port["binding:host_id"]) != wanted.host && !text(&port["binding:host_id"]).is_empty() {
            self.forget_others(&id, &text(&port["binding:host_id"])).await?;
        }
        self.change_port(&id, &change).await
    }

    pub(super) async fn change_port(&self, id: &str, change: &Value) -> Result<Value, NetworkError> {
        let body = json!({ "port": change });
        let mut answer = self.neutron.ask(As::Service, Method::PUT, &format!("/ports/{id}"), Some(&body)).await?;
        Ok(answer["port"].take())
    }

    /// Undoes what was done in vain.
    async fn undo(&self, got: &[Got]) {
        for got in got {
            let id = text(&got.port["id"]);
            let undone = match (got.made, got.taken) {
                (true, _) => self.delete_port(&id).await,
                (false, true) => self.leave_port(&got.port).await,
                (false, false) => Ok(()),
            };
            if let Err(error) = undone {
                // The instance is still its device: whoever gives back the instance's ports finds it.
                tracing::warn!(%error, port = id, "a port that was asked for in vain is left over");
            }
        }
    }

    async fn delete_port(&self, id: &str) -> Result<(), NetworkError> {
        but(self.neutron.ask(As::Service, Method::DELETE, &format!("/ports/{id}"), None).await, &[404])?;
        Ok(())
    }

    /// Takes the instance out of a port.
    async fn leave_port(&self, port: &Value) -> Result<(), NetworkError> {
        let mut change = json!({"device_id": "", "device_owner": "", "binding:host_id": null, "binding:profile": {}});
        if port["binding:profile"].as_object().is_none_or(serde_json::Map::is_empty) {
            // Only services may say something of it; and there is nothing to say.
            change.as_object_mut().map(|change| change.remove("binding:profile"));
        }
        if self.neutron.has("dns-integration").await? {
            change["dns_name"] = json!("");
        }
        but(self.change_port(&text(&port["id"]), &change).await, &[404])?;
        Ok(())
    }

    /// Deletes a port, or takes the instance out of it where it can't be deleted: a port of a trunk is its user's.
    async fn delete_or_leave(&self, port: &Value) -> Result<(), NetworkError> {
        match self.delete_port(&text(&port["id"])).await {
            Err(NetworkError::Refused { status: 409, kind, message }) => {
                tracing::info!(port = text(&port["id"]), kind, message, "a port that can't be deleted is left");
                self.leave_port(port).await
            }
            deleted => deleted,
        }
    }

    /// Gives the ports of an instance back; or only one of them. One that is refused holds up no other.
    pub(super) async fn give_back(
        &self,
        instances: &[(InstanceUuid, Vec<String>)],
        only: Option<&str>,
    ) -> Result<(), NetworkError> {
        let devices: Vec<String> = instances.iter().map(|(instance, _)| instance.to_string()).collect();
        let devices: Vec<&str> = devices.iter().map(String::as_str).collect();
        let kept: Vec<&String> = instances.iter().flat_map(|(_, kept)| kept).collect();
        let mut all = Ok(());
        for port in self.ports_of(&devices).await? {
            let id = text(&port["id"]);
            if only.is_some_and(|only| only != id) {
                continue;
            }
            let given_back =
                if kept.contains(&&id) { self.leave_port(&port).await } else { self.delete_or_leave(&port).await };
            match given_back {
                Err(error @ NetworkError::Unavailable(_)) => return Err(error),
                given_back => all = all.and(given_back),
            }
        }
        all
    }
}

fn fits(port: &Value, vif: &RequestedVif) -> bool {
    let mut addresses = port["fixed_ips"].as_array().into_iter().flatten().map(|fixed| &fixed["ip_address"]);
    port["network_id"] == *vif.network_id
        && vif.fixed_ip.as_ref().is_none_or(|wanted| addresses.any(|address| address == wanted))
}

fn no_port(id: &str) -> NetworkError {
    let message = format!("Port {id} could not be found.");
    NetworkError::Refused { status: 404, kind: "PortNotFound".into(), message }
}

fn in_use(port: &Value) -> NetworkError {
    let message = format!(
        "Unable to complete operation on port {} for network {}. Port already has an attached device {}.",
        text(&port["id"]),
        text(&port["network_id"]),
        text(&port["device_id"])
    );
    NetworkError::Refused { status: 409, kind: "PortInUse".into(), message }
}
