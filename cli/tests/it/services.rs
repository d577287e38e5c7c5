//! Services as an operator meets them: started, listed, stopped, cut off.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    os::unix::fs::PermissionsExt,
};

use novella_testing::Vhost;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::Connection;

use crate::support::{
    client::Client,
    cloud::{Cloud, PASSWORD, Settings, wait_for},
    process::{Process, novella},
};

/// What `novella service list --format json` prints for this cloud.
fn service_list(cloud: &Cloud) -> Vec<Value> {
    let output = novella()
        .args(["service", "list", "--format", "json"])
        .env("NOVELLA_DATABASE__URL", cloud.database_url())
        .env("NOVELLA_SERVICE__SERVICE_DOWN_TIME", "3")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn every_service_is_listed_as_up(cloud: Cloud) {
    wait_for("every service to be up", async || {
        let list = service_list(&cloud);
        let binaries: HashSet<&str> = list.iter().map(|service| service["binary"].as_str().unwrap()).collect();
        binaries == HashSet::from(["nova-scheduler", "nova-conductor", "nova-compute", "nova-api"])
            && list.iter().all(|service| service["state"] == "up")
    })
    .await;

    let table =
        novella().args(["service", "list"]).env("NOVELLA_DATABASE__URL", cloud.database_url()).output().unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    let header: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["Binary", "Host", "Zone", "Status", "State", "Updated_At"]);
    assert!(table.contains(":-)"), "{table}");
}

async fn a_cloud_stops_cleanly_and_all_is_there_when_it_starts_again(mut cloud: Cloud) {
    let client = cloud.client().await;
    let id = client.create("kept", json!({ "k": "v" })).await;
    client.wait_for_status(&id, "ACTIVE").await;
    for process in cloud.processes() {
        let status = process.terminate();
        assert!(status.success(), "{} ended with {status}: {}", process.name, process.log());
    }
    for process in cloud.processes() {
        process.restart();
    }
    cloud.wait_until_ready().await;
    // The token is still good, the server as it was, and it obeys.
    let server = client.server(&id).await;
    assert_eq!((&server["status"], &server["metadata"]["k"]), (&json!("ACTIVE"), &json!("v")));
    client.action(&id, json!({ "os-stop": null })).await;
    client.wait_for_status(&id, "SHUTOFF").await;
    cloud.assert_claims_add_up().await;
}

async fn a_token_of_another_project_does_not_see_a_server(cloud: Cloud) {
    let admin = cloud.client().await;
    let id = admin.create("mine", json!({})).await;
    let other = Client::connect(&cloud.endpoint, "admin", PASSWORD, "demo").await;
    // An administrator may look at a server of another project by its id, but does not find it in the list.
    let list = other.get("/servers").await;
    assert!(list["servers"].as_array().unwrap().is_empty(), "{list}");
    admin.wait_for_status(&id, "ACTIVE").await;
}

mod everywhere {
    use super::*;

    behaviours! {
        Settings::default();
        every_service_is_listed_as_up,
        a_cloud_stops_cleanly_and_all_is_there_when_it_starts_again,
        a_token_of_another_project_does_not_see_a_server,
    }
}

