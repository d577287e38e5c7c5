//! The whole walk: a token, what there is, a server, a live migration with its progress, a delete.

use std::process::Command;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::cloud::{Cloud, PASSWORD, Settings, wait_for};

/// A migration that takes long enough to be watched, on a busy machine too: 512 MiB at 150 MiB/s.
fn watchable() -> Settings {
    Settings {
        environment: vec![
            ("NOVELLA_COMPUTE__FAKE__BANDWIDTH_MIB", "150".into()),
            ("NOVELLA_COMPUTE__FAKE__DIRTY_RATE_MIB", "50".into()),
        ],
        ..Settings::default()
    }
}

async fn a_server_is_built_moved_while_it_runs_and_deleted(cloud: Cloud) {
    let client = cloud.client().await;
    let flavors = client.get("/flavors/detail").await;
    assert!(flavors["flavors"].as_array().unwrap().iter().any(|flavor| flavor["name"] == "m1.tiny"));

    let id = client.create("first", json!({})).await;
    let server = client.wait_for_status(&id, "ACTIVE").await;
    assert_eq!(server["OS-EXT-STS:power_state"], 1);
    let source = client.host_of(&id).await;
    cloud.assert_claims_add_up().await;

    client.live_migrate(&id, None).await;
    assert_eq!(client.server(&id).await["status"], "MIGRATING");
    let mut seen: Vec<(i64, i64)> = Vec::new();
    wait_for("the end of the live migration", async || {
        let list = client.get(&format!("/servers/{id}/migrations")).await;
        let Some(migration) = list["migrations"].as_array().unwrap().first().cloned() else { return true };
        if migration["status"] == "running" && !migration["memory_total_bytes"].is_null() {
            // The API has no zero here: null is nothing yet, or nothing left.
            let bytes = |field: &str| migration[field].as_i64().unwrap_or(0);
            seen.push((bytes("memory_processed_bytes"), bytes("memory_remaining_bytes")));
            assert!(bytes("memory_remaining_bytes") <= bytes("memory_total_bytes"));
        }
        false
    })
    .await;
    seen.dedup();
    assert!(seen.len() >= 3, "too little progress was seen: {seen:?}");
    assert!(seen.is_sorted_by_key(|(processed, _)| *processed), "processed memory shrank: {seen:?}");
    assert!(seen.last().unwrap().1 < seen.first().unwrap().1, "remaining memory did not shrink: {seen:?}");

    let moved = client.wait_for_status(&id, "ACTIVE").await;
    assert_ne!(moved["OS-EXT-SRV-ATTR:host"], source);
    cloud.assert_claims_add_up().await;
    let migrations = client.get("/os-migrations").await;
    let last = &migrations["migrations"][0];
    assert_eq!((last["status"].clone(), last["source_compute"].clone()), (json!("completed"), json!(source)));

    let actions = client.get(&format!("/servers/{id}/os-instance-actions")).await;
    let names: Vec<&Value> = actions["instanceActions"].as_array().unwrap().iter().map(|a| &a["action"]).collect();
    assert_eq!(names, ["live-migration", "create"]);

    client.delete(&id).await;
    client.wait_until_gone(&id).await;
    cloud.assert_claims_add_up().await;
}

