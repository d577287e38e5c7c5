//! The clouds of one machine: started in the background, found, stopped, removed.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{client::Client, cloud::free_address, process::novella};

/// A user's home, in which clouds are kept. What still runs at the end is stopped.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(TempDir::with_prefix("novella-home-").unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = novella();
        command.args(arguments).env("HOME", self.path());
        for variable in ["XDG_DATA_HOME", "XDG_CONFIG_HOME", "RUST_LOG"] {
            command.env_remove(variable);
        }
        command
    }

    /// Runs it, and expects success; what it printed.
    fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "novella {arguments:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs it, and expects it to fail; what it said.
    fn fail(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(!output.status.success(), "novella {arguments:?} succeeded");
        stderr(&output)
    }

    fn clouds(&self) -> Vec<Value> {
        serde_json::from_str(&self.run(&["ls", "--format", "json"])).unwrap()
    }

    fn users_clouds_yaml(&self) -> PathBuf {
        self.path().join(".config/openstack/clouds.yaml")
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        for cloud in self.clouds().iter().filter(|cloud| cloud["state"] != "stopped") {
            self.run(&["down", "--name", cloud["name"].as_str().unwrap()]);
        }
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_cloud_in_the_background_is_listed_asked_and_stopped_and_is_there_again_afterwards() {
    let home = Home::new();
    assert!(home.run(&["ls"]).contains("no clouds"));
    let address = free_address();
    let up = ["up", "--detach", "--wait", "--quiet", "--listen", &address];
    assert_eq!(home.run(&up), format!("Novella is up: http://{address}\n"));

    let cloud = &home.clouds()[0];
    assert_eq!((cloud["name"].as_str(), cloud["state"].as_str()), (Some("novella"), Some("running")));
    assert_eq!(cloud["endpoint"], format!("http://{address}"));
    let status: Value = serde_json::from_str(&home.run(&["status", "--format", "json"])).unwrap();
    assert_eq!(status["hosts"], "3 up of 3");
    // With NO_COLOR or without, a file has no colours.
    let log = home.run(&["logs"]);
    assert!(log.contains("compute host is ready") && !log.contains('\u{1b}'), "{log}");
    assert_eq!(home.run(&["logs", "--lines", "1"]).lines().count(), 1);
    assert!(home.fail(&up).contains("is up already"));

    home.run(&["down"]);
    assert_eq!(home.clouds()[0]["state"], "stopped");
    assert_eq!(home.command(&["status"]).output().unwrap().status.code(), Some(3));
    let password = |env: String| env.lines().find(|line| line.contains("PASSWORD")).unwrap().to_owned();
    home.run(&up);
    let first = password(home.run(&["env"]));
    home.run(&["down"]);
    home.run(&up);
    assert_eq!(password(home.run(&["env"])), first);
    home.run(&["down", "--remove"]);
    assert!(home.clouds().is_empty());
}

#[test]
fn clouds_with_names_run_side_by_side_and_one_that_keeps_nothing_leaves_nothing() {
    let home = Home::new();
    let (first, second) = (free_address(), free_address());
    home.run(&["up", "--wait", "--name", "one", "--listen", &first]);
    home.run(&["up", "--wait", "--name", "two", "--ephemeral", "--listen", &second]);
    let names: Vec<Value> = home.clouds().iter().map(|cloud| cloud["name"].clone()).collect();
    assert_eq!(names, ["one", "two"]);
    // Each has a management address of its own.
    let management: Vec<Value> = home.clouds().iter().map(|cloud| cloud["management"].clone()).collect();
    assert_ne!(management[0], management[1]);
    for url in &management {
        let metrics = format!("{}/metrics", url.as_str().unwrap());
        home.run(&["healthcheck", &metrics]);
    }
    home.run(&["down", "--name", "one"]);
    home.run(&["down", "--name", "two"]);
    let names: Vec<Value> = home.clouds().iter().map(|cloud| cloud["name"].clone()).collect();
    assert_eq!(names, ["one"]);
    let refused = home.fail(&["up", "--wait", "--name", "one", "--ephemeral", "--listen", &first]);
    assert!(refused.contains("holds a cloud that is kept"), "{refused}");
}

#[test]
fn a_cloud_is_in_its_users_clouds_yaml_for_as_long_as_it_runs() {
    let home = Home::new();
    let path = home.users_clouds_yaml();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mine = "# mine\nclouds:\n  work: {}  # far away\n";
    std::fs::write(&path, mine).unwrap();
    home.run(&["up", "--wait", "--merge", "--name", "near", "--listen", &free_address()]);
    let merged = std::fs::read_to_string(&path).unwrap();
    assert!(merged.contains("\"near\":") && merged.contains("work: {}  # far away"), "{merged}");
    home.run(&["down", "--name", "near"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), mine);
}

#[test]
fn a_killed_cloud_does_not_count_as_running_and_is_cleaned_up_after() {
    let home = Home::new();
    home.run(&["up", "--wait", "--merge", "--listen", &free_address()]);
    let pid = home.clouds()[0]["pid"].to_string();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    // The lock goes with the process; `down` waits for nothing else.
    while home.clouds()[0]["state"] == "running" {
        std::thread::yield_now();
    }
    assert_eq!(home.clouds()[0]["state"], "stopped");
    home.run(&["down"]);
    assert!(!std::fs::read_to_string(home.users_clouds_yaml()).unwrap().contains("auth_url"));
}

#[test]
fn a_cloud_that_does_not_start_says_why_with_its_log() {
    let home = Home::new();
    // An address of documentation, RFC 5737, that no machine has.
    let error = home.fail(&["up", "--wait", "--listen", "192.0.2.1:1"]);
    assert!(error.contains("did not start") && error.contains("can't listen on 192.0.2.1:1"), "{error}");
    assert!(home.clouds().is_empty());
}

#[test]
fn what_is_set_for_another_cloud_is_not_taken_for_this_one() {
    let home = Home::new();
    for (variable, key) in [("NOVELLA_BUS__URL", "bus.url"), ("NOVELLA_DATABASE__URL", "database.url")] {
        let url = "amqp://user:hush@broker/";
        let output = home.command(&["up"]).env(variable, url).output().unwrap();
        let error = stderr(&output);
        assert!(!output.status.success());
        assert!(error.contains(variable) && error.contains(key) && !error.contains("hush"), "{error}");
    }
}

#[test]
fn a_filter_for_the_log_is_in_force_wherever_it_is_set() {
    let home = Home::new();
    let log = home.path().join(".local/share/novella/novella.log");
    for (variable, value, source) in [
        ("NOVELLA_LOG__FILTER", "novella_compute=debug", "environment NOVELLA_LOG__FILTER"),
        ("RUST_LOG", "novella_scheduler=info", "environment RUST_LOG"),
    ] {
        let shown = home.command(&["config"]).env(variable, value).output().unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        let line = shown.lines().find(|line| line.trim().starts_with("log.filter")).unwrap();
        assert!(line.contains(value) && line.trim().ends_with(source), "{line}");
        let mut up = home.command(&["up", "--wait", "--listen", &free_address()]);
        assert!(up.env(variable, value).status().unwrap().success());
        home.run(&["down"]);
        let written = std::fs::read_to_string(&log).unwrap();
        let module = value.split('=').next().unwrap();
        assert!(!written.is_empty() && written.lines().all(|line| line.contains(module)), "{written}");
    }
}

#[test]
fn a_wrong_configuration_is_named_once_with_its_place_and_what_was_meant() {
    let home = Home::new();
    let file = home.path().join("novella.toml");
    let said = |text: &str, variable: Option<(&str, &str)>| {
        std::fs::write(&file, text).unwrap();
        let mut command = home.command(&["config", "--config", file.to_str().unwrap()]);
        command.envs(variable);
        let error = stderr(&command.output().unwrap());
        assert_eq!(error.lines().count(), 1, "{error}");
        error
    };
    let line = said("host = \"x\"\n[api]\nlisen = 5\n", None);
    assert!(line.contains("no key api.lisen (line 3 of ") && line.contains("did you mean api.listen?"), "{line}");
    let line = said("[api]\nlisten = 5\n", None);
    assert!(line.contains("api.listen (line 2 of ") && line.contains("must be socket address"), "{line}");
    let line = said("", Some(("NOVELLA_LOG__FORMAT", "xml")));
    assert!(line.contains("log.format (variable NOVELLA_LOG__FORMAT) is 'xml'"), "{line}");
}

#[test]
fn variables_that_only_look_like_ours_stop_nothing() {
    let home = Home::new();
    let kubernetes =
        [("NOVELLA_SERVICE_HOST", "10.0.0.1"), ("NOVELLA_PORT_8774_TCP_PORT", "8774"), ("NOVELLA_PORT", "x")];
    let output = home.command(&["config"]).envs(kubernetes).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr(&output));
    let misspelt = home.command(&["config"]).env("NOVELLA_HSOT", "x").output().unwrap();
    assert!(misspelt.status.success());
    assert!(stderr(&misspelt).contains("was NOVELLA_HOST meant?"), "{}", stderr(&misspelt));
}

