//! Requests that wait for their method's turn: they hold up no others, and nothing is held against them.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use novella_messaging::{QueueReport, RpcServer, Target, Transport, TransportOptions};
use novella_testing::Vhost;
use serde_json::json;

use crate::conformance::peer::{Peer, from_envelope, in_envelope, request};
use crate::conformance::support::*;

/// A server of few places, of which requests of this method take only so many.
async fn serve_limited(
    workers: &Workers,
    transport: &Transport,
    name: &str,
    method: &str,
    at_once: usize,
) -> RpcServer {
    RpcServer::builder(transport, Target::new("work").server(name))
        .endpoint(WorkEndpoint::new(workers.manager(name)))
        .concurrency(4)
        .limit(method, at_once)
        .start()
        .await
        .unwrap()
}

/// Many requests of a method of which two may run at once wait for their turn, and others pass them by.
pub async fn long_work_holds_back_no_short_work(bus: &impl Bus) {
    const LONG: usize = 200;
    let (transport, mut workers) = (bus.connect().await, Workers::new());
    let _server = serve_limited(&workers, &transport, "host-1", "perform", 2).await;
    let client = WorkClient::new(&transport);
    for _ in 0..LONG {
        client.perform(&context(), "wait".into()).await.unwrap();
    }
    assert_eq!([workers.next_text().await, workers.next_text().await], ["wait", "wait"]);
    for number in 0..20 {
        assert_eq!(within(client.echo(&context(), number.to_string())).await.unwrap().1, number.to_string());
    }
    assert_eq!(workers.unread_events(), []);
    workers.gate.add_permits(LONG);
    let mut done = 0;
    while done < LONG {
        done += usize::from(workers.next_text().await == "done");
    }
    assert_eq!(workers.most_running.load(Ordering::SeqCst), 2);
}

/// It goes from server to server: each is busy with something else when it comes, and stops before its turn.
pub async fn what_only_waited_for_its_turn_is_not_counted_as_failed(bus: &impl Bus) {
    let mut workers = Workers::new();
    let transport =
        Transport::connect(&bus.url(), TransportOptions { max_deliveries: 3, ..bus.options() }).await.unwrap();
    let client = WorkClient::new(&transport);
    let mut server = serve_limited(&workers, &transport, "host-0", "perform", 1).await;
    client.server("host-0").perform(&context(), "wait 0".into()).await.unwrap();
    assert_eq!(workers.next().await, ("host-0".into(), "wait 0".into()));
    client.perform(&context(), "patient".into()).await.unwrap();
    // Answered by the one server of the topic that runs at that moment, which by then has what came before.
    let until_taken = async || {
        within(client.echo(&context(), "behind it".into())).await.unwrap();
    };
    until_taken().await;
    for number in 1..=5 {
        let (host, job) = (format!("host-{number}"), format!("wait {number}"));
        // Its place is taken by a message of its own before it can hear of what waits.
        let next = serve_limited(&workers, &transport, &host, "perform", 1).await;
        client.server(host.as_str()).perform(&context(), job.clone()).await.unwrap();
        assert_eq!(workers.next().await, (host, job));
        within(server.stop(NO_GRACE)).await;
        until_taken().await;
        server = next;
    }
    assert_eq!(transport.dead_letters(10).await.unwrap(), []);
    assert_eq!(workers.unread_events(), []);
    workers.gate.add_permits(1);
    assert_eq!(workers.next().await, ("host-5".into(), "done".into()));
    assert_eq!(workers.next().await, ("host-5".into(), "patient".into()));
    within(server.stop(TEST_TIMEOUT)).await;
    assert_eq!(workers.unread_events(), []);
    assert_eq!(transport.dead_letters(10).await.unwrap(), []);
}

