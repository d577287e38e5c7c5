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
    made(folder, &requirements.join("+"), |place| {
        run(Command::new("python3").args(["-m", "venv"]).arg(place));
        let python = place.join("bin/python");
        run(Command::new(python).args(["-m", "pip", "install", "--quiet"]).args(requirements));
    })
}

/// One folder of a package from PyPI (`NAME==VERSION`), without the rest of it and without what it requires: for a
/// package of which a test needs a small part. It lies in `folder` as an environment does, and is fetched by that
/// `python`.
///
/// # Panics
/// If the package can't be fetched, or is no wheel.
pub fn part_of_package(folder: &Path, python: &Path, package: &str, part: &str) -> PathBuf {
    const UNPACK: &str = "import glob, sys, zipfile
wheel = zipfile.ZipFile(*glob.glob(sys.argv[1] + '/*.whl'))
wheel.extractall(sys.argv[2], [name for name in wheel.namelist() if name.startswith(sys.argv[3] + '/')])";
    made(folder, &format!("{package} {}", part.replace('/', ".")), |place| {
        let fetched = place.join("fetched");
        let mut fetch = Command::new(python);
        fetch.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest"]);
        run(fetch.arg(&fetched).arg(package));
        run(Command::new(python).args(["-c", UNPACK]).arg(&fetched).arg(place).arg(part));
        fs::remove_dir_all(&fetched).expect("to remove the rest of it");
    })
}

/// A folder that is made once and stays. Of several processes that ask at once, one makes it and the others wait.
fn made(folder: &Path, name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let place = folder.join(name);
    // Unlocked when closed, which the system does for a process that is killed.
    let lock = File::create(folder.join(format!("{name}.lock"))).expect("a file to lock");
    lock.lock().expect("a lock on the folder");
    let complete = place.join("complete");
    if !complete.exists() {
        // What an interrupted run left behind can't be told from what is whole.
        let _ = fs::remove_dir_all(&place);
        fs::create_dir(&place).expect("a folder");
        make(&place);
        fs::write(&complete, "").expect("a mark on the folder");
    }
    place
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
