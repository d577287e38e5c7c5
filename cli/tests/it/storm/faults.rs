//! What happens to the cloud during a storm.

use std::time::Duration;

use novella_testing::{Broker, Network, Postgres};
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use tokio::time::Instant;

use super::record::Record;
use crate::support::{cloud::Cloud, process::Process};

/// At most so many at a time.
const MOST: usize = 3;

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// A process is killed, and started again a little later.
    Kill,
    /// The same in good order.
    Terminate,
    /// A process stands still for a while.
    Freeze,
    /// The connections of a process end without a farewell.
    Reset(Server),
    /// The connections of a process end, and only the server is told.
    HalfOpen(Server),
    /// The network of a process does this for a while.
    Network(Server, Network),
    /// All processes are killed, and started again.
    KillAll,
    StopBroker,
    KillBroker,
    StopPostgres,
    CrashPostgres,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    Bus,
    Database,
}

/// Each with its weight.
const APART: &[(Fault, u32)] = &[
    (Fault::Kill, 16),
    (Fault::Terminate, 6),
    (Fault::Freeze, 14),
    (Fault::Reset(Server::Bus), 5),
    (Fault::Reset(Server::Database), 5),
    (Fault::HalfOpen(Server::Bus), 5),
    (Fault::HalfOpen(Server::Database), 5),
    (Fault::Network(Server::Bus, Network::Silent), 5),
    (Fault::Network(Server::Bus, Network::Unanswered), 5),
    (Fault::Network(Server::Bus, Network::Down), 4),
    (Fault::Network(Server::Database, Network::Silent), 5),
    (Fault::Network(Server::Database, Network::Unanswered), 5),
    (Fault::Network(Server::Database, Network::Down), 4),
    (Fault::KillAll, 1),
    (Fault::StopBroker, 2),
    (Fault::KillBroker, 2),
    (Fault::StopPostgres, 2),
    (Fault::CrashPostgres, 2),
];

const ONE_PROCESS: &[(Fault, u32)] = &[(Fault::Kill, 3), (Fault::Terminate, 2), (Fault::Freeze, 3)];

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Terminate => "terminate",
            Self::Freeze => "freeze",
            Self::Reset(_) => "reset",
            Self::HalfOpen(_) => "half-open",
            Self::Network(_, Network::Down) => "network down",
            Self::Network(_, Network::Silent) => "network silent",
            Self::Network(_, Network::Unanswered | Network::Up) => "network unanswered",
            Self::KillAll => "kill all",
            Self::StopBroker => "stop the broker",
            Self::KillBroker => "kill the broker",
            Self::StopPostgres => "stop PostgreSQL",
            Self::CrashPostgres => "crash PostgreSQL",
        }
    }

    /// Whether it happens to one process.
    fn has_victim(self) -> bool {
        !matches!(self, Self::KillAll | Self::StopBroker | Self::KillBroker | Self::StopPostgres | Self::CrashPostgres)
    }

    fn concerns_database(self) -> bool {
        matches!(
            self,
            Self::Reset(Server::Database) | Self::HalfOpen(Server::Database) | Self::Network(Server::Database, _)
        )
    }
}

/// A fault that has not been made good yet.
struct Active {
    fault: Fault,
    victim: String,
    until: Instant,
}

/// A cloud with its servers, and power over them.
pub struct Faults {
    cloud: Cloud,
    /// The cloud's processes end first.
    servers: Option<(Broker, Postgres)>,
    names: Vec<String>,
    random: StdRng,
    active: Vec<Active>,
}

impl Faults {
    pub fn of_one_process(cloud: Cloud, random: StdRng) -> Self {
        Self::new(cloud, None, random)
    }

    pub fn of_services_apart(cloud: Cloud, broker: Broker, postgres: Postgres, random: StdRng) -> Self {
        Self::new(cloud, Some((broker, postgres)), random)
    }

    fn new(mut cloud: Cloud, servers: Option<(Broker, Postgres)>, random: StdRng) -> Self {
        let names = cloud.processes().iter().map(|process| process.name.clone()).collect();
        Self { cloud, servers, names, random, active: Vec::new() }
    }

    pub fn cloud(&mut self) -> &mut Cloud {
        &mut self.cloud
    }

    /// One fault after the other, some at the same time.
    pub async fn rage_until(&mut self, end: Instant, record: &Record) {
        while Instant::now() < end {
            let pause = Duration::from_millis(self.random.random_range(200..3_000));
            self.wait_until(Instant::now() + pause, record).await;
            for name in self.names.iter().filter(|name| self.active.iter().all(|active| active.victim != **name)) {
                self.cloud.process(name).restart_if_it_did_not_start();
            }
            if self.active.len() < MOST {
                self.begin(record).await;
            }
        }
    }

    /// Makes everything good that is broken, and waits until all of the cloud is back.
    pub async fn calm(&mut self, record: &Record) {
        for active in std::mem::take(&mut self.active) {
            self.make_good(active, record).await;
        }
        record.tell("calm");
        for process in self.cloud.processes() {
            process.restart_if_it_did_not_start();
            if let Some(status) = process.ended() {
                record.find(format!("{} has ended by itself: {status}", process.name));
                process.restart();
            }
        }
        self.cloud.wait_until_ready().await;
    }

