//! Notifications: facts, in order, for whoever comes to hear them.

use novella_messaging::{Batch, NotificationListener, Notifier, Priority, Transport, TransportOptions};
use novella_testing::Vhost;
use serde_json::{Value, json};

use crate::conformance::support::*;
use novella_testing::Proxy;

async fn listen(transport: &Transport, only_one: bool) -> NotificationListener {
    NotificationListener::builder(transport, "reports")
        .priority(Priority::Info)
        .single_active_consumer(only_one)
        .prefetch(100)
        .start()
        .await
        .unwrap()
}

async fn next(listener: &mut NotificationListener, max: usize) -> Batch {
    within(listener.next_batch(max)).await.unwrap()
}

/// A batch of so many: what was taken before all were there is given back.
async fn exactly(listener: &mut NotificationListener, count: usize) -> Batch {
    loop {
        let batch = next(listener, count).await;
        if batch.notifications().len() == count {
            return batch;
        }
        batch.requeue().await;
    }
}

fn numbers(batch: &Batch) -> Vec<u64> {
    batch.notifications().iter().map(|notification| notification.payload["number"].as_u64().unwrap()).collect()
}

fn events(numbers: impl IntoIterator<Item = u64>) -> Vec<(String, Value)> {
    numbers.into_iter().map(|number| ("test.event".to_owned(), json!({ "number": number }))).collect()
}

/// Takes batches until this many notifications have come.
async fn take(listener: &mut NotificationListener, count: usize) -> Vec<u64> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let batch = next(listener, 40).await;
        assert!(batch.notifications().len() <= 40);
        taken.extend(numbers(&batch));
        batch.ack().await;
    }
    taken
}

pub async fn notifications_arrive_in_order_in_batches(bus: &impl Bus) {
    let transport = bus.connect().await;
    let mut listener = listen(&transport, false).await;
    let notifier = Notifier::new(&transport, "reports", "compute.host-1");
    notifier.info_many(&context(), events(0..150)).await.unwrap();
    for number in 150..200 {
        notifier.info(&context(), "test.event", &json!({ "number": number })).await.unwrap();
    }
    assert_eq!(take(&mut listener, 200).await, (0..200).collect::<Vec<_>>());
}

pub async fn a_notification_carries_what_it_was_sent_with(bus: &impl Bus) {
    let transport = bus.connect().await;
    let mut listener = NotificationListener::builder(&transport, "reports")
        .priority(Priority::Info)
        .priority(Priority::Error)
        .start()
        .await
        .unwrap();
    Notifier::new(&transport, "reports", "compute.host-1")
        .error(&context(), "host.on_fire", &json!({ "since": 1 }))
        .await
        .unwrap();
    let batch = next(&mut listener, 10).await;
    let [notification] = batch.notifications() else { panic!("{batch:?}") };
    assert_eq!(notification.publisher_id, "compute.host-1");
    assert_eq!(notification.event_type, "host.on_fire");
    assert_eq!(notification.priority, Priority::Error);
    assert_eq!(notification.payload, json!({ "since": 1 }));
    assert_eq!(Value::from(notification.context.clone()), json!(context()));
    assert_eq!(notification.message_id.len(), 36);
    assert_eq!(notification.timestamp.len(), "2026-11-20 17:26:49.340149".len());
    batch.ack().await;
}

pub async fn a_notification_waits_for_the_first_listener_ever(bus: &impl Bus) {
    for only_one in [false, true] {
        let transport = bus.connect().await;
        Notifier::new(&transport, "reports", "p")
            .info(&context(), "test.event", &json!({ "number": 5 }))
            .await
            .unwrap();
        let mut listener = listen(&transport, only_one).await;
        assert_eq!(take(&mut listener, 1).await, [5]);
        listener.stop().await;
    }
}

pub async fn an_unacked_batch_is_redelivered(bus: &impl Bus) {
    let transport = bus.connect().await;
    let mut listener = listen(&transport, true).await;
    Notifier::new(&transport, "reports", "p").info_many(&context(), events(0..10)).await.unwrap();
    let first = exactly(&mut listener, 4).await;
    assert_eq!(numbers(&first), [0, 1, 2, 3]);
    // Its listener goes before it acknowledges.
    drop(listener);
    let mut other = listen(&transport, true).await;
    assert_eq!(take(&mut other, 10).await, (0..10).collect::<Vec<_>>());
}

pub async fn a_requeued_batch_comes_again_before_anything_newer(bus: &impl Bus) {
    let transport = bus.connect().await;
    let mut listener = listen(&transport, true).await;
    let notifier = Notifier::new(&transport, "reports", "p");
    notifier.info_many(&context(), events(0..20)).await.unwrap();
    let first = next(&mut listener, 3).await;
    let second = next(&mut listener, 3).await;
    assert_eq!((numbers(&first)[0], numbers(&second)[0]), (0, first.notifications().len() as u64));
    second.requeue().await;
    drop(first);
    assert_eq!(take(&mut listener, 20).await, (0..20).collect::<Vec<_>>());
    // Given back for good when the listener goes.
    notifier.info_many(&context(), events(20..25)).await.unwrap();
    next(&mut listener, 1).await.requeue().await;
    listener.stop().await;
    let mut other = listen(&transport, true).await;
    assert_eq!(take(&mut other, 5).await, (20..25).collect::<Vec<_>>());
}