#[test]
fn a_database_that_cannot_be_opened_is_named_with_the_cause_and_the_next_step() {
    let home = Home::new();
    let none = home.fail(&["service", "list"]);
    assert!(none.contains("there is no folder") && none.contains("`novella up` makes it"), "{none}");
    let file = home.path().join("letter.txt");
    std::fs::write(&file, "not a database at all, and long enough to be told apart from one").unwrap();
    let sync = |url: &str| stderr(&home.command(&["db", "sync"]).env("NOVELLA_DATABASE__URL", url).output().unwrap());
    let wrong = sync(&format!("sqlite://{}", file.display()));
    assert!(wrong.contains("letter.txt: file is not a database"), "{wrong}");
    let refused = sync(&format!("postgres://user:hush@{}/novella", free_address()));
    assert!(refused.contains("postgres://user:***@") && refused.contains("Connection refused"), "{refused}");
    assert_eq!(refused.lines().count(), 1, "{refused}");
}

/// The seed that docs/ci.md shows.
fn documented_seed() -> String {
    let document = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ci.md"));
    let (_, section) = document.split_once("## What is in the cloud").unwrap();
    let (_, block) = section.split_once("```yaml\n").unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_is_filled_by_a_seed_once_and_goes_on_elsewhere_from_a_file() {
    let home = Home::new();
    let (seed, saved) = (home.path().join("seed.yaml"), home.path().join("cloud.tar"));
    std::fs::write(&seed, documented_seed()).unwrap();
    let (seed, saved) = (seed.to_str().unwrap(), saved.to_str().unwrap());
    let address = free_address();
    let up = ["up", "--wait", "--quiet", "--listen", &address, "--seed", seed];
    home.run(&up);
    let named = async || {
        let bob = Client::connect(&format!("http://{address}"), "bob", "secret", "ci").await;
        let list = bob.get("/servers/detail").await;
        let servers = list["servers"].as_array().unwrap().iter();
        let mut servers: Vec<_> = servers.map(|server| (server["name"].clone(), server["status"].clone())).collect();
        servers.sort_by_key(|(name, _)| name.to_string());
        servers
    };
    let all = ["web-1", "web-2", "web-3"].map(|name| (Value::from(name), Value::from("ACTIVE")));
    assert_eq!(named().await, all);
    home.run(&["down"]);
    home.run(&up);
    assert_eq!(named().await, all);
    // What is put in comes on top of what the project may have, and comes once.
    let bob = Client::connect(&format!("http://{address}"), "bob", "secret", "ci").await;
    let limits = bob.get("/limits").await["limits"]["absolute"].clone();
    let limits =
        ["maxTotalInstances", "maxTotalCores", "maxTotalRAMSize", "totalCoresUsed"].map(|name| limits[name].clone());
    assert_eq!(limits, [10 + 3, 20 + 3 * 8, 51_200 + 3 * 16_384, 3 * 8].map(Value::from));
    assert!(home.fail(&["save", saved]).contains("stop it first"));
    home.run(&["down"]);
    home.run(&["save", saved]);

    home.run(&["up", "--wait", "--quiet", "--name", "copy", "--listen", &address, "--load", saved]);
    assert_eq!(named().await, all);
    // Its guests have come with it.
    let admin = Client::connect(&format!("http://{address}"), "bob", "secret", "ci").await;
    let id = admin.get("/servers?name=web-2").await["servers"][0]["id"].as_str().unwrap().to_owned();
    admin.action(&id, serde_json::json!({ "os-stop": null })).await;
    admin.wait_for_status(&id, "SHUTOFF").await;
    home.run(&["down", "--name", "copy"]);
    let again = home.fail(&["up", "--wait", "--name", "copy", "--listen", &address, "--load", saved]);
    assert!(again.contains("holds a cloud already"), "{again}");
}

#[test]
fn completions_and_the_manual_name_every_command() {
    let home = Home::new();
    let help = home.run(&["help"]);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // What stands further in goes on with the line before.
    let commands = commands.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let commands: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() > 15, "{help}");
    let folder = home.path().join("man1");
    home.run(&["man", folder.to_str().unwrap()]);
    for shell in ["bash", "zsh", "fish"] {
        let script = home.run(&["completions", shell]);
        assert!(commands.iter().all(|command| script.contains(command)), "{shell}");
    }
    for command in commands.iter().filter(|command| **command != "help") {
        assert!(folder.join(format!("novella-{command}.1")).exists(), "{command}");
    }
}

