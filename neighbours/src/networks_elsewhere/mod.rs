//! A Networking component elsewhere: Neutron, or another Novella's, asked over HTTP as Nova does it.
//!
//! What concerns a user's request is asked with the user's token, so that Networking's own rules hold; what Compute does
//! for an instance is asked by a user of this service's own, who needs the role `service` or `admin` there.
//!
//! Source: nova/network/neutron.py (34.0.0).

mod bindings;
mod neutron;
mod ports;
mod views;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
    sync::Arc,
};

use http::Method;
use novella_common::{
    ids::InstanceUuid,
    models::{NetworkInfo, RequestedVif},
    networking_api::NetworkingApi,
    networks::{
        Answer, Binding, Caller, Network, NetworkError, NetworkFilter, Networks, Port, PortFilter, PortsWanted,
        SecurityGroup,
    },
};
use novella_rest::{HttpClientError, keystone::Keystone};
use serde_json::{Value, json};

use self::{
    neutron::{As, Neutron, query},
    views::text,
};

/// Answers by asking over HTTP.
pub struct NetworksElsewhere {
    neutron: Neutron,
}

impl fmt::Debug for NetworksElsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworksElsewhere").finish_non_exhaustive()
    }
}

impl NetworksElsewhere {
    /// At this URL, or where the catalog says; as the user that `keystone` has. `authority` has signed its certificate; by
    /// default somebody whom the system trusts.
    ///
    /// # Errors
    /// The URL is none, or the authority's file can't be used.
    pub fn new(url: Option<&str>, authority: Option<&Path>, keystone: Arc<Keystone>) -> Result<Self, HttpClientError> {
        Ok(Self { neutron: Neutron::new(url, authority, keystone)? })
    }

    async fn find_networks(&self, who: As<'_>, filter: NetworkFilter) -> Result<Vec<Network>, NetworkError> {
        let found = match &filter {
            NetworkFilter::Ids(ids) => {
                let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                self.neutron.list_by(who, "/networks", "id", &ids).await?
            }
            NetworkFilter::OfProject(project) => {
                let own = query("/networks?shared=False", "tenant_id", [project.as_str()]);
                let mut found = self.neutron.list(who, &own).await?;
                found.extend(self.neutron.list(who, "/networks?shared=True").await?);
                found
            }
            NetworkFilter::All => self.neutron.list(who, "/networks").await?,
        };
        Ok(found.iter().map(views::network).collect())
    }

    async fn find_ports(&self, who: As<'_>, filter: PortFilter) -> Result<Vec<Port>, NetworkError> {
        let found = match &filter {
            PortFilter::Ids(ids) => {
                let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                self.neutron.list_by(who, "/ports", "id", &ids).await?
            }
            PortFilter::Instances(instances) => {
                let ids: Vec<String> = instances.iter().map(ToString::to_string).collect();
                let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                self.neutron.list_by(who, "/ports", "device_id", &ids).await?
            }
            PortFilter::AddressPart(part) => {
                let part = format!("ip_address_substr={part}");
                self.neutron.list(who, &query("/ports", "fixed_ips", [part.as_str()])).await?
            }
        };
        Ok(found.iter().map(views::port).collect())
    }

    async fn count_ports_left(&self, who: As<'_>, project: &str) -> Result<Option<u64>, NetworkError> {
        let quota = self.neutron.get(who, &format!("/quotas/{project}")).await?;
        let Some(limit) = quota["quota"]["port"].as_i64().and_then(|limit| u64::try_from(limit).ok()) else {
            return Ok(None);
        };
        let ports = self.neutron.list(who, &query("/ports?fields=id", "tenant_id", [project])).await?;
        Ok(Some(limit.saturating_sub(ports.len() as u64)))
    }

