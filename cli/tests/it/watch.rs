//! `novella watch`, which follows the stream of events.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    sync::mpsc,
};

use serde_json::json;

use crate::support::{
    cloud::{Cloud, LIMIT, PASSWORD, Settings},
    process::novella,
};

fn slow_copies() -> Settings {
    Settings { environment: vec![("NOVELLA_COMPUTE__FAKE__BANDWIDTH_MIB", "100".into())], ..Settings::default() }
}

/// A command that goes on, and the lines that it prints.
fn watch(cloud: &Cloud, arguments: &[&str]) -> (Child, mpsc::Receiver<String>) {
    let mut child = novella()
        .arg("watch")
        .args(arguments)
        .env("OS_AUTH_URL", format!("{}/identity/v3", cloud.endpoint))
        .env("OS_USERNAME", "admin")
        .env("OS_PASSWORD", PASSWORD)
        .env("OS_PROJECT_NAME", "admin")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    (child, lines)
}

fn line_with(lines: &mpsc::Receiver<String>, text: &str) -> String {
    let mut seen = Vec::new();
    loop {
        match lines.recv_timeout(LIMIT) {
            Ok(line) if line.contains(text) => return line,
            Ok(line) => seen.push(line),
            Err(error) => panic!("no '{text}' ({error}) in {seen:?}"),
        }
    }
}

async fn it_tells_of_builds_and_moves_until_nothing_is_under_way(cloud: Cloud) {
    let client = cloud.client().await;
    let (mut going, lines) = watch(&cloud, &[]);
    line_with(&lines, "user admin");
    let id = client.create("followed", json!({})).await;
    assert!(line_with(&lines, "ACTIVE").contains(&id));
    client.wait_for_status(&id, "ACTIVE").await;
    client.live_migrate(&id, None).await;
    // Until it is done, and then no longer.
    let (mut until_idle, its_lines) = watch(&cloud, &["--until-idle", "followed"]);
    line_with(&lines, "completed");
    line_with(&its_lines, "completed");
    assert!(until_idle.wait().unwrap().success());
    client.wait_for_status(&id, "ACTIVE").await;
    let deleted = client.request(reqwest::Method::DELETE, &format!("/servers/{id}"), None).await;
    assert_eq!(deleted.0, 204);
    line_with(&lines, "DELETED");
    assert!(going.try_wait().unwrap().is_none());
    going.kill().unwrap();
    going.wait().unwrap();
}

behaviours! { slow_copies(); it_tells_of_builds_and_moves_until_nothing_is_under_way }

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_is_taken_up_again_and_nothing_is_missed() {
    let mut cloud = Cloud::embedded(Settings::default()).await;
    let client = cloud.client().await;
    let (mut going, lines) = watch(&cloud, &[]);
    let before = client.create("before", json!({})).await;
    assert!(line_with(&lines, "ACTIVE").contains(&before));
    cloud.process("up").kill();
    line_with(&lines, "no answer");
    cloud.process("up").restart();
    cloud.wait_until_ready().await;
    let meanwhile = cloud.client().await.create("meanwhile", json!({})).await;
    line_with(&lines, "connected again");
    assert!(line_with(&lines, "ACTIVE").contains(&meanwhile));
    going.kill().unwrap();
    going.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_stream_outlives_the_patience_of_the_listener_and_holds_up_no_stop() {
    let environment = vec![("NOVELLA_API__KEEP_ALIVE_TIMEOUT", "1".into())];
    let mut cloud = Cloud::embedded(Settings { environment, ..Settings::default() }).await;
    let client = cloud.client().await;
    let mut stream = reqwest::Client::new()
        .get(format!("{}/cloud/v1/events", cloud.endpoint))
        .header("x-auth-token", client.token_text())
        .send()
        .await
        .unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    // A sign of life comes after 15 s, long after an idle connection would have been closed.
    let mut come = String::new();
    while come.matches(": alive").count() < 2 {
        come.push_str(std::str::from_utf8(&stream.chunk().await.unwrap().expect("the stream has ended")).unwrap());
    }
    client.create("late", json!({})).await;
    while !come.contains("\"late\"") {
        come.push_str(std::str::from_utf8(&stream.chunk().await.unwrap().expect("the stream has ended")).unwrap());
    }
    let begun = std::time::Instant::now();
    assert!(cloud.process("up").terminate().success());
    assert!(begun.elapsed() < LIMIT / 3, "{:?}", begun.elapsed());
}
