//! A server's history: whatever is asked of a server ends, and says how.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    cloud::{Cloud, Settings, wait_for},
};

fn slow() -> Settings {
    Settings {
        environment: vec![
            ("NOVELLA_COMPUTE__FAKE__BOOT_SECONDS_MIN", "1".into()),
            ("NOVELLA_COMPUTE__FAKE__BOOT_SECONDS_MAX", "1".into()),
            ("NOVELLA_COMPUTE__FAKE__POWER_SECONDS", "0.5".into()),
        ],
        ..Settings::default()
    }
}

/// A guest that dirties its memory faster than it is copied.
fn restless() -> Value {
    json!({ "fake:dirty_rate_mib": "4096", "fake:bandwidth_mib": "256" })
}

async fn active(client: &Client, metadata: Value) -> String {
    let id = client.create("s", metadata).await;
    client.wait_for_status(&id, "ACTIVE").await;
    id
}

/// Begins a live migration that does not end by itself; its number.
async fn migrating(client: &Client, id: &str) -> i64 {
    client.live_migrate(id, None).await;
    let path = format!("/servers/{id}/migrations");
    let running = |list: &Value| list["migrations"][0]["status"] == "running";
    wait_for("a copy", async || running(&client.get(&path).await)).await;
    client.get(&path).await["migrations"][0]["id"].as_i64().unwrap()
}

/// Every action of a server, with its events.
async fn history(client: &Client, id: &str) -> Vec<Value> {
    let path = format!("/servers/{id}/os-instance-actions");
    let mut actions = Vec::new();
    for action in client.get(&path).await["instanceActions"].as_array().unwrap() {
        let request = action["request_id"].as_str().unwrap();
        actions.push(client.get(&format!("{path}/{request}")).await["instanceAction"].clone());
    }
    actions
}

/// What has not ended of it.
fn open(actions: &[Value]) -> Vec<&Value> {
    let ended = |action: &&Value| {
        let events = action["events"].as_array().unwrap();
        !events.is_empty() && events.iter().all(|event| !event["finish_time"].is_null() && !event["result"].is_null())
    };
    actions.iter().filter(|action| !ended(action)).collect()
}

async fn everything_that_is_asked_of_a_server_ends_in_its_history(cloud: Cloud) {
    let client = cloud.client().await;
    let mut servers = Vec::new();

    // Overtaken at once, and in the middle.
    let id = client.create("at-once", json!({})).await;
    client.delete(&id).await;
    servers.push(id);
    let id = client.create("in-the-middle", json!({})).await;
    client.wait_for_task(&id, "spawning").await;
    client.delete(&id).await;
    servers.push(id);

    // One operation after the other, one of them overtaken and one forgotten by an administrator.
    let id = active(&client, json!({})).await;
    for (action, status) in [
        (json!({"os-stop": null}), "SHUTOFF"),
        (json!({"os-start": null}), "ACTIVE"),
        (json!({"pause": null}), "PAUSED"),
        (json!({"unpause": null}), "ACTIVE"),
        (json!({"migrate": null}), "VERIFY_RESIZE"),
        (json!({"revertResize": null}), "ACTIVE"),
    ] {
        client.action(&id, action).await;
        client.wait_for_status(&id, status).await;
    }
    client.action(&id, json!({"migrate": null})).await;
    client.wait_for_status(&id, "VERIFY_RESIZE").await;
    let confirm = json!({"confirmResize": null});
    assert_eq!(client.request(Method::POST, &format!("/servers/{id}/action"), Some(&confirm)).await.0, 204);
    // Nova shows no task for it.
    wait_for("the confirmation", async || client.server(&id).await["status"] == "ACTIVE").await;
    client.action(&id, json!({"suspend": null})).await;
    client.action(&id, json!({"reboot": {"type": "HARD"}})).await;
    client.wait_for_status(&id, "ACTIVE").await;
    client.action(&id, json!({"os-stop": null})).await;
    client.action(&id, json!({"os-resetState": {"state": "error"}})).await;
    client.delete(&id).await;
    servers.push(id);

    // Migrations that are aborted, completed by force, and deleted under way.
    let id = active(&client, restless()).await;
    let migration = migrating(&client, &id).await;
    let one = format!("/servers/{id}/migrations/{migration}");
    assert_eq!(client.request(Method::DELETE, &one, None).await.0, 202);
    client.wait_for_status(&id, "ACTIVE").await;
    let migration = migrating(&client, &id).await;
    let force = json!({"force_complete": null});
    let path = format!("/servers/{id}/migrations/{migration}/action");
    assert_eq!(client.request(Method::POST, &path, Some(&force)).await.0, 202);
    client.wait_for_status(&id, "ACTIVE").await;
    let migration = migrating(&client, &id).await;
    client.delete(&id).await;
    servers.push(id.clone());
    let aborted = history(&client, &id).await;
    let aborted = aborted.iter().find(|action| action["action"] == "live_migration_cancel").unwrap();
    assert_eq!(aborted["events"][0]["result"], "Success", "{migration}: {aborted}");

    for id in &servers {
        client.wait_until_gone(id).await;
        wait_for("the end of all that was asked", async || open(&history(&client, id).await).is_empty()).await;
    }
    // What was overtaken says by whom: each of these was, by the last.
    for id in &servers[..2] {
        let actions = history(&client, id).await;
        let create = actions.iter().find(|action| action["action"] == "create").unwrap();
        let delete = actions.iter().find(|action| action["action"] == "delete").unwrap();
        let details: Vec<&str> =
            create["events"].as_array().unwrap().iter().filter_map(|event| event["traceback"].as_str()).collect();
        let by = format!("Overtaken by 'delete' ({}).", delete["request_id"].as_str().unwrap());
        assert!(details.contains(&by.as_str()), "{create}");
    }
}

behaviours! {
    slow();
    everything_that_is_asked_of_a_server_ends_in_its_history,
}
