//! A Networking that is asked in two ways: by Compute's trait, and by its REST API, which shows what the first has done.

use std::{any::Any, sync::Arc};

use novella_common::{
    RequestContext,
    context::new_request_id,
    ids::InstanceUuid,
    models::{NetworkInfo, RequestedNetworks, RequestedVif},
    networks::{Caller, NetworkError, Networks, PortsWanted},
};
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
    http: reqwest::Client,
    url: String,
    token: String,
    pub context: RequestContext,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Rest {
    /// Logs in at the Identity of this URL.
    pub async fn login(identity: &str, networking: &str, user: &str, password: &str) -> Self {
        let http = reqwest::Client::new();
        let domain = json!({"id": "default"});
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {
                "user": {"name": user, "domain": domain, "password": password},
            }},
            "scope": {"project": {"name": user, "domain": domain}},
        }});
        let answer = http.post(format!("{identity}/auth/tokens")).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 201);
        let token = answer.headers()["x-subject-token"].to_str().unwrap().to_owned();
        let body: Value = answer.json().await.unwrap();
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        let roles: Vec<String> =
            body["token"]["roles"].as_array().unwrap().iter().filter_map(|role| text(&role["name"])).collect();
        let context = RequestContext {
            request_id: new_request_id(),
            global_request_id: None,
            user_id: text(&body["token"]["user"]["id"]),
            project_id: text(&body["token"]["project"]["id"]),
            is_admin: roles.iter().any(|role| role == "admin"),
            roles,
        };
        Self { http, url: format!("{networking}/v2.0"), token, context }
    }

    /// The project that it is for.
    pub fn project(&self) -> &str {
        self.context.project_id.as_deref().unwrap()
    }

    /// For the trait.
    pub fn caller(&self) -> Caller<'_> {
        Caller { context: &self.context, token: Some(&self.token) }
    }

    pub async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.url));
        let request = request.header("x-auth-token", &self.token);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        Answer { status, body: serde_json::from_str(&text).unwrap_or_default() }
    }

    pub async fn get(&self, path: &str) -> Value {
        let answer = self.send("GET", path, None).await;
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        answer.body
    }

    pub async fn put(&self, path: &str, body: Value) -> Value {
        let answer = self.send("PUT", path, Some(body)).await;
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        answer.body
    }

    pub async fn delete(&self, path: &str) {
        let answer = self.send("DELETE", path, None).await;
        assert_eq!(answer.status, 204, "{path}: {:?}", answer.body);
    }

    /// Makes one, and returns it.
    pub async fn make(&self, path: &str, one: &str, values: Value) -> Value {
        let answer = self.send("POST", path, Some(json!({ one: values }))).await;
        assert_eq!(answer.status, 201, "{path}: {:?}", answer.body);
        answer.body[one].clone()
    }

    /// A network with one subnet, and the ids of both.
    pub async fn network(&self, name: &str, cidr: &str) -> (String, String) {
        let network = id(&self.make("/networks", "network", json!({"name": name})).await);
        let values = json!({"network_id": network, "ip_version": 4, "cidr": cidr});
        let subnet = id(&self.make("/subnets", "subnet", values).await);
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

/// The id of what was made.
pub fn id(thing: &Value) -> String {
    thing["id"].as_str().unwrap().to_owned()
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
