//! What the behaviours are shown with: a bus of a test's own, a contract, and a manager that tells
//! what happens to it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use novella_messaging::{
    DeadLetter, MessagingError, RpcError, RpcServer, Target, Transport, TransportOptions, Version,
};
use novella_testing::Vhost;
pub use novella_testing::{TEST_TIMEOUT, eventually, within};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc};

/// No time at all, for a server that stops.
pub const NO_GRACE: Duration = Duration::ZERO;

/// A place where transports meet, of one test's own.
pub trait Bus {
    async fn create() -> Self;
    fn url(&self) -> String;

    fn options(&self) -> TransportOptions {
        // Who waits for what was deleted to come back need not wait for long.
        TransportOptions { redeclare_interval: Duration::from_secs(4), ..TransportOptions::default() }
    }

    async fn connect(&self) -> Transport {
        Transport::connect(&self.url(), self.options()).await.unwrap()
    }
}

pub struct InProcess {
    name: String,
    /// The bus lives as long as a transport on it, and a test may have none at times.
    _transport: Transport,
}

impl Bus for InProcess {
    async fn create() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("conformance-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let _transport = Transport::connect(&format!("memory://{name}"), TransportOptions::default()).await.unwrap();
        Self { name, _transport }
    }

    fn url(&self) -> String {
        format!("memory://{}", self.name)
    }
}

impl Bus for Vhost {
    async fn create() -> Self {
        Vhost::create().await
    }

    fn url(&self) -> String {
        self.url().to_owned()
    }
}

/// A virtual host whose users agree on quorum queues for everything.
pub struct QuorumQueues(Vhost);

impl Bus for QuorumQueues {
    async fn create() -> Self {
        Self(Vhost::create().await)
    }

    fn url(&self) -> String {
        self.0.url().to_owned()
    }

