//! What a cloud believes of its hosts while it can't hear them, and after.

use novella_messaging::{Transport, TransportOptions};
use novella_testing::{Broker, Network};
use reqwest::Method;
use serde_json::json;

use crate::support::cloud::{Cloud, Settings, wait_for};

/// Builds that take longer than a host may be silent.
fn long_builds() -> Settings {
    let seconds = || "6".to_owned();
    Settings {
        environment: vec![
            ("NOVELLA_COMPUTE__FAKE__BOOT_SECONDS_MIN", seconds()),
            ("NOVELLA_COMPUTE__FAKE__BOOT_SECONDS_MAX", seconds()),
        ],
        ..Settings::default()
    }
}

async fn states(cloud: &Cloud, host: &str) -> (String, String) {
    let list = cloud.client().await.get(&format!("/os-services?binary=nova-compute&host={host}")).await;
    let text = |field: &str| list["services"][0][field].as_str().unwrap().to_owned();
    (text("state"), text("status"))
}

mod on_rabbitmq_and_postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_host_that_stops_in_good_order_is_down_at_once_and_gets_no_work_until_it_is_back() {
        let down_time = ("NOVELLA_SERVICE__SERVICE_DOWN_TIME", "600".to_owned());
        let mut cloud = Cloud::apart(Settings { environment: vec![down_time], ..Settings::default() }).await;
        let client = cloud.client().await;
        for host in ["host-1", "host-2"] {
            assert!(cloud.process(host).terminate().success());
            wait_for("a stopped host to be down", async || states(&cloud, host).await.0 == "down").await;
        }
        for number in 0..4 {
            let id = client.create(&format!("server-{number}"), json!({})).await;
            client.wait_for_status(&id, "ACTIVE").await;
            assert_eq!(client.host_of(&id).await, "host-3");
        }
        cloud.process("host-1").restart();
        wait_for("a host that is back to be up", async || states(&cloud, "host-1").await.0 == "up").await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_build_waits_for_a_host_to_come_up_while_none_is() {
        let mut cloud = Cloud::apart(Settings::default()).await;
        let client = cloud.client().await;
        for host in ["host-1", "host-2", "host-3"] {
            assert!(cloud.process(host).terminate().success());
            wait_for("a stopped host to be down", async || states(&cloud, host).await.0 == "down").await;
        }
        let id = client.create("early", json!({})).await;
        // A scheduler has had it and left it, or it would be in ERROR.
        wait_for("a scheduler to find no host", async || {
            let logs = ["scheduler-1", "scheduler-2"].map(|name| cloud.process(name).log());
            logs.iter().flat_map(|log| log.lines()).any(|line| line.contains("no host is up") && line.contains(&id))
        })
        .await;
        assert_eq!(client.server(&id).await["status"], "BUILD");
        cloud.process("host-2").restart();
        client.wait_for_status(&id, "ACTIVE").await;
        assert_eq!(client.host_of(&id).await, "host-2");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn builds_wait_while_the_schedulers_database_is_away_and_none_of_them_is_set_aside() {
        let environment = vec![("NOVELLA_DATABASE__ACQUIRE_TIMEOUT", "1".to_owned())];
        let mut cloud = Cloud::apart(Settings { environment, breakable: true, ..Settings::default() }).await;
        let client = cloud.client().await;
        let schedulers = ["scheduler-1", "scheduler-2"];
        let set = |cloud: &Cloud, network| {
            for name in schedulers {
                cloud.networks(name).database.as_ref().unwrap().set(network);
            }
        };
        set(&cloud, Network::Down);
        let id = client.create("patient", json!({})).await;
        let more_often_than_it_may_fail = TransportOptions::default().max_deliveries + 1;
        wait_for("schedulers to try often", async || {
            let logs = schedulers.map(|name| cloud.process(name).log());
            let tries = logs.iter().flat_map(|log| log.lines()).filter(|line| line.contains("waits for what it needs"));
            tries.count() >= more_often_than_it_may_fail as usize
        })
        .await;
        set(&cloud, Network::Up);
        client.wait_for_status(&id, "ACTIVE").await;
        let bus = Transport::connect(cloud.bus_url(), TransportOptions::default()).await.unwrap();
        assert_eq!(bus.dead_letters(10).await.unwrap(), []);
    }

    mod of_its_own {
        use super::*;

        #[tokio::test(flavor = "multi_thread")]
        async fn builds_go_on_while_the_bus_is_away_for_longer_than_a_host_may_be_silent() {
            let mut broker = Broker::start("").await;
            let cloud = Cloud::on_bus(&broker.url(), long_builds()).await;
            let client = cloud.client().await;
            let mut servers = Vec::new();
            for number in 0..6 {
                let id = client.create(&format!("server-{number}"), json!({})).await;
                client.wait_for_task(&id, "spawning").await;
                servers.push(id);
            }
            broker.stop().await;
            // Longer than `service_down_time`, by the clock that counts it.
            tokio::time::sleep(std::time::Duration::from_secs(5)).await;
            broker.start_again().await;
            // The first ones after it, too: whoever makes them waits for the bus only.
            wait_for("the API to take a create again", async || {
                let body = client.create_body("after", json!({})).await;
                let (status, answer) = client.request(Method::POST, "/servers", Some(&body)).await;
                if status.is_success() {
                    servers.push(answer["server"]["id"].as_str().unwrap().to_owned());
                }
                status.is_success()
            })
            .await;
            for id in &servers {
                client.wait_for_status(id, "ACTIVE").await;
            }
            cloud.assert_claims_add_up().await;
        }
    }
}
