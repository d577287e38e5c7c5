//! The clouds that are measured: real processes of this binary, with delays of the fake driver set to nothing.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use novella_common::config::Secret;
use novella_rest::Verify;
use tokio::process::{Child, Command};

use super::{
    environment::{RunServers, Shape},
    memory::Memory,
};
use crate::{
    client::{Client, Credentials},
    run::signals::StopSignals,
};

/// How long a cloud may take to start before it counts as failed: this long, and so much more for each host.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const START_TIMEOUT_PER_HOST: Duration = Duration::from_millis(60);
/// How long its processes may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// One process of it.
struct Process {
    name: String,
    child: Child,
}

/// A cloud that runs.
pub(super) struct Deployment {
    address: SocketAddr,
    pub(super) endpoint: String,
    /// The URL of its database.
    pub(super) database: String,
    /// When its first process was started.
    pub(super) started: Instant,
    /// After how long the API answered.
    pub(super) ready_after: Duration,
    /// After how long every host took work and was up.
    pub(super) up_after: Duration,
    start_timeout: Duration,
    password: Secret,
    /// Where the compute processes say whether their hosts take work.
    readiness: Vec<String>,
    processes: Vec<Process>,
    folder: tempfile::TempDir,
}

/// Starts a cloud of `hosts` compute hosts, for services apart spread over `computes` processes, measures it, and removes
/// all of it, whatever the outcome.
pub(super) async fn on_new_cloud<T>(
    shape: &Shape,
    hosts: usize,
    computes: usize,
    measure: impl AsyncFnOnce(&mut Deployment) -> Result<T>,
) -> Result<T> {
    let mut signals = StopSignals::listen()?;
    let servers = match shape {
        Shape::Embedded => None,
        Shape::Apart(servers) => Some((servers, RunServers::create(servers).await?)),
    };
    let run = async {
        let mut cloud = Deployment::new(hosts)?;
        match &servers {
            None => cloud.start_embedded(hosts)?,
            Some((_, own)) => cloud.start_apart(own, hosts, computes).await?,
        }
        cloud.wait_for_api().await?;
        cloud.wait_for_hosts(hosts).await?;
        let measured = measure(&mut cloud).await?;
        cloud.stop().await?;
        Ok(measured)
    };
    let measured = tokio::select! {
        measured = run => measured,
        () = signals.next() => Err(anyhow!("interrupted")),
    };
    match servers {
        None => measured,
        Some((servers, own)) => {
            if let Err(error) = own.remove(servers).await {
                left_behind(&error);
            }
            measured
        }
    }
}

/// What was measured is worth more than that nothing is left.
#[allow(clippy::print_stderr, reason = "progress of a long command")]
fn left_behind(error: &anyhow::Error) {
    eprintln!("novella: {error:#}; it is left there");
}

impl Deployment {
    fn new(hosts: usize) -> Result<Self> {
        let address = free_address()?;
        Ok(Self {
            address,
            endpoint: format!("http://{address}"),
            database: String::new(),
            started: Instant::now(),
            ready_after: Duration::ZERO,
            up_after: Duration::ZERO,
            start_timeout: START_TIMEOUT + START_TIMEOUT_PER_HOST * u32::try_from(hosts).unwrap_or(u32::MAX),
            password: Secret::new("bench"),
            readiness: Vec::new(),
            processes: Vec::new(),
            folder: tempfile::TempDir::with_prefix("novella-bench-")?,
        })
    }

    fn start_embedded(&mut self, hosts: usize) -> Result<()> {
        let data = self.folder.path().join("data");
        self.database = format!("sqlite://{}", data.join(crate::clouds::DATABASE).display());
        let arguments = ["up", "--quiet", "--listen", &self.address.to_string(), "--hosts", &hosts.to_string()];
        self.started = Instant::now();
        self.spawn("up", &arguments, &[("NOVELLA_DATA", data.to_string_lossy().as_ref())])
    }