mod embedded {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_password_is_kept_private_and_the_clouds_yaml_works_for_watch() {
        let cloud = Cloud::embedded(Settings::default()).await;
        let folder = cloud.data_folder();
        for file in ["clouds.yaml", "admin-password", "demo-password"] {
            let mode = fs::metadata(folder.join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        let client = cloud.client().await;
        let id = client.create("watched", json!({})).await;
        let output = tokio::task::spawn_blocking(move || {
            novella().args(["watch", "--until-idle", "--data", folder.to_str().unwrap()]).output().unwrap()
        })
        .await
        .unwrap();
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(shown.contains(&id) && shown.contains("ACTIVE"), "{shown}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_figure_has_our_prefix_and_says_what_it_means() {
        let cloud = Cloud::embedded(Settings::default()).await;
        let client = cloud.client().await;
        client.wait_for_status(&client.create("counted", json!({})).await, "ACTIVE").await;
        let data = cloud.data_folder();
        let status = novella().args(["status", "--format", "json", "--data", data.to_str().unwrap()]).output().unwrap();
        let status: Value = serde_json::from_slice(&status.stdout).unwrap();
        let url = format!("{}/metrics", status["management"].as_str().unwrap());
        let metrics = async || reqwest::get(&url).await.unwrap().text().await.unwrap();
        for wanted in [
            r#"novella_servers{vm_state="active"} 1"#,
            r#"novella_compute_hosts{state="up"} 3"#,
            r#"novella_compute_hosts{state="down"} 0"#,
            "novella_dead_letters 0",
        ] {
            wait_for(wanted, async || metrics().await.lines().any(|line| line == wanted)).await;
        }
        let text = metrics().await;
        let names = |kind: &str| -> HashSet<String> {
            let lines = text.lines().filter_map(|line| line.strip_prefix(kind));
            lines.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
        };
        let (types, helps) = (names("# TYPE "), names("# HELP "));
        assert!(types.len() > 8 && types.iter().all(|name| name.starts_with("novella_")), "{types:?}");
        assert_eq!(types.difference(&helps).collect::<Vec<_>>(), Vec::<&String>::new());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn watching_ends_with_the_fault_of_a_server_that_is_in_error() {
        let cloud = Cloud::embedded(Settings::default()).await;
        let client = cloud.client().await;
        let huge = json!({ "flavor": { "name": "huge", "id": "huge", "ram": 1_000_000_000, "vcpus": 1, "disk": 1 } });
        assert_eq!(client.request(Method::POST, "/flavors", Some(&huge)).await.0, StatusCode::OK);
        let mut body = client.create_body("too-big", json!({})).await;
        body["server"]["flavorRef"] = json!("huge");
        let (_, answer) = client.request(Method::POST, "/servers", Some(&body)).await;
        let id = answer["server"]["id"].as_str().unwrap();
        client.wait_for_status(id, "ERROR").await;
        let folder = cloud.data_folder();
        let mut watch = novella();
        watch.args(["watch", "--until-idle", "too-big", "--data", folder.to_str().unwrap()]);
        let output = tokio::task::spawn_blocking(move || watch.output().unwrap()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("server too-big") && said.contains("No valid host was found."), "{said}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn watching_goes_on_when_the_cloud_was_away() {
        let mut cloud = Cloud::embedded(Settings::default()).await;
        let data = cloud.data_folder().to_str().unwrap().to_owned();
        let logs = tempfile::tempdir().unwrap();
        let watch = Process::start("watch", &["watch", "--data", &data], &BTreeMap::new(), None, logs.path());
        let client = cloud.client().await;
        let says = async |what: &str| wait_for(what, async || watch.log().contains(what)).await;
        client.wait_for_status(&client.create("before", json!({})).await, "ACTIVE").await;
        says("before").await;
        assert!(cloud.process("up").terminate().success());
        says("trying again").await;
        cloud.process("up").restart();
        cloud.wait_until_ready().await;
        says("connected again").await;
        client.wait_for_status(&client.create("after", json!({})).await, "ACTIVE").await;
        says("after").await;
    }

    #[test]
    fn the_benchmark_measures_every_row() {
        let amounts = ["--servers", "4", "--clients", "2", "--samples", "2", "--migrations", "2"];
        let output = novella().args(["bench", "--embedded"]).args(amounts).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let shown = String::from_utf8(output.stdout).unwrap();
        let figures: Vec<&str> = shown.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
        assert!(figures.len() > 8, "{shown}");
        for line in figures {
            let figure = line.split('|').nth(2).unwrap();
            assert!(figure.contains(|character: char| character.is_ascii_digit()), "{line}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_benchmark_of_services_apart_leaves_nothing_on_the_servers_that_it_is_given() {
        let variable = |name: &str| std::env::var(name).unwrap();
        let database = variable("NOVELLA_TEST_POSTGRES_URL");
        let mut bench = novella();
        bench
            .args(["bench", "--apart", "--scale-only", "--hosts", "2,3", "--servers-before", "0,5"])
            .args(["--servers", "4", "--clients", "2", "--samples", "2"])
            .env("NOVELLA_BUS__URL", variable("NOVELLA_TEST_AMQP_URL"))
            .env("NOVELLA_BUS__MANAGEMENT_URL", variable("NOVELLA_TEST_RABBITMQ_API"))
            .env("NOVELLA_DATABASE__URL", &database);
        let output = tokio::task::spawn_blocking(move || bench.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let shown = String::from_utf8(output.stdout).unwrap();
        for size in ["2 hosts, 0 servers before", "3 hosts, 5 servers before"] {
            assert!(shown.contains(&format!("boots per second, 2 clients, {size}")), "{shown}");
        }

        let vhosts = Vhost::create().await.list(&["vhosts"]).await;
        let left = |name: &str| name.starts_with("novella_bench_");
        assert!(!vhosts.iter().any(|vhost| left(vhost["name"].as_str().unwrap())), "{vhosts:?}");
        let mut connection = sqlx::PgConnection::connect(&database).await.unwrap();
        let databases: Vec<String> =
            sqlx::query_scalar("SELECT datname FROM pg_database").fetch_all(&mut connection).await.unwrap();
        assert!(!databases.iter().any(|name| left(name)), "{databases:?}");
    }

    #[test]
    fn the_configuration_is_shown_with_its_sources_and_without_secrets() {
        let output = novella()
            .args(["config"])
            .env("NOVELLA_ADMIN_PASSWORD", "hush")
            .env("NOVELLA_BUS__URL", "amqp://user:hush@broker/")
            .env("NOVELLA_DATA", "/nowhere")
            .output()
            .unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(!shown.contains("hush"), "{shown}");
        let line = |key: &str| shown.lines().find(|line| line.trim().starts_with(key)).unwrap().to_owned();
        assert!(line("bus.url").contains("amqp://user:***@broker/"), "{shown}");
        assert!(line("bus.url").contains("environment NOVELLA_BUS__URL"), "{shown}");
        assert!(line("database.url").contains("sqlite:///nowhere/novella.db"), "{shown}");
        assert!(line("bus.control_exchange").trim_end().ends_with("default"), "{shown}");

        let wrong = novella().args(["config"]).env("NOVELLA_BUS__ULR", "amqp://x/").output().unwrap();
        assert!(!wrong.status.success());
        assert!(String::from_utf8(wrong.stderr).unwrap().contains("ulr"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_second_cloud_on_the_same_data_is_refused_with_a_reason() {
        let cloud = Cloud::embedded(Settings::default()).await;
        let folder = cloud.data_folder();
        let output = tokio::task::spawn_blocking(move || {
            novella().args(["up", "--listen", "127.0.0.1:0", "--data", folder.to_str().unwrap()]).output().unwrap()
        })
        .await
        .unwrap();
        assert!(!output.status.success());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains("does another novella use it?"), "{error}");
    }
}

mod on_rabbitmq_and_postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_cast_waits_for_a_stopped_service() {
        let mut cloud = Cloud::apart(Settings::default()).await;
        let client = cloud.client().await;
        for name in ["scheduler-1", "scheduler-2"] {
            assert!(cloud.process(name).terminate().success());
        }
        let id = client.create("waits", json!({})).await;
        let vhost = cloud.vhost();
        vhost.wait_for_messages("scheduler", 1).await;
        assert_eq!(client.server(&id).await["OS-EXT-STS:task_state"], "scheduling");
        cloud.process("scheduler-2").restart();
        client.wait_for_status(&id, "ACTIVE").await;

        // The same for a host: what is asked of it while it is stopped is done when it is back.
        let host = client.host_of(&id).await;
        assert!(cloud.process(&host).terminate().success());
        client.action(&id, json!({ "os-stop": null })).await;
        cloud.vhost().wait_for_messages(&format!("compute.{host}"), 1).await;
        assert_eq!(client.server(&id).await["OS-EXT-STS:task_state"], "powering-off");
        cloud.process(&host).restart();
        client.wait_for_status(&id, "SHUTOFF").await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_compute_process_connects_to_the_database() {
        let mut cloud = Cloud::apart(Settings::default()).await;
        let client = cloud.client().await;
        let id = client.create("busy", json!({})).await;
        client.wait_for_status(&id, "ACTIVE").await;
        let port: u16 = cloud.database_url().rsplit(':').next().unwrap().split('/').next().unwrap().parse().unwrap();
        let mut with_connection = Vec::new();
        for process in cloud.processes() {
            if is_connected_to(process.id(), port) {
                with_connection.push(process.name.clone());
            }
        }
        with_connection.sort();
        // The others show that the look finds connections where there are some.
        assert_eq!(with_connection, ["api-1", "conductor-1", "conductor-2", "scheduler-1", "scheduler-2"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn without_the_bus_a_create_is_written_down_and_waits() {
        let cloud = Cloud::apart(Settings::default()).await;
        let client = cloud.client().await;
        let body = client.create_body("later", json!({})).await;
        cloud.vhost().delete().await;
        let api = reqwest::Client::new();
        let ready = format!("{}/readyz", cloud.endpoint);
        wait_for("the API to say that the bus is gone", async || {
            api.get(&ready).send().await.unwrap().status() == StatusCode::SERVICE_UNAVAILABLE
        })
        .await;
        let (status, answer) = client.request(Method::POST, "/servers", Some(&body)).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        assert_eq!(client.server(answer["server"]["id"].as_str().unwrap()).await["status"], "BUILD");
    }
}

/// Whether a process holds a TCP connection to this port, by what the kernel says of its descriptors.
fn is_connected_to(process: u32, port: u16) -> bool {
    let sockets: HashSet<String> = fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|target| Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let remote = format!(":{port:04X}");
    ["tcp", "tcp6"].into_iter().any(|table| {
        let connections = fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
        connections.lines().skip(1).any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields[2].ends_with(&remote) && sockets.contains(fields[9])
        })
    })
}