    async fn topology(&self, who: As<'_>, project: &str, check: bool) -> Result<Option<String>, NetworkError> {
        let path = format!("/auto-allocated-topology/{project}");
        if check {
            self.neutron.get(who, &format!("{path}?fields=dry-run")).await?;
            return Ok(None);
        }
        let answer = self.neutron.get(who, &path).await?;
        Ok(answer["auto_allocated_topology"]["id"].as_str().map(ToOwned::to_owned))
    }

    async fn describe_all(
        &self,
        instances: &[(InstanceUuid, String)],
    ) -> Result<Vec<(InstanceUuid, NetworkInfo)>, NetworkError> {
        let devices: Vec<String> = instances.iter().map(|(instance, _)| instance.to_string()).collect();
        let ids: Vec<&str> = devices.iter().map(String::as_str).collect();
        let projects: BTreeMap<&str, &str> =
            ids.iter().copied().zip(instances.iter().map(|(_, project)| project.as_str())).collect();
        let mut ports = self.ports_of(&ids).await?;
        ports.retain(|port| projects.get(&*text(&port["device_id"])).copied() == port["tenant_id"].as_str());
        let mut by_device: BTreeMap<String, NetworkInfo> = BTreeMap::new();
        for (port, vif) in ports.iter().zip(self.vifs(&ports).await?) {
            by_device.entry(text(&port["device_id"])).or_default().0.push(vif);
        }
        let info = |device: &String| by_device.remove(device).unwrap_or_default();
        Ok(instances.iter().map(|(instance, _)| *instance).zip(devices.iter().map(info)).collect())
    }

    /// The groups of all these ports are asked for together.
    async fn groups_of(
        &self,
        who: As<'_>,
        instances: &[InstanceUuid],
    ) -> Result<Vec<(InstanceUuid, SecurityGroup)>, NetworkError> {
        let devices: Vec<String> = instances.iter().map(ToString::to_string).collect();
        let devices: Vec<&str> = devices.iter().map(String::as_str).collect();
        let path = "/ports?fields=device_id&fields=security_groups";
        let ports = self.neutron.list_by(who, path, "device_id", &devices).await?;
        let of_ports = || ports.iter().flat_map(|port| port["security_groups"].as_array().into_iter().flatten());
        let ids: BTreeSet<&str> = of_ports().filter_map(Value::as_str).collect();
        let ids: Vec<&str> = ids.into_iter().collect();
        let groups = self.neutron.list_by(who, "/security-groups", "id", &ids).await?;
        let groups: BTreeMap<String, SecurityGroup> =
            groups.iter().map(views::security_group).map(|group| (group.id.clone(), group)).collect();
        let mut pairs = Vec::new();
        for instance in instances {
            let device = instance.to_string();
            for port in ports.iter().filter(|port| port["device_id"] == *device) {
                let ids = port["security_groups"].as_array().into_iter().flatten().filter_map(Value::as_str);
                pairs.extend(ids.filter_map(|id| Some((*instance, groups.get(id)?.clone()))));
            }
        }
        Ok(pairs)
    }

    async fn change_groups(
        &self,
        who: As<'_>,
        instance: InstanceUuid,
        add: &[String],
        remove: &[String],
    ) -> Result<(), NetworkError> {
        let path = query("/ports", "device_id", [instance.to_string().as_str()]);
        for port in self.neutron.list(who, &path).await? {
            let has_address = port["fixed_ips"].as_array().is_some_and(|fixed| !fixed.is_empty());
            if port["port_security_enabled"] == false || !has_address {
                continue;
            }
            let had: Vec<String> = port["security_groups"].as_array().into_iter().flatten().map(text).collect();
            let mut groups: Vec<&String> = had.iter().filter(|group| !remove.contains(group)).collect();
            groups.extend(add.iter().filter(|group| !had.contains(group)));
            if groups.iter().copied().eq(&had) {
                continue;
            }
            let body = json!({"port": {"security_groups": groups}});
            self.neutron.ask(who, Method::PUT, &format!("/ports/{}", text(&port["id"])), Some(&body)).await?;
        }
        Ok(())
    }
}

