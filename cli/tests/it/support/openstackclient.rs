//! The real client: python-openstackclient with the SDK, from PyPI, as a user of a cloud has it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use novella_testing::python;
use serde_json::Value;

use super::cloud::{Cloud, PASSWORD};

/// What is installed.
const PACKAGES: [&str; 2] = ["python-openstackclient==10.5.0", "openstacksdk==4.22.0"];

/// The client in a virtual environment of its own.
pub fn installed() -> PathBuf {
    python::environment(Path::new(env!("CARGO_TARGET_TMPDIR")), &PACKAGES).join("bin/openstack")
}

/// A program without what the surrounding shell says of a cloud.
pub fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OS_")) {
        command.env_remove(name);
    }
    command
}

/// Where clients read how to log in: the file that `novella up` writes. Services apart have none, so it is written here
/// (the user demo is there if they were told `NOVELLA_DEMO_PASSWORD`, which is that of the tests).
pub fn clouds_file(cloud: &Cloud) -> PathBuf {
    let path = cloud.data_folder().join("clouds.yaml");
    if !path.exists() {
        let entry = |name: &str, user: &str| {
            let auth = serde_json::json!({
                "auth_url": format!("{}/identity/v3", cloud.endpoint), "username": user, "password": PASSWORD,
                "project_name": user, "user_domain_id": "default", "project_domain_id": "default",
            });
            format!("  {name}: {{auth: {auth}, region_name: RegionOne, identity_api_version: 3}}\n")
        };
        std::fs::create_dir_all(cloud.data_folder()).unwrap();
        let text = format!("clouds:\n{}{}", entry("novella", "admin"), entry("novella-demo", "demo"));
        std::fs::write(&path, text).unwrap();
    }
    path
}

/// The client as a user of this cloud has it.
pub struct OpenStack {
    client: PathBuf,
    clouds: PathBuf,
    cloud: &'static str,
}

impl OpenStack {
    /// The administrator's.
    pub async fn of(cloud: &Cloud) -> Self {
        let client = tokio::task::spawn_blocking(installed).await.unwrap();
        Self { client, clouds: clouds_file(cloud), cloud: "novella" }
    }

    /// That of the user demo, who is a member of the project demo.
    pub fn as_demo(&self) -> Self {
        Self { client: self.client.clone(), clouds: self.clouds.clone(), cloud: "novella-demo" }
    }

    /// A command that does not know yet which cloud.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(&self.client);
        command.args(arguments);
        command
    }

    fn here(&self, mut command: Command) -> Command {
        command.env("OS_CLIENT_CONFIG_FILE", &self.clouds).env("OS_CLOUD", self.cloud);
        command
    }

    /// Runs one command and returns what it prints.
    pub async fn print(&self, arguments: &[&str]) -> String {
        run(self.here(self.command(arguments))).await
    }

    /// Runs one command as somebody does who has no file, only this URL. Returns what it prints.
    pub async fn print_at(&self, auth_url: &str, arguments: &[&str]) -> String {
        let mut command = self.command(arguments);
        for (name, value) in [
            ("OS_AUTH_URL", auth_url),
            ("OS_USERNAME", "admin"),
            ("OS_PASSWORD", PASSWORD),
            ("OS_PROJECT_NAME", "admin"),
            ("OS_USER_DOMAIN_NAME", "Default"),
            ("OS_PROJECT_DOMAIN_NAME", "Default"),
            // Not a file that happens to be in the folder.
            ("OS_CLIENT_CONFIG_FILE", "/nonexistent"),
        ] {
            command.env(name, value);
        }
        run(command).await
    }

    /// Runs one command that must fail, and returns what it says.
    pub async fn failing(&self, arguments: &[&str]) -> String {
        let mut command = self.here(self.command(arguments));
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        assert!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }

    /// Runs a script that uses the SDK, and returns what it prints.
    pub async fn script(&self, text: &str) -> String {
        self.python(&["-c", text]).await
    }

    /// Runs Python, with the SDK.
    pub async fn python(&self, arguments: &[&str]) -> String {
        let mut python = program(&self.client.with_file_name("python"));
        // The tests leave nothing among the sources.
        python.args(arguments).env("PYTHONDONTWRITEBYTECODE", "1");
        run(self.here(python)).await
    }

    /// Runs a command that can print JSON.
    pub async fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.print(&[arguments, &["-f", "json"]].concat()).await).unwrap()
    }
}

/// Runs a program to its end and returns what it printed.
pub async fn run(mut command: Command) -> String {
    tokio::task::spawn_blocking(move || python::run(&mut command)).await.unwrap()
}
