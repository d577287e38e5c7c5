//! What a peer sends is believed neither in size nor in number, nor in who it says that it is from.

use std::time::{Duration, Instant};

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use novella_messaging::{
    CallError, DeadLetter, DeadLetterAction, Endpoint, MessagingError, NotificationListener, Notifier, Outcome,
    Request, RpcClient, RpcServer, Target, Transport, TransportOptions, Version,
};
use novella_testing::Vhost;
use serde_json::{Map, Value, json};

use crate::conformance::support::*;

const MIB: usize = 1024 * 1024;

/// Far more than it takes to pass by the malformed; less than a conductor's silence after which its hosts count as down.
const NO_LONG_TIME: Duration = Duration::from_secs(45);

/// A channel of a peer's own, with confirms.
async fn peer(url: &str) -> (Connection, Channel) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    (connection, channel)
}

/// Sends them to a queue, and waits until the broker has them.
async fn send(channel: &Channel, queue: &str, body: &[u8], count: usize, properties: BasicProperties) {
    let mut last = None;
    for _ in 0..count {
        let options = BasicPublishOptions::default();
        last = Some(channel.basic_publish("".into(), queue.into(), options, body, properties.clone()).await.unwrap());
    }
    last.unwrap().await.unwrap();
    channel.wait_for_confirms().await.unwrap();
}

async fn listen(transport: &Transport) -> NotificationListener {
    NotificationListener::builder(transport, "reports").single_active_consumer(true).start().await.unwrap()
}

