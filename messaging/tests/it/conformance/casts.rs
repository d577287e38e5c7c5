//! Casts and fanouts: nobody waits, and yet nothing is lost.

use std::sync::atomic::Ordering;

use novella_messaging::{DeadLetterAction, MessagingError, RpcServer, Target, Transport, TransportOptions};

use crate::conformance::support::*;

pub async fn a_cast_is_processed_once_by_one_of_the_servers_sharing_a_topic(bus: &impl Bus) {
    let mut workers = Workers::new();
    let (one, two) = (bus.connect().await, bus.connect().await);
    let servers = [workers.serve(&one, "host-1").await, workers.serve(&two, "host-2").await];
    let client = WorkClient::new(&one);
    for job in 0..50 {
        client.perform(&context(), job.to_string()).await.unwrap();
    }
    let mut jobs = Vec::new();
    for _ in 0..50 {
        jobs.push(workers.next_text().await.parse::<u32>().unwrap());
    }
    for server in servers {
        server.stop(TEST_TIMEOUT).await;
    }
    jobs.sort_unstable();
    assert_eq!(jobs, (0..50).collect::<Vec<_>>());
    assert_eq!(workers.unread_events(), []);
}

pub async fn a_cast_to_one_server_reaches_that_server(bus: &impl Bus) {
    let (transport, mut workers) = (bus.connect().await, Workers::new());
    let _servers = [workers.serve(&transport, "host-1").await, workers.serve(&transport, "host-2").await];
    for _ in 0..5 {
        WorkClient::new(&transport).server("host-2").perform(&context(), "dig".into()).await.unwrap();
        assert_eq!(workers.next().await, ("host-2".into(), "dig".into()));
    }
}

pub async fn a_fanout_reaches_every_server(bus: &impl Bus) {
    let mut workers = Workers::new();
    let (one, two) = (bus.connect().await, bus.connect().await);
    let _servers = [workers.serve(&one, "host-1").await, workers.serve(&two, "host-2").await];
    WorkClient::new(&one).ring(&context(), "ding".into()).await.unwrap();
    let mut heard = [workers.next().await, workers.next().await];
    heard.sort();
    assert_eq!(heard, [("host-1".into(), "ding".into()), ("host-2".into(), "ding".into())]);
}

pub async fn a_server_known_by_name_only_hears_what_is_for_it_and_nothing_that_is_for_any_or_for_all(bus: &impl Bus) {
    let (transport, mut workers) = (bus.connect().await, Workers::new());
    let _server = RpcServer::builder(&transport, Target::new("work").server("host-1"))
        .endpoint(WorkEndpoint::new(workers.manager("host-1")))
        .only_by_name()
        .start()
        .await
        .unwrap();
    let client = WorkClient::new(&transport);
    client.ring(&context(), "ding".into()).await.unwrap();
    let result = client.perform(&context(), "anybody?".into()).await;
    assert!(is_unroutable(&result), "{result:?}");
    client.server("host-1").perform(&context(), "you".into()).await.unwrap();
    assert_eq!(workers.next().await, ("host-1".into(), "you".into()));
    assert_eq!(workers.unread_events(), []);
}

pub async fn a_fanout_to_nobody_is_no_error(bus: &impl Bus) {
    let (transport, workers) = (bus.connect().await, Workers::new());
    let client = WorkClient::new(&transport);
    client.ring(&context(), "ding".into()).await.unwrap();
    workers.serve(&transport, "host-1").await.stop(TEST_TIMEOUT).await;
    client.ring(&context(), "dong".into()).await.unwrap();
}

pub async fn a_cast_to_a_stopped_service_is_delivered_when_it_starts(bus: &impl Bus) {
    let mut workers = Workers::new();
    let transport = bus.connect().await;
    workers.serve(&transport, "host-1").await.stop(TEST_TIMEOUT).await;
    let sender = bus.connect().await;
    let client = WorkClient::new(&sender);
    client.server("host-1").perform(&context(), "for the host".into()).await.unwrap();
    client.perform(&context(), "for the topic".into()).await.unwrap();
    let _server = workers.serve(&transport, "host-1").await;
    let mut jobs = [workers.next_text().await, workers.next_text().await];
    jobs.sort();
    assert_eq!(jobs, ["for the host", "for the topic"]);
}

