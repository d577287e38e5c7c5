//! Messages that come twice, and more messages than anybody could hold.

use std::collections::BTreeSet;

use novella_testing::Vhost;
use serde_json::json;

use crate::conformance::peer::{Peer, in_envelope, request};
use crate::conformance::support::*;
use novella_testing::Proxy;

/// A cast of `perform` as a peer sends it.
fn cast(job: &str, unique_id: &str) -> Vec<u8> {
    in_envelope(&request("perform", json!({ "job": job }), unique_id))
}

pub async fn a_message_that_comes_twice_is_done_once(vhost: &Vhost) {
    let (transport, mut workers) = (vhost.connect().await, Workers::new());
    let _server = workers.serve_at_once(&transport, "host-1", 1).await;
    let bodies = [cast("first", "a"), cast("first", "a"), cast("second", "b"), cast("first", "a"), cast("last", "c")];
    Peer::connect(vhost).await.send(bodies).await;
    for job in ["first", "second", "last"] {
        assert_eq!(workers.next_text().await, job);
    }
    vhost.wait_for_messages("work", 0).await;
    assert_eq!(workers.unread_events(), []);
}

pub async fn a_reset_connection_loses_nothing_and_repeats_nothing(vhost: &Vhost) {
    const JOBS: u32 = 500;
    let (proxy, mut workers) = (Proxy::before(vhost.url()).await, Workers::new());
    let options = novella_messaging::TransportOptions { publish_timeout: TEST_TIMEOUT, ..Default::default() };
    let transport = novella_messaging::Transport::connect(proxy.url(), options).await.unwrap();
    let _server = workers.serve(&transport, "host-1").await;
    let client = WorkClient::new(&transport);
    let sending = tokio::spawn(async move {
        for job in 0..JOBS {
            client.perform(&context(), job.to_string()).await.unwrap();
        }
    });
    let mut log = BTreeSet::new();
    while log.len() < JOBS as usize {
        let job = workers.next_text().await;
        assert!(log.insert(job.clone()), "{job} was done twice");
        if [50, 150, 250].contains(&log.len()) {
            proxy.reset();
        }
    }
    within(sending).await.unwrap();
    assert!(proxy.resets() >= 3, "only {} connections were reset", proxy.resets());
}

/// What this process has in memory, in MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

pub async fn a_long_queue_is_taken_in_small_parts(vhost: &Vhost) {
    const LENGTH: u64 = 100_000;
    let (transport, mut workers) = (vhost.connect().await, Workers::new());
    // So that its queue is there.
    workers.serve(&transport, "host-1").await.stop(TEST_TIMEOUT).await;
    let padding = "x".repeat(1000);
    let peer = Peer::connect(vhost).await;
    for part in 0..LENGTH / 10_000 {
        let jobs = (0..10_000).map(|number| cast(&format!("wait {number} {padding}"), &format!("{part}-{number}")));
        peer.send(jobs).await;
    }
    vhost.wait_for_messages("work", LENGTH).await;
    let before = resident();
    let _server = workers.serve(&transport, "host-1").await;
    for _ in 0..8 {
        assert!(workers.next_text().await.starts_with("wait"));
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 32, "{grown} MiB were taken for a queue of {LENGTH} messages");
    assert_eq!(vhost.messages("work").await, LENGTH);
    // The first are done, and only as many more are begun.
    workers.gate.add_permits(100);
    let mut done = 0;
    while done < 100 {
        done += u32::from(workers.next_text().await == "done");
    }
    vhost.wait_for_messages("work", LENGTH - 100).await;
}
