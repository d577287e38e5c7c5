//! Networks for servers, made as their users make them, and what a scheduler then asks Networking for.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use novella_common::{
    db::instances::{self, ports},
    ids::InstanceUuid,
    models::{Instance, NetworkInfo, RequestedNetworks, RequestedVif},
    networks::{
        Answer, Binding, Caller, Network, NetworkError, NetworkFilter, Networks, Port, PortFilter, PortsWanted,
        SecurityGroup,
    },
};
use novella_neighbours::NetworksHere;
use novella_network::{NetworkConfig, Networking};
use serde_json::{Value, json};

use super::{Client, Cloud, create};

const NETWORKING: &str = "/networking/v2.0";

impl Client<'_> {
    /// Makes something of Networking's; returns its id.
    pub async fn make(&self, path: &str, key: &str, body: Value) -> String {
        let answer = self.post(&format!("{NETWORKING}/{path}"), &json!({ key: body })).await;
        assert_eq!(answer.status, 201, "{:?}", answer.body);
        answer.body[key]["id"].as_str().unwrap().to_owned()
    }

    /// A network with a subnet; their ids.
    pub async fn network(&self, network: Value, cidr: &str) -> (String, String) {
        let id = self.make("networks", "network", network).await;
        let subnet = json!({"network_id": id, "ip_version": if cidr.contains(':') { 6 } else { 4 }, "cidr": cidr});
        let subnet = self.make("subnets", "subnet", subnet).await;
        (id, subnet)
    }

    /// A port on a network.
    pub async fn port(&self, network: &str) -> String {
        self.make("ports", "port", json!({"network_id": network})).await
    }

    /// What Networking shows of a port; null if there is none.
    pub async fn shown_port(&self, id: &str) -> Value {
        self.get(&format!("{NETWORKING}/ports/{id}")).await.body["port"].clone()
    }
}

impl Cloud {
    /// Networking, as Compute asks it.
    pub fn networks(&self) -> NetworksHere {
        NetworksHere::new(Networking::new(self.database.clone(), NetworkConfig::default()))
    }

    /// Makes a server on these networks by the API.
    pub async fn new_server_with(&self, client: &Client<'_>, name: &str, networks: &Value) -> InstanceUuid {
        let mut body = create(name);
        body["server"]["networks"] = networks.clone();
        let answer = client.post("/compute/v2.1/servers", &body).await;
        assert_eq!(answer.status, 202, "{:?}", answer.body);
        answer.body["server"]["id"].as_str().unwrap().parse().unwrap()
    }

    /// How often Networking was asked during this.
    pub async fn questions<T>(&self, work: impl Future<Output = T>) -> (usize, T) {
        let before = self.settings.questions.count.load(Ordering::Relaxed);
        let done = work.await;
        (self.settings.questions.count.load(Ordering::Relaxed) - before, done)
    }

    /// From now on Networking does not answer Compute, or does so again.
    pub fn silence_networking(&self, silent: bool) {
        self.settings.questions.silent.store(silent, Ordering::Relaxed);
    }

    /// What was asked of the scheduler for a server's networks.
    pub async fn requested(&self, uuid: InstanceUuid) -> RequestedNetworks {
        let spec = instances::request_spec(&mut self.database.read().await.unwrap(), uuid).await.unwrap();
        spec.unwrap().networks
    }

    fn wanted(instance: &Instance, host: &str, requested: RequestedNetworks) -> PortsWanted {
        PortsWanted {
            instance: instance.uuid,
            project_id: instance.project_id.clone(),
            hostname: instance.hostname.clone(),
            host: host.into(),
            zone: "nova".into(),
            requested,
        }
    }

    /// Has Networking take one more port for a server, and does nothing else.
    pub async fn add_port(&self, uuid: InstanceUuid, host: &str, network: &str, port: &str) {
        let vif = RequestedVif { network_id: network.into(), port_id: Some(port.into()), ..RequestedVif::default() };
        let instance = self.instance(uuid).await.unwrap();
        let wanted = Self::wanted(&instance, host, RequestedNetworks::default());
        self.networks().add(&wanted, &vif).await.unwrap();
    }

