//! Whole clouds: embedded in one process, or services apart on RabbitMQ and PostgreSQL.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use novella_common::{
    config::{DatabaseConfig, SecretUrl},
    db::{Database, allocations},
};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    client::Client,
    ports::wrong_ports,
    process::{Process, novella},
};

/// The compute hosts of every cloud.
pub const HOSTS: [&str; 3] = ["host-1", "host-2", "host-3"];
pub const PASSWORD: &str = "s3cret of the tests";
/// How long anything may take that is waited for. Far more than it takes: only what is stuck reaches it.
pub const LIMIT: Duration = Duration::from_secs(90);

/// A cloud of real processes.
pub struct Cloud {
    pub endpoint: String,
    processes: Vec<Process>,
    /// What compute hosts are told.
    with_bus: BTreeMap<String, String>,
    /// By the process's name, if the test may break them.
    networks: BTreeMap<String, Networks>,
    database_url: String,
    /// The URL of the Identity that its users are in, if that is elsewhere.
    identity: Option<String>,
    folder: TempDir,
    // Dropped after the processes that use them.
    _vhost: Option<novella_testing::Vhost>,
    _postgres: Option<novella_testing::Database>,
}

/// What a test can set of a cloud.
#[derive(Default)]
pub struct Settings {
    /// Further environment variables for every service.
    pub environment: Vec<(&'static str, String)>,
    /// Of services apart: whether each has networks of its own that the test can break.
    pub breakable: bool,
    /// Of services apart: by the name of a host or the kind of a service, the bus as its own user reaches it.
    pub users: BTreeMap<String, String>,
    /// How many files the process that has the API may open.
    pub file_limit: Option<u32>,
    /// The URL of an Identity elsewhere, in which the administrator has the password of the tests: its tokens are taken.
    pub identity: Option<String>,
}

impl Settings {
    /// With the user demo, who has the password of the tests.
    pub fn with_demo() -> Self {
        Self { environment: vec![("NOVELLA_DEMO_PASSWORD", PASSWORD.to_owned())], ..Self::default() }
    }

    /// What a process is told that has a user of its own, if it has.
    fn as_user(&self, name: &str, environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut environment = environment.clone();
        if let Some(url) = self.users.get(name) {
            environment.insert("NOVELLA_BUS__URL".into(), url.clone());
        }
        environment
    }
}

/// The ways that one process has to the servers.
pub struct Networks {
    pub bus: novella_testing::Proxy,
    /// Not of a compute host, which knows no database.
    pub database: Option<novella_testing::Proxy>,
}

/// Short periods, so that what takes over after a crash does so within a test's patience.
fn environment(settings: &Settings) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> = [
        ("NOVELLA_ADMIN_PASSWORD", PASSWORD),
        ("NOVELLA_LOG__FILTER", "info"),
        ("NOVELLA_SERVICE__REPORT_INTERVAL", "0.5"),
        ("NOVELLA_SERVICE__SERVICE_DOWN_TIME", "3"),
        ("NOVELLA_CONDUCTOR__AUTO_APPROVE", "true"),
        ("NOVELLA_CONDUCTOR__TAKEOVER_INTERVAL", "0.5"),
        ("NOVELLA_CONDUCTOR__RECONCILE_INTERVAL", "2"),
        ("NOVELLA_CONDUCTOR__GAUGES_INTERVAL", "0.5"),
        ("NOVELLA_CONDUCTOR__RESCHEDULE_AFTER", "3"),
        ("NOVELLA_BUS__RPC_RESPONSE_TIMEOUT", "5"),
        // Storms make more servers than a project has by default.
        ("NOVELLA_QUOTA__INSTANCES", "-1"),
        ("NOVELLA_QUOTA__CORES", "-1"),
        ("NOVELLA_QUOTA__RAM", "-1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    if let Some(url) = &settings.identity {
        let elsewhere = [
            ("URL", url.as_str()),
            ("USER", "admin"),
            ("PASSWORD", PASSWORD),
            ("PROJECT", "admin"),
            ("CACHE_TIME", "1"),
        ];
        environment.extend(elsewhere.map(|(name, value)| (format!("NOVELLA_API__IDENTITY_{name}"), value.to_owned())));
    }
    for (name, value) in &settings.environment {
        environment.insert((*name).to_owned(), value.clone());
    }
    environment
}

impl Cloud {
    /// `novella up` with three hosts.
    pub async fn embedded(settings: Settings) -> Self {
        let folder = TempDir::with_prefix("novella-test-").unwrap();
        let data = folder.path().join("data");
        let address = free_address();
        let arguments = ["up", "--listen", &address, "--data", data.to_str().unwrap()];
        let process = Process::start("up", &arguments, &environment(&settings), settings.file_limit, folder.path());
        let cloud = Self {
            endpoint: format!("http://{address}"),
            processes: vec![process],
            with_bus: BTreeMap::new(),
            networks: BTreeMap::new(),
            database_url: format!("sqlite://{}", data.join("novella.db").display()),
            identity: settings.identity,
            folder,
            _vhost: None,
            _postgres: None,
        };
        cloud.wait_until_ready().await;
        cloud
    }

