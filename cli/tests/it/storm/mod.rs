//! A storm: some minutes of random operations and faults on a whole cloud, then quiet, then an audit.
//!
//! What is done, by whom and to what is decided by a seed, which is printed; the moments are the machine's, so a seed
//! repeats the kind of weather, not each gust.
//!
//! - `NOVELLA_STORM_SEED`: which storm (at random)
//! - `NOVELLA_STORM_SECONDS`: how long (120)
//!
//! Plain `./test` leaves it out for its length; `./test --full` runs it.

mod audit;
mod faults;
mod operations;
mod record;

use std::{sync::Arc, time::Duration};

use rand::{SeedableRng, rngs::StdRng};
use tokio::time::Instant;

use self::{faults::Faults, record::Record};
use crate::support::cloud::{Cloud, Settings};

/// How many clients ask at once.
const CLIENTS: u64 = 6;

/// A variable that holds a number.
fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is '{value}' and not a number")))
}

/// Operations that take long enough to be interrupted, and periods short enough that what is lost is found soon.
fn settings() -> Settings {
    let environment = [
        ("NOVELLA_COMPUTE__FAKE__BOOT_SECONDS_MIN", "0.1"),
        ("NOVELLA_COMPUTE__FAKE__BOOT_SECONDS_MAX", "1.5"),
        ("NOVELLA_COMPUTE__FAKE__POWER_SECONDS", "0.3"),
        ("NOVELLA_COMPUTE__FAKE__BANDWIDTH_MIB", "400"),
        ("NOVELLA_COMPUTE__FAKE__PEER_TIMEOUT", "4"),
        ("NOVELLA_CONDUCTOR__MAX_CONCURRENT_LIVE_MIGRATIONS", "2"),
        ("NOVELLA_BUS__HEARTBEAT_TIMEOUT_THRESHOLD", "4"),
        ("NOVELLA_DATABASE__IDLE_IN_TRANSACTION_SESSION_TIMEOUT", "2"),
        ("NOVELLA_DATABASE__LOCK_TIMEOUT", "4"),
        ("NOVELLA_DATABASE__STATEMENT_TIMEOUT", "6"),
    ];
    let environment = environment.map(|(name, value)| (name, value.to_owned())).into();
    Settings { environment, breakable: true, ..Settings::default() }
}

async fn everything_is_settled_after_a_storm(faults: impl AsyncFnOnce(StdRng) -> Faults) {
    let seed = number("NOVELLA_STORM_SEED").unwrap_or_else(|| rand::random_range(0..1_000_000));
    let length = Duration::from_secs(number("NOVELLA_STORM_SECONDS").unwrap_or(120));
    eprintln!("NOVELLA_STORM_SEED={seed} repeats this storm");
    let mut faults = faults(StdRng::seed_from_u64(seed)).await;
    let record = Arc::new(Record::new());
    let client = faults.cloud().client().await;
    let image = client.image().await;

    let end = Instant::now() + length;
    let clients: Vec<_> = (1..=CLIENTS)
        .map(|number| {
            let random = StdRng::seed_from_u64(seed ^ (number << 32));
            let worker = operations::Worker::new(number, client.clone(), image.clone(), random, Arc::clone(&record));
            tokio::spawn(worker.work_until(end))
        })
        .collect();
    faults.rage_until(end, &record).await;
    faults.calm(&record).await;
    for client in clients {
        client.await.unwrap();
    }
    eprintln!("{record}");
    audit::of(faults.cloud(), &record).await;
    // Or nothing was tried.
    let made = record.servers().len();
    if made < usize::try_from(length.as_secs()).unwrap() / 4 {
        record.find(format!("only {made} servers were made"));
    }
    // With the seed, so that it is in what is shown of a test that failed.
    let findings = record.findings();
    assert!(findings.is_empty(), "NOVELLA_STORM_SEED={seed}: {} findings\n{}", findings.len(), findings.join("\n"));
}

mod embedded {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "it takes minutes: ./test --full"]
    async fn everything_is_settled_after_a_storm() {
        super::everything_is_settled_after_a_storm(async |random| {
            Faults::of_one_process(Cloud::embedded(settings()).await, random)
        })
        .await;
    }
}

mod on_rabbitmq_and_postgres {
    use super::*;

    mod of_its_own {
        use super::*;

        #[tokio::test(flavor = "multi_thread")]
        #[ignore = "it takes minutes: ./test --full"]
        async fn everything_is_settled_after_a_storm() {
            super::super::everything_is_settled_after_a_storm(async |random| {
                let (broker, postgres) =
                    (novella_testing::Broker::start("").await, novella_testing::Postgres::start().await);
                let cloud = Cloud::on_servers(&broker.url(), &postgres.url(), settings()).await;
                Faults::of_services_apart(cloud, broker, postgres, random)
            })
            .await;
        }
    }
}
