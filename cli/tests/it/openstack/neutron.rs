//! The real Neutron in place of this cloud's Networking, and the real Glance in place of its Image.

use std::time::Duration;

use novella_common::{
    RequestContext,
    config::Secret,
    ids::InstanceUuid,
    models::{RequestedNetworks, RequestedVif},
    networks::{Binding, Caller, NetworkError, NetworkFilter, Networks, PortFilter, PortsWanted},
};
use novella_neighbours::NetworksElsewhere;
use novella_rest::keystone::{Keystone, KeystoneConfig};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Administrator, Service, glance};
use crate::support::{
    client::Client,
    cloud::{Cloud, PASSWORD, Settings, wait_for},
    identity::IdentityAlone,
};

const NEUTRON: [&str; 2] = ["neutron==29.0.0", "waitress==3.0.2"];

/// Neutron with the users of a Novella's Identity. The administrator is a service, too, as Nova's user is.
pub(super) async fn neutron(identity: &IdentityAlone) -> Service {
    let admin = Administrator::of(&identity.url).await;
    admin.user("neutron", "service", "service").await;
    let project = admin.find_or_make("project", json!({"name": "admin"})).await;
    let user = admin.find_or_make("user", json!({"name": "admin"})).await;
    let role = admin.find_or_make("role", json!({"name": "service"})).await;
    admin.send(Method::PUT, &format!("projects/{project}/users/{user}/roles/{role}"), None).await;
    Service::start("neutron", &NEUTRON, "", Some(&identity.url)).await
}

/// Neutron's API, as its administrator uses it.
struct Api<'n> {
    neutron: &'n Service,
    token: String,
    http: reqwest::Client,
}