pub async fn a_message_to_a_topic_nobody_ever_listened_on_is_unroutable_at_once(bus: &impl Bus) {
    let (transport, workers) = (bus.connect().await, Workers::new());
    let client = WorkClient::new(&transport);
    let result = client.perform(&context(), "anybody?".into()).await;
    assert!(is_unroutable(&result), "{result:?}");
    let _server = workers.serve(&transport, "host-1").await;
    let result = client.server("host-2").perform(&context(), "not you".into()).await;
    assert!(is_unroutable(&result), "{result:?}");
    assert!(result.unwrap_err().to_string().contains("`work.host-2`"));
}

/// Many are under way at once, some of them to nowhere: each sender learns the action of its own
/// message.
pub async fn only_the_unroutable_among_many_casts_fail(bus: &impl Bus) {
    let (transport, mut workers) = (bus.connect().await, Workers::new());
    let _server = workers.serve(&transport, "host-1").await;
    let client = WorkClient::new(&transport);
    let casts = (0..300).map(|number| {
        let client = client.server(if number % 3 == 0 { "nobody" } else { "host-1" });
        tokio::spawn(async move { (number, client.perform(&context(), number.to_string()).await) })
    });
    for cast in casts.collect::<Vec<_>>() {
        let (number, result) = within(cast).await.unwrap();
        assert_eq!(is_unroutable(&result), number % 3 == 0, "{number}: {result:?}");
    }
    for _ in 0..200 {
        assert_ne!(workers.next_text().await.parse::<u32>().unwrap() % 3, 0);
    }
}

pub async fn casts_from_one_sender_keep_concurrency_bounded_by_prefetch(bus: &impl Bus) {
    let (transport, mut workers) = (bus.connect().await, Workers::new());
    let _server = workers.serve_at_once(&transport, "host-1", 3).await;
    let client = WorkClient::new(&transport);
    for _ in 0..12 {
        client.perform(&context(), "wait".into()).await.unwrap();
        client.server("host-1").perform(&context(), "wait".into()).await.unwrap();
    }
    let mut done = 0;
    let mut waiting = 0;
    while done < 24 {
        match workers.next_text().await.as_str() {
            "done" => done += 1,
            _ => waiting += 1,
        }
        if waiting == 3 {
            // All places are taken: one is freed.
            waiting -= 1;
            workers.gate.add_permits(1);
        } else if done + waiting == 24 {
            workers.gate.add_permits(waiting);
        }
    }
    assert_eq!(workers.most_running.load(Ordering::SeqCst), 3);
}

pub async fn a_server_stops_gracefully_and_finishes_what_runs(bus: &impl Bus) {
    let (transport, mut workers) = (bus.connect().await, Workers::new());
    let server = workers.serve(&transport, "host-1").await;
    let client = WorkClient::new(&transport);
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.wait(&context()).await }
    });
    client.perform(&context(), "wait".into()).await.unwrap();
    assert_eq!([workers.next_text().await, workers.next_text().await], ["wait", "wait"]);
    let mut stopping = std::pin::pin!(server.stop(TEST_TIMEOUT));
    // From the first poll on it is told to stop.
    assert!(futures_util::poll!(&mut stopping).is_pending());
    workers.gate.add_permits(2);
    within(stopping).await;
    assert_eq!(within(call).await.unwrap().unwrap(), "host-1");
    assert_eq!(workers.unread_events().len(), 2);
    client.perform(&context(), "late".into()).await.unwrap();
    let _next = workers.serve(&transport, "host-2").await;
    assert_eq!(workers.next().await, ("host-2".into(), "late".into()));
}

pub async fn what_a_stopping_server_does_not_finish_in_time_is_delivered_to_another(bus: &impl Bus) {
    let (transport, mut workers) = (bus.connect().await, Workers::new());
    let server = workers.serve(&transport, "host-1").await;
    WorkClient::new(&transport).perform(&context(), "wait".into()).await.unwrap();
    assert_eq!(workers.next().await, ("host-1".into(), "wait".into()));
    within(server.stop(NO_GRACE)).await;
    let _other = workers.serve(&transport, "host-2").await;
    assert_eq!(workers.next().await, ("host-2".into(), "wait".into()));
}

