//! Faults on purpose: set in a running cloud, seen by its clients, cleared.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    cloud::{Cloud, Settings, wait_for},
    process::novella,
};

fn enabled() -> Settings {
    Settings { environment: vec![("NOVELLA_FAULTS__ENABLED", "true".into())], ..Settings::default() }
}

/// `novella fault ARGUMENTS` in this cloud: what it printed, or what it said in vain.
async fn fault(cloud: &Cloud, arguments: &[&str]) -> Result<String, String> {
    let mut command = novella();
    command.arg("fault").args(arguments);
    if cloud.is_embedded() {
        command.env("NOVELLA_DATA", cloud.data_folder());
    } else {
        command.env("NOVELLA_BUS__URL", cloud.vhost().url());
    }
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

async fn add(cloud: &Cloud, arguments: &[&str]) -> String {
    fault(cloud, &[&["add"], arguments].concat()).await.unwrap().trim().to_owned()
}

async fn list(cloud: &Cloud) -> Vec<Value> {
    let printed = fault(cloud, &["list", "--format", "json"]).await.unwrap();
    serde_json::from_str(&printed).unwrap()
}

/// What the processes with faults enabled answer to `list`; `process` is one of them, or any if it is empty.
async fn ask(cloud: &Cloud, process: &str) -> Value {
    let mut command = novella();
    command.args(["rpc", "call", &format!("faults{process}"), "list"]);
    if cloud.is_embedded() {
        command.env("NOVELLA_DATA", cloud.data_folder());
    } else {
        command.env("NOVELLA_BUS__URL", cloud.vhost().url());
    }
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// Waits until each process that can have faults knows of all the others: then what is set is in force everywhere.
async fn acquainted(cloud: Cloud) -> Cloud {
    const APART: [&str; 4] =
        [".nova-api.api-1", ".nova-compute.host-1", ".nova-compute.host-2", ".nova-compute.host-3"];
    let processes = if cloud.is_embedded() { &[""][..] } else { &APART };
    for process in processes {
        wait_for("processes that know of each other", async || {
            let known = &ask(&cloud, process).await["processes"];
            known.as_array().is_some_and(|known| known.len() == processes.len())
        })
        .await;
    }
    cloud
}

async fn the_next_build_fails_on_each_host_until_the_fault_is_cleared(cloud: Cloud) {
    let cloud = acquainted(cloud).await;
    let client = cloud.client().await;
    let asked = ["host", "--operation", "build", "--flavor", "m1.tiny", "--fail", "out of luck"];
    let id = add(&cloud, &asked).await;

    let unlucky = client.create("unlucky", json!({})).await;
    let server = client.wait_for_status(&unlucky, "ERROR").await;
    let details = server["fault"]["details"].as_str().unwrap();
    assert!(details.contains("out of luck"), "{server}");
    // Each of the three hosts was tried, in whatever process it is.
    let listed = list(&cloud).await;
    assert_eq!((&listed[0]["id"], &listed[0]["fired"]), (&json!(id), &json!(3)), "{listed:?}");
    let table = fault(&cloud, &["list"]).await.unwrap();
    let row = table.lines().nth(1).unwrap();
    assert!(
        row.contains(&id) && row.contains("build, flavor m1.tiny") && row.contains("fails: out of luck"),
        "{table}"
    );

    let cleared = fault(&cloud, &["clear", &id]).await.unwrap();
    assert_eq!(cleared, "1 fault cleared\n");
    assert_eq!(fault(&cloud, &["list"]).await.unwrap(), "There are no faults.\n");
    let again = fault(&cloud, &["clear", &id]).await.unwrap_err();
    assert!(again.contains(&format!("there is no fault {id}")), "{again}");
    let lucky = client.create("lucky", json!({})).await;
    client.wait_for_status(&lucky, "ACTIVE").await;
}

async fn a_fault_of_one_operation_on_one_host_leaves_the_others_alone(cloud: Cloud) {
    let cloud = acquainted(cloud).await;
    let client = cloud.client().await;
    let server = client.create("first", json!({})).await;
    client.wait_for_status(&server, "ACTIVE").await;
    let host = client.host_of(&server).await;
    add(&cloud, &["host", "--on", &host, "--operation", "migration", "--fail", "cut off", "--times", "1"]).await;

    client.live_migrate(&server, None).await;
    client.wait_for_status(&server, "ACTIVE").await;
    assert_eq!(client.host_of(&server).await, host);
    assert_eq!(list(&cloud).await[0]["fired"], 1);
    client.live_migrate(&server, None).await;
    client.wait_for_status(&server, "ACTIVE").await;
    assert_ne!(client.host_of(&server).await, host);

    // Stopping is another operation; a fault of it holds it up, and lets it go on.
    add(&cloud, &["host", "--operation", "power_off", "--delay", "0.5"]).await;
    client.action(&server, json!({ "os-stop": null })).await;
    client.wait_for_status(&server, "SHUTOFF").await;
    assert_eq!(list(&cloud).await[1]["fired"], 1);
}

async fn the_next_two_creates_are_answered_with_429_and_the_third_goes_through(cloud: Cloud) {
    let cloud = acquainted(cloud).await;
    let client = cloud.client().await;
    let asked = ["--method", "POST", "--path", "/compute/v2.1/servers", "--status", "429", "--retry-after", "7"];
    add(&cloud, &[&["http"], &asked[..], &["--times", "2"]].concat()).await;

    let body = client.create_body("patient", json!({})).await;
    for _ in 0..2 {
        let answer = client.send(Method::POST, "/servers", Some(&body)).await.unwrap();
        assert_eq!(
            (answer.status(), &answer.headers()["retry-after"]),
            (StatusCode::TOO_MANY_REQUESTS, &"7".parse().unwrap())
        );
        // In the form of Compute's errors, with a request id.
        assert!(answer.headers().contains_key("x-openstack-request-id"));
        let error: Value = answer.json().await.unwrap();
        assert!(error.as_object().unwrap().values().all(|error| error["code"] == 429), "{error}");
    }
    // What is below the path, and other methods, were never meant.
    client.get("/servers").await;
    let server = client.create("patient", json!({})).await;
    client.wait_for_status(&server, "ACTIVE").await;
    assert_eq!(list(&cloud).await[0]["fired"], 2);
}

async fn a_connection_is_dropped_without_an_answer(cloud: Cloud) {
    let cloud = acquainted(cloud).await;
    let client = cloud.client().await;
    add(&cloud, &["http", "--path", "/compute/**", "--drop", "--times", "1"]).await;
    let error = client.try_request(Method::GET, "/servers", None).await.unwrap_err();
    assert!(error.is_request() && !error.is_timeout() && error.status().is_none(), "{error:?}");
    client.get("/servers").await;
    // That is no defect, and nobody is told of one.
    assert!(!cloud.logs().contains("panicked"));
}

async fn a_fault_of_one_project_leaves_the_others_alone_and_everybody_can_sign_in(cloud: Cloud) {
    let cloud = acquainted(cloud).await;
    let client = cloud.client().await;
    let token = client.token().await;
    let project = token["token"]["project"]["id"].as_str().unwrap();
    add(&cloud, &["http", "--project", "no-such-project", "--status", "500"]).await;
    client.get("/servers").await;
    add(&cloud, &["http", "--project", project, "--status", "503"]).await;
    let (status, _) = client.request(Method::GET, "/servers", None).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);

    // Without any condition a fault meets everything, but not what is needed to look after the cloud.
    fault(&cloud, &["clear", "--all"]).await.unwrap();
    add(&cloud, &["http", "--status", "500"]).await;
    let (status, _) = client.request(Method::GET, "/servers", None).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    cloud.client().await;
    let health = reqwest::get(format!("{}/readyz", cloud.endpoint)).await.unwrap();
    assert!(health.status().is_success());
}

async fn what_makes_no_sense_is_refused(cloud: Cloud) {
    for (arguments, reason) in [
        (&["add", "host", "--operation", "build"][..], "nothing would happen"),
        (&["add", "http", "--status", "200"], "400 to 599"),
        (&["add", "http", "--status", "500", "--rate", "2"], "rate"),
        (&["add", "host", "--fail", "--times", "0"], "0 times"),
    ] {
        let said = fault(&cloud, arguments).await.unwrap_err();
        assert!(said.contains(reason), "{said}");
    }
}

async fn faults_are_off_unless_asked_for(cloud: Cloud) {
    for arguments in [&["list"][..], &["add", "host", "--fail"], &["clear", "--all"]] {
        let said = fault(&cloud, arguments).await.unwrap_err();
        assert!(said.contains("novella up --faults") && said.contains("NOVELLA_FAULTS__ENABLED=true"), "{said}");
    }
}

mod everywhere {
    use super::*;

    behaviours! {
        enabled();
        the_next_build_fails_on_each_host_until_the_fault_is_cleared,
        a_fault_of_one_operation_on_one_host_leaves_the_others_alone,
        the_next_two_creates_are_answered_with_429_and_the_third_goes_through,
        a_connection_is_dropped_without_an_answer,
        a_fault_of_one_project_leaves_the_others_alone_and_everybody_can_sign_in,
    }
}

mod unless_asked_for {
    use super::*;

    behaviours! {
        Settings::default();
        faults_are_off_unless_asked_for,
    }
}

mod embedded {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn nonsense_is_refused_before_a_cloud_is_asked() {
        what_makes_no_sense_is_refused(Cloud::embedded(enabled()).await).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_status_of_a_cloud_says_how_many_faults_are_set() {
        let cloud = Cloud::embedded(enabled()).await;
        let status = async || {
            let mut command = novella();
            command.args(["status", "--format", "json"]).env("NOVELLA_DATA", cloud.data_folder());
            let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
            let said: Value = serde_json::from_slice(&output.stdout).unwrap();
            (said["faults"].clone(), said["hosts"].clone(), output.status.success())
        };
        // The API answers a moment before the cloud has written down that it does.
        wait_for("a cloud that says that it runs", async || status().await.2).await;
        assert_eq!(status().await, (Value::Null, json!("3 up of 3"), true));
        add(&cloud, &["host", "--fail"]).await;
        assert_eq!(status().await, (json!(1), json!("3 up of 3"), true));
        // Also while one of them keeps the API from answering.
        add(&cloud, &["http", "--status", "500"]).await;
        assert_eq!(status().await, (json!(2), json!(3), false));
    }
}

mod on_rabbitmq_and_postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_host_that_starts_again_learns_the_faults_that_are_set() {
        let mut cloud = acquainted(Cloud::apart(enabled()).await).await;
        let id = add(&cloud, &["host", "--on", "host-2", "--operation", "build", "--fail"]).await;
        let host = cloud.process("host-2");
        host.kill();
        host.restart();
        cloud.wait_until_ready().await;
        // Its hello is heard, and answered with what is set.
        wait_for("the restarted host to know the fault", async || {
            ask(&cloud, ".nova-compute.host-2").await["faults"][0]["id"] == id
        })
        .await;
        let client = cloud.client().await;
        let body = json!({ "server": {
            "name": "there", "flavorRef": "1", "imageRef": client.image().await, "availability_zone": "nova:host-2",
        } });
        let (status, created) = client.request(Method::POST, "/servers", Some(&body)).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{created}");
        let server = client.wait_for_status(created["server"]["id"].as_str().unwrap(), "ERROR").await;
        assert!(server["fault"].to_string().contains(&id), "{server}");
    }
}