    /// Asks Networking for what was asked for, and writes it down, as a scheduler does.
    pub async fn allocate(&self, uuid: InstanceUuid, host: &str) -> NetworkInfo {
        let instance = self.instance(uuid).await.unwrap();
        let wanted = Self::wanted(&instance, host, self.requested(uuid).await);
        let info = self.networks().allocate(&wanted).await.unwrap();
        let mut connection = self.database.write().await.unwrap();
        assert!(ports::swap(&mut connection, uuid, &instance.network_info, &info).await.unwrap());
        info
    }
}

/// What a test knows of Compute's questions to Networking, and does to them.
#[derive(Default)]
pub struct Questions {
    count: AtomicUsize,
    /// Whether it does not answer.
    silent: AtomicBool,
}

/// Networking, whose questions are counted.
pub struct Counted {
    pub networks: NetworksHere,
    pub questions: Arc<Questions>,
}

impl Counted {
    fn asked(&self) -> &NetworksHere {
        self.questions.count.fetch_add(1, Ordering::Relaxed);
        &self.networks
    }

    fn unless_silent<'a, T: Send + 'a>(&'a self, ask: impl FnOnce(&'a NetworksHere) -> Answer<'a, T>) -> Answer<'a, T> {
        match self.questions.silent.load(Ordering::Relaxed) {
            true => Box::pin(async { Err(NetworkError::Unavailable("silent".into())) }),
            false => ask(self.asked()),
        }
    }
}

impl Networks for Counted {
    fn networks<'a>(&'a self, caller: Caller<'a>, filter: NetworkFilter) -> Answer<'a, Vec<Network>> {
        self.unless_silent(|networks| networks.networks(caller, filter))
    }

    fn ports<'a>(&'a self, caller: Caller<'a>, filter: PortFilter) -> Answer<'a, Vec<Port>> {
        self.asked().ports(caller, filter)
    }

    fn security_groups<'a>(&'a self, caller: Caller<'a>, project: &'a str) -> Answer<'a, Vec<SecurityGroup>> {
        self.asked().security_groups(caller, project)
    }

    fn security_groups_of<'a>(
        &'a self,
        caller: Caller<'a>,
        instances: &'a [InstanceUuid],
    ) -> Answer<'a, Vec<(InstanceUuid, SecurityGroup)>> {
        self.unless_silent(|networks| networks.security_groups_of(caller, instances))
    }

    fn ports_left<'a>(&'a self, caller: Caller<'a>, project: &'a str) -> Answer<'a, Option<u64>> {
        self.asked().ports_left(caller, project)
    }

    fn auto_allocate<'a>(&'a self, caller: Caller<'a>, project: &'a str, check: bool) -> Answer<'a, Option<String>> {
        self.asked().auto_allocate(caller, project, check)
    }

    fn allocate<'a>(&'a self, wanted: &'a PortsWanted) -> Answer<'a, NetworkInfo> {
        self.asked().allocate(wanted)
    }

    fn add<'a>(&'a self, wanted: &'a PortsWanted, vif: &'a RequestedVif) -> Answer<'a, NetworkInfo> {
        self.asked().add(wanted, vif)
    }

    fn deallocate<'a>(&'a self, instances: &'a [(InstanceUuid, Vec<String>)]) -> Answer<'a, ()> {
        self.asked().deallocate(instances)
    }

    fn remove<'a>(&'a self, instance: InstanceUuid, port: &'a str, keep: bool) -> Answer<'a, ()> {
        self.asked().remove(instance, port, keep)
    }

    fn bind<'a>(&'a self, instance: InstanceUuid, binding: Binding<'a>) -> Answer<'a, ()> {
        self.asked().bind(instance, binding)
    }

    fn describe<'a>(&'a self, instances: &'a [(InstanceUuid, String)]) -> Answer<'a, Vec<(InstanceUuid, NetworkInfo)>> {
        self.asked().describe(instances)
    }

    fn change_security_groups<'a>(
        &'a self,
        caller: Caller<'a>,
        instance: InstanceUuid,
        add: &'a [String],
        remove: &'a [String],
    ) -> Answer<'a, ()> {
        self.asked().change_security_groups(caller, instance, add, remove)
    }
}
