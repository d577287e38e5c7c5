//! More than one broker: the nodes of a cluster, and the next version.

use novella_messaging::{NotificationListener, Notifier, Target, Transport, TransportOptions};
use novella_testing::Vhost;
use serde_json::Value;

use crate::conformance::support::*;
use novella_testing::{Network, Proxy};

/// Both ways in one URL, as oslo.messaging writes it.
fn cluster(nodes: &[&Proxy]) -> String {
    let (_, rest) = nodes[0].url().split_once("://").unwrap();
    let (user, rest) = rest.split_once('@').unwrap();
    let (_, vhost) = rest.split_once('/').unwrap();
    let hosts: Vec<_> = nodes
        .iter()
        .map(|node| {
            let (_, place) = node.url().split_once('@').unwrap();
            format!("{user}@{}", place.split_once('/').unwrap().0)
        })
        .collect();
    format!("rabbit://{}/{vhost}", hosts.join(","))
}

/// Two ways to one broker stand for two nodes of a cluster.
pub async fn the_next_node_of_a_cluster_is_used_when_one_is_lost(vhost: &Vhost) {
    let (one, two, mut workers) = (Proxy::before(vhost.url()).await, Proxy::before(vhost.url()).await, Workers::new());
    one.set(Network::Down);
    let options = TransportOptions { publish_timeout: TEST_TIMEOUT, ..TransportOptions::default() };
    let transport = Transport::connect(&cluster(&[&one, &two]), options).await.unwrap();
    let _server = workers.serve(&transport, "host-1").await;
    let client = WorkClient::new(&transport);
    for (number, (lost, next)) in [(&two, &one), (&one, &two)].into_iter().enumerate() {
        let before = next.connections();
        next.set(Network::Up);
        lost.set(Network::Down);
        client.perform(&context(), number.to_string()).await.unwrap();
        assert_eq!(workers.next_text().await, number.to_string());
        let (_, text) = client.echo(&context(), "well".into()).await.unwrap();
        assert_eq!(text, "well");
        assert!(next.connections() >= before + 2, "one to send by and one to hear by");
    }
}

pub async fn that_no_node_of_a_cluster_answers_is_an_error_that_names_each(vhost: &Vhost) {
    let (one, two) = (Proxy::before(vhost.url()).await, Proxy::before(vhost.url()).await);
    one.set(Network::Down);
    two.set(Network::Down);
    let error = Transport::connect(&cluster(&[&one, &two]), TransportOptions::default()).await.unwrap_err().to_string();
    for node in [&one, &two] {
        let (_, place) = node.url().split_once('@').unwrap();
        assert!(error.contains(place.split_once('/').unwrap().0), "{error}");
    }
}

pub async fn one_listener_hears_several_topics_and_exchanges_and_one_notifier_sends_to_several(vhost: &Vhost) {
    let at = async |exchange: &str| {
        let options = TransportOptions { control_exchange: exchange.into(), ..TransportOptions::default() };
        Transport::connect(vhost.url(), options).await.unwrap()
    };
    let (nova, neutron) = (at("nova").await, at("neutron").await);
    let mut listener = NotificationListener::builder(&nova, "notifications")
        .target(Target::new("notifications").exchange("neutron"))
        .target(Target::new("audit").exchange("neutron"))
        .start()
        .await
        .unwrap();
    Notifier::new(&nova, "notifications", "compute").info(&context(), "instance", &()).await.unwrap();
    Notifier::new(&neutron, "notifications", "network").topic("audit").info(&context(), "port", &()).await.unwrap();
    let mut heard = Vec::new();
    while heard.len() < 3 {
        let batch = within(listener.next_batch(10)).await.unwrap();
        heard.extend(batch.notifications().iter().map(|notification| notification.event_type.clone()));
        batch.ack().await;
    }
    heard.sort();
    assert_eq!(heard, ["instance", "port", "port"]);
    listener.stop().await;
}

/// It denies queues that are neither durable nor exclusive, and limits over whole channels, unless it is configured
/// otherwise.
pub async fn nothing_is_asked_for_that_rabbitmq_4_3_denies(vhost: &Vhost) {
    let (transport, mut workers) = (vhost.connect().await, Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    let _listener = NotificationListener::builder(&transport, "reports").start().await.unwrap();
    let client = WorkClient::new(&transport);
    client.echo(&context(), "call".into()).await.unwrap();
    client.perform(&context(), "panic".into()).await.unwrap();
    dead_lettered(&transport, 1).await;
    client.ring(&context(), "ding".into()).await.unwrap();
    while workers.next_text().await != "ding" {}

    let queues = vhost.list(&["queues", vhost.name()]).await;
    // The topic's, the server's, its share of the fanout, the answers, the reports, the dead letters.
    assert_eq!(queues.len(), 6, "{queues:?}");
    assert!(queues.iter().all(|queue| queue["durable"] == true || queue["exclusive"] == true), "{queues:?}");
    // The broker counts a moment later.
    let limited = eventually(async || {
        let channels = vhost.list(&["vhosts", vhost.name(), "channels"]).await;
        let limit = |channel: &Value, which: &str| channel[which].as_u64().unwrap_or_default();
        assert!(channels.iter().all(|channel| limit(channel, "global_prefetch_count") == 0), "{channels:?}");
        let limited = channels.iter().filter(|channel| limit(channel, "prefetch_count") > 0).count();
        // The server's, the answers', the listener's.
        if limited == 3 { Ok(limited) } else { Err(channels) }
    });
    limited.await;
}
