//! The subjects, one after the other: a server and a client of each as processes, and what they say.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::Amounts;
use crate::measure::Figures;
use crate::report::{self, Column};

/// How many servers hear the second fanout.
const MANY: usize = 100;

/// Something that is measured.
struct Candidate {
    title: String,
    serve: Vec<String>,
    measure: Vec<String>,
    /// Whether it has casts and fanouts.
    bus: bool,
    /// How many calls are made for each that a bare client makes: slow peers get fewer.
    share: f64,
}

pub(crate) fn compare(url: Option<&str>, amounts: &Amounts, rust_only: bool, python: &str) -> Result<()> {
    let mut columns = Vec::new();
    if let Some(url) = url {
        let mut candidates =
            vec![ours("bare lapin (floor)", "floor", url)?, ours("novella-messaging", "library", url)?];
        if !rust_only {
            candidates.extend(peers(url, python)?);
        }
        for candidate in candidates {
            eprintln!("measuring {}", candidate.title);
            columns.push(measure(&candidate, amounts)?);
        }
    } else {
        eprintln!("no broker: name one with --url amqp://user:password@host/vhost");
    }
    eprintln!("measuring memory://");
    let this = std::env::current_exe()?.to_string_lossy().into_owned();
    let in_process = Candidate {
        title: "novella-messaging, memory://".into(),
        serve: Vec::new(),
        measure: [this.as_str(), "measure", "library", "memory://"].map(str::to_owned).to_vec(),
        bus: true,
        share: 10.0,
    };
    columns.push(Column { title: in_process.title.clone(), figures: run(&in_process, amounts)?, fanout_many: None });
    report::print(&columns);
    Ok(())
}

fn ours(title: &str, subject: &str, url: &str) -> Result<Candidate> {
    let this = std::env::current_exe()?.to_string_lossy().into_owned();
    let command = |role: &str| [this.as_str(), role, subject, url].map(str::to_owned).to_vec();
    Ok(Candidate { title: title.into(), serve: command("serve"), measure: command("measure"), bus: true, share: 1.0 })
}

/// The Python peers, in a virtual environment that is made once.
fn peers(url: &str, python: &str) -> Result<Vec<Candidate>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/bus/peers");
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-peers");
    let interpreter = environment.join("bin/python");
    let requirements = folder.join("requirements.txt");
    let installed = environment.join("installed.txt");
    if std::fs::read(&installed).ok() != std::fs::read(&requirements).ok() {
        eprintln!("installing the Python peers into {}", environment.display());
        status(Command::new(python).args(["-m", "venv", "--clear"]).arg(&environment))?;
        status(Command::new(&interpreter).args(["-m", "pip", "install", "--quiet", "-r"]).arg(&requirements))?;
        std::fs::copy(&requirements, &installed)?;
    }
    let candidate = |title: &str, file: &str, url: &str, bus: bool| {
        let command = |role: &str| -> Vec<String> {
            let script = folder.join(file);
            [&*interpreter.to_string_lossy(), &*script.to_string_lossy(), role, "--url", url]
                .map(str::to_owned)
                .to_vec()
        };
        Candidate { title: title.into(), serve: command("serve"), measure: command("measure"), bus, share: 0.3 }
    };
    let direct = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let (http, tcp) = (format!("http://{direct}"), format!("tcp://{direct}"));
    let mut peers = vec![
        candidate("oslo.messaging", "oslo.py", &url.replacen("amqp", "rabbit", 1), true),
        candidate("xmlrpc, direct", "xmlrpc.py", &http, false),
        candidate("JSON-RPC over HTTP, direct", "jsonrpc.py", &http, false),
    ];
    if folder.join("zero.py").exists() {
        peers.push(candidate("zerorpc, direct", "zero.py", &tcp, false));
    }
    Ok(peers)
}

fn status(command: &mut Command) -> Result<()> {
    let status = command.stdout(Stdio::null()).status().with_context(|| format!("{command:?}"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}

fn measure(candidate: &Candidate, amounts: &Amounts) -> Result<Column> {
    let server = serve(candidate, amounts.servers)?;
    let figures = run(candidate, amounts)?;
    drop(server);
    let mut fanout_many = None;
    if candidate.bus && amounts.rounds > 0 {
        let many = Amounts { calls: 0, seconds: 0.0, casts: 0, servers: MANY, ..amounts.clone() };
        let _server = serve(candidate, MANY)?;
        fanout_many = run(candidate, &many)?.fanout_ms;
    }
    Ok(Column { title: candidate.title.clone(), figures, fanout_many })
}

/// A server's process, which ends with this.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(candidate: &Candidate, servers: usize) -> Result<Server> {
    let [program, args @ ..] = &*candidate.serve else { bail!("no command") };
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    match (program.ends_with("python"), candidate.bus) {
        (true, true) => command.arg("--servers").arg(servers.to_string()),
        (true, false) => &mut command,
        (false, _) => command.arg(servers.to_string()),
    };
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
    let mut command = Command::new(program);
    command.args(args).args(["--calls", &share(amounts.calls).to_string()]);
    let in_flight: Vec<_> = amounts.in_flight.iter().map(ToString::to_string).collect();
    command.args(["--in-flight", &in_flight.join(","), "--seconds", &amounts.seconds.to_string()]);
    if candidate.bus {
        command.args(["--casts", &share(amounts.casts).to_string(), "--rounds", &amounts.rounds.to_string()]);
        command.args(["--servers", &amounts.servers.to_string()]);
    }
    let output = command.stderr(Stdio::inherit()).output()?;
    anyhow::ensure!(output.status.success(), "the client of {} fails: {}", candidate.title, output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("what {} says", candidate.title))
}