async fn a_server_is_moved_cold_and_stays_or_comes_back(cloud: Cloud) {
    let client = cloud.client().await;
    let id = client.create("moved", json!({})).await;
    client.wait_for_status(&id, "ACTIVE").await;
    let source = client.host_of(&id).await;
    for (end, stays) in [("revertResize", false), ("confirmResize", true)] {
        client.action(&id, json!({ "migrate": null })).await;
        let moved = client.wait_for_status(&id, "VERIFY_RESIZE").await;
        assert_ne!(moved["OS-EXT-SRV-ATTR:host"], source);
        assert_eq!(moved["OS-EXT-STS:power_state"], 1);
        let body = json!({ end: null });
        let answer = client.request(Method::POST, &format!("/servers/{id}/action"), Some(&body)).await;
        assert!(answer.0.is_success(), "{answer:?}");
        // While it is confirmed the API shows no task.
        wait_for("the end of the move", async || client.server(&id).await["status"] == "ACTIVE").await;
        let server = client.server(&id).await;
        assert_eq!(server["OS-EXT-SRV-ATTR:host"] != source.as_str(), stays, "{end}");
        cloud.assert_claims_add_up().await;
    }
    let migrations = client.get("/os-migrations").await;
    let statuses: Vec<&Value> = migrations["migrations"].as_array().unwrap().iter().map(|row| &row["status"]).collect();
    assert_eq!(statuses, ["confirmed", "reverted"]);
    let actions = client.get(&format!("/servers/{id}/os-instance-actions")).await;
    let names: Vec<&Value> = actions["instanceActions"].as_array().unwrap().iter().map(|a| &a["action"]).collect();
    assert_eq!(names, ["confirmResize", "migrate", "revertResize", "migrate", "create"]);

    client.action(&id, json!({ "migrate": null })).await;
    client.wait_for_status(&id, "VERIFY_RESIZE").await;
    client.delete(&id).await;
    client.wait_until_gone(&id).await;
    cloud.assert_claims_add_up().await;
}

async fn a_server_goes_through_each_power_state(cloud: Cloud) {
    let client = cloud.client().await;
    let id = client.create("powered", json!({})).await;
    client.wait_for_status(&id, "ACTIVE").await;
    for (action, status, power_state) in [
        (json!({ "os-stop": null }), "SHUTOFF", 4),
        (json!({ "os-start": null }), "ACTIVE", 1),
        (json!({ "pause": null }), "PAUSED", 3),
        (json!({ "unpause": null }), "ACTIVE", 1),
        (json!({ "suspend": null }), "SUSPENDED", 4),
        (json!({ "resume": null }), "ACTIVE", 1),
        (json!({ "reboot": { "type": "SOFT" } }), "ACTIVE", 1),
        (json!({ "reboot": { "type": "HARD" } }), "ACTIVE", 1),
    ] {
        client.action(&id, action.clone()).await;
        let settled = client.wait_for_status(&id, status).await;
        assert_eq!(settled["OS-EXT-STS:power_state"], power_state, "{action}");
    }
    let console = client
        .request(
            Method::POST,
            &format!("/servers/{id}/action"),
            Some(&json!({ "os-getConsoleOutput": { "length": 5 } })),
        )
        .await;
    assert_eq!(console.0, StatusCode::OK);
    assert!(!console.1["output"].as_str().unwrap().is_empty());
    client.delete(&id).await;
    client.wait_until_gone(&id).await;
}

async fn a_flavor_too_big_for_every_host_ends_in_error_with_a_fault(cloud: Cloud) {
    let client = cloud.client().await;
    let huge = json!({ "flavor": { "name": "huge", "id": "huge", "ram": 1_000_000_000, "vcpus": 1, "disk": 1 } });
    assert_eq!(client.request(Method::POST, "/flavors", Some(&huge)).await.0, StatusCode::OK);
    let mut body = client.create_body("too big", json!({})).await;
    body["server"]["flavorRef"] = json!("huge");
    let (status, answer) = client.request(Method::POST, "/servers", Some(&body)).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let id = answer["server"]["id"].as_str().unwrap().to_owned();
    let server = client.wait_for_status(&id, "ERROR").await;
    assert!(server["fault"]["message"].as_str().unwrap().starts_with("No valid host was found."), "{server}");
    client.delete(&id).await;
    client.wait_until_gone(&id).await;
    cloud.assert_claims_add_up().await;
}

async fn the_readme_walk_works_as_it_is_written(cloud: Cloud) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/walk.sh");
    let endpoint = cloud.endpoint.clone();
    // The README's password stands in single quotes of a shell.
    let output =
        tokio::task::spawn_blocking(move || Command::new(script).args([endpoint.as_str(), PASSWORD]).output().unwrap())
            .await
            .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

behaviours! {
    watchable();
    a_server_is_built_moved_while_it_runs_and_deleted,
    a_server_is_moved_cold_and_stays_or_comes_back,
    a_server_goes_through_each_power_state,
    a_flavor_too_big_for_every_host_ends_in_error_with_a_fault,
    the_readme_walk_works_as_it_is_written,
}