/// One server after the other dies while it works on one message and holds the others.
pub async fn what_only_waited_at_a_server_that_died_is_not_counted_as_tried(bus: &impl Bus) {
    const JOBS: usize = 10;
    const DEATHS: usize = 6;
    let mut workers = Workers::new();
    let transport =
        Transport::connect(&bus.url(), TransportOptions { max_deliveries: 3, ..bus.options() }).await.unwrap();
    serve_limited(&workers, &transport, "host", "perform", 1).await.stop(TEST_TIMEOUT).await;
    for number in 0..JOBS {
        WorkClient::new(&transport).perform(&context(), format!("wait {number}")).await.unwrap();
    }
    let mut begun: Vec<String> = Vec::new();
    for _ in 0..DEATHS {
        let server = serve_limited(&workers, &transport, "host", "perform", 1).await;
        begun.push(workers.next_text().await);
        let queue = async |is: &str, expected: fn(&QueueReport) -> bool| {
            eventually(async || {
                let report = transport.inspect(&["work"]).await.unwrap();
                // The queue of dead letters is named too, once there are any.
                let queue = report.queues.iter().find(|queue| queue.name == "work").unwrap();
                if expected(queue) { Ok(()) } else { Err(format!("it is not {is}: {report:?}")) }
            })
            .await;
        };
        queue("held by the server", |queue| queue.ready == 0).await;
        drop(server);
        queue("left by the server", |queue| queue.consumers == 0).await;
        assert_eq!(workers.unread_events(), [], "a server that died began something");
    }
    let server = serve_limited(&workers, &transport, "host", "perform", 1).await;
    workers.gate.add_permits(10 * JOBS);
    let tried = |job: &String| begun.iter().filter(|other| *other == job).count();
    let innocent: BTreeSet<String> =
        (0..JOBS).map(|number| format!("wait {number}")).filter(|job| tried(job) < 2).collect();
    assert!(!innocent.is_empty(), "{begun:?}");
    let mut done = BTreeSet::new();
    while !done.is_superset(&innocent) {
        let job = workers.next_text().await;
        if job != "done" {
            done.insert(job);
        }
    }
    server.stop(TEST_TIMEOUT).await;
    for letter in transport.dead_letters(100).await.unwrap() {
        assert!(!innocent.iter().any(|job| letter.body.contains(job.as_str())), "{letter:?}");
    }
}

pub async fn a_call_that_waits_for_its_turn_hears_that_its_server_lives(bus: &impl Bus) {
    let (transport, mut workers) = (bus.connect().await, Workers::new());
    let _server = serve_limited(&workers, &transport, "host-1", "wait", 1).await;
    let client = WorkClient::new(&transport);
    let call = |client: WorkClient| tokio::spawn(async move { client.wait(&context()).await });
    let first = call(client.clone());
    assert_eq!(workers.next_text().await, "wait");
    let silence = Duration::from_secs(4);
    let second = call(client.call_monitor_timeout(silence).timeout(Duration::from_secs(20)));
    // Twice as long as it would wait for a server that says nothing: time itself is what is tested.
    tokio::time::sleep(2 * silence).await;
    assert!(!second.is_finished(), "it gave up on a server that lives");
    assert_eq!(workers.unread_events(), []);
    workers.gate.add_permits(2);
    assert_eq!(within(first).await.unwrap().unwrap(), "host-1");
    assert_eq!(within(second).await.unwrap().unwrap(), "host-1");
}

/// The signs of life that a caller asks for end with the method, also when it fails.
pub async fn a_failed_call_leaves_no_sign_of_life_behind(vhost: &Vhost) {
    let (transport, workers) = (vhost.connect().await, Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    let peer = Peer::connect(vhost).await;
    let mut replies = peer.consume("replies of a peer").await;
    let mut call = request("refuse", json!({ "job": "dig", "tried": 3 }), "a");
    call["_msg_id"] = json!("m1");
    call["_reply_q"] = json!("replies of a peer");
    call["_timeout"] = json!(2);
    peer.send([in_envelope(&call)]).await;
    let answer = from_envelope(&within(replies.next()).await.unwrap().unwrap().data);
    assert_eq!((&answer["_msg_id"], &answer["ending"]), (&json!("m1"), &json!(true)), "{answer}");
    assert!(answer["failure"].as_str().unwrap().contains("no such job: dig"), "{answer}");
    // A sign would have come each second.
    let more = tokio::time::timeout(Duration::from_secs(3), replies.next()).await;
    assert!(more.is_err(), "{more:?}");
}

/// More is taken from a queue by further consumers, for as long as there is need.
pub async fn consumers_added_for_those_who_wait_go_when_nobody_waits(vhost: &Vhost) {
    const LONG: usize = 50;
    let (transport, mut workers) = (vhost.connect().await, Workers::new());
    let _server = serve_limited(&workers, &transport, "host-1", "perform", 1).await;
    let consumers = async || transport.inspect(&["work"]).await.unwrap().queues[0].consumers;
    assert_eq!(consumers().await, 1);
    let client = WorkClient::new(&transport);
    for _ in 0..LONG {
        client.perform(&context(), "wait".into()).await.unwrap();
    }
    eventually(async || match consumers().await {
        1 => Err("still one"),
        _ => Ok(()),
    })
    .await;
    workers.gate.add_permits(LONG);
    let mut done = 0;
    while done < LONG {
        done += usize::from(workers.next_text().await == "done");
    }
    eventually(async || match consumers().await {
        1 => Ok(()),
        more => Err(more),
    })
    .await;
    client.echo(&context(), "well".into()).await.unwrap();
}