pub async fn a_killed_servers_message_is_redelivered(bus: &impl Bus) {
    let (transport, mut workers) = (bus.connect().await, Workers::new());
    let killed = workers.serve(&transport, "host-1").await;
    WorkClient::new(&transport).perform(&context(), "wait".into()).await.unwrap();
    assert_eq!(workers.next().await, ("host-1".into(), "wait".into()));
    drop(killed);
    let _other = workers.serve(&transport, "host-2").await;
    assert_eq!(workers.next().await, ("host-2".into(), "wait".into()));
    workers.gate.add_permits(1);
    assert_eq!(workers.next().await, ("host-2".into(), "done".into()));
}

pub async fn a_message_that_kills_every_server_is_set_aside(bus: &impl Bus) {
    let mut workers = Workers::new();
    let transport =
        Transport::connect(&bus.url(), TransportOptions { max_deliveries: 3, ..bus.options() }).await.unwrap();
    workers.serve(&transport, "host").await.stop(TEST_TIMEOUT).await;
    WorkClient::new(&transport).perform(&context(), "wait".into()).await.unwrap();
    let letters = loop {
        let server = workers.serve(&transport, "host").await;
        let set_aside = eventually(async || dead_letters(&transport).await);
        tokio::select! {
            letters = set_aside => break letters,
            _ = workers.next_text() => drop(server),
        }
    };
    assert!(letters[0].reason.contains("delivered 3 times in vain"), "{letters:?}");
    assert_eq!((letters[0].queue.as_str(), letters[0].deliveries), ("work", 3));
}

pub async fn a_handler_that_fails_is_set_aside_after_max_deliveries_and_the_server_lives(bus: &impl Bus) {
    let mut workers = Workers::new();
    let transport =
        Transport::connect(&bus.url(), TransportOptions { max_deliveries: 3, ..bus.options() }).await.unwrap();
    let _server = workers.serve_at_once(&transport, "host-1", 1).await;
    let client = WorkClient::new(&transport);
    for (job, reason) in [("panic", "panicked: as asked"), ("fail", "closed")] {
        client.perform(&context(), job.into()).await.unwrap();
        for _ in 0..3 {
            assert_eq!(workers.next_text().await, job);
        }
        let letters = eventually(async || {
            let letters = dead_letters(&transport).await?;
            letters
                .iter()
                .any(|letter| letter.reason.contains(reason))
                .then_some(letters)
                .ok_or("not set aside yet".to_owned())
        })
        .await;
        let letter = letters.iter().find(|letter| letter.reason.contains(reason)).unwrap();
        assert_eq!((letter.method.as_deref(), letter.deliveries), (Some("perform"), 3));
        client.perform(&context(), "next".into()).await.unwrap();
        assert_eq!(workers.next_text().await, "next");
    }
    assert_eq!(workers.unread_events(), []);
}

pub async fn a_cast_whose_needs_are_away_is_tried_until_they_are_there_and_nothing_is_counted(bus: &impl Bus) {
    let mut workers = Workers::new();
    let transport =
        Transport::connect(&bus.url(), TransportOptions { max_deliveries: 2, ..bus.options() }).await.unwrap();
    let server = workers.serve_at_once(&transport, "host-1", 1).await;
    let client = WorkClient::new(&transport);
    client.perform(&context(), "need".into()).await.unwrap();
    for _ in 0..4 {
        assert_eq!(workers.next_text().await, "need");
    }
    // It waits without taking another's place.
    client.perform(&context(), "next".into()).await.unwrap();
    while workers.next_text().await != "next" {}
    // It goes back when its server stops, and to the next one.
    within(server.stop(TEST_TIMEOUT)).await;
    workers.unread_events();
    let _server = workers.serve_at_once(&transport, "host-2", 1).await;
    for _ in 0..4 {
        assert_eq!(workers.next().await, ("host-2".into(), "need".into()));
    }
    workers.gate.add_permits(1);
    while workers.next_text().await != "done" {}
    assert_eq!(transport.dead_letters(10).await.unwrap(), []);
}

