//! `novella network`: Networking by itself, asked by a Compute elsewhere. All that Compute relies on holds over HTTP.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    cloud::{Cloud, PASSWORD, Settings, free_address, wait_for},
    component::ComponentAlone,
    identity::{IdentityAlone, wait_for_answer},
    process::{Process, novella},
};

#[path = "../../../neighbours/tests/suite/mod.rs"]
mod suite;

use suite::{elsewhere::elsewhere, world::World};

/// Networking and Identity, each in a process of its own.
async fn world() -> World {
    let folder = TempDir::with_prefix("novella-network-").unwrap();
    let database = format!("sqlite://{}", folder.path().join("network.db").display());
    let environment: BTreeMap<String, String> = [
        ("NOVELLA_DATABASE__URL", database.as_str()),
        ("NOVELLA_ADMIN_PASSWORD", PASSWORD),
        ("NOVELLA_DEMO_PASSWORD", PASSWORD),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let synced = novella().args(["db", "sync"]).envs(&environment).output().unwrap();
    assert!(synced.status.success(), "db sync: {}", String::from_utf8_lossy(&synced.stderr));
    let mut processes = Vec::new();
    let [identity, networking] = ["identity", "network"].map(|component| {
        let (address, management) = (free_address(), free_address());
        let arguments = [component, "--listen", &address, "--management", &management];
        processes.push(Process::start(component, &arguments, &environment, None, folder.path()));
        (address, management)
    });
    for (_, management) in [&identity, &networking] {
        wait_for_answer(&format!("http://{management}/readyz")).await;
    }
    let identity = format!("http://{}/identity/v3", identity.0);
    let networking = format!("http://{}/networking", networking.0);
    let networks = elsewhere(&identity, &networking, PASSWORD).await;
    World::new(networks, (&identity, &networking), PASSWORD, Box::new((processes, folder))).await
}

macro_rules! make_tests {
    ($($module:ident: $name:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                suite::$module::$name(world().await).await;
            }
        )*
    };
}
crate::for_each_behaviour!(make_tests);

/// Networking by itself, with the users of an Identity elsewhere, and Compute where the catalog says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compute_elsewhere_is_told_what_has_changed_for_its_servers() {
    let identity = IdentityAlone::on_sqlite().await;
    let cloud = Cloud::embedded(Settings { identity: Some(identity.url.clone()), ..Settings::default() }).await;
    let client = cloud.client().await;
    let http = reqwest::Client::new();
    let send = async |method: Method, url: String, body: Value| -> Value {
        let request = http.request(method, &url).header("X-Auth-Token", client.secret()).json(&body);
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{url}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    };
    let id = |value: &Value| value["id"].as_str().unwrap().to_owned();
    let services = send(Method::GET, format!("{}/services?type=compute", identity.url), Value::Null).await;
    let endpoints = format!("{}/endpoints", identity.url);
    let of_compute = format!("{endpoints}?service_id={}", id(&services["services"][0]));
    for endpoint in send(Method::GET, of_compute, Value::Null).await["endpoints"].as_array().unwrap() {
        let url = json!({"endpoint": {"url": format!("{}/compute/v2.1", cloud.endpoint)}});
        send(Method::PATCH, format!("{endpoints}/{}", id(endpoint)), url).await;
    }

    let networking = ComponentAlone::on_sqlite("network", &identity).await;
    let server = client.create("s", json!({})).await;
    client.wait_for_status(&server, "ACTIVE").await;
    let networking = format!("{}/networking/v2.0", networking.url);
    let network = send(Method::POST, format!("{networking}/networks"), json!({"network": {"name": "net"}})).await;
    let taken = || {
        let logs = cloud.logs();
        let events = logs.lines().filter(|line| line.contains("os-server-external-events"));
        events.filter(|line| line.contains("answered") && line.contains("status=200")).count()
    };
    let port = json!({"port": {
        "network_id": id(&network["network"]), "device_id": server, "device_owner": "compute:nova",
    }});
    let port = send(Method::POST, format!("{networking}/ports"), port).await;
    wait_for("the first event", async || taken() == 1).await;
    // What is no server's is not told.
    let other = json!({"port": {"network_id": id(&network["network"])}});
    send(Method::POST, format!("{networking}/ports"), other).await;
    send(Method::DELETE, format!("{networking}/ports/{}", id(&port["port"])), Value::Null).await;
    wait_for("the second event", async || taken() == 2).await;
}
