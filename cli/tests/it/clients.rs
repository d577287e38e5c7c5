//! The real client: python-openstackclient, from PyPI, against a real cloud.

use std::{collections::BTreeSet, process::Command};

use novella_testing::python;
use serde_json::Value;

use crate::support::{
    cloud::{Cloud, PASSWORD, Settings},
    openstackclient::{OpenStack, installed},
};

pub(crate) async fn a_server_is_led_through_its_life_by_openstackclient(cloud: Cloud) {
    let (client, openstack) = (cloud.client().await, OpenStack::of(&cloud).await);
    let create = ["server", "create", "--flavor", "m1.tiny", "--image", "cirros", "--nic", "none", "--wait", "led"];
    let server = openstack.json(&create).await;
    assert_eq!((&server["status"], &server["name"]), (&"ACTIVE".into(), &"led".into()), "{server}");
    let id = server["id"].as_str().unwrap();
    let list = openstack.json(&["server", "list", "--long"]).await;
    assert_eq!(
        (&list[0]["ID"], &list[0]["Flavor"], &list[0]["Image Name"]),
        (&server["id"], &"m1.tiny".into(), &"cirros".into())
    );
    let source = openstack.json(&["server", "show", "led"]).await["OS-EXT-SRV-ATTR:host"].clone();

    openstack.print(&["server", "stop", "led"]).await;
    client.wait_for_status(id, "SHUTOFF").await;
    openstack.print(&["server", "start", "led"]).await;
    client.wait_for_status(id, "ACTIVE").await;
    assert!(!openstack.print(&["console", "log", "show", "--lines", "3", "led"]).await.is_empty());

    openstack.print(&["server", "migrate", "--live-migration", "--wait", "led"]).await;
    let moved = openstack.json(&["server", "show", "led"]).await;
    assert_eq!(moved["status"], "ACTIVE");
    assert_ne!(moved["OS-EXT-SRV-ATTR:host"], source);
    let migrations = openstack.json(&["server", "migration", "list", "--server", "led"]).await;
    assert_eq!((&migrations[0]["Status"], &migrations[0]["Source Compute"]), (&"completed".into(), &source));

    let events = openstack.json(&["server", "event", "list", "led"]).await;
    let actions: Vec<&str> = events.as_array().unwrap().iter().map(|event| event["Action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["live-migration", "start", "stop", "create"]);

    openstack.print(&["server", "delete", "--wait", "led"]).await;
    assert_eq!(openstack.json(&["server", "list"]).await, Value::Array(vec![]));
    cloud.assert_claims_add_up().await;
}

pub(crate) async fn an_operator_sees_hosts_and_services_with_openstackclient(cloud: Cloud) {
    let openstack = OpenStack::of(&cloud).await;
    let why = ["compute", "service", "set", "--disable", "--disable-reason", "a new disk", "host-1", "nova-compute"];
    openstack.print(&why).await;
    let services = openstack.json(&["compute", "service", "list", "--long", "--host", "host-1"]).await;
    assert_eq!((&services[0]["Status"], &services[0]["Disabled Reason"]), (&"disabled".into(), &"a new disk".into()));
    let hypervisors = openstack.json(&["hypervisor", "list"]).await;
    let names = hypervisors.as_array().unwrap().iter().map(|host| host["Hypervisor Hostname"].as_str().unwrap());
    // Listed in the order of their first hello, and they start at once.
    assert_eq!(names.collect::<BTreeSet<_>>(), BTreeSet::from(["host-1", "host-2", "host-3"]));
    assert_eq!(openstack.json(&["hypervisor", "show", "host-1"]).await["status"], "disabled");
    let limits = openstack.json(&["limits", "show", "--absolute"]).await;
    assert!(
        limits.as_array().unwrap().iter().any(|limit| limit["Name"] == "total_instances_used" && limit["Value"] == 0)
    );

    openstack.print(&["quota", "set", "--instances", "0", "--cores", "7", "admin"]).await;
    openstack.print(&["quota", "set", "--class", "--ram", "4096", "default"]).await;
    let quota = async |arguments: &[&str], resource: &str, column: &str| {
        let shown = openstack.json(&[&["quota", "show", "--compute"], arguments].concat()).await;
        let row = shown.as_array().unwrap().iter().find(|row| row["Resource"] == resource).unwrap();
        row[column].clone()
    };
    assert_eq!(quota(&["admin"], "cores", "Limit").await, 7);
    assert_eq!(quota(&["admin"], "ram", "Limit").await, 4096);
    assert_eq!(quota(&["--usage", "admin"], "instances", "In Use").await, 0);
    assert_eq!(quota(&["--default"], "key-pairs", "Limit").await, 100);
    let create = ["server", "create", "--flavor", "m1.tiny", "--image", "cirros", "--nic", "none", "more"];
    let refused = openstack.failing(&create).await;
    assert!(
        refused.contains("Quota exceeded for instances: Requested 1, but already used 0 of 0 instances"),
        "{refused}"
    );
    openstack.print(&["quota", "delete", "--compute", "admin"]).await;
    openstack.print(&create).await;
}

/// Aggregates and the zones they make, private flavors, usage, and what is done to a server by who runs the cloud.
pub(crate) async fn an_operator_divides_hosts_and_flavors_with_openstackclient(cloud: Cloud) {
    let (client, openstack) = (cloud.client().await, OpenStack::of(&cloud).await);
    let made = openstack.json(&["aggregate", "create", "--zone", "west", "--property", "ssd=true", "fast"]).await;
    assert_eq!((&made["name"], &made["availability_zone"]), (&"fast".into(), &"west".into()), "{made}");
    openstack.print(&["aggregate", "add", "host", "fast", "host-2"]).await;
    openstack.print(&["aggregate", "set", "--property", "gpu=none", "--name", "faster", "fast"]).await;
    let shown = openstack.json(&["aggregate", "show", "faster"]).await;
    assert_eq!(shown["hosts"], serde_json::json!(["host-2"]));
    assert_eq!(shown["properties"], serde_json::json!({"ssd": "true", "gpu": "none"}));
    openstack.print(&["aggregate", "unset", "--property", "gpu", "faster"]).await;
    assert_eq!(openstack.json(&["aggregate", "list", "--long"]).await[0]["Availability Zone"], "west");
    let zones = openstack.json(&["availability", "zone", "list", "--compute"]).await;
    let mut names: Vec<&str> =
        zones.as_array().unwrap().iter().map(|zone| zone["Zone Name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["internal", "nova", "west"]);
    let west =
        ["--availability-zone", "west", "--flavor", "m1.tiny", "--image", "cirros", "--nic", "none", "--wait", "w"];
    let server = openstack.json(&[&["server", "create"], &west[..]].concat()).await;
    assert_eq!(server["OS-EXT-AZ:availability_zone"], "west");
    assert_eq!(server["OS-EXT-SRV-ATTR:host"], "host-2");
    let said = openstack.failing(&["aggregate", "remove", "host", "faster", "host-2"]).await;
    assert!(said.contains("would change from 'west' to 'nova'"), "{said}");

    openstack.json(&["flavor", "create", "--private", "--ram", "64", "--disk", "1", "--vcpus", "1", "own"]).await;
    openstack.print(&["flavor", "set", "--property", "hw:cpu_policy=shared", "--project", "demo", "own"]).await;
    let flavor = openstack.json(&["flavor", "show", "own"]).await;
    assert_eq!(flavor["properties"], serde_json::json!({"hw:cpu_policy": "shared"}));
    assert_eq!(flavor["access_project_ids"].as_array().map(Vec::len), Some(1), "{flavor}");
    openstack.print(&["flavor", "unset", "--property", "hw:cpu_policy", "--project", "demo", "own"]).await;
    openstack.print(&["flavor", "delete", "own"]).await;

    let usage =
        openstack.json(&["usage", "show", "--project", "admin", "--start", "2020-01-01", "--end", "2100-01-01"]).await;
    assert_eq!(usage["Servers"][0]["name"], "w", "{usage}");
    assert!(openstack.json(&["usage", "list"]).await.as_array().is_some());
    let hosts = openstack.json(&["--os-compute-api-version", "2.42", "host", "list"]).await;
    assert!(
        hosts.as_array().unwrap().iter().any(|host| host["Host Name"] == "host-2" && host["Zone"] == "west"),
        "{hosts}"
    );

    openstack.print(&["server", "set", "--password", "n3w", "w"]).await;
    client.wait_for_status(server["id"].as_str().unwrap(), "ACTIVE").await;
    assert!(openstack.print(&["console", "log", "show", "w"]).await.contains("password for root changed"));
    let said = openstack.failing(&["server", "rebuild", "w"]).await;
    assert!(said.contains("does not have the action 'rebuild' yet"), "{said}");
    let said = openstack.failing(&["console", "url", "show", "w"]).await;
    assert!(said.contains("Unavailable console type novnc"), "{said}");
    openstack.print(&["server", "delete", "--force", "--wait", "w"]).await;
    openstack.print(&["aggregate", "remove", "host", "faster", "host-2"]).await;
    openstack.print(&["aggregate", "delete", "faster"]).await;
}

/// Users, projects, roles and what users leave with programs and with each other.
async fn an_operator_looks_after_users_with_openstackclient(cloud: Cloud) {
    let openstack = OpenStack::of(&cloud).await;
    let domain = openstack.json(&["domain", "create", "--description", "d", "acme"]).await;
    assert_eq!((&domain["name"], &domain["enabled"]), (&"acme".into(), &true.into()));
    openstack.json(&["project", "create", "--tag", "ci", "--property", "team=a", "build"]).await;
    openstack.json(&["project", "create", "--parent", "build", "nightly"]).await;
    openstack.print(&["project", "set", "--description", "all night", "nightly"]).await;
    let shown = openstack.json(&["project", "show", "nightly"]).await;
    assert_eq!((&shown["description"], &shown["domain_id"]), (&"all night".into(), &"default".into()));
    openstack
        .json(&["user", "create", "--password", "pw", "--email", "bob@example.org", "--project", "build", "bob"])
        .await;
    openstack.json(&["group", "create", "testers"]).await;
    openstack.print(&["group", "add", "user", "testers", "bob"]).await;
    assert!(openstack.print(&["group", "contains", "user", "testers", "bob"]).await.contains("in group"));
    openstack.json(&["role", "create", "tester"]).await;
    openstack.json(&["implied", "role", "create", "--implied-role", "reader", "tester"]).await;
    openstack.print(&["role", "add", "--user", "bob", "--project", "build", "member"]).await;
    openstack.print(&["role", "add", "--group", "testers", "--project", "nightly", "tester"]).await;
    openstack.print(&["role", "add", "--user", "bob", "--system", "all", "reader"]).await;
    let list = ["role", "assignment", "list", "--user", "bob", "--effective", "--names"];
    let effective = openstack.json(&list).await;
    let mut roles: Vec<(String, String)> = effective
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["Project"].as_str().unwrap().to_owned(), one["Role"].as_str().unwrap().to_owned()))
        .collect();
    roles.sort();
    let expected = [
        ("", "reader"),
        ("build@Default", "member"),
        ("build@Default", "reader"),
        ("nightly@Default", "reader"),
        ("nightly@Default", "tester"),
    ];
    assert_eq!(roles, expected.map(|(project, role)| (project.to_owned(), role.to_owned())));
    let users = openstack.json(&["user", "list", "--project", "build"]).await;
    assert_eq!(users[0]["Name"], "bob");

    // As somebody else: what he leaves with programs and with others.
    let url = format!("{}/identity/v3", cloud.endpoint);
    let bob = openstack.at(&url, "bob", "pw", "build");
    let made = bob.json(&["application", "credential", "create", "--role", "reader", "robot"]).await;
    assert!(made["Secret"].as_str().unwrap().len() > 60, "{made}");
    assert!(bob.print(&["application", "credential", "list", "-f", "value", "-c", "Name"]).await.contains("robot"));
    let robot = openstack.without_file().with(&[
        ("OS_AUTH_TYPE", "v3applicationcredential"),
        ("OS_AUTH_URL", &url),
        ("OS_APPLICATION_CREDENTIAL_ID", made["ID"].as_str().unwrap()),
        ("OS_APPLICATION_CREDENTIAL_SECRET", made["Secret"].as_str().unwrap()),
    ]);
    assert_eq!(robot.json(&["server", "list"]).await, Value::Array(vec![]));
    // The client looks names up, which a member may not.
    let create = ["trust", "create", "--project", "admin", "--role", "member", "--impersonate", "admin", "demo"];
    let trust = openstack.json(&create).await;
    assert_eq!(trust["is_impersonation"], true, "{trust}");
    let trust = trust["id"].as_str().unwrap();
    assert_eq!(openstack.json(&["trust", "show", trust]).await["is_impersonation"], true);
    openstack.print(&["trust", "delete", trust]).await;
    bob.print(&["application", "credential", "delete", "robot"]).await;
    bob.print(&["user", "password", "set", "--password", "new", "--original-password", "pw"]).await;

    // The user demo, as the file that `novella up` writes has him.
    let token = openstack.as_demo().json(&["token", "issue"]).await;
    assert!(token["project_id"].is_string(), "{token}");

    let service = openstack.json(&["service", "create", "--name", "mine", "own-type"]).await;
    openstack
        .json(&["endpoint", "create", "--region", "RegionOne", "mine", "public", "http://own/%(project_id)s"])
        .await;
    assert!(openstack.print(&["catalog", "show", "own-type"]).await.contains("http://own/"));
    openstack.print(&["service", "delete", service["id"].as_str().unwrap()]).await;
    openstack.print(&["user", "delete", "bob"]).await;
    openstack.print(&["domain", "set", "--disable", "acme"]).await;
    openstack.print(&["domain", "delete", "acme"]).await;
    let said = openstack.failing(&["project", "delete", "build"]).await;
    assert!(said.contains("not a leaf"), "{said}");
}

/// What users do with images; `image_clients.rs` has the rest.
async fn images_are_looked_after_with_openstackclient(cloud: Cloud) {
    let openstack = OpenStack::of(&cloud).await;
    let file = |name: &str| cloud.data_folder().join(name).to_str().unwrap().to_owned();
    let (raw, saved) = (file("an-image"), file("saved"));
    let bytes: Vec<u8> = (0..2_500_000u32).map(|n| (n % 253) as u8).collect();
    std::fs::write(&raw, &bytes).unwrap();
    let create = [
        "image",
        "create",
        "--disk-format",
        "raw",
        "--file",
        &raw,
        "--property",
        "os_distro=mine",
        "--tag",
        "a",
        "mine",
    ];
    let made = openstack.json(&create).await;
    assert_eq!((&made["status"], &made["size"]), (&"active".into(), &2_500_000.into()), "{made}");
    openstack.print(&["image", "save", "--file", &saved, "mine"]).await;
    assert!(std::fs::read(&saved).unwrap() == bytes);
    openstack
        .print(&[
            "image",
            "set",
            "--name",
            "ours",
            "--min-disk",
            "2",
            "--property",
            "k=v",
            "--tag",
            "b",
            "--protected",
            "mine",
        ])
        .await;
    openstack.print(&["image", "unset", "--property", "os_distro", "--tag", "a", "ours"]).await;
    let shown = openstack.json(&["image", "show", "ours"]).await;
    assert_eq!(
        (&shown["min_disk"], &shown["protected"], &shown["tags"]),
        (&2.into(), &true.into(), &serde_json::json!(["b"]))
    );
    assert_eq!((shown["properties"]["k"].as_str(), shown["properties"].get("os_distro")), (Some("v"), None));
    assert!(openstack.failing(&["image", "delete", "ours"]).await.contains("is protected and cannot be deleted"));
    for (filter, expected) in
        [(&["--tag", "b"][..], true), (&["--property", "k=v"], true), (&["--public"], false), (&["--shared"], true)]
    {
        let list = openstack.json(&[&["image", "list"], filter].concat()).await;
        let names: Vec<&str> = list.as_array().unwrap().iter().map(|image| image["Name"].as_str().unwrap()).collect();
        assert_eq!(names.contains(&"ours"), expected, "{filter:?}: {names:?}");
    }
    openstack.print(&["image", "set", "--unprotected", "--deactivate", "ours"]).await;
    assert_eq!(openstack.json(&["image", "show", "ours"]).await["status"], "deactivated");
    openstack.print(&["image", "set", "--activate", "ours"]).await;

    // Shared with another project, which takes it.
    openstack.print(&["image", "add", "project", "ours", "demo"]).await;
    let members = openstack.json(&["image", "member", "list", "ours"]).await;
    assert_eq!(members[0]["Status"], "pending", "{members}");
    let demo = openstack.as_demo();
    let id = shown["id"].as_str().unwrap();
    assert!(!demo.print(&["image", "list", "-f", "value", "-c", "Name"]).await.contains("ours"));
    demo.print(&["image", "set", "--accept", id]).await;
    assert!(demo.print(&["image", "list", "-f", "value", "-c", "Name"]).await.contains("ours"));
    openstack.print(&["image", "remove", "project", "ours", "demo"]).await;

    // Staged, then imported; and both at once.
    // The client itself would upload what it finds on its standard input.
    let record = "disk_format='raw', container_format='bare', name='staged'";
    openstack
        .script(&format!(
            "import openstack; openstack.connect().image._create(openstack.image.v2.image.Image, {record})"
        ))
        .await;
    openstack.print(&["image", "stage", "--file", &raw, "staged"]).await;
    openstack.print(&["image", "import", "--method", "glance-direct", "staged"]).await;
    assert_eq!(openstack.json(&["image", "show", "staged"]).await["status"], "active");
    let create = ["image", "create", "--import", "--disk-format", "raw", "--file", &raw, "imported"];
    assert_eq!(openstack.json(&create).await["status"], "active");
    assert!(openstack.print(&["image", "import", "info"]).await.contains("glance-direct"));
    let create = ["image", "create", "--disk-format", "qcow2", "--file", &raw, "other"];
    assert!(openstack.failing(&create).await.contains("does not match stream data"));

    // A server boots from it, and its record is what the boot is held against.
    let server = ["server", "create", "--flavor", "m1.tiny", "--image", "imported", "--nic", "none", "--wait", "s"];
    assert_eq!(openstack.json(&server).await["status"], "ACTIVE");
    openstack.print(&["image", "set", "--min-ram", "100000", "imported"]).await;
    let refused = openstack.failing(&server).await;
    assert!(refused.contains("too small"), "{refused}");
    openstack.print(&["image", "delete", "ours", "staged", "imported"]).await;
    assert!(!openstack.print(&["image", "list"]).await.contains("imported"));
}

/// What clients send, ask and name in good faith.
pub(crate) async fn clients_are_taken_at_their_word(cloud: Cloud) {
    let openstack = OpenStack::of(&cloud).await;
    for url in [cloud.endpoint.clone(), format!("{}/", cloud.endpoint), format!("{}/identity/v3", cloud.endpoint)] {
        assert!(
            openstack.at(&url, "admin", PASSWORD, "admin").print(&["flavor", "list"]).await.contains("m1.tiny"),
            "{url}"
        );
    }
    let forwarded = [("x-forwarded-proto", "https"), ("x-forwarded-host", "cloud.example.org")];
    let mut request = reqwest::Client::new().get(format!("{}/compute", cloud.endpoint));
    for (name, value) in forwarded {
        request = request.header(name, value);
    }
    let versions: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(versions["versions"][0]["links"][0]["href"], "https://cloud.example.org/compute/v2.1/");

    let file = cloud.data_folder().join("saved");
    openstack.print(&["image", "save", "--file", file.to_str().unwrap(), "cirros"]).await;
    let size = openstack.json(&["image", "show", "cirros"]).await["size"].as_u64().unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().len(), size);

    let user_data = cloud.data_folder().join("user-data");
    std::fs::write(&user_data, "#cloud-config\n").unwrap();
    let create = [
        "--os-compute-api-version",
        "2.90",
        "server",
        "create",
        "--flavor",
        "m1.tiny",
        "--image",
        "cirros",
        "--nic",
        "none",
        "--wait",
        "--description",
        "d",
        "--hostname",
        "web",
        "--tag",
        "a",
        "--config-drive",
        "True",
        "--user-data",
        user_data.to_str().unwrap(),
        "--property",
        "k=v",
        "web-1",
    ];
    let server = openstack.json(&create).await;
    assert_eq!((&server["description"], &server["tags"]), (&"d".into(), &serde_json::json!(["a"])), "{server}");
    let found = openstack.json(&["server", "list", "--name", "^w.b-[0-9]+$"]).await;
    assert_eq!(found[0]["Name"], "web-1");
    assert_eq!(
        openstack.print(&["console", "log", "show", "--lines", "3", "web-1"]).await.trim_end().lines().count(),
        3
    );
    assert_eq!(openstack.json(&["server", "volume", "list", "web-1"]).await, Value::Array(vec![]));

    // Nowhere to go: said at once at the versions that check before they answer.
    for host in ["host-1", "host-2", "host-3"] {
        openstack.print(&["compute", "service", "set", "--disable", host, "nova-compute"]).await;
    }
    let migrate = ["--os-compute-api-version", "2.33", "server", "migrate", "--live-migration", "--wait", "web-1"];
    let said = openstack.failing(&migrate).await;
    assert!(said.contains("No valid host"), "{said}");
    assert_eq!(openstack.json(&["server", "show", "web-1"]).await["status"], "ACTIVE");
}

mod embedded {
    use super::{Cloud, Settings};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_is_led_through_its_life_by_openstackclient() {
        super::a_server_is_led_through_its_life_by_openstackclient(Cloud::embedded(Settings::default()).await).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_operator_sees_hosts_and_services_with_openstackclient() {
        super::an_operator_sees_hosts_and_services_with_openstackclient(Cloud::embedded(Settings::default()).await)
            .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_operator_divides_hosts_and_flavors_with_openstackclient() {
        super::an_operator_divides_hosts_and_flavors_with_openstackclient(Cloud::embedded(Settings::default()).await)
            .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_operator_looks_after_users_with_openstackclient() {
        super::an_operator_looks_after_users_with_openstackclient(Cloud::embedded(Settings::default()).await).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn images_are_looked_after_with_openstackclient() {
        super::images_are_looked_after_with_openstackclient(Cloud::embedded(Settings::default()).await).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn clients_are_taken_at_their_word() {
        let trusted = ("NOVELLA_API__TRUSTED_PROXIES", r#"["127.0.0.1"]"#.to_owned());
        let cloud = Cloud::embedded(Settings { environment: vec![trusted], ..Settings::default() }).await;
        super::clients_are_taken_at_their_word(cloud).await;
    }
}

/// A script runs all commands of the README's first sections in one shell, as a new user would copy them.
#[tokio::test(flavor = "multi_thread")]
async fn the_readme_is_run_as_it_stands() {
    let client = tokio::task::spawn_blocking(installed).await.unwrap();
    let programs = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_novella"), programs.path().join("novella")).unwrap();
    std::os::unix::fs::symlink(client, programs.path().join("openstack")).unwrap();
    let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/readme.sh"));
    script.arg(programs.path()).arg(novella_testing::free_port().to_string());
    let shown = tokio::task::spawn_blocking(move || python::run(&mut script)).await.unwrap();
    for expected in ["ACTIVE", "host-1", "live-migration", "sent again", "HTTP/1.1 204"] {
        assert!(shown.contains(expected), "{expected} is missing in: {shown}");
    }
}