    /// Two APIs, two schedulers, two conductors and three compute hosts, each a process of its own.
    pub async fn apart(settings: Settings) -> Self {
        let vhost = novella_testing::Vhost::create().await;
        let cloud = Self::on_bus(vhost.url(), settings).await;
        Self { _vhost: Some(vhost), ..cloud }
    }

    /// The same on a broker that is the test's own.
    pub async fn on_bus(bus: &str, settings: Settings) -> Self {
        let postgres = novella_testing::Database::postgres().await;
        let cloud = Self::on_servers(bus, postgres.url(), settings).await;
        Self { _postgres: Some(postgres), ..cloud }
    }

    /// The same on a broker and in an empty database that are the test's own.
    pub async fn on_servers(bus: &str, database: &str, settings: Settings) -> Self {
        let folder = TempDir::with_prefix("novella-test-").unwrap();
        let mut with_bus = environment(&settings);
        with_bus.insert("NOVELLA_BUS__URL".into(), bus.into());
        let mut with_both = with_bus.clone();
        with_both.insert("NOVELLA_DATABASE__URL".into(), database.into());
        let images = folder.path().join("data").join("images");
        with_both.insert("NOVELLA_IMAGE__STORE_URL".into(), format!("file://{}", images.display()));

        let synced = novella().args(["db", "sync"]).envs(&with_both).output().unwrap();
        assert!(synced.status.success(), "db sync: {}", String::from_utf8_lossy(&synced.stderr));

        let address = free_address();
        let mut cloud = Self {
            endpoint: format!("http://{address}"),
            processes: Vec::new(),
            with_bus: with_bus.clone(),
            networks: BTreeMap::new(),
            database_url: database.to_owned(),
            identity: settings.identity.clone(),
            folder,
            _vhost: None,
            _postgres: None,
        };
        for name in ["scheduler-1", "scheduler-2", "conductor-1", "conductor-2"] {
            let service = name.split('-').next().unwrap();
            let environment = cloud.lay_networks(name, &settings, settings.as_user(service, &with_both)).await;
            cloud.spawn(name, &[service, "--host", name, "--management", &free_address()], &environment);
        }
        for name in HOSTS {
            // A compute host is told of the bus only.
            let mut environment = cloud.lay_networks(name, &settings, settings.as_user(name, &with_bus)).await;
            let state = cloud.state_folder(name);
            environment.insert("NOVELLA_COMPUTE__STATE_DIR".into(), state.to_str().unwrap().into());
            cloud.spawn(name, &["compute", "--host", name, "--management", &free_address()], &environment);
        }
        let environment = cloud.lay_networks("api-1", &settings, settings.as_user("api", &with_both)).await;
        let listen = ["api", "--host", "api-1", "--listen", &address, "--management", &free_address()];
        let process = Process::start("api-1", &listen, &environment, settings.file_limit, cloud.folder.path());
        cloud.processes.push(process);
        cloud.wait_until_ready().await;
        cloud
    }

    /// What a process is told, with the servers behind networks of its own if the test may break them.
    async fn lay_networks(
        &mut self,
        name: &str,
        settings: &Settings,
        mut environment: BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        if !settings.breakable {
            return environment;
        }
        let bus = novella_testing::Proxy::before(&environment["NOVELLA_BUS__URL"]).await;
        environment.insert("NOVELLA_BUS__URL".into(), bus.url().into());
        let mut database = None;
        if let Some(url) = environment.get_mut("NOVELLA_DATABASE__URL") {
            let network = novella_testing::Proxy::before(url).await;
            network.url().clone_into(url);
            database = Some(network);
        }
        self.networks.insert(name.into(), Networks { bus, database });
        environment
    }

    /// Starts a compute process under a host's name, on a machine of its own: with a state folder of its own.
    pub fn start_stranger(&mut self, name: &str, host: &str) {
        let mut environment = self.with_bus.clone();
        let state = self.state_folder(name);
        environment.insert("NOVELLA_COMPUTE__STATE_DIR".into(), state.to_str().unwrap().into());
        self.spawn(name, &["compute", "--host", host, "--management", &free_address()], &environment);
    }

    fn spawn(&mut self, name: &str, arguments: &[&str], environment: &BTreeMap<String, String>) {
        let process = Process::start(name, arguments, environment, None, self.folder.path());
        self.processes.push(process);
    }

    /// From now on clients reach it at another URL, behind which it is.
    pub fn reached_at(&mut self, url: &str) {
        let file = self.data_folder().join("clouds.yaml");
        let text = std::fs::read_to_string(&file).unwrap().replace(&self.endpoint, url);
        std::fs::write(&file, text).unwrap();
        url.clone_into(&mut self.endpoint);
    }

