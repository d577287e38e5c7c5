//! schemathesis, from PyPI, asks every operation of the OpenAPI document for everything it can think of. Nothing may be a
//! failure of the server, nor an answer that the document does not have.

use std::{path::Path, process::Command};

use novella_testing::python;
use serde_json::json;

use crate::support::cloud::{Cloud, Settings};

const PACKAGES: [&str; 1] = ["schemathesis==4.32.5"];

/// How long it thinks of more, in seconds.
const SECONDS: &str = "150";

async fn every_answer_is_one_that_the_document_has(cloud: Cloud) {
    let installed = || python::environment(Path::new(env!("CARGO_TARGET_TMPDIR")), &PACKAGES).join("bin/schemathesis");
    let program = tokio::task::spawn_blocking(installed).await.unwrap();
    let admin = cloud.client().await;
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    command.current_dir(folder.path()).arg("run").arg(format!("{}/openapi.json", cloud.endpoint));
    command.args(["--url", &cloud.endpoint, "--workers", "2", "--max-time", SECONDS, "--no-color"]);
    command.args(["--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--warnings", "off"]);
    command
        .arg("--checks")
        .arg("not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance");
    command.arg("--header").arg(format!("X-Auth-Token: {}", admin.secret()));
    // The document is that of the newest version.
    command.args(["--header", "OpenStack-API-Version: compute 2.103"]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let tested = said.lines().find_map(|line| line.trim().strip_prefix("Tested: ")?.parse::<usize>().ok());
    assert!(tested.is_some_and(|tested| tested > 250), "{said}");
    // It was let in all the time, and the cloud is well.
    let logs = cloud.logs();
    assert!(!logs.contains("a handler broke") && !logs.contains("panicked"), "{logs}");
    let mut body = admin.create_body("after", json!({})).await;
    // Of the networks that are there by now.
    let networks = reqwest::Client::new().get(format!("{}/networking/v2.0/networks?name=private", cloud.endpoint));
    let answer = networks.header("X-Auth-Token", admin.secret()).send().await.unwrap();
    let networks: serde_json::Value = answer.json().await.unwrap();
    body["server"]["networks"] = json!([{"uuid": networks["networks"][0]["id"]}]);
    let (status, made) = admin.request(reqwest::Method::POST, "/servers", Some(&body)).await;
    assert_eq!(status, 202, "{made}");
    admin.wait_for_status(made["server"]["id"].as_str().unwrap(), "ACTIVE").await;
}

mod embedded {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes minutes; ./test --full runs it"]
    async fn every_answer_is_one_that_the_document_has() {
        super::every_answer_is_one_that_the_document_has(Cloud::embedded(Settings::default()).await).await;
    }
}

mod on_rabbitmq_and_postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes minutes; ./test --full runs it"]
    async fn every_answer_is_one_that_the_document_has() {
        super::every_answer_is_one_that_the_document_has(Cloud::apart(Settings::default()).await).await;
    }
}
