//! What a real broker, its operators and the network can do. Each of these has left services deaf
//! that were believed to be well.

use std::cell::Cell;
use std::time::{Duration, Instant};

use lapin::options::{BasicGetOptions, BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use novella_messaging::{
    CallError, Health, MessagingError, NotificationListener, Notifier, RpcClient, RpcServer, Target, Transport,
    TransportOptions,
};
use novella_testing::Vhost;
use serde_json::json;

use crate::conformance::support::*;
use novella_testing::{Network, Proxy};

/// A call and a cast to the server and one to its topic arrive, and a fanout too.
async fn everything_works(client: &WorkClient, workers: &mut Workers) {
    let host = client.server("host-1");
    eventually(async || client.echo(&context(), "call".into()).await).await;
    eventually(async || host.echo(&context(), "call".into()).await).await;
    eventually(async || {
        client.ring(&context(), "ding".into()).await.unwrap();
        // A fanout that nobody hears is no error, so the healed state shows only in being heard.
        tokio::time::sleep(Duration::from_millis(100)).await;
        if workers.unread_events().iter().any(|(_, what)| what == "ding") { Ok(()) } else { Err("not heard") }
    })
    .await;
    client.perform(&context(), "to any".into()).await.unwrap();
    while workers.next_text().await != "to any" {}
    host.perform(&context(), "to one".into()).await.unwrap();
    while workers.next_text().await != "to one" {}
}

pub async fn a_cut_connection_is_survived(vhost: &Vhost) {
    let (transport, mut workers) = (vhost.connect().await, Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    let client = WorkClient::new(&transport);
    everything_works(&client, &mut workers).await;
    for _ in 0..3 {
        assert!(vhost.close_connections().await > 0);
        everything_works(&client, &mut workers).await;
    }
    assert_eq!(transport.health(), Health::Connected);
}

/// Of what is asked of the broker, nothing is changed by being asked twice.
pub async fn a_question_whose_connection_is_cut_is_asked_again(vhost: &Vhost) {
    let (transport, workers) = (vhost.connect().await, Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    transport.inspect(&["work"]).await.unwrap();
    let is_over = Cell::new(false);
    let cutting = async {
        for _ in 0..2 {
            vhost.close_connections().await;
            transport.inspect(&["work"]).await.unwrap();
        }
        is_over.set(true);
    };
    let asking = async {
        while !is_over.get() {
            assert_eq!(within(transport.dead_letters(10)).await.unwrap(), []);
            assert_eq!(within(transport.inspect(&["work", "none"])).await.unwrap().queues.len(), 1);
        }
    };
    tokio::join!(cutting, asking);
}

pub async fn a_request_is_kept_over_the_brokers_restart_unless_its_client_says_otherwise(vhost: &Vhost) {
    let (transport, workers) = (vhost.connect().await, Workers::new());
    workers.serve(&transport, "host").await.stop(TEST_TIMEOUT).await;
    let client = WorkClient::new(&transport);
    client.perform(&context(), "kept".into()).await.unwrap();
    client.transient().perform(&context(), "passing".into()).await.unwrap();
    let connection = Connection::connect(vhost.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    for mode in [2, 1] {
        let got = channel.basic_get("work".into(), BasicGetOptions::default()).await.unwrap().unwrap();
        assert_eq!(*got.delivery.properties.delivery_mode(), Some(mode));
    }
}

/// More often than a connection has numbers for channels: the answer "not found" closes a channel each time. Whoever
/// listens meanwhile hears.
pub async fn what_is_not_there_can_be_asked_for_any_number_of_times(vhost: &Vhost) {
    let url = format!("{}?channel_max=16", vhost.url());
    let transport = Transport::connect(&url, TransportOptions::default()).await.unwrap();
    let workers = Workers::new();
    let _server = workers.serve(&transport, "host-1").await;
    let client = WorkClient::new(&transport);
    for number in 0..100 {
        assert_eq!(within(transport.inspect(&["none"])).await.unwrap().queues, []);
        assert_eq!(transport.dead_letters(1).await.unwrap(), []);
        assert_eq!(client.echo(&context(), number.to_string()).await.unwrap().1, number.to_string());
    }
    eventually(async || match transport.health() {
        Health::Connected => Ok(()),
        other => Err(other),
    })
    .await;
}

pub async fn nothing_accepted_is_lost_and_nothing_is_done_twice_while_connections_are_cut(vhost: &Vhost) {
    let mut workers = Workers::new();
    let (receiver, sender) = (vhost.connect().await, vhost.connect().await);
    let _server = workers.serve_at_once(&receiver, "host-1", 4).await;
    let client = WorkClient::new(&sender);
    let sending = tokio::spawn(async move {
        for job in 0..2000 {
            client.perform(&context(), job.to_string()).await.unwrap();
        }
    });
    while !sending.is_finished() {
        vhost.close_connections().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    sending.await.unwrap();
    let mut jobs = Vec::new();
    while jobs.len() < 2000 {
        let job = workers.next_text().await.parse::<u32>().unwrap();
        // A message whose confirm was lost is sent again, and recognised.
        assert!(!jobs.contains(&job), "{job} was done twice");
        jobs.push(job);
    }
}

pub async fn a_call_in_flight_survives_a_cut_connection(vhost: &Vhost) {
    let mut workers = Workers::new();
    let (near, far) = (vhost.connect().await, vhost.connect().await);
    let _server = workers.serve(&far, "host-1").await;
    let client = WorkClient::new(&near);
    let call = tokio::spawn(async move { client.wait(&context()).await });
    assert_eq!(workers.next_text().await, "wait");
    vhost.close_connections().await;
    // It runs on, and is not started a second time although the broker delivers it again.
    workers.gate.add_permits(1);
    assert_eq!(within(call).await.unwrap().unwrap(), "host-1");
    assert_eq!(workers.next_text().await, "waited");
    assert_eq!(workers.unread_events(), []);
}

pub async fn the_topics_queues_deleted_under_a_server_are_declared_again(vhost: &Vhost) {
    let (transport, mut workers) = (vhost.connect().await, Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    let client = WorkClient::new(&transport);
    everything_works(&client, &mut workers).await;
    for queue in vhost.queues().await {
        vhost.delete_queue(&queue).await;
    }
    everything_works(&client, &mut workers).await;
}

pub async fn the_reply_queue_deleted_under_a_client_heals(vhost: &Vhost) {
    let mut workers = Workers::new();
    let (near, far) = (vhost.connect().await, vhost.connect().await);
    let _server = workers.serve(&far, "host-1").await;
    let client = WorkClient::new(&near);
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.wait(&context()).await }
    });
    assert_eq!(workers.next_text().await, "wait");
    let queues = vhost.queues().await;
    vhost.delete_queue(queues.iter().find(|queue| queue.starts_with("reply_")).unwrap()).await;
    workers.gate.add_permits(1);
    // Also the answer that is due while there is no queue for it.
    assert_eq!(within(call).await.unwrap().unwrap(), "host-1");
    assert_eq!(client.echo(&context(), "again".into()).await.unwrap().1, "again");
}

pub async fn exchanges_deleted_under_everybody_heal(vhost: &Vhost) {
    let (transport, mut workers) = (vhost.connect().await, Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    let client = WorkClient::new(&transport);
    everything_works(&client, &mut workers).await;
    vhost.delete_exchange("novella").await;
    vhost.delete_exchange("work_fanout").await;
    everything_works(&client, &mut workers).await;
}

pub async fn the_notifications_queue_deleted_under_a_notifier_is_declared_again(vhost: &Vhost) {
    let transport = vhost.connect().await;
    let notifier = Notifier::new(&transport, "reports", "p");
    notifier.info(&context(), "first", &()).await.unwrap();
    vhost.delete_queue("reports.info").await;
    notifier.info(&context(), "second", &()).await.unwrap();
    let mut listener = NotificationListener::builder(&transport, "reports").start().await.unwrap();
    let batch = within(listener.next_batch(10)).await.unwrap();
    assert_eq!(batch.notifications()[0].event_type, "second");
    batch.ack().await;
}

/// A message that makes the broker close the channel fails alone; those under way beside it arrive.
pub async fn one_bad_publish_closes_nothing_for_others(vhost: &Vhost) {
    let (transport, mut workers) = (vhost.connect().await, Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    let good = WorkClient::new(&transport);
    allow_to_send_only(vhost, "^work.*").await;
    let bad = RpcClient::new(&transport, Target::new("forbidden"));
    let casts: Vec<_> = (0..50)
        .map(|number| {
            let (good, bad) = (good.clone(), bad.clone());
            tokio::spawn(async move {
                if number == 25 {
                    let refused = bad.cast(json!(context()), "perform", serde_json::Map::new()).await;
                    let Err(MessagingError::AccessRefused { reason, .. }) = refused else { panic!("{refused:?}") };
                    assert!(reason.contains("forbidden"), "{reason}");
                } else {
                    good.perform(&context(), number.to_string()).await.unwrap();
                }
            })
        })
        .collect();
    for cast in casts {
        within(cast).await.unwrap();
    }
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 49 {
        seen.insert(workers.next_text().await.parse::<u32>().unwrap());
    }
    assert!(!seen.contains(&25));
}

/// Restricts the routing keys of what this run's user may send to the control exchange.
async fn allow_to_send_only(vhost: &Vhost, keys: &str) {
    let mut url = reqwest::Url::parse(&std::env::var("NOVELLA_TEST_RABBITMQ_API").unwrap()).unwrap();
    let user = url.username().to_owned();
    url.path_segments_mut().unwrap().extend(["api", "topic-permissions", vhost.name(), &user]);
    let permission = json!({ "exchange": "novella", "write": keys, "read": ".*" });
    reqwest::Client::new().put(url).json(&permission).send().await.unwrap().error_for_status().unwrap();
}

pub async fn a_malformed_message_is_set_aside_and_blocks_nobody(vhost: &Vhost) {
    let (transport, mut workers) = (vhost.connect().await, Workers::new());
    let _server = workers.serve_at_once(&transport, "host-1", 1).await;
    let mut listener = NotificationListener::builder(&transport, "reports").start().await.unwrap();
    let other = Connection::connect(vhost.url(), ConnectionProperties::default()).await.unwrap();
    let channel = other.create_channel().await.unwrap();
    for queue in ["work", "reports.info"] {
        for body in [&b"\xff\x00"[..], b"[]", b"{}", br#"{"oslo.version": "2.0", "oslo.message": "no"}"#] {
            channel
                .basic_publish(
                    "".into(),
                    queue.into(),
                    BasicPublishOptions::default(),
                    body,
                    BasicProperties::default(),
                )
                .await
                .unwrap();
        }
    }
    WorkClient::new(&transport).perform(&context(), "next".into()).await.unwrap();
    assert_eq!(workers.next_text().await, "next");
    Notifier::new(&transport, "reports", "p").info(&context(), "next", &()).await.unwrap();
    let batch = within(listener.next_batch(10)).await.unwrap();
    assert_eq!(batch.notifications()[0].event_type, "next");
    let letters = eventually(async || {
        let letters = transport.dead_letters(20).await.unwrap();
        if letters.len() == 8 { Ok(letters) } else { Err(letters) }
    })
    .await;
    assert!(letters.iter().all(|letter| letter.reason.starts_with("malformed message")), "{letters:?}");
}

pub async fn a_refused_connection_fails_at_once_and_says_why(vhost: &Vhost) {
    let connect = async |url: String| Transport::connect(&url, TransportOptions::default()).await.unwrap_err();

    let wrong_password = vhost.url().replacen("@", "x@", 1);
    let error = connect(wrong_password.clone()).await;
    assert!(matches!(error, MessagingError::AccessRefused { .. }), "{error:?}");
    let password = wrong_password.split([':', '@']).nth(2).unwrap();
    assert!(!format!("{error} {error:?}").contains(password));

    let error = connect(format!("{}-not-there", vhost.url())).await;
    let MessagingError::AccessRefused { reason, .. } = &error else { panic!("{error:?}") };
    assert!(reason.contains("not-there"), "{reason}");

    let free = format!("127.0.0.1:{}", novella_testing::free_port());
    let error = connect(format!("amqp://{free}/")).await;
    let MessagingError::ConnectionFailed { address, reason } = &error else { panic!("{error:?}") };
    assert_eq!(*address, free);
    assert!(reason.contains("is a broker running"), "{reason}");
}

pub async fn a_queue_declared_otherwise_by_a_peer_is_an_error_that_names_it(vhost: &Vhost) {
    let other = Connection::connect(vhost.url(), ConnectionProperties::default()).await.unwrap();
    let channel = other.create_channel().await.unwrap();
    channel.queue_declare("work".into(), QueueDeclareOptions::default(), FieldTable::default()).await.unwrap();
    let transport = vhost.connect().await;
    let started = RpcServer::builder(&transport, Target::new("work").server("host-1")).start().await;
    let Err(MessagingError::DeclaredOtherwise { what, reason }) = started else { panic!("{started:?}") };
    assert!(what.contains("`work`") && reason.contains("durable"), "{what}: {reason}");
    // The same peers agree with `amqp_durable_queues: false`.
    let options = TransportOptions {
        amqp_durable_queues: false,
        control_exchange: "other".into(),
        ..TransportOptions::default()
    };
    let transport = Transport::connect(vhost.url(), options).await.unwrap();
    let workers = Workers::new();
    let _server = workers.serve(&transport, "host-1").await;
    WorkClient::new(&transport).echo(&context(), "agreed".into()).await.unwrap();
}

/// The connection stands, and yet the server hears nothing: health must not say that all is well. Not even where the
/// broker has moved the consumer to the other's queue before anybody saw, which has none of the bindings.
pub async fn a_server_that_cannot_get_its_queue_back_is_not_healthy(vhost: &Vhost) {
    let (transport, mut workers) = (vhost.connect().await, Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    let client = WorkClient::new(&transport);
    everything_works(&client, &mut workers).await;
    let other = Connection::connect(vhost.url(), ConnectionProperties::default()).await.unwrap();
    let usurp = async || {
        let channel = other.create_channel().await.unwrap();
        // Sent together, so that the server has no time to declare it again in between.
        let _ = tokio::join!(
            channel.queue_delete("work".into(), QueueDeleteOptions::default()),
            channel.queue_declare("work".into(), QueueDeclareOptions::default(), FieldTable::default()),
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let reason = eventually(async || {
        usurp().await;
        match transport.health() {
            Health::Reconnecting { reason, .. } => Ok(reason),
            well => Err(well),
        }
    })
    .await;
    // The second where the broker moved the consumer to the new queue.
    let says = ["`work` is not consumed", "`work` could not be declared again"];
    assert!(says.iter().any(|text| reason.contains(text)) && reason.contains("durable"), "{reason}");
    vhost.delete_queue("work").await;
    everything_works(&client, &mut workers).await;
    eventually(async || match transport.health() {
        Health::Connected => Ok(()),
        unwell => Err(unwell),
    })
    .await;
}

pub async fn a_stopped_server_leaves_only_what_is_to_last(vhost: &Vhost) {
    let (transport, workers) = (vhost.connect().await, Workers::new());
    let server = workers.serve(&transport, "host-1").await;
    WorkClient::new(&transport).echo(&context(), "call".into()).await.unwrap();
    assert_eq!(vhost.queues().await.len(), 4);
    server.stop(TEST_TIMEOUT).await;
    let queues: Vec<_> = vhost.queues().await.into_iter().filter(|queue| !queue.starts_with("reply_")).collect();
    assert_eq!(queues, ["work", "work.host-1"]);
}

pub async fn a_closed_transport_leaves_no_reply_queue(vhost: &Vhost) {
    let (serving, calling, workers) = (vhost.connect().await, vhost.connect().await, Workers::new());
    let _server = workers.serve(&serving, "host-1").await;
    WorkClient::new(&calling).echo(&context(), "call".into()).await.unwrap();
    let reply_queues = async || vhost.queues().await.into_iter().filter(|queue| queue.starts_with("reply_")).count();
    assert_eq!(reply_queues().await, 1);
    calling.close().await;
    assert_eq!(reply_queues().await, 0);
}

pub async fn a_call_to_a_server_that_is_down_does_not_outlive_its_caller(vhost: &Vhost) {
    let (transport, mut workers) = (vhost.connect().await, Workers::new());
    workers.serve(&transport, "host-1").await.stop(TEST_TIMEOUT).await;
    let client = WorkClient::new(&transport);
    let error = client.timeout(Duration::from_millis(200)).wait(&context()).await.unwrap_err();
    assert!(matches!(error, CallError::Messaging(MessagingError::Timeout { .. })), "{error:?}");
    vhost.wait_for_messages("work", 0).await;
    let _server = workers.serve(&transport, "host-1").await;
    client.perform(&context(), "next".into()).await.unwrap();
    assert_eq!(workers.next_text().await, "next");
}

/// Twice this without a word, and a connection is dead.
const HEARTBEAT: Duration = Duration::from_secs(1);

async fn connect_through(proxy: &Proxy, options: TransportOptions) -> Transport {
    let options = TransportOptions { heartbeat_timeout_threshold: HEARTBEAT, ..options };
    Transport::connect(proxy.url(), options).await.unwrap()
}

/// Waits until the transport says that it is not well.
async fn until_unwell(transport: &Transport) -> String {
    eventually(async || match transport.health() {
        Health::Reconnecting { reason, .. } => Ok(reason),
        well => Err(well),
    })
    .await
}

pub async fn a_connection_that_hangs_silently_is_noticed_and_replaced(vhost: &Vhost) {
    const JOBS: u32 = 1000;
    let (proxy, mut workers) = (Proxy::before(vhost.url()).await, Workers::new());
    let options = TransportOptions { publish_timeout: TEST_TIMEOUT, ..TransportOptions::default() };
    let transport = connect_through(&proxy, options).await;
    let _server = workers.serve(&transport, "host-1").await;
    let client = WorkClient::new(&transport);
    everything_works(&client, &mut workers).await;
    let sending = tokio::spawn({
        let client = client.clone();
        async move {
            for job in 0..JOBS {
                client.perform(&context(), job.to_string()).await.unwrap();
            }
        }
    });
    // In the middle of it.
    let mut done = WorkLog::default();
    while done.jobs.len() < 50 {
        done.enter(&workers.next_text().await);
    }
    proxy.set(Network::Silent);
    let silent = Instant::now();
    let reason = until_unwell(&transport).await;
    assert!(silent.elapsed() < 5 * HEARTBEAT, "it was noticed only after {:?}", silent.elapsed());
    assert!(reason.contains("heartbeat"), "{reason}");
    assert!(!sending.is_finished(), "nothing was under way");
    proxy.set(Network::Up);
    within(sending).await.unwrap();
    while done.jobs.len() < JOBS as usize {
        done.enter(&workers.next_text().await);
    }
    assert_eq!(workers.unread_events(), []);
    everything_works(&client, &mut workers).await;
}

pub async fn a_broker_that_is_down_is_waited_for(vhost: &Vhost) {
    let (proxy, mut workers) = (Proxy::before(vhost.url()).await, Workers::new());
    let transport =
        connect_through(&proxy, TransportOptions { publish_timeout: TEST_TIMEOUT, ..TransportOptions::default() })
            .await;
    let hasty = connect_through(
        &proxy,
        TransportOptions { publish_timeout: Duration::from_millis(200), ..TransportOptions::default() },
    )
    .await;
    let _server = workers.serve(&transport, "host-1").await;
    let client = WorkClient::new(&transport);
    everything_works(&client, &mut workers).await;

    proxy.set(Network::Down);
    until_unwell(&hasty).await;
    let error = WorkClient::new(&hasty).perform(&context(), "hasty".into()).await.unwrap_err();
    let MessagingError::Disconnected { waited, .. } = error else { panic!("{error:?}") };
    assert_eq!(waited, Duration::from_millis(200));

    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.perform(&context(), "patient".into()).await }
    });
    until_unwell(&transport).await;
    assert!(!waiting.is_finished());
    proxy.set(Network::Up);
    within(waiting).await.unwrap().unwrap();
    assert_eq!(workers.next_text().await, "patient");
    everything_works(&client, &mut workers).await;
    assert_eq!(workers.unread_events(), []);
}
