//! Many who follow the stream of events at once: what they cost who serves them, and that nobody waits for the slow ones.
//! `novella bench --streams 500` measures the same at full scale.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    cloud::{Cloud, LIMIT, Settings, wait_for},
};

const STREAMS: usize = 100;
/// Of these so many do not read.
const SLOW: usize = 10;
/// Servers of one round.
const SERVERS: usize = 100;
/// What a stream may cost who serves it, in KiB. By design it is one batch of events, and the connection's own buffers.
const KIB_EACH: u64 = 256;

fn room() -> Settings {
    Settings {
        environment: vec![
            ("NOVELLA_COMPUTE__FAKE__VCPUS", "1024".into()),
            ("NOVELLA_COMPUTE__FAKE__MEMORY_MB", "1048576".into()),
            ("NOVELLA_COMPUTE__FAKE__DISK_GB", "10000".into()),
        ],
        ..Settings::default()
    }
}

async fn follow(cloud: &Cloud, client: &Client) -> Response {
    let url = format!("{}/cloud/v1/events?all_projects=1", cloud.endpoint);
    // A connection of its own, as each browser has.
    let answer = reqwest::Client::new().get(url).header("x-auth-token", client.token_text()).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer
}

/// Reads until it was told of all servers of this name that they are ACTIVE.
async fn read_until_all_are_active(mut stream: Response, name: &str) {
    let (mut text, mut active) = (String::new(), HashSet::new());
    let reading = async {
        while active.len() < SERVERS {
            let part = stream.chunk().await.unwrap().expect("the stream has ended");
            text.push_str(std::str::from_utf8(&part).unwrap());
            while let Some(end) = text.find("\n\n") {
                let frame: String = text.drain(..end + 2).collect();
                let data = frame.lines().find_map(|line| line.strip_prefix("data: "));
                if let Some(data) = data.filter(|data| data.contains(r#""status":"ACTIVE""#)) {
                    let server: Value = serde_json::from_str(data).unwrap();
                    active.extend(server["id"].as_str().filter(|_| server["name"] == name).map(ToOwned::to_owned));
                }
            }
        }
    };
    tokio::time::timeout(LIMIT, reading).await.expect("it is not told of all servers");
}

/// Makes servers one after the other, waits until all run, and says how long the slowest answer took.
async fn round(client: &Client, name: &str) -> Duration {
    let body = client.create_body(name, json!({})).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..SERVERS {
        let begun = Instant::now();
        let (status, answer) = client.request(Method::POST, "/servers", Some(&body)).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        slowest = slowest.max(begun.elapsed());
    }
    wait_for("servers that run", async || {
        let building = client.get("/servers?status=BUILD&limit=1").await;
        building["servers"].as_array().unwrap().is_empty()
    })
    .await;
    slowest
}

/// The memory that a process has written and no other has, in KiB.
fn memory(process: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

async fn a_hundred_streams_cost_bounded_memory_and_hold_up_no_create(mut cloud: Cloud) {
    let client = cloud.client().await;
    let api = cloud.process("api-1").id();
    // What the load costs by itself.
    round(&client, "before").await;
    let before = memory(api);

    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(follow(&cloud, &client).await);
    }
    let quick = streams.split_off(SLOW);
    let slow = streams;
    let mut readers = tokio::task::JoinSet::new();
    for stream in quick {
        readers.spawn(read_until_all_are_active(stream, "followed"));
    }
    let slowest = round(&client, "followed").await;
    assert!(slowest < Duration::from_secs(5), "a create was answered after {slowest:?}");
    while let Some(read) = readers.join_next().await {
        read.unwrap();
    }
    let after = memory(api);
    let most = KIB_EACH * STREAMS as u64;
    assert!(after.saturating_sub(before) < most, "{STREAMS} streams cost {} of {most} KiB", after - before);
    // Those that did not read meanwhile are told too, as soon as they do.
    for stream in slow {
        read_until_all_are_active(stream, "followed").await;
    }
}

behaviours! { room(); a_hundred_streams_cost_bounded_memory_and_hold_up_no_create }
