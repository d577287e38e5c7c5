//! The real clients: python-openstackclient with the SDK, and python-novaclient, from PyPI, as a user of a cloud has them.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use novella_testing::python;
use serde_json::Value;

use super::{
    cloud::{Cloud, PASSWORD},
    commands::{self, Ended},
};

/// What is installed.
const PACKAGES: [&str; 3] = ["python-openstackclient==10.5.0", "openstacksdk==4.22.0", "python-novaclient==18.13.1"];

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

/// The clients as a user of this cloud has them.
#[derive(Clone)]
pub struct OpenStack {
    client: PathBuf,
    /// What says which cloud, and who asks.
    environment: Vec<(String, String)>,
}

impl OpenStack {
    /// The administrator's.
    pub async fn of(cloud: &Cloud) -> Self {
        let client = tokio::task::spawn_blocking(installed).await.unwrap();
        let clouds = clouds_file(cloud).to_str().unwrap().to_owned();
        let environment = [("OS_CLIENT_CONFIG_FILE", clouds.as_str()), ("OS_CLOUD", "novella")];
        Self { client, environment: Vec::new() }.with(&environment)
    }

    /// That of the user demo, who is a member of the project demo.
    pub fn as_demo(&self) -> Self {
        self.with(&[("OS_CLOUD", "novella-demo")])
    }

    /// That of a user who has no file, only this URL and a password.
    pub fn at(&self, auth_url: &str, user: &str, password: &str, project: &str) -> Self {
        self.without_file().with(&[
            ("OS_AUTH_URL", auth_url),
            ("OS_USERNAME", user),
            ("OS_PASSWORD", password),
            ("OS_PROJECT_NAME", project),
            ("OS_USER_DOMAIN_NAME", "Default"),
            ("OS_PROJECT_DOMAIN_NAME", "Default"),
        ])
    }

    /// The client of somebody of whom nothing is known yet, not even from a file that happens to be in the folder.
    pub fn without_file(&self) -> Self {
        Self { client: self.client.clone(), environment: Vec::new() }.with(&[("OS_CLIENT_CONFIG_FILE", "/nonexistent")])
    }

    /// With more, or other, variables of the environment.
    pub fn with(&self, variables: &[(&str, &str)]) -> Self {
        let mut environment = self.environment.clone();
        for (name, value) in variables {
            environment.retain(|(known, _)| known != name);
            environment.push(((*name).into(), (*value).into()));
        }
        Self { client: self.client.clone(), environment }
    }

    /// Runs one command of the client and returns what it prints.
    pub async fn print(&self, arguments: &[&str]) -> String {
        self.succeeding("openstack", arguments).await
    }

    /// Runs one command of novaclient and returns what it prints.
    pub async fn nova(&self, arguments: &[&str]) -> String {
        self.succeeding("nova", arguments).await
    }

    /// Runs one command that must fail, and returns what it says.
    pub async fn failing(&self, arguments: &[&str]) -> String {
        self.refused("openstack", arguments).await
    }

    /// Runs one command of novaclient that must fail, and returns what it says.
    pub async fn nova_failing(&self, arguments: &[&str]) -> String {
        self.refused("nova", arguments).await
    }

    /// Runs a command that can print JSON.
    pub async fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.print(&[arguments, &["-f", "json"]].concat()).await).unwrap()
    }

    /// Runs a script that uses the SDK, and returns what it prints.
    pub async fn script(&self, text: &str) -> String {
        self.python(&["-c", text]).await
    }

    /// Runs Python, with the SDK.
    pub async fn python(&self, arguments: &[&str]) -> String {
        let mut python = program(&self.client.with_file_name("python"));
        // The tests leave nothing among the sources.
        python.args(arguments).envs(self.environment.clone()).env("PYTHONDONTWRITEBYTECODE", "1");
        run(python).await
    }

    async fn succeeding(&self, program: &'static str, arguments: &[&str]) -> String {
        let ended = self.run(program, arguments).await;
        let Ended { status, stdout, stderr } = ended;
        assert_eq!(status, 0, "{program} {arguments:?}\n{stdout}{stderr}");
        stdout
    }

    async fn refused(&self, program: &'static str, arguments: &[&str]) -> String {
        let ended = self.run(program, arguments).await;
        assert_ne!(ended.status, 0, "{program} {arguments:?}: {}", ended.stdout);
        ended.stderr
    }

    async fn run(&self, program: &'static str, arguments: &[&str]) -> Ended {
        let (python, environment) = (self.client.with_file_name("python"), self.environment.clone());
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        tokio::task::spawn_blocking(move || commands::run(&python, program, &arguments, &environment)).await.unwrap()
    }
}

/// Runs a program to its end and returns what it printed.
pub async fn run(mut command: Command) -> String {
    tokio::task::spawn_blocking(move || python::run(&mut command)).await.unwrap()
}