#[test]
fn a_data_folder_that_is_open_to_others_is_closed_and_so_are_the_files_in_it() {
    let home = Home::new();
    let path = &home.path().join(".local/share/novella");
    std::fs::create_dir_all(path).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    let up = home.command(&["up", "--wait", "--quiet", "--listen", &free_address()]).output().unwrap();
    assert!(stderr(&up).contains("is open to other users (mode 0755): now it is yours alone"), "{}", stderr(&up));
    assert_eq!(mode(path), 0o700);
    for file in ["novella.db", "admin-password", "clouds.yaml", "novella.log", "hosts"] {
        assert_eq!(mode(&path.join(file)) & 0o077, 0, "{file}");
    }
    home.run(&["down"]);
}

#[test]
fn no_password_is_shown_whatever_is_wrong_with_it_or_beside_it() {
    let (home, folder) = (Home::new(), tempfile::tempdir().unwrap());
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (section, unquoted) = (
        file("section.toml", "database = \"postgres://u:s3cret@127.0.0.1:1/d\"\n"),
        file("unquoted.toml", "admin_password = s3cret7\n"),
    );
    let nowhere = "127.0.0.1:1";
    for (arguments, name, value) in [
        (&["config"][..], "NOVELLA_BUS__URL", format!("amqp://u:a/s3cret@{nowhere}/v")),
        (&["config"], "NOVELLA_DATABASE__URL", format!("postgres://{nowhere}/d?user=u&password=s3cret")),
        (&["config"], "NOVELLA_ADMIN_PASSWORD", "[s3cret]".to_owned()),
        (&["config"], "NOVELLA_ADMIN_PASSWORD", "5342312".to_owned()),
        (&["config"], "NOVELLA_CONFIG", section),
        (&["config"], "NOVELLA_CONFIG", unquoted),
        (&["db", "sync"], "NOVELLA_DATABASE__URL", format!("postgres://u:a/s3cret@{nowhere}/d")),
        (&["db", "sync"], "NOVELLA_DATABASE__URL", format!("postgres://u:a?s3cret@{nowhere}/d")),
        (&["db", "sync"], "NOVELLA_DATABASE__URL", format!("postgres://{nowhere}/d?password=s3cret")),
        (&["db", "sync"], "NOVELLA_DATABASE__URL", format!("u:s3cret@{nowhere}/d")),
        (&["bus"], "NOVELLA_BUS__URL", format!("amqp://u:a/s3cret@{nowhere}/v")),
        (&["bus"], "NOVELLA_BUS__URL", format!("amqp://u:s3cret@{nowhere}/v")),
        (&["watch"], "OS_AUTH_URL", format!("http://u:s3cret@{nowhere}/identity/v3")),
    ] {
        let mut command = home.command(arguments);
        command.env(name, &value);
        for (name, value) in [("USERNAME", "u"), ("PASSWORD", "s3cret"), ("PROJECT_NAME", "p")] {
            command.env(format!("OS_{name}"), value);
        }
        let output = command.output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), stderr(&output));
        assert!(!said.contains("s3cret") && !said.contains("5342312"), "{arguments:?} {name}={value}: {said}");
        assert!(arguments == ["config"] || !output.status.success(), "{arguments:?} {name}={value}: {said}");
    }
}
