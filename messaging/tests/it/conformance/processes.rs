//! Servers that are processes, and die as processes do.
#![expect(clippy::print_stdout, reason = "it is how a worker tells its test what it does")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::process::Stdio;

use novella_messaging::{RpcServer, Target, Transport, TransportOptions};
use novella_testing::Vhost;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::conformance::support::*;

/// Where a worker finds the bus: set for the processes that this binary starts of itself.
const URL: &str = "CONFORMANCE_WORKER_URL";
/// What precedes the lines that tell of work, among what the test harness prints.
const MARK: &str = "worker: ";

/// Does the work, and may die of it.
struct AbortingManager;

impl Work for AbortingManager {
    async fn echo(&self, ctx: Context, text: String) -> Result<(Context, String), WorkError> {
        Ok((ctx, text))
    }
    async fn refuse(&self, _ctx: Context, _job: String, _tried: u32) -> Result<(), WorkError> {
        Err(WorkError::Closed)
    }
    async fn wait(&self, _ctx: Context) -> Result<String, WorkError> {
        std::future::pending().await
    }
    async fn explode(&self, _ctx: Context) -> Result<(), WorkError> {
        std::process::abort()
    }
    async fn newer(&self, _ctx: Context, _optional: Option<u32>) -> Result<u32, WorkError> {
        Ok(0)
    }
    async fn perform(&self, _ctx: Context, job: String) -> Result<(), WorkError> {
        println!("{MARK}{job}");
        match job.as_str() {
            "kill" => std::process::abort(),
            job if job.starts_with("wait") => std::future::pending().await,
            _ => Ok(()),
        }
    }
    async fn ring(&self, _ctx: Context, _bell: String) -> Result<(), WorkError> {
        Ok(())
    }
}

/// The life of a worker process.
pub async fn work_until_killed() {
    let url = std::env::var(URL).expect("started by a test of this binary");
    let transport = Transport::connect(&url, TransportOptions::default()).await.unwrap();
    let target = Target::new("work").server(format!("worker-{}", std::process::id()));
    let _server = RpcServer::builder(&transport, target)
        .endpoint(WorkEndpoint::new(std::sync::Arc::new(AbortingManager)))
        // One is worked on, and the others are held.
        .limit("perform", 1)
        .start()
        .await
        .unwrap();
    println!("{MARK}ready");
    std::future::pending().await
}

struct Worker {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it told before it was ready: it works from the moment that it consumes.
    told: VecDeque<String>,
}

impl Worker {
    async fn start(vhost: &Vhost) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "conformance::worker_process", "--ignored", "--nocapture"])
            .env(URL, vhost.url())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut worker = Self { process, lines, told: VecDeque::new() };
        loop {
            match worker.read().await.unwrap() {
                ready if ready == "ready" => return worker,
                earlier => worker.told.push_back(earlier),
            }
        }
    }

    /// What it tells next; nothing if it has died.
    async fn next(&mut self) -> Option<String> {
        match self.told.pop_front() {
            Some(told) => Some(told),
            None => self.read().await,
        }
    }

    async fn read(&mut self) -> Option<String> {
        while let Some(line) = within(self.lines.next_line()).await.unwrap() {
            if let Some((_, what)) = line.split_once(MARK) {
                return Some(what.to_owned());
            }
        }
        None
    }
}

pub async fn what_a_killed_process_was_doing_is_done_by_another(vhost: &Vhost) {
    let mut one = Worker::start(vhost).await;
    let transport = vhost.connect().await;
    let client = WorkClient::new(&transport);
    client.perform(&context(), "wait".into()).await.unwrap();
    assert_eq!(one.next().await.as_deref(), Some("wait"));
    let mut two = Worker::start(vhost).await;
    one.process.kill().await.unwrap();
    assert_eq!(two.next().await.as_deref(), Some("wait"));
}

pub async fn a_message_that_kills_each_process_is_set_aside_with_the_reason(vhost: &Vhost) {
    let transport = vhost.connect().await;
    let mut worker = Worker::start(vhost).await;
    let client = WorkClient::new(&transport);
    client.perform(&context(), "kill".into()).await.unwrap();
    let mut deaths = 0;
    let letters = loop {
        // It tells what it dies of, or nothing more once the message is out of its way.
        if worker.next().await.as_deref() == Some("kill") {
            assert_eq!(worker.next().await, None);
            deaths += 1;
            assert!(deaths <= transport.options().max_deliveries, "it goes on killing");
        }
        worker = Worker::start(vhost).await;
        if deaths == transport.options().max_deliveries {
            break eventually(async || dead_letters(&transport).await).await;
        }
    };
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert!(letter.queue == "work" && letter.reason.contains("delivered 5 times"), "{letter:?}");
    client.perform(&context(), "next".into()).await.unwrap();
    assert_eq!(worker.next().await.as_deref(), Some("next"));
    // What was marked while it lasted.
    eventually(async || {
        let left: Vec<String> = vhost.queues().await.into_iter().filter(|queue| queue.starts_with("begun_")).collect();
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
}

pub async fn what_a_process_only_held_is_no_dead_letter_however_often_it_is_killed(vhost: &Vhost) {
    const JOBS: usize = 30;
    const DEATHS: usize = 7;
    let (transport, mut workers) = (vhost.connect().await, Workers::new());
    workers.serve(&transport, "host").await.stop(TEST_TIMEOUT).await;
    let client = WorkClient::new(&transport);
    for number in 0..JOBS {
        client.perform(&context(), format!("wait {number}")).await.unwrap();
    }
    let mut tried: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..DEATHS {
        let mut worker = Worker::start(vhost).await;
        *tried.entry(worker.next().await.unwrap()).or_default() += 1;
        eventually(async || match transport.inspect(&["work"]).await.unwrap().queues[0].ready {
            0 => Ok(()),
            ready => Err(format!("{ready} are not held by the process")),
        })
        .await;
        worker.process.kill().await.unwrap();
    }
    // A fifth time would be one too many, of which the first may count without having been one.
    let innocent: BTreeSet<String> = (0..JOBS)
        .map(|number| format!("wait {number}"))
        .filter(|job| tried.get(job).is_none_or(|times| *times < transport.options().max_deliveries - 1))
        .collect();
    assert!(innocent.len() >= JOBS - 1);
    let server = workers.serve(&transport, "host").await;
    workers.gate.add_permits(10 * JOBS);
    // Each is done, or set aside.
    let (mut ended, mut set_aside) = (BTreeSet::new(), BTreeSet::new());
    eventually(async || {
        ended.extend(workers.unread_events().into_iter().map(|(_, what)| what).filter(|what| what != "done"));
        for letter in transport.dead_letters(100).await.unwrap() {
            let job =
                (0..JOBS).rev().map(|number| format!("wait {number}")).find(|job| letter.body.contains(job)).unwrap();
            assert!(!innocent.contains(&job), "{letter:?}");
            set_aside.insert(job);
        }
        ended.extend(set_aside.iter().cloned());
        if ended.len() == JOBS { Ok(()) } else { Err(format!("{} of {JOBS} have come to an end", ended.len())) }
    })
    .await;
    server.stop(TEST_TIMEOUT).await;
    // With four it depends on whether the first counts.
    let too_often = tried.into_iter().filter(|(_, times)| *times >= transport.options().max_deliveries);
    assert!(too_often.map(|(job, _)| job).collect::<BTreeSet<_>>().is_subset(&set_aside), "{set_aside:?}");
}
