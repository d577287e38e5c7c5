//! A Networking that is asked in two ways: by Compute's trait, and by its REST API, which shows what the first has done.

use std::{any::Any, sync::Arc};

use novella_common::{
    RequestContext,
    context::new_request_id,
    ids::InstanceUuid,
    models::{NetworkInfo, RequestedNetworks, RequestedVif},
    networks::{Caller, NetworkError, Networks, PortsWanted},
};
use novella_testing::rest::Client;
pub use novella_testing::rest::id;
use serde_json::{Value, json};

/// See the module's head.
pub struct World {
    pub networks: Arc<dyn Networks>,
    /// An administrator.
    pub admin: Rest,
    /// A member of the project `demo`.
    pub demo: Rest,
    /// What goes when the test ends, and nobody asks for.
    #[allow(dead_code, reason = "kept")]
    pub kept: Box<dyn Any + Send + Sync>,
}

/// Somebody who asks the REST API.
#[derive(Clone)]
pub struct Rest {
    pub client: Client,
    pub context: RequestContext,
}

impl Rest {
    /// Logs in at the Identity of this URL.
    pub async fn login(identity: &str, networking: &str, user: &str, password: &str) -> Self {
        let client = Client::login(identity, &format!("{networking}/v2.0"), (user, password), user).await;
        let about = client.about();
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        let roles: Vec<String> =
            about["roles"].as_array().unwrap().iter().filter_map(|role| text(&role["name"])).collect();
        let context = RequestContext {
            request_id: new_request_id(),
            global_request_id: None,
            user_id: text(&about["user"]["id"]),
            project_id: text(&about["project"]["id"]),
            is_admin: roles.iter().any(|role| role == "admin"),
            roles,
        };
        Self { client, context }
    }

    /// The project that it is for.
    pub fn project(&self) -> &str {
        self.client.project()
    }

    /// For the trait.
    pub fn caller(&self) -> Caller<'_> {
        Caller { context: &self.context, token: self.client.token() }
    }

    pub async fn get(&self, path: &str) -> Value {
        self.client.get(path).await.with(200)
    }

    pub async fn put(&self, path: &str, body: Value) -> Value {
        self.client.put(path, &body).await.with(200)
    }

    pub async fn delete(&self, path: &str) {
        self.client.delete(path).await.with(204);
    }

    /// Makes one, and returns it.
    pub async fn make(&self, path: &str, one: &str, values: Value) -> Value {
        self.client.make(path, one, values).await
    }

    /// A network with one subnet, and the ids of both.
    pub async fn network(&self, name: &str, cidr: &str) -> (String, String) {
        let network = self.client.network(json!({"name": name})).await;
        let subnet = self.client.subnet(&network, cidr).await;
        (network, subnet)
    }

    /// The ports of an instance, as an administrator sees them, in the order in which they were made.
    pub async fn ports_of(&self, instance: InstanceUuid) -> Vec<Value> {
        let mut ports = self.get(&format!("/ports?device_id={instance}")).await["ports"].as_array().unwrap().clone();
        ports.sort_by_key(|port| port["id"].as_str().unwrap().to_owned());
        ports
    }
}

impl World {
    /// With the users `admin` and `demo`, each in the project of the same name.
    pub async fn new(
        networks: Arc<dyn Networks>,
        (identity, networking): (&str, &str),
        password: &str,
        kept: Box<dyn Any + Send + Sync>,
    ) -> Self {
        let admin = Rest::login(identity, networking, "admin", password).await;
        let demo = Rest::login(identity, networking, "demo", password).await;
        Self { networks, admin, demo, kept }
    }

    /// What one instance of `demo` is to have on `host`: a port on each of these networks.
    pub fn wanted(&self, host: &str, networks: &[&str]) -> PortsWanted {
        let vifs = networks.iter().map(|network| on(network)).collect();
        PortsWanted {
            instance: InstanceUuid::random(),
            project_id: self.demo.project().to_owned(),
            hostname: "Web 1".into(),
            host: host.into(),
            zone: "nova".into(),
            requested: RequestedNetworks { vifs, security_groups: Vec::new() },
        }
    }

    /// What an instance of `demo` has.
    pub async fn described(&self, instance: InstanceUuid) -> NetworkInfo {
        let asked = [(instance, self.demo.project().to_owned())];
        let [(of, info)] = <[_; 1]>::try_from(self.networks.describe(&asked).await.unwrap()).unwrap();
        assert_eq!(of, instance);
        info
    }

    /// Whether every address of a subnet of `size` usable addresses can be had: none is lost, none is taken.
    pub async fn assert_free(&self, network: &str, size: usize) {
        let mut all = self.wanted("audit", &[]);
        all.requested.vifs = vec![on(network); size];
        let info = self.networks.allocate(&all).await.unwrap();
        let mut addresses: Vec<&str> = info.0.iter().map(address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), size);
        let mut one_more = self.wanted("audit", &[network]);
        assert_eq!(kind(self.networks.allocate(&one_more).await), "IpAddressGenerationFailure");
        one_more.requested.vifs.clear();
        self.networks.deallocate(&[(all.instance, Vec::new())]).await.unwrap();
    }
}

/// A port on this network.
pub fn on(network: &str) -> RequestedVif {
    RequestedVif { network_id: network.to_owned(), ..RequestedVif::default() }
}

/// A port with this address.
pub fn at(network: &str, address: &str) -> RequestedVif {
    RequestedVif { fixed_ip: Some(address.to_owned()), ..on(network) }
}

/// This port.
pub fn brought(port: &Value) -> RequestedVif {
    RequestedVif { port_id: Some(id(port)), ..on(port["network_id"].as_str().unwrap()) }
}

/// The first address of an interface.
pub fn address(vif: &novella_common::models::Vif) -> &str {
    &vif.fixed_ips[0].address
}

/// The ids of ports, in the guest's order.
pub fn ids(info: &NetworkInfo) -> Vec<&str> {
    info.0.iter().map(|vif| vif.port_id.as_str()).collect()
}

/// The same interfaces in an order that does not depend on when their ports were made: others than ours know only the
/// second.
pub fn sorted(info: &NetworkInfo) -> NetworkInfo {
    let mut info = info.clone();
    info.0.sort_by(|one, other| one.port_id.cmp(&other.port_id));
    info
}

/// Neutron's word for a refusal.
pub fn kind<T: std::fmt::Debug>(result: Result<T, NetworkError>) -> String {
    match result {
        Err(NetworkError::Refused { kind, .. }) => kind,
        other => panic!("{other:?}"),
    }
}