    async fn start_apart(&mut self, servers: &RunServers, hosts: usize, computes: usize) -> Result<()> {
        self.database.clone_from(&servers.database);
        let images = format!("file://{}", self.folder.path().join("images").display());
        let common = [
            ("NOVELLA_BUS__URL", servers.bus.as_str()),
            ("NOVELLA_DATABASE__URL", servers.database.as_str()),
            ("NOVELLA_IMAGE__STORE_URL", images.as_str()),
        ];
        let synced = self.command(&["db", "sync"], &common)?.stdout(Stdio::null()).status().await?;
        if !synced.success() {
            bail!("`novella db sync` failed: {synced}");
        }
        self.started = Instant::now();
        let management = || free_address().map(|address| address.to_string());
        for service in ["scheduler", "conductor"] {
            self.spawn(service, &[service, "--host", "bench", "--management", &management()?], &common)?;
        }
        for number in 0..computes {
            let state = self.folder.path().join(format!("compute-{number}"));
            let share = hosts / computes + usize::from(number < hosts % computes);
            let name = format!("bench-{number}");
            let management = management()?;
            self.readiness.push(format!("http://{management}/readyz"));
            let arguments = ["compute", "--host", &name, "--hosts", &share.to_string(), "--management", &management];
            let state = state.to_string_lossy();
            // A compute host has no database.
            let environment = [common[0], ("NOVELLA_COMPUTE__STATE_DIR", state.as_ref())];
            self.spawn("compute", &arguments, &environment)?;
        }
        let address = self.address.to_string();
        let arguments = ["api", "--host", "bench", "--listen", &address, "--management", &management()?];
        self.spawn("api", &arguments, &common)
    }

    fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Command> {
        // Writing a line for each request is no part of what is measured; whoever wants to know what happens may ask for it.
        let filter = std::env::var("NOVELLA_LOG__FILTER").unwrap_or_else(|_| "error,lapin=off".to_owned());
        let mut command = Command::new(std::env::current_exe().context("finding this program")?);
        command
            .args(arguments)
            .env_remove("NOVELLA_DATABASE__URL")
            .env_remove("NOVELLA_BUS__URL")
            .env_remove("NOVELLA_BUS__MANAGEMENT_URL")
            .env("NOVELLA_ADMIN_PASSWORD", self.password.expose())
            .env("NOVELLA_LOG__FILTER", filter)
            // Room for all that is booted, and a hypervisor that takes no time.
            .env("NOVELLA_NETWORK__QUOTA_PORT", "-1")
            .env("NOVELLA_COMPUTE__FAKE__VCPUS", "100000")
            .env("NOVELLA_COMPUTE__FAKE__MEMORY_MB", "100000000")
            .env("NOVELLA_COMPUTE__FAKE__DISK_GB", "1000000")
            .env("NOVELLA_COMPUTE__FAKE__BOOT_SECONDS_MIN", "0")
            .env("NOVELLA_COMPUTE__FAKE__BOOT_SECONDS_MAX", "0")
            .env("NOVELLA_COMPUTE__FAKE__NETWORK_SECONDS", "0")
            .env("NOVELLA_COMPUTE__FAKE__DISK_SECONDS", "0")
            .env("NOVELLA_COMPUTE__FAKE__POWER_SECONDS", "0")
            .env("NOVELLA_COMPUTE__FAKE__DIRTY_RATE_MIB", "0")
            .env("NOVELLA_COMPUTE__FAKE__BANDWIDTH_MIB", "0")
            .env("NOVELLA_QUOTA__INSTANCES", "-1")
            .env("NOVELLA_QUOTA__CORES", "-1")
            .env("NOVELLA_QUOTA__RAM", "-1")
            .env("NOVELLA_COMPUTE__MAX_CONCURRENT_BUILDS", "100")
            .env("NOVELLA_CONDUCTOR__AUTO_APPROVE", "true")
            .env("NOVELLA_CONDUCTOR__MAX_CONCURRENT_LIVE_MIGRATIONS", "100")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }

