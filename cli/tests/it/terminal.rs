//! What users and the bus say is shown on terminals and never obeyed by them.

use std::process::Output;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    bus::{listening, run},
    support::{
        cloud::{Cloud, PASSWORD, Settings, wait_for},
        process::novella,
    },
};

/// Clears the screen, in two ways, and then looks like a line of a log.
const HOSTILE: &str = "\u{1b}[2J\u{9b}2J\r\n2026-01-01T00:00:00Z  INFO all is well";

/// As it is shown.
const SHOWN: &str = r"\u001b[2J\u009b2J";

fn assert_harmless(what: &str, text: &str) {
    let obeyed = text.find(|c: char| c.is_control() && !matches!(c, '\n' | '\t'));
    assert_eq!(obeyed, None, "{what}: {text:?}");
    assert!(text.contains(SHOWN), "{what}: {text}");
}

async fn what_users_and_the_bus_say_is_shown_and_not_obeyed(cloud: Cloud) {
    let cloud = listening(cloud).await;
    let client = cloud.client().await;
    // A name can't hold it at all.
    let body = client.create_body(HOSTILE, json!({})).await;
    assert_eq!(client.request(Method::POST, "/servers", Some(&body)).await.0, StatusCode::BAD_REQUEST);

    // Metadata can, and the host's complaint about it quotes it: in its log and in the server's fault.
    let server = client.create("s", json!({ "fake:build_seconds": HOSTILE })).await;
    wait_for("a build that fails", async || client.server(&server).await["status"] == "ERROR").await;
    assert!(client.server(&server).await["fault"]["message"].as_str().unwrap().contains(HOSTILE));
    let watched = watch(&cloud, &server).await;
    assert_harmless("watch", &String::from_utf8(watched.stdout).unwrap());
    assert_harmless("watch's failure", &String::from_utf8(watched.stderr).unwrap());

    // So does whoever has the bus, in the name of a method: in the host's log and in a dead letter.
    let called = run(&cloud, &["rpc", "call", "compute.host-1", HOSTILE]).await;
    assert_harmless("an error", &called.err);
    let cast = run(&cloud, &["rpc", "cast", "compute.host-1", HOSTILE]).await.json();
    let mut letters = Value::Null;
    wait_for("a dead letter", async || {
        letters = run(&cloud, &["bus", "dead-letters", "--format", "json"]).await.json();
        letters.as_array().unwrap().iter().any(|letter| letter["request_id"] == cast["request_id"])
    })
    .await;
    assert_eq!(letters[0]["method"], HOSTILE);
    for format in ["table", "json", "yaml"] {
        let shown = run(&cloud, &["bus", "dead-letters", "--format", format]).await;
        assert_harmless(format, &shown.out);
    }

    let logs = cloud.logs();
    assert_harmless("the logs", &logs);
    let forged = logs.lines().find(|line| line.starts_with("2026-01-01T00:00:00Z"));
    assert_eq!(forged, None);
}

async fn watch(cloud: &Cloud, server: &str) -> Output {
    let mut command = novella();
    command.args(["watch", "--until-idle", server]).env("OS_AUTH_URL", format!("{}/identity/v3", cloud.endpoint));
    for (name, value) in [("USERNAME", "admin"), ("PASSWORD", PASSWORD), ("PROJECT_NAME", "admin")] {
        command.env(format!("OS_{name}"), value);
    }
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

behaviours! {
    Settings::default();
    what_users_and_the_bus_say_is_shown_and_not_obeyed,
}

mod json_logs {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn logs_for_programs_are_as_harmless_on_a_terminal_and_still_json() {
        let settings = Settings { environment: vec![("NOVELLA_LOG__FORMAT", "json".into())], ..Settings::default() };
        let cloud = Cloud::embedded(settings).await;
        let client = cloud.client().await;
        let server = client.create("s", json!({ "fake:build_seconds": HOSTILE })).await;
        wait_for("a build that fails", async || client.server(&server).await["status"] == "ERROR").await;
        let logs = cloud.logs();
        assert_harmless("the logs", &logs);
        let quoted = logs.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        assert!(quoted.into_iter().any(|line| line.to_string().contains(&json!(HOSTILE).to_string()[1..20])));
    }
}
