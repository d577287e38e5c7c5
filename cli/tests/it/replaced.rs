//! A host is its name and its identity: another machine under its name is refused until an operator says that the host was
//! replaced; and what becomes of servers whose guests are gone.

use std::process::Output;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    cloud::{Cloud, Settings, wait_for},
    process::novella,
};

fn host(cloud: &Cloud, arguments: &[&str]) -> Output {
    novella()
        .arg("host")
        .args(arguments)
        .env("NOVELLA_DATABASE__URL", cloud.database_url())
        .env("NOVELLA_SERVICE__SERVICE_DOWN_TIME", "3")
        .output()
        .unwrap()
}

/// What `novella host list` says of the hosts of this name, in the order of the list.
fn states(cloud: &Cloud, name: &str) -> Vec<String> {
    let list: Vec<Value> = serde_json::from_slice(&host(cloud, &["list", "--format", "json"]).stdout).unwrap();
    let of_host = list.iter().filter(|row| row["host"] == name);
    of_host.map(|row| row["state"].as_str().unwrap().to_owned()).collect()
}

mod on_rabbitmq_and_postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn another_machine_under_a_hosts_name_is_refused_and_named_until_an_operator_says_it_was_replaced() {
        let mut cloud = Cloud::apart(Settings::default()).await;
        let client = cloud.client().await;
        let mut servers = Vec::new();
        while servers.len() < 4 {
            let id = client.create("s", json!({})).await;
            client.wait_for_status(&id, "ACTIVE").await;
            if client.host_of(&id).await == "host-1" {
                servers.push(id);
            }
        }
        assert!(!host(&cloud, &["replace", "host-1"]).status.success(), "nobody was refused");

        cloud.start_stranger("stranger", "host-1");
        wait_for("the stranger to be refused", async || states(&cloud, "host-1") == ["up", "refused"]).await;
        let table = String::from_utf8(host(&cloud, &["list"]).stdout).unwrap();
        assert!(table.contains("novella host replace host-1"), "{table}");
        let logs = ["conductor-1", "conductor-2"].map(|name| cloud.process(name).log()).concat();
        assert!(logs.contains("another machine says hello"), "{logs}");
        // All goes on as before on the host that has the name, also when it starts anew.
        cloud.process("host-1").kill();
        cloud.process("host-1").restart();
        for id in &servers {
            client.action(id, json!({"os-stop": null})).await;
            client.wait_for_status(id, "SHUTOFF").await;
            client.action(id, json!({"os-start": null})).await;
            client.wait_for_status(id, "ACTIVE").await;
        }
        let refused = host(&cloud, &["replace", "host-1"]);
        assert!(String::from_utf8_lossy(&refused.stderr).contains("host-1 is up"), "{refused:?}");

        // The machine is gone, and the stranger takes its place. Its guests are gone too.
        cloud.process("host-1").kill();
        wait_for("the host to be down", async || states(&cloud, "host-1") == ["down", "refused"]).await;
        let replaced = host(&cloud, &["replace", "host-1"]);
        assert!(replaced.status.success(), "{}", String::from_utf8_lossy(&replaced.stderr));
        wait_for("the new host to be up", async || states(&cloud, "host-1") == ["up"]).await;
        for id in &servers {
            wait_for("a server without a guest", async || client.server(id).await["status"] == "ERROR").await;
            let fault = client.server(id).await["fault"]["message"].as_str().unwrap().to_owned();
            assert!(fault.contains("no guest"), "{fault}");
        }

        // Nothing that can be asked of them hangs, and they can be had again.
        client.action(&servers[0], json!({"reboot": {"type": "HARD"}})).await;
        client.wait_for_status(&servers[0], "ACTIVE").await;
        client.action(&servers[0], json!({"os-stop": null})).await;
        client.wait_for_status(&servers[0], "SHUTOFF").await;
        client.action(&servers[1], json!({"os-stop": null})).await;
        client.wait_for_status(&servers[1], "ERROR").await;
        client.action(&servers[1], json!({"reboot": {"type": "HARD"}})).await;
        client.wait_for_status(&servers[1], "ACTIVE").await;
        client.delete(&servers[2]).await;
        client.wait_until_gone(&servers[2]).await;
        // The old machine is the stranger now.
        cloud.process("host-1").restart();
        wait_for("the old one to be refused", async || states(&cloud, "host-1") == ["up", "refused"]).await;
        client.wait_for_status(&servers[1], "ACTIVE").await;
        cloud.assert_claims_add_up().await;
    }
    #[tokio::test(flavor = "multi_thread")]
    async fn a_new_host_gets_no_work_before_an_operator_approves_it() {
        let mut cloud = Cloud::apart(Settings::default()).await;
        for name in ["conductor-1", "conductor-2"] {
            assert!(cloud.process(name).terminate().success());
            cloud.process(name).set("NOVELLA_CONDUCTOR__AUTO_APPROVE", "false");
            cloud.process(name).restart();
        }
        let unknown = host(&cloud, &["approve", "host-4"]);
        assert!(
            String::from_utf8_lossy(&unknown.stderr).contains("no host waits under the name host-4"),
            "{unknown:?}"
        );
        cloud.start_stranger("stranger", "host-4");
        wait_for("the new host to wait", async || states(&cloud, "host-4") == ["waits"]).await;
        let table = String::from_utf8(host(&cloud, &["list"]).stdout).unwrap();
        assert!(table.contains("novella host approve host-4"), "{table}");
        let client = cloud.client().await;
        let mut on_it = client.create_body("welcome", json!({})).await;
        on_it["server"]["availability_zone"] = json!("nova:host-4");
        let (status, answer) = client.request(Method::POST, "/servers", Some(&on_it)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");

        let approved = host(&cloud, &["approve", "host-4"]);
        assert!(approved.status.success(), "{}", String::from_utf8_lossy(&approved.stderr));
        wait_for("the new host to be up", async || states(&cloud, "host-4") == ["up"]).await;
        let (status, answer) = client.request(Method::POST, "/servers", Some(&on_it)).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        let id = answer["server"]["id"].as_str().unwrap().to_owned();
        client.wait_for_status(&id, "ACTIVE").await;
        assert_eq!(client.host_of(&id).await, "host-4");
    }
}
