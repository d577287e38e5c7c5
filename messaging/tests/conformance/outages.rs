//! What a broker does to everybody at once: it stops, dies, runs out of memory, loses patience with a consumer.

use std::collections::BTreeSet;
use std::time::Duration;

use novella_messaging::{CallError, Health, MessagingError, Transport, TransportOptions};
use novella_testing::Broker;

use crate::support::*;

const CASTS: u32 = 1000;
const CALLS: u32 = 200;

async fn connect(broker: &Broker, publish_timeout: Duration) -> Transport {
    let options = TransportOptions {
        publish_timeout,
        heartbeat_timeout_threshold: Duration::from_secs(2),
        ..TransportOptions::default()
    };
    Transport::connect(&broker.url(), options).await.unwrap()
}

/// Casts and calls are under way while `outage` happens: every cast is done once, and each call is answered or fails in
/// time with a clear error. Nobody is started again.
async fn everything_accepted_is_done(mut broker: Broker, outage: impl AsyncFnOnce(&mut Broker)) {
    let mut crew = Crew::new();
    let (receiver, sender) = (connect(&broker, PATIENCE).await, connect(&broker, PATIENCE).await);
    let _server = crew.serve(&receiver, "host-1").await;
    let client = WorkClient::new(&sender);
    let casts = {
        let client = client.clone();
        tokio::spawn(async move {
            for job in 0..CASTS {
                client.perform(&context(), job.to_string()).await.unwrap();
            }
        })
    };
    let limit = Duration::from_secs(20);
    let calls: Vec<_> = (0..CALLS)
        .map(|number| {
            let client = client.timeout(limit);
            tokio::spawn(async move {
                let started = std::time::Instant::now();
                let answer = client.echo(&context(), number.to_string()).await;
                (number, answer, started.elapsed())
            })
        })
        .collect();
    // In the middle of it.
    let mut done = Ledger::default();
    while done.jobs.len() < 50 {
        done.enter(&crew.next_text().await);
    }
    outage(&mut broker).await;

    within(casts).await.unwrap();
    while done.jobs.len() < CASTS as usize {
        done.enter(&crew.next_text().await);
    }
    for call in calls {
        let (number, answer, took) = within(call).await.unwrap();
        match answer {
            Ok((_, text)) => assert_eq!(text, number.to_string()),
            Err(CallError::Messaging(MessagingError::Timeout { .. } | MessagingError::Disconnected { .. })) => {}
            Err(other) => panic!("{other:?}"),
        }
        // It has to be sent before it can wait.
        assert!(took < limit + PATIENCE, "{took:?}");
    }
    assert_eq!(client.echo(&context(), "after".into()).await.unwrap().1, "after");
    assert_eq!((receiver.health(), sender.health()), (Health::Connected, Health::Connected));
    assert_eq!(crew.rest(), []);
}

/// What was done, each job once.
#[derive(Default)]
struct Ledger {
    jobs: BTreeSet<u32>,
}

impl Ledger {
    fn enter(&mut self, job: &str) {
        assert!(self.jobs.insert(job.parse().unwrap()), "{job} was done twice");
    }
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
    let (broker, mut crew) = (Broker::start("").await, Crew::new());
    let transport = connect(&broker, PATIENCE).await;
    let hasty = connect(&broker, Duration::from_secs(1)).await;
    let _server = crew.serve(&transport, "host-1").await;
    let client = WorkClient::new(&transport);
    client.echo(&context(), "before".into()).await.unwrap();

    broker.control(&["set_vm_memory_high_watermark", "0.000001"]).await;
    let error = WorkClient::new(&hasty).perform(&context(), "hasty".into()).await.unwrap_err();
    let MessagingError::Blocked { reason, waited } = &error else { panic!("{error:?}") };
    assert!(reason.contains("memory") && *waited == Duration::from_secs(1), "{error}");
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
    while crew.next_text().await != "patient" {}
    eventually(async || match hasty.health() {
        Health::Connected => Ok(()),
        other => Err(other),
    })
    .await;
}

/// RabbitMQ closes the channel of a consumer that holds a message for too long (`consumer_timeout`, by default half an
/// hour): with a precondition error, and it delivers again what the consumer had.
pub async fn a_channel_closed_over_a_slow_method_is_made_again_and_the_method_runs_on() {
    let (broker, mut crew) = (Broker::start("consumer_timeout = 1000").await, Crew::new());
    // How often the broker looks; by default each minute.
    broker.control(&["eval", "application:set_env(rabbit, channel_tick_interval, 500)."]).await;
    let transport = connect(&broker, PATIENCE).await;
    let _server = crew.serve(&transport, "host-1").await;
    let client = WorkClient::new(&transport);
    client.perform(&context(), "wait".into()).await.unwrap();
    assert_eq!(crew.next_text().await, "wait");
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
    assert_eq!(crew.next_text().await, "next");
    crew.gate.add_permits(1);
    assert_eq!(crew.next_text().await, "done");
    client.echo(&context(), "after".into()).await.unwrap();
    assert_eq!(crew.rest(), []);
}
