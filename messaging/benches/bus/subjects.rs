//! The subjects, one after the other and that several times: a server and a client of each as processes, and what they say.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::Amounts;
use crate::machine;
use crate::measure::Figures;
use crate::report::{self, Column, Run};

/// How long the queues of servers that are gone stay, where the default is half an hour. Longer than a queue may be
/// without a consumer while many servers start.
pub(crate) const FORGOTTEN: Duration = Duration::from_secs(10);
/// How long a server may take to end.
const ENDING: Duration = Duration::from_secs(3);

/// Something that is measured.
struct Candidate {
    title: String,
    /// The command of its servers; empty, if they live in the client's process.
    serve: Vec<String>,
    measure: Vec<String>,
    /// Whether it has casts and fanouts.
    bus: bool,
    /// How many calls are made for each that a bare client makes: slow peers get fewer.
    share: f64,
}

pub(crate) fn compare(url: Option<&str>, amounts: &Amounts, runs: usize, rust_only: bool, python: &str) -> Result<()> {
    let (mut head, mut missing) = (vec![machine::describe()?, machine::ours()?], Vec::new());
    let mut candidates = Vec::new();
    if let Some(url) = url {
        // Over TLS it does not tell.
        head.extend(machine::broker(url).ok());
        candidates.push(ours(report::FLOOR, "floor", url)?);
        candidates.push(ours("novella-messaging", "library", url)?);
        if !rust_only {
            match install(python) {
                Ok(interpreter) => {
                    head.push(machine::peers(&interpreter)?);
                    candidates.extend(peers(url, &interpreter)?);
                }
                Err(error) => missing.push(format!("the Python peers: {error:#}")),
            }
        }
    } else {
        eprintln!("no broker: name one with --url amqp://user:password@host/vhost");
    }
    let memory = ours("novella-messaging, memory://", "library", "memory://")?;
    candidates.push(Candidate { serve: Vec::new(), share: 10.0, ..memory });
    let mut columns: Vec<Column> =
        candidates.iter().map(|candidate| Column { title: candidate.title.clone(), runs: Vec::new() }).collect();
    for number in 1..=runs {
        for (candidate, column) in candidates.iter().zip(&mut columns) {
            eprintln!("run {number} of {runs}: {}", candidate.title);
            let run = measure(candidate, amounts);
            if let Err(error) = &run {
                missing.push(format!("{}, run {number}: {error:#}", candidate.title));
            }
            column.runs.push(run.ok());
        }
    }
    report::print(&head, &columns, &missing);
    Ok(())
}

fn ours(title: &str, subject: &str, url: &str) -> Result<Candidate> {
    let this = std::env::current_exe()?.to_string_lossy().into_owned();
    let command = |role: &str| [this.as_str(), role, subject, "--url", url].map(str::to_owned).to_vec();
    Ok(Candidate { title: title.into(), serve: command("serve"), measure: command("measure"), bus: true, share: 1.0 })
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/bus/peers")
}

/// Makes a virtual environment with what the Python peers need, once, and returns its interpreter.
fn install(python: &str) -> Result<PathBuf> {
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-peers");
    let interpreter = environment.join("bin/python");
    let requirements = folder().join("requirements.txt");
    // A copy of what was installed. It is written last, so an installation that broke off is done again.
    let installed = environment.join("installed.txt");
    if std::fs::read(&installed).ok() != Some(std::fs::read(&requirements)?) {
        eprintln!("installing the Python peers into {}", environment.display());
        status(Command::new(python).args(["-m", "venv", "--clear"]).arg(&environment))?;
        status(Command::new(&interpreter).args(["-m", "pip", "install", "--quiet", "-r"]).arg(&requirements))?;
        std::fs::copy(&requirements, &installed)?;
    }
    Ok(interpreter)
}

