//! What a broker does to everybody at once: it stops, dies, runs out of memory, loses its consumers to a timeout.

use std::time::{Duration, Instant};

use novella_messaging::{CallError, Health, MessagingError, Transport, TransportOptions};
use novella_testing::Broker;

use crate::conformance::support::*;

const CASTS: u32 = 1000;
const CALLS: usize = 200;
/// How long a call waits.
const LIMIT: Duration = TEST_TIMEOUT;
/// With so much of it left when the broker is back, there is no excuse for a call that is not answered.
const ENOUGH: Duration = Duration::from_secs(15);
/// How late a busy machine may be.
const SLACK: Duration = Duration::from_secs(5);

async fn connect(broker: &Broker, publish_timeout: Duration) -> Transport {
    let options = TransportOptions {
        publish_timeout,
        heartbeat_timeout_threshold: Duration::from_secs(2),
        ..TransportOptions::default()
    };
    Transport::connect(&broker.url(), options).await.unwrap()
}

/// Casts are under way and calls run while `outage` happens: every cast is done once, and each call is answered, or
/// fails in time with a clear error. Nobody is started again.
async fn everything_accepted_is_done(mut broker: Broker, outage: impl AsyncFnOnce(&mut Broker)) {
    let mut workers = Workers::new();
    let (receiver, sender) = (connect(&broker, TEST_TIMEOUT).await, connect(&broker, TEST_TIMEOUT).await);
    // All the calls, and casts beside them.
    let _server = workers.serve_at_once(&receiver, "host-1", CALLS + 50).await;
    let client = WorkClient::new(&sender);
    let called = Instant::now();
    let calls: Vec<_> = (0..CALLS)
        .map(|_| {
            let client = client.timeout(LIMIT);
            tokio::spawn(async move { (client.wait(&context()).await, called.elapsed()) })
        })
        .collect();
    let mut done = WorkLog::default();
    while done.calls < CALLS {
        done.enter(&workers.next_text().await);
    }
    let casts = {
        let client = client.clone();
        tokio::spawn(async move {
            for job in 0..CASTS {
                client.perform(&context(), job.to_string()).await.unwrap();
            }
        })
    };
    // In the middle of it.
    while done.jobs.len() < 50 {
        done.enter(&workers.next_text().await);
    }
    assert!(calls.iter().all(|call| !call.is_finished()) && !casts.is_finished());
    outage(&mut broker).await;

    let time_left = LIMIT.saturating_sub(called.elapsed());
    workers.gate.add_permits(CALLS);
    within(casts).await.unwrap();
    while done.jobs.len() < CASTS as usize || done.passed < CALLS {
        done.enter(&workers.next_text().await);
    }
    for call in calls {
        let (answer, took) = within(call).await.unwrap();
        match answer {
            Ok(host) => assert_eq!(host, "host-1"),
            Err(CallError::Messaging(
                error @ (MessagingError::Timeout { .. } | MessagingError::Disconnected { .. }),
            )) => {
                assert!(time_left < ENOUGH, "the broker was back with {time_left:?} left, and yet: {error}");
            }
            Err(other) => panic!("{other:?}"),
        }
        assert!(took < LIMIT + SLACK, "{took:?}");
    }
    assert_eq!(done.calls, CALLS, "a call was begun twice");
    assert_eq!(client.echo(&context(), "after".into()).await.unwrap().1, "after");
    assert_eq!((receiver.health(), sender.health()), (Health::Connected, Health::Connected));
    assert_eq!(workers.unread_events(), []);
}

pub async fn a_broker_that_is_stopped_and_started_loses_nothing() {
    everything_accepted_is_done(Broker::start("").await, async |broker| {
        broker.stop().await;
        broker.start_again().await;
    })
    .await;
}

pub async fn a_broker_that_is_killed_and_started_loses_nothing() {
    everything_accepted_is_done(Broker::start("").await, async |broker| {
        broker.kill().await;
        broker.start_again().await;
    })
    .await;
}