/// One handler at a time, and the failed cast waits for its next attempt without taking that one's
/// place.
pub async fn a_failed_cast_that_waits_for_its_next_attempt_holds_up_nobody(bus: &impl Bus) {
    let mut workers = Workers::new();
    let transport =
        Transport::connect(&bus.url(), TransportOptions { max_deliveries: 8, ..bus.options() }).await.unwrap();
    let _server = workers.serve_at_once(&transport, "host-1", 1).await;
    let client = WorkClient::new(&transport);
    client.perform(&context(), "fail".into()).await.unwrap();
    // By the fifth attempt the pauses have grown beyond what the others take.
    for _ in 0..5 {
        assert_eq!(workers.next_text().await, "fail");
    }
    for number in 0..20 {
        client.perform(&context(), number.to_string()).await.unwrap();
        assert_eq!(workers.next_text().await, number.to_string());
    }
}

pub async fn a_dead_letter_can_be_sent_again_or_deleted(bus: &impl Bus) {
    let mut workers = Workers::new();
    let transport =
        Transport::connect(&bus.url(), TransportOptions { max_deliveries: 1, ..bus.options() }).await.unwrap();
    let _server = workers.serve(&transport, "host-1").await;
    let client = WorkClient::new(&transport).server("host-1");
    client.perform(&context(), "fail".into()).await.unwrap();
    assert_eq!(workers.next_text().await, "fail");
    let letters = eventually(async || dead_letters(&transport).await).await;
    assert_eq!((letters[0].queue.as_str(), letters[0].request_id.as_deref()), ("work.host-1", Some("req-1")));
    assert!(letters[0].body.contains("perform"));

    assert_eq!(transport.dispose_of_dead_letters(10, |_| DeadLetterAction::Resend).await.unwrap().count, 1);
    assert_eq!(workers.next_text().await, "fail");
    let letters = eventually(async || dead_letters(&transport).await).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(
        transport
            .dispose_of_dead_letters(10, |letter| if letter == &letters[0] {
                DeadLetterAction::Discard
            } else {
                DeadLetterAction::Keep
            })
            .await
            .unwrap()
            .count,
        1
    );
    assert_eq!(transport.dead_letters(10).await.unwrap(), []);
}

pub async fn a_dead_letter_whose_queue_is_gone_holds_up_no_other(bus: &impl Bus) {
    let mut workers = Workers::new();
    let transport =
        Transport::connect(&bus.url(), TransportOptions { max_deliveries: 1, ..bus.options() }).await.unwrap();
    let (gone, stays) = (workers.serve(&transport, "host-1").await, workers.serve(&transport, "host-2").await);
    let client = WorkClient::new(&transport);
    // A fanout's queues go with their servers. The first of the letters is one whose queue will be gone.
    for (server, count) in [(None, 2), (Some("host-2"), 3)] {
        match server {
            None => client.ring(&context(), "fail".into()).await.unwrap(),
            Some(server) => client.server(server).perform(&context(), "fail".into()).await.unwrap(),
        }
        dead_lettered(&transport, count).await;
    }
    gone.stop(TEST_TIMEOUT).await;
    workers.unread_events();

    let disposed = transport.dispose_of_dead_letters(10, |_| DeadLetterAction::Resend).await.unwrap();
    assert_eq!(disposed.count, 2);
    let [(letter, error)] = &disposed.failed[..] else { panic!("{disposed:?}") };
    assert!(matches!(error, MessagingError::Unroutable { .. }), "{error}");
    let mut again = [workers.next().await, workers.next().await];
    again.sort();
    assert_eq!(again, [("host-2".into(), "fail".into()), ("host-2".into(), "fail".into())]);
    // They fail again, and that one has stayed.
    let letters = dead_lettered(&transport, 3).await;
    assert_eq!(letters.iter().filter(|other| *other == letter).count(), 1, "{letters:?}");
    stays.stop(TEST_TIMEOUT).await;
}
