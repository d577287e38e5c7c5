//! Compute held against Nova's own schemas, which the package `nova` has: everything that they say is asked for, rightly and
//! wrongly, at their microversions; and what the real clients ask is recorded and held against them. `tests/nova` says how.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use novella_testing::python;
use tempfile::TempDir;

use crate::{
    clients,
    support::cloud::{Cloud, PASSWORD, Settings},
};

const NOVA: [&str; 1] = ["nova==34.0.0"];

async fn python() -> PathBuf {
    let installed = || python::environment(Path::new(env!("CARGO_TARGET_TMPDIR")), &NOVA).join("bin/python");
    tokio::task::spawn_blocking(installed).await.unwrap()
}

fn script(python: impl AsRef<std::ffi::OsStr>, name: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/nova")).join(name));
    // Nova reads its own; and no compiled files among the sources.
    for (variable, _) in std::env::vars().filter(|(variable, _)| variable.starts_with("OS_")) {
        command.env_remove(variable);
    }
    command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    command
}

/// Runs one to its end, which has to be a good one.
async fn run(mut command: Command) {
    let said = tokio::task::spawn_blocking(move || python::run(&mut command)).await.unwrap();
    // For whoever looks at a run that went well.
    eprintln!("{said}");
}

/// Guests that take no time, and as many keys and groups as are asked for.
fn quick() -> Settings {
    let environment = [
        ("NOVELLA_COMPUTE__FAKE__BOOT_SECONDS_MIN", "0"),
        ("NOVELLA_COMPUTE__FAKE__BOOT_SECONDS_MAX", "0"),
        ("NOVELLA_COMPUTE__FAKE__POWER_SECONDS", "0"),
        ("NOVELLA_QUOTA__KEY_PAIRS", "-1"),
        ("NOVELLA_QUOTA__SERVER_GROUPS", "-1"),
    ];
    Settings {
        environment: environment.into_iter().map(|(name, value)| (name, value.to_owned())).collect(),
        ..Settings::default()
    }
}

async fn what_nova_takes_is_taken_and_what_it_refuses_is_refused(cloud: Cloud, whole: bool) {
    let mut sweep = script(python().await, "sweep.py");
    sweep.args([cloud.endpoint.as_str(), PASSWORD]);
    if whole {
        sweep.arg("--whole");
    }
    run(sweep).await;
    let logs = cloud.logs();
    assert!(!logs.contains("a handler broke") && !logs.contains("panicked"), "{logs}");
    cloud.assert_claims_add_up().await;
}

/// What stands before a cloud and writes down what is asked of it.
struct Recorder {
    child: Child,
    folder: TempDir,
}

impl Recorder {
    /// From now on the clients of the cloud go through this.
    fn before(cloud: &mut Cloud) -> Self {
        let folder = TempDir::with_prefix("novella-traffic-").unwrap();
        let mut command = script("python3", "record.py");
        command.arg(&cloud.endpoint).arg(folder.path().join("traffic")).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut url).unwrap();
        cloud.reached_at(url.trim());
        Self { child, folder }
    }

    async fn check(&self) {
        let mut check = script(python().await, "record.py");
        check.arg("check").arg(self.folder.path().join("traffic"));
        run(check).await;
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

mod embedded {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_nova_takes_is_taken_and_what_it_refuses_is_refused() {
        super::what_nova_takes_is_taken_and_what_it_refuses_is_refused(Cloud::embedded(quick()).await, false).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes many minutes; ./test --full runs it"]
    async fn what_nova_takes_is_taken_and_what_it_refuses_is_refused_at_every_microversion() {
        super::what_nova_takes_is_taken_and_what_it_refuses_is_refused(Cloud::embedded(quick()).await, true).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes minutes; ./test --full runs it"]
    async fn what_the_clients_hear_is_what_nova_could_say() {
        hear(clients::a_server_is_led_through_its_life_by_openstackclient).await;
        hear(clients::an_operator_sees_hosts_and_services_with_openstackclient).await;
        hear(clients::an_operator_divides_hosts_and_flavors_with_openstackclient).await;
    }

    /// What clients do on a cloud of its own is recorded, and held against Nova's schemas.
    async fn hear(walk: impl AsyncFnOnce(Cloud)) {
        let mut cloud = Cloud::embedded(Settings::default()).await;
        let recorder = Recorder::before(&mut cloud);
        walk(cloud).await;
        recorder.check().await;
    }
}

mod on_rabbitmq_and_postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes minutes; ./test --full runs it"]
    async fn what_nova_takes_is_taken_and_what_it_refuses_is_refused() {
        super::what_nova_takes_is_taken_and_what_it_refuses_is_refused(Cloud::apart(quick()).await, false).await;
    }
}