pub async fn a_broker_without_memory_is_an_error_that_says_so_and_health_says_so_too() {
    let (broker, mut workers) = (Broker::start("").await, Workers::new());
    let transport = connect(&broker, TEST_TIMEOUT).await;
    let hasty = connect(&broker, Duration::from_secs(5)).await;
    let _server = workers.serve(&transport, "host-1").await;
    let client = WorkClient::new(&transport);
    client.echo(&context(), "before".into()).await.unwrap();

    broker.control(&["set_vm_memory_high_watermark", "0.000001"]).await;
    let error = WorkClient::new(&hasty).perform(&context(), "hasty".into()).await.unwrap_err();
    let MessagingError::Blocked { reason, waited } = &error else { panic!("{error:?}") };
    assert!(reason.contains("memory") && *waited == Duration::from_secs(5), "{error}");
    let Health::Blocked { reason } = hasty.health() else { panic!("{:?}", hasty.health()) };
    assert!(reason.contains("memory"), "{reason}");

    let waiting = tokio::spawn(async move { client.perform(&context(), "patient".into()).await });
    eventually(async || match transport.health() {
        Health::Blocked { .. } => Ok(()),
        other => Err(other),
    })
    .await;
    assert!(!waiting.is_finished());
    broker.control(&["set_vm_memory_high_watermark", "0.4"]).await;
    within(waiting).await.unwrap().unwrap();
    while workers.next_text().await != "patient" {}
    eventually(async || match hasty.health() {
        Health::Connected => Ok(()),
        other => Err(other),
    })
    .await;
}

/// What is done is not done again because it takes long to say so.
pub async fn an_answer_that_the_broker_takes_late_is_sent_and_its_work_not_done_twice() {
    let (broker, mut workers) = (Broker::start("").await, Workers::new());
    let (receiver, sender) = (connect(&broker, Duration::from_secs(1)).await, connect(&broker, TEST_TIMEOUT).await);
    let _server = workers.serve(&receiver, "host-1").await;
    let client = WorkClient::new(&sender);
    let call = tokio::spawn(async move { client.wait(&context()).await });
    assert_eq!(workers.next_text().await, "wait");
    broker.control(&["set_vm_memory_high_watermark", "0.000001"]).await;
    workers.gate.add_permits(1);
    assert_eq!(workers.next_text().await, "waited");
    // Longer than a publish may take.
    eventually(async || match receiver.health() {
        Health::Blocked { .. } => Ok(()),
        other => Err(other),
    })
    .await;
    let error = WorkClient::new(&receiver).perform(&context(), "hasty".into()).await.unwrap_err();
    assert!(matches!(error, MessagingError::Blocked { .. }), "{error:?}");
    assert!(!call.is_finished());
    broker.control(&["set_vm_memory_high_watermark", "0.4"]).await;
    assert_eq!(within(call).await.unwrap().unwrap(), "host-1");
    assert_eq!(workers.unread_events(), []);
}

/// RabbitMQ closes the channel of a consumer that holds a message for too long (`consumer_timeout`, by default half an
/// hour): with a precondition error, and it delivers again what the consumer had.
pub async fn a_channel_closed_over_a_slow_method_is_made_again_and_the_method_runs_on() {
    let (broker, mut workers) = (Broker::start("consumer_timeout = 1000").await, Workers::new());
    // How often the broker looks; by default each minute.
    broker.control(&["eval", "application:set_env(rabbit, channel_tick_interval, 500)."]).await;
    let transport = connect(&broker, TEST_TIMEOUT).await;
    let _server = workers.serve(&transport, "host-1").await;
    let client = WorkClient::new(&transport);
    client.perform(&context(), "wait".into()).await.unwrap();
    assert_eq!(workers.next_text().await, "wait");
    // The closed channel shows in the broker's log alone: the server has it back in a moment.
    let log = broker.log();
    eventually(async || {
        let text = tokio::fs::read_to_string(&log).await.map_err(|error| error.to_string())?;
        let closed = text.contains("precondition_failed: delivery acknowledgement on channel");
        if closed { Ok(()) } else { Err("no channel was closed".to_owned()) }
    })
    .await;
    // Consumed again, and what runs is not begun a second time.
    client.perform(&context(), "next".into()).await.unwrap();
    assert_eq!(workers.next_text().await, "next");
    workers.gate.add_permits(1);
    assert_eq!(workers.next_text().await, "done");
    client.echo(&context(), "after".into()).await.unwrap();
    assert_eq!(workers.unread_events(), []);
}