/// A figure of this process, in bytes.
fn memory(what: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// What it kills is the listener that has it; the others are not held up by that for long.
pub async fn a_notification_that_kills_every_listener_is_set_aside(bus: &impl Bus) {
    let transport = bus.connect().await;
    let notifier = Notifier::new(&transport, "reports", "p");
    let events = ["deadly", "harmless"].map(|event| (event.to_owned(), Value::Null));
    notifier.info_many(&context(), events).await.unwrap();
    let (mut deaths, mut survived) = (0, false);
    while !survived {
        let mut listener = listen(&transport).await;
        loop {
            let batch = within(listener.next_batch(10)).await.unwrap();
            let events: Vec<&str> = batch.notifications().iter().map(|it| it.event_type.as_str()).collect();
            if events.contains(&"deadly") {
                // With what it has in hand.
                deaths += 1;
                drop(listener);
                break;
            }
            survived = events == ["harmless"];
            batch.ack().await;
            if survived {
                listener.stop().await;
                break;
            }
        }
        assert!(deaths <= 5, "it is not set aside");
    }
    assert_eq!(deaths, 5);
    let letters = dead_lettered(&transport, 1).await;
    assert_eq!((letters[0].event_type.as_deref(), letters[0].queue.as_str()), (Some("deadly"), "reports.info"));
    assert!(letters[0].reason.starts_with("delivered 5 times in vain"), "{}", letters[0].reason);
}

/// Given back on purpose, a notification waits for as long as it takes: for a database that is away.
pub async fn a_notification_that_is_given_back_is_never_set_aside(bus: &impl Bus) {
    let transport = bus.connect().await;
    Notifier::new(&transport, "reports", "p").info(&context(), "patient", &()).await.unwrap();
    let mut listener = listen(&transport).await;
    for _ in 0..20 {
        within(listener.next_batch(10)).await.unwrap().requeue().await;
    }
    // Nor when listeners come and go meanwhile.
    for _ in 0..8 {
        within(listener.next_batch(10)).await.unwrap().requeue().await;
        within(listener.next_batch(10)).await.unwrap().requeue().await;
        listener.stop().await;
        listener = listen(&transport).await;
    }
    within(listener.next_batch(10)).await.unwrap().ack().await;
    assert_eq!(transport.dead_letters(10).await.unwrap(), []);
}

/// What a broker gives a listener ahead is hundreds of notifications, and none of them has killed anybody when their
/// connection is cut: one by one they would hold up all that comes after them.
pub async fn what_a_listener_had_in_hand_when_its_connection_was_cut_comes_again_in_batches(vhost: &Vhost) {
    let transport = vhost.connect().await;
    let mut listener = listen(&transport).await;
    let events = (0..100).map(|number| (number.to_string(), Value::Null));
    Notifier::new(&transport, "reports", "p").info_many(&context(), events).await.unwrap();
    let first = within(listener.next_batch(1)).await.unwrap();
    assert!(vhost.close_connections().await > 0);
    drop(first);
    // A busy broker takes its time to hand them out again; what is looked at is how the listener takes them.
    eventually(async || match &transport.inspect(&["reports.info"]).await.unwrap().queues[0] {
        queue if queue.consumers == 1 && queue.ready == 0 => Ok(()),
        queue => Err(queue.clone()),
    })
    .await;
    let (mut batches, mut taken) = (0, std::collections::BTreeSet::new());
    while taken.len() < 100 {
        let batch = within(listener.next_batch(500)).await.unwrap();
        batches += 1;
        taken.extend(batch.notifications().iter().map(|it| it.event_type.clone()));
        batch.ack().await;
    }
    assert!(batches < 50, "{batches} batches");
    assert_eq!(transport.dead_letters(10).await.unwrap(), []);
}

/// Read, each of these takes thirty times its bytes.
pub async fn messages_that_are_too_large_are_set_aside_unread_and_take_no_memory(vhost: &Vhost) {
    let transport = vhost.connect().await;
    listen(&transport).await.stop().await;
    let (connection, channel) = peer(vhost.url()).await;
    let body = format!("[{}1]", "[],".repeat(61 * MIB / 3));
    send(&channel, "reports.info", body.as_bytes(), 4, BasicProperties::default()).await;
    connection.close(200, "OK".into()).await.unwrap();
    let size = body.len();
    drop((body, channel, connection));
    Notifier::new(&transport, "reports", "p").info(&context(), "next", &()).await.unwrap();

    // Forget the most that there ever was.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = memory("VmRSS:");
    let mut listener = listen(&transport).await;
    let batch = tokio::time::timeout(Duration::from_secs(60), listener.next_batch(10)).await.unwrap().unwrap();
    assert_eq!(batch.notifications()[0].event_type, "next");
    batch.ack().await;
    let most = memory("VmHWM:").saturating_sub(before) / MIB;
    assert!(most < 500, "{most} MiB");

    let letters = dead_lettered(&transport, 4).await;
    for letter in &letters {
        assert_eq!(letter.cut, Some(u64::try_from(size).unwrap()));
        assert!(letter.body.len() <= 4096 && letter.reason.contains(&size.to_string()), "{}", letter.reason);
    }
    // What is not there can't be sent again.
    let disposed = transport.dispose_of_dead_letters(10, |_| DeadLetterAction::Resend).await.unwrap();
    assert_eq!((disposed.count, disposed.failed.len()), (0, 4));
}

/// And of what is set aside, so much is kept, and no more.
pub async fn a_flood_of_malformed_notifications_holds_up_nobody_for_long(vhost: &Vhost) {
    let transport = vhost.connect().await;
    listen(&transport).await.stop().await;
    let (_connection, channel) = peer(vhost.url()).await;
    send(&channel, "reports.info", b"[]", 120_000, BasicProperties::default()).await;
    Notifier::new(&transport, "reports", "p").info(&context(), "heartbeat", &()).await.unwrap();
    let started = Instant::now();
    let mut listener = listen(&transport).await;
    let batch = tokio::time::timeout(2 * NO_LONG_TIME, listener.next_batch(500)).await.unwrap().unwrap();
    assert_eq!(batch.notifications()[0].event_type, "heartbeat");
    batch.ack().await;
    let took = started.elapsed();
    assert!(took < NO_LONG_TIME, "{took:?}");
    vhost.wait_for_messages(DeadLetter::QUEUE, DeadLetter::MAX_KEPT.into()).await;
}

/// It was declared without a bound, and can't be declared with one; nor does anybody have to delete it.
pub async fn the_dead_letters_queue_of_an_earlier_version_is_used_as_it_is(vhost: &Vhost) {
    let (_connection, channel) = peer(vhost.url()).await;
    channel
        .queue_declare(DeadLetter::QUEUE.into(), QueueDeclareOptions::durable(), FieldTable::default())
        .await
        .unwrap();
    let transport = vhost.connect().await;
    let mut listener = listen(&transport).await;
    send(&channel, "reports.info", b"[]", 3, BasicProperties::default()).await;
    Notifier::new(&transport, "reports", "p").info(&context(), "next", &()).await.unwrap();
    within(listener.next_batch(10)).await.unwrap().ack().await;
    let mut workers = Workers::new();
    let _server = workers.serve(&transport, "host-1").await;
    send(&channel, "work", b"[]", 1, BasicProperties::default()).await;
    let letters = dead_lettered(&transport, 4).await;
    assert!(letters.iter().all(|letter| !letter.doubtful), "{letters:?}");
    WorkClient::new(&transport).perform(&context(), "on".into()).await.unwrap();
    assert_eq!(workers.next_text().await, "on");
}

/// Nor is what would be refused by those it is for. A caller whose answer would be too large is told so.
pub async fn a_message_that_is_too_large_is_not_sent(vhost: &Vhost) {
    let options = TransportOptions { max_message_bytes: 100_000, ..TransportOptions::default() };
    let transport = Transport::connect(vhost.url(), options).await.unwrap();
    let far = vhost.connect().await;
    let workers = Workers::new();
    let server = workers.serve(&transport, "host-1").await;
    // The request passes; its failure, in which the job stands several times, would be too large.
    let error = WorkClient::new(&far).refuse(&context(), "x".repeat(60_000), 1).await.unwrap_err();
    let CallError::Messaging(MessagingError::Remote(failure)) = &error else { panic!("{error:?}") };
    assert!(failure.message.contains("max_message_bytes"), "{failure}");
    let error = WorkClient::new(&transport).echo(&context(), huge()).await.unwrap_err();
    let CallError::Messaging(MessagingError::Refused { reason, .. }) = &error else { panic!("{error:?}") };
    assert!(reason.contains("max_message_bytes"), "{reason}");
    server.stop(NO_GRACE).await;
}

/// Tells who has sent a request.
struct WhoAsks;

impl Endpoint for WhoAsks {
    fn version(&self) -> Version {
        Version::default()
    }

    fn dispatch(&self, request: Request) -> futures_util::future::BoxFuture<'_, Outcome> {
        Box::pin(async move { Outcome::Returned(json!(request.sender())) })
    }
}

