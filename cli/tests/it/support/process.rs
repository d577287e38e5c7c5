//! Real processes of the real binary, which can be killed and started again.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// One process of it. Killed when dropped; when the test failed, its log is printed.
pub struct Process {
    pub name: String,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    file_limit: Option<u32>,
    log: PathBuf,
    /// How long the log was when it was started last.
    log_before: usize,
    child: Child,
}

/// The binary, with nothing of the surrounding shell's own configuration.
pub fn novella() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_novella"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("NOVELLA_") || name.starts_with("OS_")) {
        command.env_remove(name);
    }
    command
}

impl Process {
    /// With a limit on its open files, soft and hard, if there is one.
    pub fn start(
        name: &str,
        arguments: &[&str],
        environment: &BTreeMap<String, String>,
        file_limit: Option<u32>,
        logs: &Path,
    ) -> Self {
        let log = logs.join(format!("{name}.log"));
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let child = spawn(&arguments, environment, file_limit, &log);
        let environment = environment.clone();
        Self { name: name.into(), arguments, environment, file_limit, log, log_before: 0, child }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged, in all its runs.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Sets a variable of its environment for its next start.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.environment.insert(variable.to_owned(), value.to_owned());
    }

    /// Starts it again, as a supervisor would, if it has ended without having got as far as to serve: what it needs was
    /// away.
    pub fn restart_if_it_did_not_start(&mut self) {
        if self.ended().is_some_and(|status| !status.success()) && !self.log()[self.log_before..].contains(" started") {
            self.restart();
        }
    }

    /// `kill -9`, at once.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and waits for the end.
    pub fn terminate(&mut self) -> ExitStatus {
        let status = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{} does not stop on SIGTERM", self.name);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGSTOP: it stands still wherever it is, and keeps all that it has.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// SIGCONT: it goes on where it stood.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        self.signal("-HUP");
    }

    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Starts it again, as it was started first.
    pub fn restart(&mut self) {
        self.log_before = self.log().len();
        self.child = spawn(&self.arguments, &self.environment, self.file_limit, &self.log);
    }
}

/// [`novella`], with a limit on its open files if there is one.
fn limited(file_limit: Option<u32>) -> Command {
    let novella = novella();
    let Some(limit) = file_limit else { return novella };
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &limit.to_string()]).arg(novella.get_program());
    for (name, _) in novella.get_envs() {
        shell.env_remove(name);
    }
    shell
}

fn spawn(arguments: &[String], environment: &BTreeMap<String, String>, file_limit: Option<u32>, log: &Path) -> Child {
    let log: File = OpenOptions::new().create(true).append(true).open(log).unwrap();
    limited(file_limit)
        .args(arguments)
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(60).collect();
            eprintln!("--- the last of {}'s log", self.name);
            for line in tail.into_iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}