    /// Until this moment, making good what is due.
    async fn wait_until(&mut self, moment: Instant, record: &Record) {
        loop {
            let due = self.active.iter().map(|active| active.until).min().filter(|due| *due < moment);
            tokio::time::sleep_until(due.unwrap_or(moment)).await;
            if due.is_none() {
                return;
            }
            let now = Instant::now();
            let (over, left) = std::mem::take(&mut self.active).into_iter().partition(|active| active.until <= now);
            self.active = left;
            let over: Vec<Active> = over;
            for active in over {
                self.make_good(active, record).await;
            }
        }
    }

    async fn begin(&mut self, record: &Record) {
        let kinds = if self.servers.is_some() { APART } else { ONE_PROCESS };
        let (fault, _) = *kinds.choose_weighted(&mut self.random, |(_, weight)| *weight).unwrap();
        // While the one process is away nothing else happens.
        let most = if self.servers.is_some() { 8_000 } else { 2_000 };
        let length = Duration::from_millis(self.random.random_range(200..most));
        let mut victim = String::new();
        if fault.has_victim() {
            // One fault at a time for each: a frozen process does not end in good order.
            let free: Vec<&String> = self
                .names
                .iter()
                .filter(|name| self.active.iter().all(|active| active.victim != **name && active.fault.has_victim()))
                .filter(|name| !fault.concerns_database() || !name.starts_with("host"))
                .collect();
            let Some(name) = free.choose(&mut self.random) else { return };
            victim = (*name).clone();
        } else if !self.active.is_empty() {
            // Those that concern all of the cloud happen alone.
            for active in std::mem::take(&mut self.active) {
                self.make_good(active, record).await;
            }
        }
        record.fault(fault.name());
        record.tell(format!("{fault:?} {victim} for {length:?}"));
        self.break_it(fault, &victim, record).await;
        self.active.push(Active { fault, victim, until: Instant::now() + length });
    }

    async fn break_it(&mut self, fault: Fault, victim: &str, record: &Record) {
        let is_api = matches!(victim, "api-1" | "up") || fault == Fault::KillAll;
        if is_api && matches!(fault, Fault::Kill | Fault::Terminate | Fault::Freeze | Fault::KillAll) {
            record.api_goes();
        }
        match fault {
            Fault::Kill => self.cloud.process(victim).kill(),
            Fault::Terminate => {
                let process = self.cloud.process(victim);
                let status = tokio::task::block_in_place(|| process.terminate());
                if !status.success() {
                    record.find(format!("{victim} ended with {status} on SIGTERM"));
                }
            }
            Fault::Freeze => self.cloud.process(victim).freeze(),
            Fault::Reset(server) => self.network(victim, server).reset(),
            Fault::HalfOpen(server) => self.network(victim, server).half_open(),
            Fault::Network(server, network) => self.network(victim, server).set(network),
            Fault::KillAll => self.cloud.processes().iter_mut().for_each(Process::kill),
            Fault::StopBroker => self.servers().0.stop().await,
            Fault::KillBroker => self.servers().0.kill().await,
            Fault::StopPostgres => self.servers().1.stop().await,
            Fault::CrashPostgres => self.servers().1.crash().await,
        }
    }

    async fn make_good(&mut self, active: Active, record: &Record) {
        let Active { fault, victim, .. } = active;
        match fault {
            Fault::Kill | Fault::Terminate => self.cloud.process(&victim).restart(),
            Fault::Freeze => self.cloud.process(&victim).thaw(),
            Fault::Reset(_) | Fault::HalfOpen(_) => return,
            Fault::Network(server, _) => self.network(&victim, server).set(Network::Up),
            Fault::KillAll => self.cloud.processes().iter_mut().for_each(Process::restart),
            Fault::StopBroker | Fault::KillBroker => self.servers().0.start_again().await,
            Fault::StopPostgres | Fault::CrashPostgres => self.servers().1.start_again().await,
        }
        record.tell(format!("made good: {fault:?} {victim}"));
        if matches!(victim.as_str(), "api-1" | "up") || fault == Fault::KillAll {
            // It takes a moment until it listens.
            if matches!(fault, Fault::Kill | Fault::Terminate | Fault::KillAll) {
                self.wait_until_api_answers(record).await;
            }
            record.api_is_back();
        }
    }

    async fn wait_until_api_answers(&self, record: &Record) {
        let begun = Instant::now();
        let url = format!("{}/healthz", self.cloud.endpoint);
        while reqwest::get(&url).await.is_err() {
            if begun.elapsed() > Duration::from_secs(30) {
                record.find("the API does not answer 30 s after its start");
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn network(&self, victim: &str, server: Server) -> &novella_testing::Proxy {
        let networks = self.cloud.networks(victim);
        match server {
            Server::Bus => &networks.bus,
            Server::Database => networks.database.as_ref().unwrap(),
        }
    }

    fn servers(&mut self) -> &mut (Broker, Postgres) {
        self.servers.as_mut().unwrap()
    }
}
