//! Programs in Python, for tests against what only exists in that language.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A virtual environment that has these requirements (`NAME==VERSION` each) installed from PyPI; its programs are in
/// `bin`. It lies in `folder` (a test gives `env!("CARGO_TARGET_TMPDIR")`) and stays there for the next run. Other
/// requirements are another environment.
///
/// It blocks, for half a minute if the environment has to be made. Of several tests that ask at once, each in a process
/// of its own, one makes it and the others wait.
///
/// # Panics
/// If there is no Python 3 with venv (on Debian the package `python3-venv`), or the requirements can't be installed.
pub fn environment(folder: &Path, requirements: &[&str]) -> PathBuf {
    let name = requirements.join("+");
    let environment = folder.join(&name);
    // Unlocked when closed, which the system does for a process that is killed.
    let lock = File::create(folder.join(format!("{name}.lock"))).expect("a file to lock");
    lock.lock().expect("a lock on the environment");
    let complete = environment.join("complete");
    if !complete.exists() {
        // What an interrupted run left behind can't be told from what is whole.
        let _ = fs::remove_dir_all(&environment);
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment));
        let python = environment.join("bin/python");
        run(Command::new(python).args(["-m", "pip", "install", "--quiet"]).args(requirements));
        fs::write(&complete, "").expect("a mark on the environment");
    }
    environment
}

/// Runs a program to its end and returns what it printed.
///
/// # Panics
/// If it can't be started or fails; the text has all that it printed.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("UTF-8 from a program")
}