    fn options(&self) -> TransportOptions {
        TransportOptions {
            rabbit_quorum_queue: true,
            rabbit_transient_quorum_queue: true,
            ..TransportOptions::default()
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Context {
    pub user_id: String,
    pub request_id: String,
}

pub fn context() -> Context {
    Context { user_id: "u1".into(), request_id: "req-1".into() }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub enum WorkError {
    #[error("no such job: {job}")]
    NoSuchJob { job: String, tried: u32 },
    #[error("closed")]
    Closed,
    #[error("what it needs is away")]
    Away,
}

impl RpcError for WorkError {
    const MODULE: &'static str = "novella.tests";

    fn is_temporary(&self) -> bool {
        matches!(self, Self::Away)
    }
}

/// What the tests ask for.
///
/// 1.0: all but the following. 1.1: `newer`.
#[novella_messaging::contract(topic = "work", version = "1.1")]
pub trait Work {
    /// Answers who asked what.
    #[rpc(call)]
    async fn echo(&self, ctx: Context, text: String) -> Result<(Context, String), WorkError>;
    /// Fails with all that was given.
    #[rpc(call)]
    async fn refuse(&self, ctx: Context, job: String, tried: u32) -> Result<(), WorkError>;
    /// Answers when the gate lets it.
    #[rpc(call)]
    async fn wait(&self, ctx: Context) -> Result<String, WorkError>;
    #[rpc(call)]
    async fn explode(&self, ctx: Context) -> Result<(), WorkError>;
    #[rpc(call, since = "1.1")]
    async fn newer(&self, ctx: Context, optional: Option<u32>) -> Result<u32, WorkError>;
    /// `panic...` panics, `fail...` fails (`fail long` with a [`huge`] text), `wait...` waits at the gate, `need...` fails
    /// unless the gate lets it at once.
    #[rpc(cast)]
    async fn perform(&self, ctx: Context, job: String) -> Result<(), WorkError>;
    /// `fail` fails.
    #[rpc(fanout)]
    async fn ring(&self, ctx: Context, bell: String) -> Result<(), WorkError>;
}

/// A text of 200,000 bytes, which fits into no frame and can be cut at every other byte only.
pub fn huge() -> String {
    "ü".repeat(100_000)
}

/// The contract as it was before `newer`.
#[novella_messaging::contract(topic = "work", version = "1.0")]
pub trait OldWork {
    #[rpc(call)]
    async fn echo(&self, ctx: Context, text: String) -> Result<(Context, String), WorkError>;
}

pub struct OldManager;

impl OldWork for OldManager {
    async fn echo(&self, ctx: Context, text: String) -> Result<(Context, String), WorkError> {
        Ok((ctx, text))
    }
}

/// What a manager reports: its server's name, and what it was given.
pub type Event = (String, String);

/// Does the work, and tells of it.
pub struct Manager {
    name: String,
    events: mpsc::UnboundedSender<Event>,
    gate: Arc<Semaphore>,
    running: AtomicUsize,
    most_running: Arc<AtomicUsize>,
}

impl Manager {
    fn report(&self, what: &str) {
        // A test that has seen enough does not listen any more.
        let _ = self.events.send((self.name.clone(), what.to_owned()));
    }

    async fn pass_gate(&self) {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_running.fetch_max(running, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        self.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Work for Manager {
    async fn echo(&self, ctx: Context, text: String) -> Result<(Context, String), WorkError> {
        Ok((ctx, text))
    }

    async fn refuse(&self, _ctx: Context, job: String, tried: u32) -> Result<(), WorkError> {
        Err(WorkError::NoSuchJob { job, tried })
    }

    async fn wait(&self, _ctx: Context) -> Result<String, WorkError> {
        self.report("wait");
        self.pass_gate().await;
        self.report("waited");
        Ok(self.name.clone())
    }

    async fn explode(&self, _ctx: Context) -> Result<(), WorkError> {
        panic!("as asked");
    }

    async fn newer(&self, _ctx: Context, optional: Option<u32>) -> Result<u32, WorkError> {
        Ok(optional.unwrap_or(7))
    }

    async fn perform(&self, _ctx: Context, job: String) -> Result<(), WorkError> {
        self.report(&job);
        match job.as_str() {
            job if job.starts_with("panic") => panic!("as asked"),
            "fail long" => Err(WorkError::NoSuchJob { job: huge(), tried: 1 }),
            job if job.starts_with("fail") => Err(WorkError::Closed),
            job if job.starts_with("wait") => {
                self.pass_gate().await;
                self.report("done");
                Ok(())
            }
            job if job.starts_with("need") => match self.gate.try_acquire() {
                Ok(permit) => {
                    permit.forget();
                    self.report("done");
                    Ok(())
                }
                Err(_) => Err(WorkError::Away),
            },
            _ => Ok(()),
        }
    }

    async fn ring(&self, _ctx: Context, bell: String) -> Result<(), WorkError> {
        self.report(&bell);
        if bell == "fail" { Err(WorkError::Closed) } else { Ok(()) }
    }
}

/// What the managers of a test share.
pub struct Workers {
    events: mpsc::UnboundedReceiver<Event>,
    sender: mpsc::UnboundedSender<Event>,
    pub gate: Arc<Semaphore>,
    pub most_running: Arc<AtomicUsize>,
}

impl Workers {
    /// With the gate closed.
    pub fn new() -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        Self { events, sender, gate: Arc::new(Semaphore::new(0)), most_running: Arc::default() }
    }

    pub fn manager(&self, name: &str) -> Arc<Manager> {
        Arc::new(Manager {
            name: name.into(),
            events: self.sender.clone(),
            gate: Arc::clone(&self.gate),
            running: AtomicUsize::new(0),
            most_running: Arc::clone(&self.most_running),
        })
    }

    pub async fn serve(&self, transport: &Transport, name: &str) -> RpcServer {
        self.serve_at_once(transport, name, 8).await
    }

    pub async fn serve_at_once(&self, transport: &Transport, name: &str, concurrency: usize) -> RpcServer {
        RpcServer::builder(transport, Target::new("work").server(name))
            .endpoint(WorkEndpoint::new(self.manager(name)))
            .concurrency(concurrency)
            .start()
            .await
            .unwrap()
    }

    pub async fn next(&mut self) -> Event {
        within(self.events.recv()).await.unwrap()
    }

    /// The next event's text.
    pub async fn next_text(&mut self) -> String {
        self.next().await.1
    }

    /// What was told and not read yet.
    pub fn unread_events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }
}

/// What the managers told, added up.
#[derive(Default)]
pub struct WorkLog {
    /// The jobs that have a number for a name, each done once.
    pub jobs: BTreeSet<u32>,
    /// The calls that came to the gate, and those that have passed it.
    pub calls: usize,
    pub passed: usize,
}

impl WorkLog {
    pub fn enter(&mut self, what: &str) {
        match what {
            "wait" => self.calls += 1,
            "waited" => self.passed += 1,
            job => {
                if let Ok(job) = job.parse() {
                    assert!(self.jobs.insert(job), "{job} was done twice");
                }
            }
        }
    }
}

pub fn is_unroutable<T>(result: &Result<T, MessagingError>) -> bool {
    matches!(result, Err(MessagingError::Unroutable { .. }))
}

pub const OLD: Version = Version::new(1, 0);

/// The dead letters; an error while nothing was.
pub async fn dead_letters(transport: &Transport) -> Result<Vec<DeadLetter>, String> {
    let letters = transport.dead_letters(100).await.unwrap();
    if letters.is_empty() { Err("no dead letters".into()) } else { Ok(letters) }
}

/// The dead letters, once it is this many.
pub async fn dead_lettered(transport: &Transport, count: usize) -> Vec<DeadLetter> {
    eventually(async || {
        let letters = transport.dead_letters(100).await.unwrap();
        if letters.len() == count { Ok(letters) } else { Err(format!("{} dead letters", letters.len())) }
    })
    .await
}
