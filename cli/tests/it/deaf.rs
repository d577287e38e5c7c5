//! An API that the bus does not hear, or that does not hear the bus: what it has accepted is done nevertheless.

use novella_testing::Network;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::cloud::{Cloud, Settings, wait_for};

fn breakable() -> Settings {
    Settings { breakable: true, ..Settings::default() }
}

async fn what_is_accepted_is_done(network: Network) {
    let cloud = Cloud::apart(breakable()).await;
    let client = cloud.client().await;
    let mut servers = Vec::new();
    for name in ["stop", "start", "suspend", "reboot", "pause", "migrate", "move", "delete"] {
        servers.push(client.create(name, json!({})).await);
    }
    for id in &servers {
        client.wait_for_status(id, "ACTIVE").await;
    }
    client.action(&servers[1], json!({"os-stop": null})).await;
    client.wait_for_status(&servers[1], "SHUTOFF").await;
    let source = client.host_of(&servers[5]).await;

    cloud.networks("api-1").bus.set(network);
    let actions = [
        json!({"os-stop": null}),
        json!({"os-start": null}),
        json!({"suspend": null}),
        json!({"reboot": {"type": "HARD"}}),
        json!({"pause": null}),
        json!({"os-migrateLive": {"host": null, "block_migration": "auto"}}),
        json!({"migrate": null}),
    ];
    let asked = servers
        .iter()
        .zip(&actions)
        .map(async |(id, action)| client.request(Method::POST, &format!("/servers/{id}/action"), Some(action)).await);
    let path = format!("/servers/{}", servers[7]);
    let (answers, created, deleted) = tokio::join!(
        futures_util::future::join_all(asked),
        client.create("new", json!({})),
        client.request(Method::DELETE, &path, None),
    );
    for (status, body) in answers {
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
    }
    assert_eq!(deleted.0, StatusCode::NO_CONTENT, "{:?}", deleted.1);

    // While the network is still broken: conductors see to it.
    let wanted = ["SHUTOFF", "ACTIVE", "SUSPENDED", "ACTIVE", "PAUSED", "ACTIVE", "VERIFY_RESIZE"];
    for (id, status) in servers.iter().zip(wanted) {
        client.wait_for_status(id, status).await;
    }
    assert_ne!(client.host_of(&servers[5]).await, source);
    client.wait_until_gone(&servers[7]).await;
    client.wait_for_status(&created, "ACTIVE").await;

    // What comes late does no harm.
    cloud.networks("api-1").bus.set(Network::Up);
    wait_for("the API to hear the bus again", async || {
        let answer = reqwest::get(format!("{}/readyz", cloud.endpoint)).await;
        answer.is_ok_and(|answer| answer.status().is_success())
    })
    .await;
    for (id, status) in servers.iter().zip(wanted) {
        client.wait_for_status(id, status).await;
    }
    client.action(&servers[6], json!({"revertResize": null})).await;
    client.wait_for_status(&servers[6], "ACTIVE").await;
    cloud.assert_claims_add_up().await;
}

mod on_rabbitmq_and_postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_accepted_while_the_bus_refuses_is_done() {
        what_is_accepted_is_done(Network::Down).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_accepted_while_the_confirms_of_the_bus_are_lost_is_done_once() {
        what_is_accepted_is_done(Network::Unanswered).await;
    }
}
