//! A process with oslo.messaging, spoken to in lines of JSON: `peer.py`, whose text says what can be asked of it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use novella_testing::{python, within};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};

/// What a command raised in Python.
#[derive(Debug, Deserialize)]
pub struct Raised {
    /// The exception's class, as its caller got it.
    #[serde(rename = "type")]
    pub class: String,
    pub module: String,
    pub text: String,
    pub args: Vec<Value>,
    pub kwargs: Map<String, Value>,
    /// Of a `RemoteError`: the class of what was raised on the other side, and its text.
    pub exc_type: Option<String>,
    pub value: Option<String>,
}

/// Who waits for answers, by the commands' ids. None once the process has ended.
type Waiting = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Result<Value, Raised>>>>>>;

/// The process. It ends when this is dropped; if that is because the test failed, its log is shown.
pub struct Peer {
    process: Child,
    commands: mpsc::UnboundedSender<String>,
    next: AtomicU64,
    waiting: Waiting,
    events: mpsc::UnboundedReceiver<Value>,
    log: File,
}

impl Peer {
    /// A peer on the bus at `url`, once it is ready for commands.
    pub async fn start(url: &str, control_exchange: &str, flags: &[&str]) -> Self {
        let python = tokio::task::spawn_blocking(installed).await.unwrap();
        let log = tempfile::tempfile().unwrap();
        let mut process = Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/interop/peer.py"))
            .args(["--url", &url.replacen("amqp://", "rabbit://", 1), "--control-exchange", control_exchange])
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.try_clone().unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (commands, to_write) = mpsc::unbounded_channel();
        let (to_tell, events) = mpsc::unbounded_channel();
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        tokio::spawn(write(process.stdin.take().unwrap(), to_write));
        tokio::spawn(read(process.stdout.take().unwrap(), Arc::clone(&waiting), to_tell));
        let mut peer = Self { process, commands, next: AtomicU64::new(1), waiting, events, log };
        assert_eq!(peer.event().await, json!({ "event": "ready" }));
        peer
    }

    /// Gives a command and waits for what comes of it. Commands that wait side by side are worked on side by side.
    pub async fn ask(&self, command: &str, fields: Value) -> Result<Value, Raised> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut line = json!({ "id": id, "do": command });
        let Value::Object(fields) = fields else { panic!("the fields of a command are an object, not {fields}") };
        line.as_object_mut().unwrap().extend(fields);
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().unwrap().as_mut().expect("the Python process lives").insert(id, answer);
        self.commands.send(format!("{line}\n")).unwrap();
        within(answered).await.expect("the Python process lives until it has answered")
    }

    /// What it tells next.
    pub async fn event(&mut self) -> Value {
        within(self.events.recv()).await.expect("the Python process lives until it has told something")
    }

    /// Ends it as a crash would.
    pub async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }
}

impl Drop for Peer {
    #[expect(clippy::print_stderr, reason = "part of what a failed test says")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut text = String::new();
            let read = self.log.seek(SeekFrom::Start(0)).and_then(|_| self.log.read_to_string(&mut text));
            eprintln!("The Python process's log ({read:?}):\n{text}");
        }
    }
}

fn installed() -> PathBuf {
    let requirements: Vec<_> = include_str!("requirements.txt").lines().collect();
    python::environment(Path::new(env!("CARGO_TARGET_TMPDIR")), &requirements).join("bin/python")
}

async fn write(mut stdin: ChildStdin, mut commands: mpsc::UnboundedReceiver<String>) {
    while let Some(line) = commands.recv().await {
        if stdin.write_all(line.as_bytes()).await.is_err() {
            // It has ended, which whoever waits for an answer is told by the reader.
            return;
        }
    }
}

async fn read(stdout: ChildStdout, waiting: Waiting, events: mpsc::UnboundedSender<Value>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut line: Value = serde_json::from_str(&line).unwrap();
        let Some(id) = line["id"].as_u64() else {
            // A test that has heard enough does not listen any more.
            let _ = events.send(line);
            continue;
        };
        let answer = match line["error"].take() {
            Value::Null => Ok(line["ok"].take()),
            error => Err(Raised::deserialize(error).unwrap()),
        };
        let asker = waiting.lock().unwrap().as_mut().and_then(|waiting| waiting.remove(&id));
        if let Some(asker) = asker {
            let _ = asker.send(answer);
        }
    }
    waiting.lock().unwrap().take();
}
