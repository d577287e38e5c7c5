//! The story of a request: from the HTTP request over each message to the host, on one bus and on another.

use std::sync::{Arc, Mutex};

use axum::{Json, Router, routing::post};
use novella_common::db::request_spans;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    cloud::{Cloud, PASSWORD, Settings, wait_for},
    process::novella,
};

/// The client's own span, of which the request is a part.
const CLIENTS: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn story(cloud: &Cloud, client: &Client, request: &str) -> (StatusCode, Value) {
    let url = format!("{}/cloud/v1/requests/{request}", cloud.endpoint);
    let answer = reqwest::Client::new().get(url).header("x-auth-token", client.token_text()).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// Makes a server, as a client that traces what it does; the server's id and the request's.
async fn create(cloud: &Cloud, client: &Client) -> (String, String) {
    let body = client.create_body("told-of", json!({})).await;
    let answer = reqwest::Client::new()
        .post(format!("{}/compute/v2.1/servers", cloud.endpoint))
        .header("x-auth-token", client.token_text())
        .header("traceparent", CLIENTS)
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let request = answer.headers()["x-openstack-request-id"].to_str().unwrap().to_owned();
    let made: Value = answer.json().await.unwrap();
    (made["server"]["id"].as_str().unwrap().to_owned(), request)
}

/// The span of this kind and name.
fn span<'s>(story: &'s Value, kind: &str, name: &str) -> &'s Value {
    let spans = story["request"]["spans"].as_array().unwrap();
    let found = spans.iter().find(|span| span["kind"] == kind && span["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name} in {spans:#?}"))
}

