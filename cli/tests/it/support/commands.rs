//! Commands of OpenStack's clients, run by a process that has read the clients once: see `commands.py`.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

/// How a command has ended.
#[derive(Deserialize)]
pub struct Ended {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

#[derive(Serialize)]
struct Request<'a> {
    program: &'a str,
    arguments: &'a [String],
    environment: &'a [(String, String)],
}

/// The process that runs them. It ends when its standard input does, with the process of the test.
struct Server {
    socket: PathBuf,
    _folder: TempDir,
    _process: Child,
}

/// Runs a command of `program`, which is `openstack` or `nova`, installed beside this `python`. It knows this environment
/// and what the test has, without what the surrounding shell says of a cloud.
///
/// It blocks until the command ends.
pub fn run(python: &Path, program: &str, arguments: &[String], environment: &[(String, String)]) -> Ended {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let server = SERVER.get_or_init(|| Server::start(python));
    let mut environment: Vec<(String, String)> = environment.to_vec();
    environment
        .extend(["HOME", "PATH", "TMPDIR"].iter().filter_map(|name| Some(((*name).into(), env::var(name).ok()?))));
    let mut connection = UnixStream::connect(&server.socket).unwrap();
    let mut request = serde_json::to_vec(&Request { program, arguments, environment: &environment }).unwrap();
    request.push(b'\n');
    connection.write_all(&request).unwrap();
    let mut answer = String::new();
    BufReader::new(connection).read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{program} {arguments:?}: {error}: {answer:?}"))
}

impl Server {
    fn start(python: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("commands");
        let mut process = Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/commands.py"))
            .arg(&socket)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n");
        Self { socket, _folder: folder, _process: process }
    }
}
