//! The clouds that are measured: real processes of this binary, with delays of the fake driver set to nothing.

use std::{
    net::{SocketAddr, TcpListener},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use novella_common::config::Secret;
use tokio::process::{Child, Command};

use crate::client::{Client, Credentials};

/// How long a cloud may take to start before it counts as failed.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How the services are laid out.
pub(super) enum Shape {
    /// All in one process.
    Embedded,
    /// Each in its own, on a broker and a database.
    Apart { bus: String, database: String },
}

impl Shape {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Embedded => "embedded (SQLite, in-process bus)",
            Self::Apart { .. } => "services apart (PostgreSQL, RabbitMQ)",
        }
    }
}

/// One process of it.
struct Process {
    name: String,
    child: Child,
}

/// A cloud that runs.
pub(super) struct Deployment {
    pub(super) endpoint: String,
    /// When its first process was started.
    pub(super) started: Instant,
    /// After how long the API answered.
    pub(super) ready_after: Duration,
    password: Secret,
    /// Where the compute processes say whether their hosts take work.
    readiness: Vec<String>,
    processes: Vec<Process>,
    folder: tempfile::TempDir,
}

impl Deployment {
    /// Starts a cloud of `hosts` compute hosts, in one compute process where services are apart.
    pub(super) async fn start(shape: &Shape, hosts: usize) -> Result<Self> {
        Self::start_with_processes(shape, hosts, 1).await
    }

    /// Starts a cloud of `hosts` compute hosts, spread over so many compute processes where services are apart.
    pub(super) async fn start_with_processes(shape: &Shape, hosts: usize, computes: usize) -> Result<Self> {
        let folder = tempfile::TempDir::with_prefix("novella-bench-")?;
        let address = free_address()?;
        let mut cloud = Self {
            endpoint: format!("http://{address}"),
            started: Instant::now(),
            ready_after: Duration::ZERO,
            password: Secret::new("bench"),
            readiness: Vec::new(),
            processes: Vec::new(),
            folder,
        };
        match shape {
            Shape::Embedded => {
                let data = cloud.folder.path().join("data");
                let arguments = ["up", "--quiet", "--listen", &address.to_string(), "--hosts", &hosts.to_string()];
                cloud.started = Instant::now();
                cloud.spawn("up", &arguments, &[("NOVELLA_DATA", data.to_string_lossy().as_ref())])?;
            }
            Shape::Apart { bus, database } => {
                let common = [("NOVELLA_BUS__URL", bus.as_str()), ("NOVELLA_DATABASE__URL", database.as_str())];
                let synced = cloud.command(&["db", "sync"], &common)?.stdout(Stdio::null()).status().await?;
                if !synced.success() {
                    bail!("`novella db sync` failed: {synced}");
                }
                cloud.started = Instant::now();
                let management = || free_address().map(|address| address.to_string());
                for service in ["scheduler", "conductor"] {
                    cloud.spawn(service, &[service, "--host", "bench", "--management", &management()?], &common)?;
                }
                for number in 0..computes {
                    let state = cloud.folder.path().join(format!("compute-{number}"));
                    let share = hosts / computes + usize::from(number < hosts % computes);
                    let name = format!("bench-{}-{number}", address.port());
                    let management = management()?;
                    cloud.readiness.push(format!("http://{management}/readyz"));
                    let arguments =
                        ["compute", "--host", &name, "--hosts", &share.to_string(), "--management", &management];
                    let state = state.to_string_lossy();
                    // A compute host has no database.
                    let environment = [common[0], ("NOVELLA_COMPUTE__STATE_DIR", state.as_ref())];
                    cloud.spawn("compute", &arguments, &environment)?;
                }
                let arguments =
                    ["api", "--host", "bench", "--listen", &address.to_string(), "--management", &management()?];
                cloud.spawn("api", &arguments, &common)?;
            }
        }
        cloud.wait_for_api().await?;
        cloud.wait_for_hosts(hosts).await?;
        Ok(cloud)
    }

    fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe().context("finding this program")?);
        command
            .args(arguments)
            .env_remove("NOVELLA_DATABASE__URL")
            .env_remove("NOVELLA_BUS__URL")
            .env("NOVELLA_ADMIN_PASSWORD", self.password.expose())
            .env("NOVELLA_LOG__FILTER", "error,lapin=off")
            // Room for all that is booted, and a hypervisor that takes no time.
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
            .env("NOVELLA_COMPUTE__MAX_CONCURRENT_BUILDS", "100")
            // The hosts of the cloud measured before, in the same database, count as down soon.
            .env("NOVELLA_SERVICE__REPORT_INTERVAL", "1")
            .env("NOVELLA_SERVICE__SERVICE_DOWN_TIME", "5")
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
        while self.started.elapsed() < START_LIMIT {
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
        bail!("the API did not answer within {} s", START_LIMIT.as_secs())
    }

    /// Waits until every host takes work and the API shows it as up.
    async fn wait_for_hosts(&self, hosts: usize) -> Result<()> {
        let http = reqwest::Client::new();
        for url in &self.readiness {
            while !http.get(url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                if self.started.elapsed() > START_LIMIT {
                    bail!("not all of {hosts} hosts took work within {} s: {url}", START_LIMIT.as_secs());
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        let client = self.client().await?;
        while self.started.elapsed() < START_LIMIT {
            let list = client.get("/os-services?binary=nova-compute").await?;
            let up = |service: &&serde_json::Value| service["state"] == "up";
            if list["services"].as_array().into_iter().flatten().filter(up).count() >= hosts {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bail!("{hosts} hosts were not up within {} s", START_LIMIT.as_secs())
    }

    /// A client with a token.
    pub(super) async fn client(&self) -> Result<Client> {
        Client::connect(&Credentials {
            auth_url: format!("{}/identity/v3", self.endpoint),
            username: "admin".into(),
            password: self.password.clone(),
            project: "admin".into(),
        })
        .await
    }

    /// The resident memory of each process in KiB.
    pub(super) fn memory(&self) -> Result<Vec<(String, u64)>> {
        self.processes
            .iter()
            .map(|process| {
                let pid = process.child.id().with_context(|| format!("`novella {}` has ended", process.name))?;
                let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
                let resident = status
                    .lines()
                    .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok())
                    .context("no VmRSS in /proc")?;
                Ok((process.name.clone(), resident))
            })
            .collect()
    }

    /// Asks all to stop, and waits until they have.
    pub(super) async fn stop(&mut self) -> Result<()> {
        for process in &self.processes {
            if let Some(pid) = process.child.id() {
                Command::new("kill").arg(pid.to_string()).status().await?;
            }
        }
        for process in &mut self.processes {
            if tokio::time::timeout(Duration::from_secs(20), process.child.wait()).await.is_err() {
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
