//! A PostgreSQL of a test's own, for what cannot be done to one that others use: stop it, crash it, start it again.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::ports::free_port;

/// How long a server may take to start, the recovery after a crash included, or to end.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// A PostgreSQL that belongs to one test, with a port and data of its own. It ends when dropped, and when the test's
/// process ends.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    password: String,
    port: u16,
    server: Option<Child>,
}

impl Postgres {
    /// Makes an empty one, starts it, and waits until it serves.
    ///
    /// # Panics
    /// If PostgreSQL is not installed (`./test` installs it), or does not start; the text holds what it said.
    pub async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("novella-postgres-").tempdir().unwrap();
        let (password, port) = (Uuid::new_v4().simple().to_string(), free_port());
        let mut postgres = Self { folder, password, port, server: None };
        let password_file = postgres.path("password");
        fs::write(&password_file, &postgres.password).unwrap();
        if is_root() {
            // It refuses to run as root. Its package made this user, who has to get to its data.
            fs::set_permissions(postgres.folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
            fs::create_dir(postgres.path("data")).unwrap();
            for name in ["data", "password"] {
                run(Command::new("chown").arg("postgres").arg(postgres.path(name))).await;
            }
        }
        let mut initdb = unprivileged(&find("initdb"));
        initdb.arg("--pgdata").arg(postgres.path("data")).arg("--pwfile").arg(&password_file);
        initdb.args(["--username", "novella", "--auth", "scram-sha-256"]);
        initdb.args(["--encoding", "UTF8", "--locale", "C", "--no-sync"]);
        run(&mut initdb).await;
        postgres.start_again().await;
        postgres
    }

    /// The URL of its database `postgres`, with user and password.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://novella:{}@127.0.0.1:{}/postgres", self.password, self.port)
    }

    /// Stops it in good order, as an operator does: transactions are rolled back and connections end.
    ///
    /// # Panics
    /// If it does not run or does not stop.
    pub async fn stop(&mut self) {
        self.end("INT").await;
    }

    /// Has it end at once without writing anything, as a crash does: when it starts again, it recovers from its log.
    ///
    /// # Panics
    /// If it does not run.
    pub async fn crash(&mut self) {
        self.end("QUIT").await;
    }

    /// Starts it after it was stopped or has crashed, with the same port and data, and waits until it serves.
    ///
    /// # Panics
    /// If it runs, or does not start.
    pub async fn start_again(&mut self) {
        assert!(self.server.is_none(), "the server runs already");
        let log = File::options().create(true).append(true).open(self.path("output.log")).unwrap();
        let mut command = unprivileged(Path::new("setsid"));
        // Sent QUIT when this process ends, whatever the reason: killed outright it would leave shared memory behind.
        command.args(["setpriv", "--pdeathsig", "QUIT"]).arg(find("postgres"));
        command.arg("-D").arg(self.path("data"));
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-k", ""]);
        // Nothing has to outlive the machine. What is committed outlives the server nevertheless: it has been handed to
        // the operating system by then.
        for setting in ["max_connections=300", "shared_buffers=32MB", "fsync=off", "full_page_writes=off"] {
            command.args(["-c", setting]);
        }
        let server =
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().expect("setpriv runs");
        self.server = Some(server);
        let give_up = Instant::now() + START_TIMEOUT;
        while PgConnection::connect(&self.url()).await.is_err() {
            let ended = self.server.as_mut().unwrap().try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < give_up,
                "PostgreSQL does not start: {}",
                fs::read_to_string(self.path("output.log")).unwrap()
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn end(&mut self, signal: &str) {
        let mut server = self.server.take().expect("the server runs");
        send(&server, signal);
        let give_up = Instant::now() + START_TIMEOUT;
        while server.try_wait().unwrap().is_none() {
            assert!(Instant::now() < give_up, "PostgreSQL does not end");
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            send(server, "QUIT");
            let _ = server.wait();
        }
    }
}

fn send(server: &Child, signal: &str) {
    let status = Command::new("kill").args([format!("-{signal}"), server.id().to_string()]).status().unwrap();
    assert!(status.success(), "kill -{signal}: {status}");
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

/// A command as a user who may run PostgreSQL.
fn unprivileged(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "postgres", "--regid", "postgres", "--init-groups"]).arg(program);
    command
}

/// A command of PostgreSQL's: of the newest version among those that Debian keeps outside of PATH, or else of PATH.
fn find(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut folders: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            Some((path.file_name()?.to_str()?.parse().ok()?, path.join("bin")))
        })
        .collect();
    folders.sort();
    let search = std::env::var_os("PATH").unwrap_or_default();
    folders
        .into_iter()
        .rev()
        .map(|(_, folder)| folder)
        .chain(std::env::split_paths(&search))
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("`{name}` is not installed: run the tests by ./test, which installs it"))
}

async fn run(command: &mut Command) {
    let mut command = std::mem::replace(command, Command::new("true"));
    let what = format!("{command:?}");
    let Output { status, stderr, .. } =
        tokio::task::spawn_blocking(move || command.output()).await.unwrap().expect("the command runs");
    assert!(status.success(), "{what}: {}", String::from_utf8_lossy(&stderr));
}

#[cfg(test)]
mod tests {
    use super::*;

    mod on_postgres {
        use super::*;

        #[tokio::test]
        async fn what_was_committed_outlives_a_stop_and_a_crash() {
            let mut postgres = Postgres::start().await;
            let mut connection = PgConnection::connect(&postgres.url()).await.unwrap();
            sqlx::query("CREATE TABLE t (a INTEGER)").execute(&mut connection).await.unwrap();
            for round in 1..=2_i64 {
                sqlx::query("INSERT INTO t VALUES (1)").execute(&mut connection).await.unwrap();
                if round == 1 {
                    postgres.stop().await;
                } else {
                    postgres.crash().await;
                }
                assert!(connection.ping().await.is_err());
                postgres.start_again().await;
                connection = PgConnection::connect(&postgres.url()).await.unwrap();
                let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM t").fetch_one(&mut connection).await.unwrap();
                assert_eq!(count, round);
            }
        }
    }
}
