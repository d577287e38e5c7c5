//! What a broker would do for its queues, done in process.

use bytes::Bytes;

use super::*;
use crate::transport::{Content, Lifetime, Message};

fn queue() -> QueueSpec {
    QueueSpec {
        name: "q".into(),
        lifetime: Lifetime::Lasting,
        bound_to: Vec::new(),
        single_active: false,
        if_permitted: false,
    }
}

fn publication() -> Publication {
    let message = Message::new(Content::Encoded(Bytes::from_static(b"{}")));
    let route = Route::Queue { name: "q".into() };
    Publication { declare: Some(Box::new(queue())), ..Publication::mandatory(route, message) }
}

fn subscribe(bus: &Arc<MemoryBus>) -> Subscriber {
    let subscription =
        Subscription { queues: vec![queue()], besides: Vec::new(), prefetch: 1, max_message_bytes: usize::MAX };
    MemoryBus::subscribe(bus, subscription, &"owner".into())
}

const NO_TIME: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_full_queue_holds_back_its_publishers() {
    let bus = MemoryBus::named("", 2);
    bus.publish(publication(), NO_TIME).await.unwrap();
    bus.publish(publication(), NO_TIME).await.unwrap();
    let refused = bus.publish(publication(), NO_TIME).await;
    assert!(matches!(refused, Err(MessagingError::Blocked { .. })), "{refused:?}");

    let waiting = tokio::spawn({
        let bus = Arc::clone(&bus);
        async move { bus.publish(publication(), LONG).await }
    });
    let mut subscriber = subscribe(&bus);
    for _ in 0..3 {
        subscriber.next().await.unwrap().ack();
    }
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_holds_up_no_publisher() {
    let bus = MemoryBus::named("", 1);
    let mut expired = publication();
    expired.message.expiration = Some(Duration::ZERO);
    bus.publish(expired, NO_TIME).await.unwrap();
    bus.publish(publication(), NO_TIME).await.unwrap();
}

#[tokio::test]
async fn a_full_queue_that_goes_with_its_consumer_holds_up_no_publisher() {
    let bus = MemoryBus::named("", 1);
    let route = Route::Fanout { topic: "t".into() };
    let spec = QueueSpec { lifetime: Lifetime::Transient, bound_to: vec![route.clone()], ..queue() };
    let consumer = MemoryBus::subscribe(
        &bus,
        Subscription { queues: vec![spec], besides: Vec::new(), prefetch: 1, max_message_bytes: usize::MAX },
        &"owner".into(),
    );
    let fanout = || Publication { route: route.clone(), mandatory: false, declare: None, ..publication() };
    // One is with the consumer, one in its queue.
    bus.publish(fanout(), NO_TIME).await.unwrap();
    bus.publish(fanout(), NO_TIME).await.unwrap();
    let mut waiting = std::pin::pin!(bus.publish(fanout(), LONG));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    drop(consumer);
    waiting.await.unwrap();
}

#[tokio::test]
async fn a_named_bus_lives_as_long_as_somebody_is_on_it() {
    let bus = MemoryBus::named("a name", 10);
    bus.publish(publication(), NO_TIME).await.unwrap();
    let same = MemoryBus::named("a name", 10);
    assert_eq!(subscribe(&same).next().await.unwrap().message.deliveries, 0);
    drop((bus, same));
    let another = MemoryBus::named("a name", 10);
    assert!(subscribe(&another).try_next().is_none());
}

#[tokio::test]
async fn a_message_returns_to_its_place() {
    let bus = MemoryBus::named("", 10);
    for _ in 0..3 {
        bus.publish(publication(), NO_TIME).await.unwrap();
    }
    let mut one = subscribe(&bus);
    let first = one.next().await.unwrap();
    drop(one);
    let mut two = subscribe(&bus);
    let again = two.next().await.unwrap();
    assert!(again.redelivered && !first.redelivered && first.is_void());
    again.ack();
    assert!(!two.next().await.unwrap().redelivered);
}

#[tokio::test]
async fn dead_letters_are_bounded_and_hold_up_nobody() {
    let bus = MemoryBus::named("", 3);
    let spec = crate::transport::dead_letters();
    let letter = |deliveries: u32| {
        let route = Route::DeadLetter { queue: "q".into() };
        let message = Message { deliveries, ..publication().message };
        Publication { declare: Some(Box::new(spec.clone())), ..Publication::mandatory(route, message) }
    };
    for number in 0..5 {
        bus.publish(letter(number), NO_TIME).await.unwrap();
    }
    let kept: Vec<u32> =
        MemoryBus::fetch(&bus, spec.clone(), 10, &"o".into()).map(|it| it.message.deliveries).collect();
    assert_eq!(kept, [2, 3, 4]);
}