fn peers(url: &str, interpreter: &Path) -> Result<Vec<Candidate>> {
    let candidate = |title: &str, file: &str, url: &str, bus: bool| {
        let command = |role: &str| -> Vec<String> {
            let script = folder().join(file);
            [&*interpreter.to_string_lossy(), "-B", &*script.to_string_lossy(), role, "--url", url]
                .map(str::to_owned)
                .to_vec()
        };
        Candidate { title: title.into(), serve: command("serve"), measure: command("measure"), bus, share: 0.3 }
    };
    // One after the other, they can have the same port.
    let direct = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let (http, tcp) = (format!("http://{direct}"), format!("tcp://{direct}"));
    Ok(vec![
        candidate(report::OSLO, "oslo.py", &url.replacen("amqp", "rabbit", 1), true),
        candidate("XML-RPC, direct", "xml_rpc.py", &http, false),
        candidate("JSON-RPC, direct", "json_rpc.py", &http, false),
        candidate("zerorpc, direct", "zero_rpc.py", &tcp, false),
    ])
}

fn status(command: &mut Command) -> Result<()> {
    let status = command.stdout(Stdio::null()).status().with_context(|| format!("{command:?}"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}

/// One server for the calls and the casts, as many as asked for to hear the fanouts.
fn measure(candidate: &Candidate, amounts: &Amounts) -> Result<Run> {
    let figures = with_servers(candidate, 1, &Amounts { rounds: 0, ..amounts.clone() })?;
    let mut fanout_ms = BTreeMap::new();
    if candidate.bus && amounts.rounds > 0 {
        for &servers in &amounts.servers {
            let fanouts = Amounts { calls: 0, seconds: 0.0, casts: 0, ..amounts.clone() };
            fanout_ms.extend(with_servers(candidate, servers, &fanouts)?.fanout_ms.map(|time| (servers, time)));
        }
    }
    Ok(Run { figures, fanout_ms })
}

fn with_servers(candidate: &Candidate, servers: usize, amounts: &Amounts) -> Result<Figures> {
    let amounts = Amounts { servers: vec![servers], ..amounts.clone() };
    if candidate.serve.is_empty() {
        return run(candidate, &amounts);
    }
    let server = serve(candidate, servers)?;
    let figures = run(candidate, &amounts);
    drop(server);
    if candidate.bus {
        sleep(FORGOTTEN + Duration::from_secs(1));
    }
    figures
}

/// A server's process, which ends with this.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let told = Instant::now();
        while told.elapsed() < ENDING && matches!(self.0.try_wait(), Ok(None)) {
            sleep(Duration::from_millis(20));
        }
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(candidate: &Candidate, servers: usize) -> Result<Server> {
    let [program, args @ ..] = &*candidate.serve else { bail!("no command") };
    let mut command = Command::new(program);
    command.args(args).args(["--servers", &servers.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = Server(command.spawn()?);
    let output = server.0.stdout.take().context("no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    anyhow::ensure!(line.trim() == "ready", "the server of {} does not start", candidate.title);
    Ok(server)
}

fn run(candidate: &Candidate, amounts: &Amounts) -> Result<Figures> {
    let [program, args @ ..] = &*candidate.measure else { bail!("no command") };
    let share = |amount: usize| (amount as f64 * candidate.share) as usize;
    let listed = |numbers: &[usize]| numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let mut command = Command::new(program);
    command.args(args).args(["--calls", &share(amounts.calls).to_string()]);
    command.args(["--in-flight", &listed(&amounts.in_flight), "--seconds", &amounts.seconds.to_string()]);
    if candidate.bus {
        command.args(["--casts", &share(amounts.casts).to_string(), "--rounds", &amounts.rounds.to_string()]);
        command.args(["--servers", &listed(&amounts.servers)]);
    }
    let output = command.stderr(Stdio::inherit()).output()?;
    anyhow::ensure!(output.status.success(), "the client fails: {}", output.status);
    serde_json::from_slice(&output.stdout).context("what its client says")
}