/// As whom a question is asked.
fn asked_by<'a>(caller: Caller<'a>) -> As<'a> {
    caller.token.map_or(As::Service, As::User)
}

impl Networks for NetworksElsewhere {
    fn networks<'a>(&'a self, caller: Caller<'a>, filter: NetworkFilter) -> Answer<'a, Vec<Network>> {
        Box::pin(self.find_networks(asked_by(caller), filter))
    }

    fn ports<'a>(&'a self, caller: Caller<'a>, filter: PortFilter) -> Answer<'a, Vec<Port>> {
        Box::pin(self.find_ports(asked_by(caller), filter))
    }

    fn security_groups<'a>(&'a self, caller: Caller<'a>, project: &'a str) -> Answer<'a, Vec<SecurityGroup>> {
        Box::pin(async move {
            // To list them makes the default one.
            let path = query("/security-groups", "tenant_id", [project]);
            let found: Vec<Value> = self.neutron.list(asked_by(caller), &path).await?;
            Ok(found.iter().map(views::security_group).collect())
        })
    }

    fn security_groups_of<'a>(
        &'a self,
        caller: Caller<'a>,
        instances: &'a [InstanceUuid],
    ) -> Answer<'a, Vec<(InstanceUuid, SecurityGroup)>> {
        Box::pin(self.groups_of(asked_by(caller), instances))
    }

    fn ports_left<'a>(&'a self, caller: Caller<'a>, project: &'a str) -> Answer<'a, Option<u64>> {
        Box::pin(self.count_ports_left(asked_by(caller), project))
    }

    fn auto_allocate<'a>(&'a self, caller: Caller<'a>, project: &'a str, check: bool) -> Answer<'a, Option<String>> {
        Box::pin(self.topology(asked_by(caller), project, check))
    }

    fn allocate<'a>(&'a self, wanted: &'a PortsWanted) -> Answer<'a, NetworkInfo> {
        Box::pin(self.get_ports(wanted, &wanted.requested.vifs, false))
    }

    fn add<'a>(&'a self, wanted: &'a PortsWanted, vif: &'a RequestedVif) -> Answer<'a, NetworkInfo> {
        Box::pin(self.get_ports(wanted, std::slice::from_ref(vif), true))
    }

    fn deallocate<'a>(&'a self, instances: &'a [(InstanceUuid, Vec<String>)]) -> Answer<'a, ()> {
        Box::pin(self.give_back(instances, None))
    }

    fn remove<'a>(&'a self, instance: InstanceUuid, port: &'a str, keep: bool) -> Answer<'a, ()> {
        Box::pin(async move {
            let kept = if keep { vec![port.to_owned()] } else { Vec::new() };
            self.give_back(&[(instance, kept)], Some(port)).await
        })
    }

    fn bind<'a>(&'a self, instance: InstanceUuid, binding: Binding<'a>) -> Answer<'a, ()> {
        Box::pin(self.change_bindings(instance, binding))
    }

    fn describe<'a>(&'a self, instances: &'a [(InstanceUuid, String)]) -> Answer<'a, Vec<(InstanceUuid, NetworkInfo)>> {
        Box::pin(self.describe_all(instances))
    }

    fn change_security_groups<'a>(
        &'a self,
        caller: Caller<'a>,
        instance: InstanceUuid,
        add: &'a [String],
        remove: &'a [String],
    ) -> Answer<'a, ()> {
        Box::pin(self.change_groups(asked_by(caller), instance, add, remove))
    }
}

impl NetworkingApi for NetworksElsewhere {
    fn send<'a>(&'a self, caller: Caller<'a>, method: Method, path: &'a str, body: Option<Value>) -> Answer<'a, Value> {
        Box::pin(async move { self.neutron.ask(asked_by(caller), method, path, body.as_ref()).await })
    }
}