    /// The process of this name; of the embedded cloud there is one, whatever the name.
    pub fn process(&mut self, name: &str) -> &mut Process {
        if self.processes.len() == 1 {
            return &mut self.processes[0];
        }
        self.processes.iter_mut().find(|process| process.name == name).expect(name)
    }

    pub fn processes(&mut self) -> &mut [Process] {
        &mut self.processes
    }

    /// What all processes have logged.
    pub fn logs(&self) -> String {
        self.processes.iter().map(Process::log).collect()
    }

    pub fn is_embedded(&self) -> bool {
        self.processes.len() == 1
    }

    pub fn data_folder(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Where the bytes of images are.
    pub fn images_folder(&self) -> PathBuf {
        self.data_folder().join("images")
    }

    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// Where a compute host of the services apart keeps its state.
    fn state_folder(&self, host: &str) -> PathBuf {
        self.folder.path().join(host)
    }

    /// What a compute host is beside its name. The hosts of the embedded cloud share theirs.
    pub fn host_identity(&self, host: &str) -> String {
        let folder = if self.is_embedded() { self.data_folder().join("hosts") } else { self.state_folder(host) };
        std::fs::read_to_string(folder.join("compute_id")).unwrap().trim().to_owned()
    }

    /// The broker of the services apart, by no breakable network.
    pub fn bus_url(&self) -> &str {
        &self.with_bus["NOVELLA_BUS__URL"]
    }

    /// The networks of the process of this name.
    pub fn networks(&self, name: &str) -> &Networks {
        &self.networks[name]
    }

    pub fn vhost(&self) -> &novella_testing::Vhost {
        self._vhost.as_ref().unwrap()
    }

    /// A client of the administrator's.
    pub async fn client(&self) -> Client {
        self.client_of("admin", "admin").await
    }

    /// A client of a user of this name, in a project.
    pub async fn client_of(&self, user: &str, project: &str) -> Client {
        let here = format!("{}/identity/v3", self.endpoint);
        let identity = self.identity.as_deref().unwrap_or(&here);
        Client::connect_by(identity, &self.endpoint, user, PASSWORD, project).await
    }

    /// Waits until the API answers and three hosts take work.
    pub async fn wait_until_ready(&self) {
        let begun = Instant::now();
        let http = reqwest::Client::new();
        loop {
            let answer = http.get(format!("{}/readyz", self.endpoint)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                break;
            }
            assert!(begun.elapsed() < LIMIT, "the API does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let client = self.client().await;
        wait_for("three compute hosts that are up", async || {
            let list = client.get("/os-services?binary=nova-compute").await;
            let up = |service: &&Value| service["state"] == "up";
            list["services"].as_array().unwrap().iter().filter(up).count() == 3
        })
        .await;
    }

    /// The database, to look behind the API.
    pub async fn database(&self) -> Database {
        let config = DatabaseConfig { url: SecretUrl::new(&self.database_url), ..DatabaseConfig::default() };
        Database::connect(&config).await.unwrap()
    }

    /// Every port of a server belongs to one that is there, on the host it is on. What was lost is found after a while.
    pub async fn assert_ports_add_up(&self) {
        let database = self.database().await;
        let mut wrong = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < LIMIT {
            wrong = wrong_ports(&database).await;
            if wrong.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("{wrong:?}");
    }

    /// Every claim belongs to a server that is there, on the host it is on, and each host's sums are those of its
    /// claims.
    pub async fn assert_claims_add_up(&self) {
        let client = self.client().await;
        let database = self.database().await;
        let mut connection = database.read().await.unwrap();
        let wrong = allocations::discrepancies(&mut connection).await.unwrap();
        assert!(wrong.is_empty(), "{wrong:?}");
        // A server that is put aside holds what it has, and is listed only where it is asked for.
        let mut wanted: Vec<(String, String)> = Vec::new();
        for query in ["", "&status=SOFT_DELETED"] {
            let servers = client.get(&format!("/servers/detail?all_tenants=1{query}")).await;
            wanted.extend(servers["servers"].as_array().unwrap().iter().filter_map(|server| {
                let host = server["OS-EXT-SRV-ATTR:host"].as_str()?;
                Some((server["id"].as_str().unwrap().to_owned(), host.to_owned()))
            }));
        }
        wanted.sort();
        let mut held = allocations::all(&mut connection).await.unwrap();
        held.sort();
        assert_eq!(held, wanted, "the claims on the left, the servers on the right");
    }
}

/// An address on which nothing listens now.
pub fn free_address() -> String {
    format!("127.0.0.1:{}", novella_testing::free_port())
}

/// Asks until it holds; fails if it does not within [`LIMIT`].
pub async fn wait_for(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < LIMIT, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
