//! Beside real services of OpenStack's, from PyPI: a part of this cloud in place of theirs, and one of theirs in place of
//! this cloud's. They take minutes to install, and memory: `./test --full` runs
//! these, but for the quick one of `sweep`.

mod neutron;
mod oracle;
mod schemathesis;
mod sweep;

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use novella_testing::python;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    client::Client,
    cloud::{Cloud, PASSWORD, Settings, wait_for},
    identity::{IdentityAlone, wait_for_answer},
};

const KEYSTONE: [&str; 2] = ["keystone==30.0.0", "waitress==3.0.2"];
const GLANCE: [&str; 2] = ["glance==33.0.0", "waitress==3.0.2"];

/// A real service in a process of its own. Killed when dropped; its log is printed when the test failed.
struct Service {
    url: String,
    folder: TempDir,
    child: Child,
}

impl Service {
    async fn start(name: &'static str, packages: &'static [&'static str], path: &str, identity: Option<&str>) -> Self {
        let installed = move || python::environment(Path::new(env!("CARGO_TARGET_TMPDIR")), packages);
        let environment = tokio::task::spawn_blocking(installed).await.unwrap();
        let folder = TempDir::with_prefix(format!("novella-{name}-")).unwrap();
        let port = novella_testing::free_port().to_string();
        let said = std::fs::File::create(folder.path().join("said.log")).unwrap();
        let mut command = Command::new(environment.join("bin/python"));
        for (variable, _) in std::env::vars().filter(|(variable, _)| variable.starts_with("OS_")) {
            command.env_remove(variable);
        }
        // Texts with sets in them are the same each time.
        command.env("PYTHONHASHSEED", "0");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/openstack/serve.py")).arg(name).arg(folder.path());
        command
            .args([&port, PASSWORD])
            .args(identity)
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said);
        let child = command.spawn().unwrap();
        let service = Self { url: format!("http://127.0.0.1:{port}{path}"), folder, child };
        wait_for_answer(&format!("{}{}", service.url, if path.is_empty() { "/healthcheck" } else { "" })).await;
        service
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            for entry in std::fs::read_dir(self.folder.path()).unwrap().flatten() {
                if entry.path().extension().is_some_and(|extension| extension == "log") {
                    let log = std::fs::read_to_string(entry.path()).unwrap_or_default();
                    let tail: Vec<&str> = log.lines().rev().take(40).collect();
                    eprintln!("--- the last of {}", entry.path().display());
                    tail.into_iter().rev().for_each(|line| eprintln!("{line}"));
                }
            }
        }
    }
}

/// Identity as its administrator uses it.
struct Administrator<'u> {
    url: &'u str,
    http: reqwest::Client,
    token: String,
}

impl<'u> Administrator<'u> {
    async fn of(url: &'u str) -> Self {
        let client = Client::connect_by(url, url, "admin", PASSWORD, "admin").await;
        Self { url, http: reqwest::Client::new(), token: client.secret().to_owned() }
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let request =
            self.http.request(method.clone(), format!("{}/{path}", self.url)).header("X-Auth-Token", &self.token);
        let request = body.iter().fold(request, |request, body| request.json(body));
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    async fn make(&self, kind: &str, body: Value) -> String {
        let made = self.send(Method::POST, &format!("{kind}s"), Some(json!({ kind: body }))).await;
        made[kind]["id"].as_str().unwrap().to_owned()
    }

    /// The one of this name, made if it is not there.
    async fn find_or_make(&self, kind: &str, body: Value) -> String {
        let found = self.send(Method::GET, &format!("{kind}s?name={}", body["name"].as_str().unwrap()), None).await;
        match found[format!("{kind}s")][0]["id"].as_str() {
            Some(id) => id.to_owned(),
            None => self.make(kind, body).await,
        }
    }

    /// A user with a role in a project; both are made.
    async fn user(&self, name: &str, role: &str, project: &str) {
        let project = self.find_or_make("project", json!({"name": project, "domain_id": "default"})).await;
        let user = json!({"name": name, "password": PASSWORD, "domain_id": "default"});
        let user = self.find_or_make("user", user).await;
        let role = self.find_or_make("role", json!({"name": role})).await;
        self.send(Method::PUT, &format!("projects/{project}/users/{user}/roles/{role}"), None).await;
    }

    async fn endpoint(&self, kind: &str, url: &str) {
        let service = self.make("service", json!({"type": kind, "name": kind})).await;
        let endpoint = json!({"service_id": service, "interface": "public", "region_id": "RegionOne", "url": url});
        self.make("endpoint", endpoint).await;
    }
}

/// The real client, as a user of this Identity.
async fn openstack(identity: &str, user: &str, arguments: &[&str]) -> String {
    let installed: PathBuf = tokio::task::spawn_blocking(crate::support::openstackclient::installed).await.unwrap();
    let mut command = Command::new(installed);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OS_")) {
        command.env_remove(name);
    }
    for (name, value) in [
        ("OS_AUTH_URL", identity),
        ("OS_USERNAME", user),
        ("OS_PASSWORD", PASSWORD),
        ("OS_PROJECT_NAME", "demo"),
        ("OS_USER_DOMAIN_NAME", "Default"),
        ("OS_PROJECT_DOMAIN_NAME", "Default"),
        ("OS_CLIENT_CONFIG_FILE", "/nonexistent"),
    ] {
        command.env(name, value);
    }
    command.args(arguments);
    tokio::task::spawn_blocking(move || python::run(&mut command)).await.unwrap()
}