    fn spawn(&mut self, name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
        let child = self
            .command(arguments, environment)?
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("starting `novella {name}`"))?;
        self.processes.push(Process { name: name.to_owned(), child });
        Ok(())
    }

    async fn wait_for_api(&mut self) -> Result<()> {
        let http = reqwest::Client::new();
        let url = format!("{}/healthz", self.endpoint);
        while self.started.elapsed() < self.start_timeout {
            if http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                self.ready_after = self.started.elapsed();
                return Ok(());
            }
            for process in &mut self.processes {
                if let Some(status) = process.child.try_wait()? {
                    bail!("`novella {}` ended with {status}", process.name);
                }
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        bail!("the API did not answer within {} s", self.start_timeout.as_secs())
    }

    /// Waits until every host takes work and the API shows it as up.
    async fn wait_for_hosts(&mut self, hosts: usize) -> Result<()> {
        let http = reqwest::Client::new();
        for url in &self.readiness {
            while !http.get(url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                if self.started.elapsed() > self.start_timeout {
                    bail!("not all of {hosts} hosts took work within {} s: {url}", self.start_timeout.as_secs());
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        let client = self.client().await?;
        while self.started.elapsed() < self.start_timeout {
            let asked = Instant::now();
            let list = client.get("/os-services?binary=nova-compute").await?;
            let up = |service: &&serde_json::Value| service["state"] == "up";
            if list["services"].as_array().into_iter().flatten().filter(up).count() >= hosts {
                self.up_after = self.started.elapsed();
                return Ok(());
            }
            // A list of many hosts takes time from those that start.
            tokio::time::sleep((4 * asked.elapsed()).max(Duration::from_millis(5))).await;
        }
        bail!("{hosts} hosts were not up within {} s", self.start_timeout.as_secs())
    }

    /// A client with a token.
    pub(super) async fn client(&self) -> Result<Client> {
        Client::connect(&Credentials {
            auth_url: format!("{}/identity/v3", self.endpoint),
            username: "admin".into(),
            password: self.password.clone(),
            project: "admin".into(),
            verify: Verify::System,
        })
        .await
    }

    /// The process that serves the API.
    pub(super) fn api(&self) -> Result<u32> {
        let api = self.processes.iter().find(|process| matches!(process.name.as_str(), "up" | "api"));
        api.and_then(|process| process.child.id()).context("no process serves the API")
    }

    /// A folder of its own, on the disk that its images are on.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The memory of each process.
    pub(super) fn memory(&self) -> Result<Vec<Memory>> {
        self.processes
            .iter()
            .map(|process| {
                let pid = process.child.id().with_context(|| format!("`novella {}` has ended", process.name))?;
                Memory::of(&process.name, pid)
            })
            .collect()
    }

    /// Lets the process of this name stand still, with all its hosts. Says whether there is one.
    pub(super) async fn freeze(&self, name: &str) -> Result<bool> {
        self.signal("-STOP", |process| process.name == name).await
    }

    /// Lets it go on.
    pub(super) async fn thaw(&self, name: &str) -> Result<()> {
        self.signal("-CONT", |process| process.name == name).await.map(|_| ())
    }

    /// Sends a signal to these processes. Says whether there are any.
    async fn signal(&self, signal: &str, which: impl Fn(&Process) -> bool) -> Result<bool> {
        let mut any = false;
        for process in self.processes.iter().filter(|process| which(process)) {
            if let Some(pid) = process.child.id() {
                Command::new("kill").args([signal, &pid.to_string()]).status().await?;
                any = true;
            }
        }
        Ok(any)
    }

    /// Asks all to stop, and waits until they have.
    async fn stop(&mut self) -> Result<()> {
        self.signal("-TERM", |_| true).await?;
        for process in &mut self.processes {
            if tokio::time::timeout(STOP_TIMEOUT, process.child.wait()).await.is_err() {
                process.child.kill().await?;
            }
        }
        Ok(())
    }
}

/// An address on which nothing listens now.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
