//! Whole answers of the main resources, as reviewed snapshots at the versions at which much differs: a change of an answer is
//! seen in a diff. What is chance, ids and times, is masked; so is what Networking says of a server.

use serde_json::{Value, json};

use crate::{
    migrations::migrating,
    support::{Client, Cloud},
};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBPW7iOD23TUiYLio me@host";
const VERSIONS: [&str; 6] = ["2.1", "2.47", "2.75", "2.88", "2.96", "2.104"];

/// An answer without what is chance.
fn masked(name: &str, value: &Value) -> Value {
    let is_time = |text: &str| {
        let bytes = text.as_bytes();
        bytes.len() >= 19 && bytes[4] == b'-' && (bytes[10] == b'T' || bytes[10] == b' ') && bytes[13] == b':'
    };
    match (name, value) {
        ("addresses" | "security_groups", _) => json!("[what Networking says]"),
        ("hostId" | "OS-EXT-SRV-ATTR:reservation_id" | "OS-EXT-SRV-ATTR:instance_name", Value::String(text)) => {
            if text.is_empty() { json!("") } else { json!("[chance]") }
        }
        ("id", Value::Number(_)) => json!("[number]"),
        // From 2.53 on an id, before that the same as a number in digits.
        (_, Value::String(text)) if uuid::Uuid::try_parse(text).is_ok() => json!("[id]"),
        (_, Value::String(text)) if text.starts_with("req-") => json!("[request]"),
        (_, Value::String(text)) if text.starts_with("http://") => json!("[link]"),
        (_, Value::String(text)) if is_time(text) => json!("[time]"),
        (_, Value::Array(items)) => items.iter().map(|item| masked(name, item)).collect(),
        (_, Value::Object(fields)) => {
            let field = |(name, value): (&String, &Value)| (name.clone(), masked(name, value));
            Value::Object(fields.iter().map(field).collect())
        }
        _ => value.clone(),
    }
}

/// What a GET of this path below `/compute/v2.1` answers.
async fn whole(client: &Client<'_>, path: &str) -> (u16, Value) {
    let answer = client.get(&format!("/compute/v2.1{path}")).await;
    (answer.status, answer.body)
}

on_both! {
    async fn the_main_resources_are_answered_as_each_version_has_them(cloud: Cloud) {
        let admin = cloud.admin().await;
        let (server, migration) = migrating(&cloud, &admin, "running").await;
        let at = admin.at("2.90");
        let project = at.get(&format!("/compute/v2.1/servers/{server}")).await.body["server"]["tenant_id"].clone();
        let project = project.as_str().unwrap();
        let made = |kind: &'static str, body: Value| {
            let at = &at;
            async move {
                let answer = at.post(&format!("/compute/v2.1/os-{kind}s").replace('_', "-"), &json!({kind: body})).await;
                assert!(answer.status < 300, "{:?}", answer.body);
                answer.body[kind].clone()
            }
        };
        made("keypair", json!({"name": "mine", "public_key": KEY})).await;
        let rules = json!({"max_server_per_host": 2});
        let group = made("server_group", json!({"name": "g", "policy": "anti-affinity", "rules": rules})).await;
        let aggregate = made("aggregate", json!({"name": "a", "availability_zone": "west"})).await;
        let (group, aggregate) = (group["id"].as_str().unwrap().to_owned(), aggregate["id"].clone());
        let actions = whole(&at, &format!("/servers/{server}/os-instance-actions")).await.1;
        let request = actions["instanceActions"][0]["request_id"].as_str().unwrap().to_owned();
        for version in VERSIONS {
            let client = admin.at(version);
            let hypervisor = whole(&client, "/os-hypervisors").await.1["hypervisors"][0]["id"].clone();
            let hypervisor = hypervisor.as_str().map_or_else(|| hypervisor.to_string(), ToOwned::to_owned);
            let paths = [
                ("server", format!("/servers/{server}")),
                ("servers", "/servers?all_tenants=1".into()),
                ("servers in detail", "/servers/detail?all_tenants=1".into()),
                ("flavor", "/flavors/1".into()),
                ("key pairs", "/os-keypairs".into()),
                ("key pair", "/os-keypairs/mine".into()),
                ("server groups", "/os-server-groups".into()),
                ("server group", format!("/os-server-groups/{group}")),
                ("aggregates", "/os-aggregates".into()),
                ("aggregate", format!("/os-aggregates/{aggregate}")),
                ("hypervisors", "/os-hypervisors".into()),
                ("hypervisors in detail", "/os-hypervisors/detail".into()),
                ("hypervisor", format!("/os-hypervisors/{hypervisor}")),
                ("services", "/os-services".into()),
                ("migrations", "/os-migrations".into()),
                ("migrations of the server", format!("/servers/{server}/migrations")),
                ("migration of the server", format!("/servers/{server}/migrations/{}", migration.id)),
                ("limits", "/limits".into()),
                ("quota set", format!("/os-quota-sets/{project}")),
                ("quota set in detail", format!("/os-quota-sets/{project}/detail")),
                ("quota class", "/os-quota-class-sets/default".into()),
                ("instance actions", format!("/servers/{server}/os-instance-actions")),
                ("instance action", format!("/servers/{server}/os-instance-actions/{request}")),
            ];
            let mut answers = serde_json::Map::new();
            for (name, path) in paths {
                let (status, body) = whole(&client, &path).await;
                // These came with 2.23; all else is there at every version.
                let there = version != "2.1" || !name.ends_with("of the server");
                assert_eq!(status, if there { 200 } else { 404 }, "{version} {path}: {body}");
                if there {
                    answers.insert(name.into(), masked("", &body));
                }
            }
            insta::assert_json_snapshot!(format!("at_{version}"), answers);
        }
    }
}