/// The broker vouches for it, and refuses whoever says that it is another.
pub async fn who_has_sent_a_message_is_known_by_the_brokers_word(vhost: &Vhost) {
    let transport = vhost.connect().await;
    let user = transport.user().unwrap().to_owned();
    let target = Target::new("who");
    let _server = RpcServer::builder(&transport, target.clone()).endpoint(WhoAsks).start().await.unwrap();
    let asked = RpcClient::new(&transport, target).call(Value::Null, "ask", Map::new()).await.unwrap();
    assert_eq!(asked, json!(user));

    let mut listener = listen(&transport).await;
    Notifier::new(&transport, "reports", "compute.host-1").info(&context(), "signed", &()).await.unwrap();
    let batch = within(listener.next_batch(1)).await.unwrap();
    assert_eq!(batch.notifications()[0].sender.as_deref(), Some(&*user));
    batch.ack().await;

    let (_connection, channel) = peer(vhost.url()).await;
    let unsigned = json!({ "message_id": "m", "publisher_id": user, "event_type": "unsigned", "priority": "INFO",
        "payload": {}, "timestamp": "", "_unique_id": "u" });
    let unsigned = unsigned.to_string();
    send(&channel, "reports.info", unsigned.as_bytes(), 1, BasicProperties::default()).await;
    let batch = within(listener.next_batch(1)).await.unwrap();
    assert_eq!((&*batch.notifications()[0].event_type, &batch.notifications()[0].sender), ("unsigned", &None));
    batch.ack().await;
    let (options, forged) = (BasicPublishOptions::default(), BasicProperties::default().with_user_id("another".into()));
    let sent = channel.basic_publish("".into(), "reports.info".into(), options, unsigned.as_bytes(), forged);
    let error = sent.await.unwrap().await.unwrap_err().to_string();
    assert!(error.contains("user_id"), "{error}");
}

/// In process nobody else is there.
pub async fn in_process_nobody_vouches(bus: &impl Bus) {
    let transport = bus.connect().await;
    let _server = RpcServer::builder(&transport, Target::new("who")).endpoint(WhoAsks).start().await.unwrap();
    let asked = RpcClient::new(&transport, Target::new("who")).call(Value::Null, "ask", Map::new()).await.unwrap();
    assert_eq!((asked, transport.user()), (Value::Null, None));
}
