//! The first example, as its reader would run it: real processes, spoken to over HTTP.
#![allow(dead_code, reason = "the example uses them")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use novella_testing::eventually;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

#[path = "../../examples/new_resource/manager.rs"]
mod manager;
#[path = "../../examples/new_resource/rpcapi.rs"]
pub mod rpcapi;

/// A process of the example. Dies with the test.
struct Process(Child);

impl Process {
    /// Runs the example; `arguments` as on its command line.
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(program());
        Self(command.args(["--port", "0"]).args(arguments).stdout(Stdio::piped()).spawn().unwrap())
    }

    /// Where its API listens, as it prints.
    fn address(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        line.trim().strip_prefix("listening on ").expect("an address").to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The example next to this test: target/<profile>/deps/new_resource-…, target/<profile>/examples/new_resource.
fn program() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let profile = this.parent().and_then(Path::parent).unwrap();
    let program = profile.join("examples").join("new_resource");
    // Cargo builds examples along with all tests of a package, but not with this test alone.
    if !is_newer_than_its_source(&program) {
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.args(["build", "--quiet", "--package", "novella-messaging", "--example", "new_resource"]);
        if profile.file_name().is_some_and(|name| name == "release") {
            build.arg("--release");
        }
        assert!(build.arg("--target-dir").arg(profile.parent().unwrap()).status().unwrap().success());
    }
    program
}

fn is_newer_than_its_source(program: &Path) -> bool {
    let time = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/new_resource");
    let newest = folder.read_dir().unwrap().filter_map(|file| time(&file.unwrap().path())).max();
    time(program) > newest
}

async fn post(api: &str, name: &str) -> Response {
    reqwest::Client::new().post(format!("{api}/new_resource")).json(&json!({ "name": name })).send().await.unwrap()
}

async fn get(api: &str, id: &str) -> Response {
    reqwest::get(format!("{api}/new_resource/{id}")).await.unwrap()
}

/// Creates a resource and returns once it is done, as `show` tells.
async fn create_and_wait(api: &str) -> Value {
    let created = post(api, "first").await;
    assert_eq!(created.status(), StatusCode::ACCEPTED);
    let id = created.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    eventually(async || {
        let shown = has_status(get(api, &id).await, StatusCode::OK)?;
        let resource: Value = shown.json().await.unwrap();
        if resource["done"] == true { Ok(resource) } else { Err(format!("it is not done: {resource}")) }
    })
    .await
}

fn has_status(response: Response, wanted: StatusCode) -> Result<Response, String> {
    let status = response.status();
    if status == wanted { Ok(response) } else { Err(format!("{} is answered by {status}", response.url())) }
}

async fn assert_unknown(api: &str) {
    let id = "00000000-0000-0000-0000-000000000000";
    let shown = get(api, id).await;
    assert_eq!(shown.status(), StatusCode::NOT_FOUND);
    assert_eq!(shown.text().await.unwrap(), format!("there is no resource {id}"));
}

#[test]
fn what_the_readme_quotes_is_in_the_example() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let code: String = ["rpcapi.rs", "manager.rs", "api.rs", "main.rs"]
        .map(|file| std::fs::read_to_string(folder.join("examples/new_resource").join(file)).unwrap())
        .concat();
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let quotes: Vec<&str> = readme.split("```rs\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(quotes.len(), 4);
    for part in quotes.iter().flat_map(|quote| quote.split("\n\n")) {
        assert!(code.contains(part.trim_end()), "not in the example:\n{part}");
    }
}

mod in_process {
    use std::sync::Arc;

    use novella_messaging::{RpcServer, Target, Transport, TransportOptions};
    use uuid::Uuid;

    use super::rpcapi::{Context, NewResource, NewResourceClient, NewResourceEndpoint};
    use super::*;

    #[tokio::test]
    async fn a_resource_is_accepted_at_once_and_done_after() {
        let mut process = Process::start(&[]);
        let api = process.address();
        assert_eq!(create_and_wait(&api).await, json!({ "name": "first", "done": true }));
        assert_unknown(&api).await;
    }

    #[tokio::test]
    async fn a_message_that_comes_twice_changes_nothing() {
        let transport = Transport::connect("memory://", TransportOptions::default()).await.unwrap();
        let manager = Arc::new(manager::Manager::default());
        let endpoint = NewResourceEndpoint::new(Arc::clone(&manager));
        let target = Target::new("new_resource").server("host-1");
        let server = RpcServer::builder(&transport, target).endpoint(endpoint).start().await.unwrap();
        let (ctx, id) = (Context { request_id: "req-1".into() }, Uuid::new_v4());
        manager.create(Context { request_id: "req-1".into() }, id, "first".into()).await.unwrap();
        manager.create(Context { request_id: "req-1".into() }, id, "second".into()).await.unwrap();
        let shown = NewResourceClient::new(&transport).show(&ctx, id).await.unwrap();
        assert_eq!((shown.name.as_str(), shown.done), ("first", true));
        server.stop(Duration::ZERO).await;
    }
}

mod on_rabbitmq {
    use novella_testing::Vhost;

    use super::*;

    /// Returns once the API's casts reach it.
    async fn start_manager(vhost: &Vhost, api: &str) -> Process {
        let manager = Process::start(&["--bus", vhost.url(), "manager"]);
        eventually(async || has_status(post(api, "is it there?").await, StatusCode::ACCEPTED)).await;
        manager
    }

    #[tokio::test]
    async fn the_api_and_the_manager_work_in_two_processes() {
        let vhost = Vhost::create().await;
        let mut api_process = Process::start(&["--bus", vhost.url(), "api"]);
        let api = api_process.address();
        let refused = post(&api, "too early").await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.text().await.unwrap().contains("no such server ever listened"));

        let _manager = start_manager(&vhost, &api).await;
        assert_eq!(create_and_wait(&api).await, json!({ "name": "first", "done": true }));
        assert_unknown(&api).await;
    }

    /// What a learner tries next.
    #[tokio::test]
    async fn what_was_accepted_while_no_manager_ran_is_done_when_one_starts() {
        let vhost = Vhost::create().await;
        let mut api_process = Process::start(&["--bus", vhost.url(), "api"]);
        let api = api_process.address();
        let manager = start_manager(&vhost, &api).await;
        drop(manager);
        let created: Value = post(&api, "while nobody works").await.json().await.unwrap();
        let _manager = Process::start(&["--bus", vhost.url(), "manager"]);
        let id = created["id"].as_str().unwrap();
        eventually(async || has_status(get(&api, id).await, StatusCode::OK)).await;
    }
}