impl<'n> Api<'n> {
    async fn of(neutron: &'n Service, identity: &IdentityAlone, user: &str) -> Self {
        let client = Client::connect_by(&identity.url, &identity.url, user, PASSWORD, user).await;
        Self { neutron, token: client.secret().to_owned(), http: reqwest::Client::new() }
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let request = self.http.request(method, format!("{}/v2.0{path}", self.neutron.url));
        let request = body.iter().fold(request.header("X-Auth-Token", &self.token), |request, body| request.json(body));
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    async fn make(&self, one: &str, values: Value) -> Value {
        self.send(Method::POST, &format!("/{one}s"), Some(&json!({ one: values }))).await[one].take()
    }

    async fn network(&self, cidr: &str) -> String {
        let network = text(&self.make("network", json!({"name": "net"})).await["id"]);
        self.make("subnet", json!({"network_id": network, "ip_version": 4, "cidr": cidr})).await;
        network
    }

    async fn ports_of(&self, device: &str) -> Vec<Value> {
        let answer = self.send(Method::GET, &format!("/ports?device_id={device}"), None).await;
        answer["ports"].as_array().unwrap().clone()
    }

    /// The hosts that a port is bound to, and whether each is the one that it works on.
    async fn hosts(&self, port: &str) -> Vec<(String, bool)> {
        let answer = self.send(Method::GET, &format!("/ports/{port}/bindings"), None).await;
        let bindings = answer["bindings"].as_array().unwrap().iter();
        let mut hosts: Vec<_> =
            bindings.map(|binding| (text(&binding["host"]), binding["status"] == "ACTIVE")).collect();
        hosts.sort();
        hosts
    }
}

/// Only an administrator names an address; the port is demo's.
fn of_demo(mut values: Value, project: &str) -> Value {
    values["project_id"] = project.into();
    values
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn kind<T: std::fmt::Debug>(result: Result<T, NetworkError>) -> String {
    match result {
        Err(NetworkError::Refused { kind, .. }) => kind,
        other => panic!("{other:?}"),
    }
}

/// What Compute asks of Networking, asked of the real one.
async fn what_compute_asks_of_networking_a_real_neutron_answers(identity: IdentityAlone) {
    let neutron = neutron(&identity).await;
    let (admin, demo) = (Api::of(&neutron, &identity, "admin").await, Api::of(&neutron, &identity, "demo").await);
    let keystone = Keystone::new(KeystoneConfig {
        url: identity.url.clone(),
        user: "admin".into(),
        user_domain: "Default".into(),
        password: Secret::new(PASSWORD),
        project: "admin".into(),
        project_domain: "Default".into(),
        authority: None,
        cache_time: Duration::from_secs(1),
    });
    let networks = NetworksElsewhere::new(Some(&neutron.url), None, std::sync::Arc::new(keystone.unwrap())).unwrap();
    let network = demo.network("10.9.0.0/24").await;
    let project = text(&demo.send(Method::GET, "/security-groups", None).await["security_groups"][0]["project_id"]);
    let context = RequestContext { project_id: Some(project.clone()), is_admin: false, ..RequestContext::internal() };
    let caller = Caller { context: &context, token: Some(&demo.token) };

    // What there is.
    let found = networks.networks(caller, NetworkFilter::OfProject(project.clone())).await.unwrap();
    assert_eq!(found.iter().map(|network| network.id.as_str()).collect::<Vec<_>>(), [network.as_str()]);
    assert!(found[0].port_security_enabled && found[0].subnets.len() == 1 && !found[0].external);
    let groups = networks.security_groups(caller, &project).await.unwrap();
    assert_eq!(groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>(), ["default"]);
    let left = networks.ports_left(caller, &project).await.unwrap().unwrap();
    assert_eq!(kind(networks.auto_allocate(caller, &project, true).await), "AutoAllocationFailure");

    // Two ports and one that was brought.
    let values = json!({"network_id": network, "fixed_ips": [{"ip_address": "10.9.0.5"}]});
    let brought = text(&admin.make("port", of_demo(values, &project)).await["id"]);
    let on = |port: Option<&str>, address: Option<&str>| RequestedVif {
        network_id: network.clone(),
        port_id: port.map(ToOwned::to_owned),
        fixed_ip: address.map(ToOwned::to_owned),
        tag: None,
    };
    let mut wanted = PortsWanted {
        instance: InstanceUuid::random(),
        project_id: project.clone(),
        hostname: "Web 1".into(),
        host: "host-1".into(),
        zone: "nova".into(),
        requested: RequestedNetworks {
            vifs: vec![on(None, None), on(Some(&brought), None), on(None, Some("10.9.0.9"))],
            security_groups: Vec::new(),
        },
    };
    let device = wanted.instance.to_string();
    let info = networks.allocate(&wanted).await.unwrap();
    assert_eq!(info.0.len(), 3);
    assert_eq!((info.0[1].port_id.as_str(), info.0[2].fixed_ips[0].address.as_str()), (brought.as_str(), "10.9.0.9"));
    assert!(info.0.iter().all(|vif| vif.vif_type == "ovs" && vif.network_name == "net"), "{info:?}");
    for port in admin.ports_of(&device).await {
        let said = (&port["device_owner"], &port["binding:host_id"], &port["dns_name"], &port["project_id"]);
        assert_eq!(said, (&json!("compute:nova"), &json!("host-1"), &json!("web-1"), &json!(project)));
        assert_eq!(port["security_groups"], json!([groups[0].id]));
    }
    assert_eq!(networks.ports_left(caller, &project).await.unwrap(), Some(left - 3));
    let seen = networks.ports(caller, PortFilter::AddressPart("10.9.0.9".into())).await.unwrap();
    assert_eq!(seen[0].id, info.0[2].port_id);

    // Asked again they are the same, on the other host; and what is refused leaves nothing behind.
    wanted.host = "host-2".into();
    let again = networks.allocate(&wanted).await.unwrap();
    let ids = |info: &novella_common::models::NetworkInfo| {
        let mut ids: Vec<String> = info.0.iter().map(|vif| vif.port_id.clone()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&again), ids(&info));
    let refused = PortsWanted {
        instance: InstanceUuid::random(),
        requested: RequestedNetworks {
            vifs: vec![on(None, None), on(None, Some("10.9.0.9"))],
            ..RequestedNetworks::default()
        },
        ..wanted.clone()
    };
    assert_eq!(kind(networks.allocate(&refused).await), "IpAddressAlreadyAllocated");
    assert!(admin.ports_of(&refused.instance.to_string()).await.is_empty());
    let nowhere = PortsWanted {
        host: "nowhere".into(),
        requested: RequestedNetworks { vifs: vec![on(None, None)], ..RequestedNetworks::default() },
        ..refused
    };
    assert_eq!(kind(networks.allocate(&nowhere).await), "PortBindingFailed");
    assert!(admin.ports_of(&nowhere.instance.to_string()).await.is_empty());

    // A move, a port more, and security groups.
    for (binding, hosts) in [
        (Binding::Add("host-3"), vec![("host-2", true), ("host-3", false)]),
        (Binding::Activate("host-3"), vec![("host-2", false), ("host-3", true)]),
        (Binding::Remove("host-2"), vec![("host-3", true)]),
        (Binding::Only("host-1"), vec![("host-1", true)]),
    ] {
        for _ in 0..2 {
            networks.bind(wanted.instance, binding).await.unwrap();
            for port in ids(&info) {
                let now = admin.hosts(&port).await;
                let now: Vec<(&str, bool)> = now.iter().map(|(host, active)| (host.as_str(), *active)).collect();
                assert_eq!(now, hosts, "{binding:?}");
            }
        }
    }
    wanted.host = "host-1".into();
    let more = networks.add(&wanted, &on(None, None)).await.unwrap();
    assert_eq!(more.0.len(), 1);
    let described = networks.describe(&[(wanted.instance, wanted.project_id.clone())]).await.unwrap();
    assert_eq!(described[0].1.0.len(), 4);
    let body = json!({"security_group": {"name": "web"}});
    let web = text(&demo.send(Method::POST, "/security-groups", Some(&body)).await["security_group"]["id"]);
    let change = networks.change_security_groups(caller, wanted.instance, std::slice::from_ref(&web), &[]);
    change.await.unwrap();
    assert!(admin.ports_of(&device).await.iter().all(|port| port["security_groups"].as_array().unwrap().len() == 2));

    // All is given back, but what was brought.
    networks.remove(wanted.instance, &more.0[0].port_id, false).await.unwrap();
    networks.deallocate(&[(wanted.instance, vec![brought.clone()])]).await.unwrap();
    networks.deallocate(&[(wanted.instance, vec![brought.clone()])]).await.unwrap();
    assert!(admin.ports_of(&device).await.is_empty());
    let kept = admin.send(Method::GET, &format!("/ports/{brought}"), None).await["port"].clone();
    for name in ["device_id", "device_owner", "binding:host_id", "dns_name"] {
        assert_eq!(kept[name], "", "{name}");
    }
}

/// An image of this name with bytes in Glance, and one without; both can be used by a server of that much memory.
async fn images_of(glance: &Service, client: &Client, name: &str, min_ram: i64) -> (String, String) {
    let (http, images) = (reqwest::Client::new(), format!("{}/v2/images", glance.url));
    let token = client.secret();
    let mut made = Vec::new();
    for name in [name, "empty"] {
        let body = json!({
            "name": name, "disk_format": "raw", "container_format": "bare", "min_ram": min_ram, "os_type": "linux",
        });
        let answer = http.post(&images).header("X-Auth-Token", token).json(&body).send().await.unwrap();
        made.push(text(&answer.json::<Value>().await.unwrap()["id"]));
    }
    let upload = http.put(format!("{images}/{}/file", made[0])).header("X-Auth-Token", token).body("bytes");
    let uploaded = upload.header("Content-Type", "application/octet-stream").send().await.unwrap();
    assert_eq!(uploaded.status(), 204);
    (made.remove(0), made.remove(0))
}

/// What Compute passes on of Image comes from Glance, and goes there.
async fn compute_shows_images_of_glance(client: &Client, image: &str, empty: &str) {
    let list = client.get("/images/detail?limit=1").await;
    assert_eq!(list["images"].as_array().unwrap().len(), 1);
    let list = client.get("/images?name=theirs").await;
    assert_eq!((text(&list["images"][0]["id"]), list["images"].as_array().unwrap().len()), (image.to_owned(), 1));
    let shown = client.get(&format!("/images/{image}")).await["image"].take();
    assert_eq!((&shown["status"], &shown["metadata"]["os_type"]), (&json!("ACTIVE"), &json!("linux")));
    let metadata = format!("/images/{empty}/metadata");
    let body = json!({"metadata": {"a_b": "c"}});
    let (status, answer) = client.request(Method::PUT, &metadata, Some(&body)).await;
    assert_eq!((status.as_u16(), &answer), (200, &body));
    assert_eq!(client.get(&metadata).await, body);
    assert_eq!(client.request(Method::DELETE, &format!("/images/{empty}"), None).await.0, 204);
    assert_eq!(client.request(Method::GET, &format!("/images/{empty}"), None).await.0, 404);
}

/// Servers of images of the real Glance with ports of the real Neutron: made, changed, moved, deleted; and no port is left
/// behind.
async fn servers_have_images_of_a_real_glance_and_ports_of_a_real_neutron(
    identity: IdentityAlone,
    cloud: Cloud,
    neutron: Service,
    glance: Service,
) {
    let api = Api::of(&neutron, &identity, "admin").await;
    let network = api.network("10.9.0.0/24").await;
    let kept = text(&api.make("port", json!({"network_id": network})).await["id"]);
    let client = cloud.client().await;
    let (image, empty) = images_of(&glance, &client, "theirs", 64).await;
    let create = async |image: &str| {
        let body = json!({"server": {
            "name": "s", "flavorRef": "1", "imageRef": image, "networks": [{"uuid": network}, {"port": kept}],
        }});
        client.request(Method::POST, "/servers", Some(&body)).await
    };
    for unusable in
        [&*empty, &images_of(&glance, &client, "large", 1 << 20).await.0, &InstanceUuid::random().to_string()]
    {
        let (status, refused) = create(unusable).await;
        assert_eq!(status, 400, "{refused}");
    }
    let (status, made) = create(&image).await;
    assert_eq!(status, 202, "{made}");
    let id = text(&made["server"]["id"]);
    assert_eq!(client.server(&id).await["image"]["id"], *image);
    compute_shows_images_of_glance(&client, &image, &empty).await;
    let server = client.wait_for_status(&id, "ACTIVE").await;
    let shown = |server: &Value| {
        let mut shown: Vec<String> =
            server["addresses"]["net"].as_array().unwrap().iter().map(|address| text(&address["addr"])).collect();
        shown.sort();
        shown
    };
    let addresses = async || {
        let ports = api.ports_of(&id).await;
        let mut addresses: Vec<String> = ports.iter().map(|port| text(&port["fixed_ips"][0]["ip_address"])).collect();
        addresses.sort();
        addresses
    };
    assert_eq!(shown(&server), addresses().await);
    let bound_to = async |host: &str| {
        for port in api.ports_of(&id).await {
            assert_eq!(api.hosts(&text(&port["id"])).await, [(host.to_owned(), true)]);
        }
    };
    bound_to(&client.host_of(&id).await).await;

    let attachment = json!({"interfaceAttachment": {"net_id": network}});
    let (status, answer) =
        client.request(Method::POST, &format!("/servers/{id}/os-interface"), Some(&attachment)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(api.ports_of(&id).await.len(), 3);
    assert_eq!(shown(&client.server(&id).await), addresses().await);

    let before = client.host_of(&id).await;
    client.live_migrate(&id, None).await;
    client.wait_until_settled(&id).await;
    let after = client.host_of(&id).await;
    assert_ne!(after, before);
    wait_for("the bindings of the source to go", async || {
        let ports = api.ports_of(&id).await;
        let mut settled = true;
        for port in &ports {
            settled &= api.hosts(&text(&port["id"])).await.len() == 1;
        }
        settled
    })
    .await;
    bound_to(&after).await;

    // This Neutron tells nobody of what it changes.
    let renamed = json!({"network": {"name": "renamed"}});
    api.send(Method::PUT, &format!("/networks/{network}"), Some(&renamed)).await;
    wait_for("the network's new name", async || {
        client.server(&id).await["addresses"]["renamed"].as_array().is_some_and(|addresses| addresses.len() == 3)
    })
    .await;

    client.delete(&id).await;
    client.wait_until_gone(&id).await;
    wait_for("the ports to be given back", async || api.ports_of(&id).await.is_empty()).await;
    let all = api.send(Method::GET, "/ports", None).await;
    let left: Vec<String> = all["ports"].as_array().unwrap().iter().map(|port| text(&port["id"])).collect();
    assert_eq!(left, [kept]);
}

/// Its users, its networks and its images are elsewhere.
fn settings(identity: &IdentityAlone, neutron: &Service, glance: &Service) -> Settings {
    Settings {
        identity: Some(identity.url.clone()),
        environment: vec![
            ("NOVELLA_API__NETWORK_URL", neutron.url.clone()),
            ("NOVELLA_API__IMAGE_URL", glance.url.clone()),
            ("NOVELLA_CONDUCTOR__NETWORK_REFRESH_INTERVAL", "0.5".to_owned()),
        ],
        ..Settings::default()
    }
}

mod embedded {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes minutes to install; ./test --full runs it"]
    async fn what_compute_asks_of_networking_a_real_neutron_answers() {
        super::what_compute_asks_of_networking_a_real_neutron_answers(IdentityAlone::on_sqlite().await).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes minutes to install; ./test --full runs it"]
    async fn servers_have_images_of_a_real_glance_and_ports_of_a_real_neutron() {
        let identity = IdentityAlone::on_sqlite().await;
        let (neutron, glance) = (neutron(&identity).await, glance(&identity).await);
        let cloud = Cloud::embedded(settings(&identity, &neutron, &glance)).await;
        super::servers_have_images_of_a_real_glance_and_ports_of_a_real_neutron(identity, cloud, neutron, glance).await;
    }
}

mod on_rabbitmq_and_postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes minutes to install; ./test --full runs it"]
    async fn servers_have_images_of_a_real_glance_and_ports_of_a_real_neutron() {
        let identity = IdentityAlone::on_postgres().await;
        let (neutron, glance) = (neutron(&identity).await, glance(&identity).await);
        let cloud = Cloud::apart(settings(&identity, &neutron, &glance)).await;
        super::servers_have_images_of_a_real_glance_and_ports_of_a_real_neutron(identity, cloud, neutron, glance).await;
    }
}
