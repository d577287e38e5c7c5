//! `docs/tour.md`: its commands, and its pictures.

use std::path::{Path, PathBuf};

mod on_rabbitmq_and_postgres {
    use std::process::Command;

    use novella_testing::{Database, Vhost, python};

    use crate::support::openstackclient::installed;

    /// A script runs all commands of the tour in one shell, as a reader would copy them.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_tour_is_walked_as_it_stands() {
        let client = tokio::task::spawn_blocking(installed).await.unwrap();
        let programs = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_novella"), programs.path().join("novella")).unwrap();
        std::os::unix::fs::symlink(client, programs.path().join("openstack")).unwrap();
        let (vhost, database) = (Vhost::create().await, Database::postgres().await);
        let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/tour.sh"));
        script.arg(programs.path()).arg(novella_testing::free_port().to_string());
        script.env("NOVELLA_TOUR_BUS", vhost.url()).env("NOVELLA_TOUR_DATABASE", database.url());
        let shown = tokio::task::spawn_blocking(move || python::run(&mut script)).await.unwrap();
        let mut rest = shown.as_str();
        for expected in [
            // Its story, in the order in which the tour tells it.
            "POST /compute/v2.1/servers",
            "build_instance waits",
            "owns the operation",
            "cancelled",
            "no_such_method",
            // What waited.
            "patient",
            "ACTIVE",
            // What two conductors did.
            "steady",
            "completed",
            "owns the live-migration: preparing  conductor on conductor-1",
            "owns the live-migration: post-migrating  conductor on conductor-2",
            "went well",
        ] {
            let Some(at) = rest.find(expected) else {
                panic!("{expected} is missing, or not in its place, in: {shown}")
            };
            rest = &rest[at..];
        }
    }
}

/// The pictures of the tour that the page has no others of: `docs/pictures/tour-*`.
mod pictures {
    use serde_json::json;

    use super::*;
    use crate::{
        page::{go, log_in},
        support::{
            browser::Browser,
            client::Client,
            cloud::{Cloud, Settings, wait_for},
        },
    };

    /// The request that changed a server last.
    async fn latest_request(client: &Client, server: &str) -> String {
        let actions = client.get(&format!("/servers/{server}/os-instance-actions")).await;
        actions["instanceActions"][0]["request_id"].as_str().unwrap().to_owned()
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "writes docs/pictures"]
    async fn of_the_tour_are_taken() {
        let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pictures");
        let environment = vec![
            ("NOVELLA_COMPUTE__FAKE__BANDWIDTH_MIB", "48".into()),
            ("NOVELLA_COMPUTE__FAKE__DIRTY_RATE_MIB", "4".into()),
        ];
        let mut cloud = Cloud::apart(Settings { environment, ..Settings::default() }).await;
        let client = cloud.client().await;
        let browser = Browser::start((1280, 780), false).await;
        log_in(&browser, &cloud).await;
        let picture = async |name: &str| {
            // What moves comes to rest.
            tokio::time::sleep(std::time::Duration::from_millis(700)).await;
            browser.picture(&folder.join(format!("tour-{name}.webp"))).await;
        };
        let story = async |cloud: &Cloud, request: &str, span: &str| {
            browser.open(&format!("{}/ui/#/requests/{request}", cloud.endpoint)).await;
            browser.see(&format!("[data-span='{span}']")).await;
            browser.click(&format!("[data-span='{span}']")).await;
        };

        let first = client.create("first", json!({})).await;
        client.wait_for_status(&first, "ACTIVE").await;
        story(&cloud, &latest_request(&client, &first).await, "build_and_run_instance").await;
        picture("create").await;

        for name in ["scheduler-1", "scheduler-2"] {
            cloud.process(name).kill();
        }
        let patient = client.create("patient", json!({})).await;
        go(&browser, "bus").await;
        browser.fill("input[type=search]", "scheduler").await;
        wait_for("the message that waits", async || {
            let row = browser.text("[data-queue='scheduler']").await;
            row.split_whitespace().collect::<Vec<_>>().contains(&"1")
        })
        .await;
        picture("waiting").await;
        for name in ["scheduler-1", "scheduler-2"] {
            cloud.process(name).restart();
        }
        client.wait_for_status(&patient, "ACTIVE").await;

        assert!(cloud.process("conductor-2").terminate().success());
        client.live_migrate(&first, None).await;
        wait_for("a copy under way", async || {
            let list = client.get(&format!("/servers/{first}/migrations")).await;
            list["migrations"][0]["status"] == "running"
        })
        .await;
        cloud.process("conductor-2").restart();
        // What it had done is written down within a second.
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        cloud.process("conductor-1").kill();
        client.wait_for_status(&first, "ACTIVE").await;
        story(&cloud, &latest_request(&client, &first).await, "owns the live-migration: post-migrating").await;
        picture("takeover").await;
    }
}
