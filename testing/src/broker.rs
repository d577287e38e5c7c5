//! A RabbitMQ of a test's own, for what cannot be done to one that others use: stop it, kill it, raise an alarm.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::ports::free_port;

/// How long a broker may take to start: many times what it takes on an idle machine.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// What a client of AMQP 0-9-1 says first.
const PROTOCOL_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";

/// A RabbitMQ that belongs to one test, with ports, data and configuration of its own. It ends when dropped, and when the
/// test's process ends.
#[derive(Debug)]
pub struct Broker {
    folder: TempDir,
    password: String,
    amqp_port: u16,
    management_port: Option<u16>,
    epmd_port: u16,
    distribution_port: u16,
    /// Erlang's port mapper: one that the broker starts by itself would outlive it.
    epmd: Child,
    server: Option<Child>,
}

impl Broker {
    /// Starts one, with these lines added to its `rabbitmq.conf`, and waits until it serves.
    ///
    /// # Panics
    /// If RabbitMQ is not installed (`./test` installs it), or does not start; the text holds what it said.
    pub async fn start(configuration: &str) -> Self {
        Self::start_with(configuration, None).await
    }

    /// One with its management API, which takes it some seconds more to start.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub async fn start_with_management() -> Self {
        let port = free_port();
        let configuration = format!(
            "management.tcp.ip = 127.0.0.1\n\
             management.tcp.port = {port}\n\
             default_user_tags.administrator = true\n\
             collect_statistics_interval = 200\n"
        );
        let broker = Self::start_with(&configuration, Some(port)).await;
        // AMQP is spoken some time before.
        let give_up = Instant::now() + START_TIMEOUT;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
            assert!(Instant::now() < give_up, "the management API does not start");
            sleep(Duration::from_millis(50)).await;
        }
        broker
    }

    async fn start_with(configuration: &str, management_port: Option<u16>) -> Self {
        let folder = tempfile::Builder::new().prefix("novella-broker-").tempdir().unwrap();
        let [amqp_port, epmd_port, distribution_port] = [(); 3].map(|()| free_port());
        let password = Uuid::new_v4().simple().to_string();
        let path = folder.path();
        let own = format!(
            "listeners.tcp.1 = 127.0.0.1:{amqp_port}\n\
             default_user = novella\n\
             default_pass = {password}\n\
             log.file.level = info\n\
             disk_free_limit.absolute = 50MB\n\
             {configuration}\n"
        );
        fs::write(path.join("rabbitmq.conf"), own).unwrap();
        let plugins = if management_port.is_some() { "rabbitmq_management" } else { "" };
        fs::write(path.join("plugins"), format!("[{plugins}].\n")).unwrap();
        let epmd = tied(&find("epmd"))
            .args(["-port", &epmd_port.to_string(), "-address", "127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut broker =
            Self { folder, password, amqp_port, management_port, epmd_port, distribution_port, epmd, server: None };
        broker.start_again().await;
        broker
    }

    /// The URL of its virtual host `/`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://novella:{}@127.0.0.1:{}/", self.password, self.amqp_port)
    }

    /// The same for another user.
    #[must_use]
    pub fn url_as(&self, user: &str, password: &str) -> String {
        format!("amqp://{user}:{password}@127.0.0.1:{}/", self.amqp_port)
    }

    /// The URL of its management API.
    ///
    /// # Panics
    /// If it was started without.
    #[must_use]
    pub fn management_url(&self) -> String {
        let port = self.management_port.expect("started with management");
        format!("http://novella:{}@127.0.0.1:{port}", self.password)
    }

    /// The same by TLS, at a port that the configuration opens.
    #[must_use]
    pub fn tls_url(&self, host: &str, port: u16) -> String {
        format!("amqps://novella:{}@{host}:{port}/", self.password)
    }

    /// Where it logs.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.path(&format!("log/novella-{}@localhost.log", self.epmd_port))
    }

    /// Stops it in good order, as an operator does.
    ///
    /// # Panics
    /// If it does not run or does not stop.
    pub async fn stop(&mut self) {
        self.end("TERM").await;
    }

    /// Kills it, as a power failure does.
    ///
    /// # Panics
    /// If it does not run.
    pub async fn kill(&mut self) {
        self.end("KILL").await;
    }

    /// Starts it after it was stopped or killed, with the same ports and data, and waits until it serves.
    ///
    /// # Panics
    /// If it runs, or does not start.
    pub async fn start_again(&mut self) {
        assert!(self.server.is_none(), "the broker runs already");
        let log = File::create(self.path("output.log")).unwrap();
        let server = self
            .environment(tied(&find("rabbitmq-server")).arg("-noinput"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.server = Some(server);
        let give_up = Instant::now() + START_TIMEOUT;
        while !answers(self.amqp_port).await {
            let ended = self.server.as_mut().unwrap().try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < give_up,
                "RabbitMQ does not start: {}",
                fs::read_to_string(self.path("output.log")).unwrap()
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Runs `rabbitmqctl` on it.
    ///
    /// # Panics
    /// If the command fails.
    pub async fn control(&self, arguments: &[&str]) {
        let mut command = Command::new(find("rabbitmqctl"));
        self.environment(command.arg("--quiet").args(arguments));
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "rabbitmqctl {}: {said}", arguments.join(" "));
    }

    async fn end(&mut self, signal: &str) {
        let mut server = self.server.take().expect("the broker runs");
        let status = Command::new("kill").args([format!("-{signal}"), server.id().to_string()]).status().unwrap();
        assert!(status.success(), "kill -{signal}: {status}");
        let give_up = Instant::now() + START_TIMEOUT;
        while server.try_wait().unwrap().is_none() {
            assert!(Instant::now() < give_up, "the broker does not end");
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Nothing of it is shared with a RabbitMQ of the system.
    fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("HOME", self.folder.path())
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", self.path("rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", self.path("none"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", self.path("plugins"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", self.path("generated"))
            .env("RABBITMQ_MNESIA_BASE", self.path("data"))
            .env("RABBITMQ_LOG_BASE", self.path("log"))
            .env("RABBITMQ_PID_FILE", self.path("pid"))
            .env("RABBITMQ_NODENAME", format!("novella-{}@localhost", self.epmd_port))
            .env("RABBITMQ_DIST_PORT", self.distribution_port.to_string())
            // It sleeps when idle: by default a core is kept busy waiting.
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none")
            // The start script then becomes the server, and its process id is the server's.
            .env("RABBITMQ_ALLOW_INPUT", "1")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        for process in self.server.iter_mut().chain([&mut self.epmd]) {
            // One that has ended by itself cannot be killed, which is as well.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A command that is killed when this process ends, whatever the reason, and that Ctrl-C at the terminal does not reach.
fn tied(program: &Path) -> Command {
    let mut command = Command::new("setsid");
    command.args(["setpriv", "--pdeathsig", "KILL"]).arg(program);
    command
}

/// A command of RabbitMQ's or Erlang's. Debian's wrappers in PATH change to a user who cannot read a test's folder, so
/// the commands behind them come first.
fn find(name: &str) -> PathBuf {
    let search = std::env::var_os("PATH").unwrap_or_default();
    [PathBuf::from("/usr/lib/rabbitmq/bin")]
        .into_iter()
        .chain(std::env::split_paths(&search))
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("`{name}` is not installed: run the tests by ./test, which installs it"))
}

/// Whether AMQP is spoken there.
async fn answers(port: u16) -> bool {
    let ask = async {
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        socket.write_all(PROTOCOL_HEADER).await?;
        socket.read_u8().await
    };
    matches!(timeout(Duration::from_secs(2), ask).await, Ok(Ok(_)))
}