async fn a_create_is_told_from_the_request_to_the_host(cloud: Cloud) {
    let client = cloud.client().await;
    let (id, request) = create(&cloud, &client).await;
    client.wait_for_status(&id, "ACTIVE").await;
    let told = async || {
        let (status, told) = story(&cloud, &client, &request).await;
        assert_eq!(status, StatusCode::OK, "{told}");
        told
    };
    // The last span ends a moment after the server runs.
    wait_for("the whole story", async || {
        let told = told().await;
        let spans = told["request"]["spans"].as_array().unwrap();
        let is_there = |kind: &str, name: &str| spans.iter().any(|span| span["kind"] == kind && span["name"] == name);
        is_there("handler", "build_instance") && is_there("owner", "owns the operation")
    })
    .await;
    let told = told().await;
    assert_eq!(told["request"]["servers"][0]["name"], "told-of");
    assert_eq!(told["request"]["silent"], json!([]));

    let first = span(&told, "request", "POST /compute/v2.1/servers");
    assert_eq!((&first["service"], &first["parent"]), (&json!("api"), &json!("00f067aa0ba902b7")));
    let cast = span(&told, "message", "build_instance");
    assert_eq!((&cast["parent"], &cast["service"]), (&first["id"], &json!("api")));
    assert_eq!(cast["fields"]["sent"], "cast scheduler");
    let queue = span(&told, "queue", "build_instance waits");
    let scheduling = span(&told, "handler", "build_instance");
    assert_eq!((&scheduling["parent"], &scheduling["service"]), (&cast["id"], &json!("scheduler")));
    assert_eq!((&queue["parent"], &queue["end"]), (&cast["id"], &scheduling["start"]));
    assert!(queue["start"].as_i64() <= queue["end"].as_i64());
    // From its claim on the build is the scheduler's, until the host has accepted; from then on the host's.
    let owning = span(&told, "owner", "owns the build");
    assert_eq!((&owning["parent"], &owning["service"]), (&scheduling["id"], &json!("scheduler")));
    let call = span(&told, "message", "build_and_run_instance");
    let host = client.host_of(&id).await;
    assert_eq!((&call["parent"], &call["fields"]["sent"]), (&owning["id"], &json!(format!("call compute.{host}"))));
    let building = span(&told, "handler", "build_and_run_instance");
    assert_eq!((&building["parent"], &building["host"]), (&call["id"], &json!(host)));
    let operation = span(&told, "owner", "owns the operation");
    assert_eq!((&operation["parent"], &operation["host"]), (&building["id"], &json!(host)));
    // Its own history stands beside that.
    assert_eq!(span(&told, "action", "create")["parent"], first["id"]);
    assert_eq!(span(&told, "event", "do_build_and_run_instance")["result"], "Success");

    // A long task names the steps that the architecture names.
    client.live_migrate(&id, None).await;
    client.wait_for_status(&id, "ACTIVE").await;
    let actions = client.get(&format!("/servers/{id}/os-instance-actions")).await;
    let moved = actions["instanceActions"][0]["request_id"].as_str().unwrap().to_owned();
    let (_, told) = story(&cloud, &client, &moved).await;
    for (kind, name) in [
        ("handler", "live_migrate_instance"),
        ("owner", "owns the live-migration: accepted"),
        ("owner", "owns the live-migration: preparing"),
        ("owner", "owns the operation"),
        ("owner", "owns the live-migration: post-migrating"),
        ("message", "select_destinations"),
        ("handler", "check_can_live_migrate_destination"),
        ("handler", "pre_live_migration"),
        ("message", "live_migration"),
        ("handler", "post_live_migration_at_destination"),
        ("event", "live_migration"),
    ] {
        assert!(span(&told, kind, name)["end"].is_i64(), "{kind} {name}");
    }

    // In the terminal.
    let trace = |arguments: &[&str]| {
        let output = novella()
            .arg("trace")
            .args(arguments)
            .env("OS_AUTH_URL", format!("{}/identity/v3", cloud.endpoint))
            .env("OS_USERNAME", "admin")
            .env("OS_PASSWORD", PASSWORD)
            .env("OS_PROJECT_NAME", "admin")
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (good, drawn) = trace(&[&request]);
    assert!(good && drawn.contains("told-of"), "{drawn}");
    let line = drawn.lines().find(|line| line.contains("  build_and_run_instance  compute on")).expect(&drawn);
    assert!(line.starts_with("        ") && line.contains('█'), "{drawn}");
    let (_, json) = trace(&[&request, "--json"]);
    let same: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(same["request"]["id"], json!(request));
    assert!(!trace(&["req-4bf92f35-77b3-4da6-a3ce-929d0e0e4736"]).0);
}

behaviours! { Settings::default(); a_create_is_told_from_the_request_to_the_host }

mod of_processes {
    mod on_rabbitmq_and_postgres {
        use super::super::*;

        #[tokio::test(flavor = "multi_thread")]
        async fn what_services_have_done_is_told_after_they_have_gone() {
            let mut cloud = Cloud::apart(Settings::default()).await;
            let client = cloud.client().await;
            let (id, request) = create(&cloud, &client).await;
            client.wait_for_status(&id, "ACTIVE").await;
            client.live_migrate(&id, None).await;
            client.wait_until_settled(&id).await;
            let actions = client.get(&format!("/servers/{id}/os-instance-actions")).await;
            let moved = actions["instanceActions"][0]["request_id"].as_str().unwrap().to_owned();
            let action = format!("POST /compute/v2.1/servers/{id}/action");
            let wanted = [
                (&request, "request", "POST /compute/v2.1/servers"),
                (&request, "handler", "build_instance"),
                (&request, "owner", "owns the build"),
                (&moved, "request", action.as_str()),
                (&moved, "handler", "live_migrate_instance"),
                (&moved, "owner", "owns the live-migration: post-migrating"),
            ];
            let is_told = async |(request, kind, name): &(&String, &str, &str)| {
                let (status, told) = story(&cloud, &client, request).await;
                assert_eq!(status, StatusCode::OK, "{told}");
                let spans = told["request"]["spans"].as_array().unwrap();
                spans.iter().filter(|span| span["kind"] == *kind && span["name"] == *name).count() == 1
            };
            // By who did it; and written down a second later.
            for wanted in &wanted {
                wait_for(wanted.2, async || is_told(wanted).await).await;
            }
            let database = cloud.database().await;
            wait_for("the spans in the database", async || {
                let mut connection = database.read().await.unwrap();
                let mut there = 0;
                for (request, _, name) in &wanted {
                    let kept = request_spans::of_request(&mut connection, request, 1000).await.unwrap();
                    there += usize::from(kept.iter().any(|span| span.name == *name));
                }
                there == wanted.len()
            })
            .await;
            for name in ["api-1", "scheduler-1", "scheduler-2", "conductor-1", "conductor-2"] {
                cloud.process(name).kill();
                cloud.process(name).restart();
            }
            cloud.wait_until_ready().await;
            let client = cloud.client().await;
            for (request, kind, name) in &wanted {
                let (status, told) = story(&cloud, &client, request).await;
                assert_eq!(status, StatusCode::OK, "{told}");
                let span = span(&told, kind, name);
                // Who of several it was.
                let host = span["host"].as_str().unwrap_or_default();
                assert!(span["service"] == "api" || host.starts_with(span["service"].as_str().unwrap()), "{span}");
            }
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn where_no_spans_are_made_none_are_kept() {
            let environment = vec![("NOVELLA_TELEMETRY__SPANS", "0".into())];
            let cloud = Cloud::apart(Settings { environment, ..Settings::default() }).await;
            let client = cloud.client().await;
            let (id, request) = create(&cloud, &client).await;
            client.wait_for_status(&id, "ACTIVE").await;
            let (_, told) = story(&cloud, &client, &request).await;
            let spans = told["request"]["spans"].as_array().unwrap();
            assert!(spans.iter().all(|span| span["kind"] == "action" || span["kind"] == "event"), "{told}");
            let database = cloud.database().await;
            let mut connection = database.read().await.unwrap();
            assert_eq!(request_spans::of_request(&mut connection, &request, 10).await.unwrap(), []);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_project_has_asked_for_is_nobodys_business() {
    let cloud = Cloud::embedded(Settings::with_demo()).await;
    let admin = cloud.client().await;
    let (id, request) = create(&cloud, &admin).await;
    admin.wait_for_status(&id, "ACTIVE").await;
    let demo = Client::connect(&cloud.endpoint, "demo", PASSWORD, "demo").await;
    let (status, answer) = story(&cloud, &demo, &request).await;
    let (unknown, other) = story(&cloud, &demo, "req-4bf92f35-77b3-4da6-a3ce-929d0e0e4736").await;
    assert_eq!((status, unknown), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
    // In the same words.
    let plain = |answer: &Value, id: &str| answer["error"]["message"].as_str().unwrap().replace(id, "it");
    assert_eq!(plain(&answer, &request), plain(&other, "req-4bf92f35-77b3-4da6-a3ce-929d0e0e4736"));

    // The own one, without a word on hosts.
    let (id, own) = create(&cloud, &demo).await;
    demo.wait_for_status(&id, "ACTIVE").await;
    let (status, told) = story(&cloud, &demo, &own).await;
    assert_eq!(status, StatusCode::OK);
    assert!(!told.to_string().contains("host-"), "{told}");
    assert!(!span(&told, "handler", "build_and_run_instance")["id"].is_null());

    // What changed no server is known to administrators alone, and for a short time.
    let refused = reqwest::Client::new()
        .post(format!("{}/compute/v2.1/servers", cloud.endpoint))
        .header("x-auth-token", demo.token_text())
        .json(&json!({"server": {}}))
        .send()
        .await
        .unwrap();
    let refused = refused.headers()["x-openstack-request-id"].to_str().unwrap().to_owned();
    assert_eq!(story(&cloud, &demo, &refused).await.0, StatusCode::NOT_FOUND);
    let (status, told) = story(&cloud, &admin, &refused).await;
    assert_eq!(
        (status, &span(&told, "request", "POST /compute/v2.1/servers")["result"]),
        (StatusCode::OK, &json!("Error"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_is_sent_each_span_under_the_trace_of_whoever_asked() {
    let taken: Arc<Mutex<Vec<Value>>> = Arc::default();
    let keep = Arc::clone(&taken);
    let collector = Router::new().route(
        "/v1/traces",
        post(move |Json(document): Json<Value>| {
            let keep = Arc::clone(&keep);
            async move {
                keep.lock().unwrap().push(document);
                Json(json!({}))
            }
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, collector).await.unwrap() });

    let environment = vec![("NOVELLA_TELEMETRY__OTLP_ENDPOINT", format!("http://{address}"))];
    let cloud = Cloud::embedded(Settings { environment, ..Settings::default() }).await;
    let client = cloud.client().await;
    let (id, _) = create(&cloud, &client).await;
    client.wait_for_status(&id, "ACTIVE").await;
    let spans = || -> Vec<(String, Value)> {
        let documents = taken.lock().unwrap();
        let resources = documents.iter().flat_map(|document| document["resourceSpans"].as_array().unwrap());
        resources
            .flat_map(|resource| {
                let attributes = resource["resource"]["attributes"].as_array().unwrap();
                let name = attributes.iter().find(|it| it["key"] == "service.name").unwrap();
                let name = name["value"]["stringValue"].as_str().unwrap().to_owned();
                let spans = resource["scopeSpans"][0]["spans"].as_array().unwrap().clone();
                spans.into_iter().map(move |span| (name.clone(), span))
            })
            .collect()
    };
    let of_trace = |service: &str, name: &str| {
        let found = spans().into_iter().find(|(of, span)| of == service && span["name"] == name);
        found.filter(|(_, span)| span["traceId"] == "4bf92f3577b34da6a3ce929d0e0e4736").map(|(_, span)| span)
    };
    wait_for("the host's span at the collector", async || of_trace("compute", "build_and_run_instance").is_some())
        .await;
    let request = of_trace("api", "POST /compute/v2.1/servers").unwrap();
    assert_eq!(request["parentSpanId"], "00f067aa0ba902b7");
    assert_eq!(of_trace("api", "build_instance").unwrap()["parentSpanId"], request["spanId"]);
    let nanos = |field: &str| request[field].as_str().unwrap().parse::<u64>().unwrap();
    assert!(nanos("endTimeUnixNano") >= nanos("startTimeUnixNano"));
    let deleted = client.request(Method::DELETE, &format!("/servers/{id}"), None).await;
    assert_eq!(deleted.0, StatusCode::NO_CONTENT);
}