/// What was in hand comes again, and nothing that is newer comes before it.
pub async fn after_a_cut_connection_a_listener_hears_in_order_again(vhost: &Vhost) {
    const LAST: u64 = 30;
    let (proxy, sender) = (Proxy::before(vhost.url()).await, vhost.connect().await);
    let transport = Transport::connect(proxy.url(), TransportOptions::default()).await.unwrap();
    let mut listener = listen(&transport, true).await;
    let notifier = Notifier::new(&sender, "reports", "p");
    notifier.info_many(&context(), events(1..=20)).await.unwrap();
    let in_hand = exactly(&mut listener, 3).await;
    assert_eq!(numbers(&in_hand), [1, 2, 3]);
    // The others are with the listener as well.
    eventually(async || match sender.inspect(&["reports.info"]).await.unwrap().queues[0].ready {
        0 => Ok(()),
        ready => Err(ready),
    })
    .await;
    proxy.reset();
    eventually(async || if proxy.resets() >= 2 { Ok(()) } else { Err(proxy.resets()) }).await;
    in_hand.requeue().await;
    notifier.info_many(&context(), events(21..=LAST)).await.unwrap();
    let mut heard = 0;
    while heard < LAST {
        let batch = next(&mut listener, 7).await;
        for number in numbers(&batch) {
            // One may come again whose acknowledgement was lost with the connection.
            assert!(number <= heard + 1, "{number} came before {}", heard + 1);
            heard = heard.max(number);
        }
        batch.ack().await;
    }
}

pub async fn a_standby_listener_takes_over_when_the_active_one_goes(bus: &impl Bus) {
    let (one, two) = (bus.connect().await, bus.connect().await);
    let mut active = listen(&one, true).await;
    let mut standby = listen(&two, true).await;
    let notifier = Notifier::new(&one, "reports", "p");
    notifier.info_many(&context(), events(0..50)).await.unwrap();
    assert_eq!(take(&mut active, 50).await, (0..50).collect::<Vec<_>>());
    notifier.info_many(&context(), events(50..60)).await.unwrap();
    let unfinished = next(&mut active, 40).await;
    assert_eq!(numbers(&unfinished)[0], 50);
    let over = tokio::spawn(async move { take(&mut standby, 10).await });
    drop(active);
    assert_eq!(within(over).await.unwrap(), (50..60).collect::<Vec<_>>());
    drop(unfinished);
}

/// The notifier made the queue before any listener said that it wants to be the only one.
pub async fn a_standby_listener_takes_over_also_if_the_notifier_came_first(bus: &impl Bus) {
    let (one, two) = (bus.connect().await, bus.connect().await);
    let notifier = Notifier::new(&one, "reports", "p");
    notifier.info_many(&context(), events(0..1)).await.unwrap();
    let mut active = listen(&one, true).await;
    let mut standby = listen(&two, true).await;
    notifier.info_many(&context(), events(1..30)).await.unwrap();
    assert_eq!(take(&mut active, 30).await, (0..30).collect::<Vec<_>>());
    active.stop().await;
    notifier.info_many(&context(), events(30..40)).await.unwrap();
    assert_eq!(take(&mut standby, 10).await, (30..40).collect::<Vec<_>>());
}

/// Two listeners of one pool and one of another, on two priorities.
pub async fn each_pool_hears_everything_and_its_listeners_share(bus: &impl Bus) {
    let transport = bus.connect().await;
    let listen = async |pool: &str| {
        NotificationListener::builder(&transport, "reports")
            .priority(Priority::Info)
            .priority(Priority::Error)
            .pool(pool)
            .prefetch(1)
            .start()
            .await
            .unwrap()
    };
    let (mut one, mut two, mut other) = (listen("billing").await, listen("billing").await, listen("audit").await);
    let notifier = Notifier::new(&transport, "reports", "p");
    for number in 0..10 {
        let payload = json!({ "number": number });
        if number % 2 == 0 {
            notifier.info(&context(), "test.event", &payload).await.unwrap();
        } else {
            notifier.error(&context(), "test.event", &payload).await.unwrap();
        }
    }
    let mut shared = Vec::new();
    while shared.len() < 10 {
        let batch = tokio::select! {
            batch = next(&mut one, 1) => batch,
            batch = next(&mut two, 1) => batch,
        };
        shared.extend(numbers(&batch));
        batch.ack().await;
    }
    shared.sort_unstable();
    assert_eq!(shared, (0..10).collect::<Vec<_>>());
    assert_eq!(take(&mut other, 10).await, (0..10).collect::<Vec<_>>());
}