/// The walk of a user through Compute, with the users of a real Keystone.
async fn compute_stands_behind_a_real_keystone(mut keystone: Service, cloud: Cloud) {
    let admin = Administrator::of(&keystone.url).await;
    admin.endpoint("compute", &format!("{}/compute/v2.1", cloud.endpoint)).await;
    admin.endpoint("image", &format!("{}/image", cloud.endpoint)).await;
    admin.user("demo", "member", "demo").await;
    admin.user("reader", "reader", "demo").await;
    let url = keystone.url.clone();
    let demo = async |arguments: &[&str]| -> Value {
        serde_json::from_str(&openstack(&url, "demo", &[arguments, &["-f", "json"]].concat()).await).unwrap()
    };
    let create = ["server", "create", "--flavor", "m1.tiny", "--image", "cirros", "--nic", "none", "--wait", "s"];
    assert_eq!(demo(&create).await["status"], "ACTIVE");
    let list = demo(&["server", "list"]).await;
    assert_eq!((&list[0]["Name"], &list[0]["Image"]), (&json!("s"), &json!("cirros")));
    assert_eq!(demo(&["server", "show", "s"]).await["status"], "ACTIVE");

    // A member is a reader by implication, which is Keystone's word; a reader is no member.
    let reader = cloud.client_of("reader", "demo").await;
    assert_eq!(reader.get("/servers").await["servers"][0]["name"], "s");
    let id = reader.get("/servers").await["servers"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(reader.request(Method::DELETE, &format!("/servers/{id}"), None).await.0, StatusCode::FORBIDDEN);
    openstack(&url, "demo", &["server", "delete", "--wait", "s"]).await;
    assert_eq!(demo(&["server", "list"]).await, json!([]));

    // What is revoked there is refused here, after the second for which it is believed.
    let gone = cloud.client_of("demo", "demo").await;
    assert_eq!(gone.request(Method::GET, "/servers", None).await.0, StatusCode::OK);
    let tokens = format!("{url}/auth/tokens");
    let ended =
        admin.http.delete(&tokens).header("X-Auth-Token", gone.secret()).header("X-Subject-Token", gone.secret());
    assert_eq!(ended.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    wait_for("the end of a token", async || {
        gone.request(Method::GET, "/servers", None).await.0 == StatusCode::UNAUTHORIZED
    })
    .await;
    let later = cloud.client_of("demo", "demo").await;
    keystone.kill();
    let (status, body) = later.request(Method::GET, "/servers", None).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
}

/// A real Glance lets in whom Novella's Identity names.
async fn a_real_glance_takes_the_tokens_of_identity(identity: IdentityAlone) {
    let admin = Administrator::of(&identity.url).await;
    admin.user("reader", "reader", "demo").await;
    let glance = glance(&identity).await;
    let images = format!("{}/v2/images", glance.url);
    let token = async |user: &str| {
        Client::connect_by(&identity.url, &identity.url, user, PASSWORD, "demo").await.secret().to_owned()
    };
    let (demo, reader) = (token("demo").await, token("reader").await);
    let make = async |token: &str| {
        let body = json!({"name": "theirs", "disk_format": "raw", "container_format": "bare"});
        admin.http.post(&images).header("X-Auth-Token", token).json(&body).send().await.unwrap()
    };
    let made = make(&demo).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    let made: Value = made.json().await.unwrap();
    // Its owner is the project that the token is for, and its rules are held against the token's roles.
    let project = admin.find_or_make("project", json!({"name": "demo"})).await;
    assert_eq!(made["owner"], json!(project));
    assert_eq!(make(&reader).await.status(), StatusCode::FORBIDDEN);
    let list = async |token: &str| admin.http.get(&images).header("X-Auth-Token", token).send().await.unwrap();
    let seen: Value = list(&reader).await.json().await.unwrap();
    assert_eq!(seen["images"][0]["name"], "theirs");
    assert_eq!(list("0123456789abcdef").await.status(), StatusCode::UNAUTHORIZED);
    let tokens = format!("{}/auth/tokens", identity.url);
    let ended = admin.http.delete(&tokens).header("X-Auth-Token", &demo).header("X-Subject-Token", &demo);
    assert_eq!(ended.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    wait_for("the end of a token", async || list(&demo).await.status() == StatusCode::UNAUTHORIZED).await;
}

/// Glance with the users of a Novella's Identity.
async fn glance(identity: &IdentityAlone) -> Service {
    Administrator::of(&identity.url).await.user("glance", "service", "service").await;
    Service::start("glance", &GLANCE, "", Some(&identity.url)).await
}

async fn keystone() -> Service {
    Service::start("keystone", &KEYSTONE, "/v3", None).await
}

fn users_of(keystone: &Service) -> Settings {
    Settings { identity: Some(keystone.url.clone()), ..Settings::default() }
}

mod embedded {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes minutes to install; ./test --full runs it"]
    async fn compute_stands_behind_a_real_keystone() {
        let keystone = keystone().await;
        let cloud = Cloud::embedded(users_of(&keystone)).await;
        super::compute_stands_behind_a_real_keystone(keystone, cloud).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes minutes to install; ./test --full runs it"]
    async fn a_real_glance_takes_the_tokens_of_identity() {
        super::a_real_glance_takes_the_tokens_of_identity(IdentityAlone::on_sqlite().await).await;
    }
}

mod on_rabbitmq_and_postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes minutes to install; ./test --full runs it"]
    async fn compute_stands_behind_a_real_keystone() {
        let keystone = keystone().await;
        let cloud = Cloud::apart(users_of(&keystone)).await;
        super::compute_stands_behind_a_real_keystone(keystone, cloud).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes minutes to install; ./test --full runs it"]
    async fn a_real_glance_takes_the_tokens_of_identity() {
        super::a_real_glance_takes_the_tokens_of_identity(IdentityAlone::on_postgres().await).await;
    }
}
