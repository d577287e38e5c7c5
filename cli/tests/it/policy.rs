//! `novella policy`, and policy files as an operator meets them.

use std::{fs, path::PathBuf, process::Output};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    client::Client,
    cloud::{Cloud, PASSWORD, Settings, free_address},
    process::novella,
};

/// A folder with a policy file of Compute.
struct File {
    folder: TempDir,
}

impl File {
    fn new(text: &str) -> Self {
        let folder = TempDir::with_prefix("novella-policy-").unwrap();
        fs::write(folder.path().join("compute.yaml"), text).unwrap();
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("compute.yaml")
    }

    /// What `novella policy` says with this file.
    fn policy(&self, arguments: &[&str]) -> Output {
        let data = self.folder.path().join("data");
        let mut command = novella();
        command.arg("policy").args(arguments).env("NOVELLA_POLICY__COMPUTE", self.path()).env("NOVELLA_DATA", data);
        command.env_remove("RUST_LOG").output().unwrap()
    }

    fn list(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.policy(&[&["list", "--format", "json"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Whether it says that something is granted.
    fn grants(&self, arguments: &[&str]) -> bool {
        let output = self.policy(&[&["check"], arguments].concat());
        let said = String::from_utf8_lossy(&output.stdout);
        match output.status.code() {
            Some(0) => assert!(said.starts_with("granted     true"), "{said}"),
            Some(1) => {
                assert!(said.starts_with("granted     false"), "{said}{}", String::from_utf8_lossy(&output.stderr))
            }
            _ => panic!("{arguments:?}: {output:?}"),
        }
        output.status.success()
    }
}

const FILE: &str = "\
\"os_compute_api:servers:create\": \"rule:maker and project_id:%(project_id)s\"
maker: \"role:maker or role:admin\"
\"os_compute_api:servers:delete\": \"user_id:%(user_id)s\"
";

#[test]
fn all_rules_are_listed_with_what_a_file_changes() {
    let file = File::new(FILE);
    let all = file.list(&[]);
    let rule = |name: &str| all.iter().find(|row| row["rule"] == name).unwrap_or_else(|| panic!("{name}: {all:?}"));
    let create = rule("os_compute_api:servers:create");
    assert_eq!(create["check"], "rule:maker and project_id:%(project_id)s");
    assert_eq!(create["default"], "rule:project_member_or_admin");
    assert_eq!(create["source"], format!("{}:1", file.path().display()));
    assert_eq!(rule("os_compute_api:servers:show")["source"], "default");
    assert_eq!(
        rule("identity:create_user")["check"],
        "rule:admin_required or (role:manager and domain_id:%(target.domain_id)s)"
    );
    assert_eq!(rule("maker")["default"], Value::Null);
    let changed = file.list(&["--changed", "--service", "compute"]);
    let names: Vec<&str> = changed.iter().map(|row| row["rule"].as_str().unwrap()).collect();
    assert_eq!(names, ["os_compute_api:servers:create", "os_compute_api:servers:delete", "maker"]);
    let table = String::from_utf8(file.policy(&["list", "--changed"]).stdout).unwrap();
    assert!(table.lines().next().unwrap().contains("Granted to"), "{table}");
    let unknown = String::from_utf8(file.policy(&["list", "--service", "volume"]).stderr).unwrap();
    assert!(unknown.contains("there are compute, identity, image"), "{unknown}");
}

#[test]
fn who_may_is_said_without_a_cloud() {
    let file = File::new(FILE);
    let create = "os_compute_api:servers:create";
    assert!(file.grants(&[create, "--role", "maker", "--project", "p"]));
    assert!(!file.grants(&[create, "--role", "member", "--project", "p"]));
    assert!(!file.grants(&[create, "--role", "maker", "--project", "p", "--of-project", "q"]));
    // What a role implies is held with it.
    assert!(file.grants(&["os_compute_api:servers:show", "--role", "manager", "--project", "p"]));
    assert!(!file.grants(&["os_compute_api:servers:show", "--role", "reader"]));
    assert!(file.grants(&["os_compute_api:servers:show", "--role", "admin", "--project", "p", "--of-project", "q"]));
    assert!(file.grants(&["os_compute_api:servers:delete", "--user", "u"]));
    assert!(!file.grants(&["os_compute_api:servers:delete", "--user", "u", "--of-user", "v", "--role", "admin"]));
    assert!(file.grants(&["identity:list_users", "--role", "reader", "--system"]));
    assert!(file.grants(&["identity:get_user", "--role", "reader", "--domain", "d", "--of-domain", "d"]));
    assert!(!file.grants(&["identity:get_user", "--role", "reader", "--domain", "d", "--of-domain", "e"]));
    for (arguments, said) in [
        (&["os_compute_api:servers:craete"][..], "there is no rule 'os_compute_api:servers:craete'"),
        (
            &["context_is_admin"][..],
            "compute and image and network have a rule 'context_is_admin' each; say which by --service",
        ),
    ] {
        let output = file.policy(&[&["check"], arguments].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(said), "{error}");
    }
    assert!(file.grants(&["context_is_admin", "--service", "image", "--role", "admin"]));
}

#[test]
fn a_file_that_is_wrong_stops_the_start_and_is_named_with_its_line() {
    let file =
        File::new("# mine\nos_compute_api:servers:show: \"role:reader or\"\nos_compute_api:servers:shwo: \"@\"\n");
    let data = file.folder.path().join("data");
    let mut command = novella();
    command.args(["up", "--listen", &free_address(), "--data", data.to_str().unwrap()]);
    let output = command.env("NOVELLA_POLICY__COMPUTE", file.path()).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    let at = |line: usize| format!("{}:{line}: ", file.path().display());
    assert!(!output.status.success());
    let expected = format!("{}rule 'os_compute_api:servers:show': a check is expected at its end", at(2));
    assert!(error.contains(&expected), "{error}");
    assert!(error.contains(&format!("{}there is no rule 'os_compute_api:servers:shwo'", at(3))), "{error}");
    assert!(error.contains("was 'os_compute_api:servers:show' meant?"), "{error}");
    let output = command.env("NOVELLA_POLICY__COMPUTE", "/nonexistent/policy.yaml").output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("/nonexistent/policy.yaml can't be read"), "{error}");
}

async fn a_cloud_obeys_its_policy_file_and_its_log_says_why(cloud: Cloud) {
    let demo = Client::connect(&cloud.endpoint, "demo", PASSWORD, "demo").await;
    let create = json!({"server": {"name": "s", "flavorRef": "1", "imageRef": "", "networks": "none"}});
    let (status, body) = demo.request(Method::POST, "/servers", Some(&create)).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    assert_eq!(body["forbidden"]["message"], "Policy doesn't allow os_compute_api:servers:create to be performed.");
    let (status, _) = demo.request(Method::GET, "/servers", None).await;
    assert_eq!(status, StatusCode::OK);
    let logs = cloud.logs();
    let line = logs.lines().find(|line| line.contains("not granted")).unwrap_or_else(|| panic!("{logs}"));
    for part in ["os_compute_api:servers:create", "rule:maker", "member"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    if cloud.is_embedded() {
        let mut command = novella();
        command.args(["policy", "check", "os_compute_api:servers:index", "--me", "--format", "json", "--data"]);
        let output = command.arg(cloud.data_folder()).output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        assert_eq!(answer["granted"], true);
        assert!(answer["roles"].as_str().unwrap().contains("admin"), "{answer}");
    }
}

fn with_file(file: &File) -> Settings {
    let environment = vec![
        ("NOVELLA_POLICY__COMPUTE", file.path().to_str().unwrap().to_owned()),
        ("NOVELLA_DEMO_PASSWORD", PASSWORD.to_owned()),
        ("NOVELLA_LOG__FILTER", "info,novella_rest=debug".to_owned()),
    ];
    Settings { environment, ..Settings::default() }
}

mod embedded {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_cloud_obeys_its_policy_file_and_its_log_says_why() {
        let file = File::new(FILE);
        super::a_cloud_obeys_its_policy_file_and_its_log_says_why(Cloud::embedded(with_file(&file)).await).await;
    }
}

mod on_rabbitmq_and_postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_cloud_obeys_its_policy_file_and_its_log_says_why() {
        let file = File::new(FILE);
        super::a_cloud_obeys_its_policy_file_and_its_log_says_why(Cloud::apart(with_file(&file)).await).await;
    }
}
