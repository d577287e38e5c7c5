//! `kill -9` of each service, in the middle of a build and of a live migration: afterwards everything is settled, and
//! the claims add up.

use serde_json::json;

use crate::support::{
    client::Client,
    cloud::{Cloud, Settings, wait_for},
};

/// A build takes 1.5 s and a live migration about 4 s: time to die in.
fn slow() -> Settings {
    Settings {
        environment: vec![
            ("NOVELLA_COMPUTE__FAKE__BOOT_SECONDS_MIN", "1.5".into()),
            ("NOVELLA_COMPUTE__FAKE__BOOT_SECONDS_MAX", "1.5".into()),
            ("NOVELLA_COMPUTE__FAKE__BANDWIDTH_MIB", "130".into()),
            ("NOVELLA_COMPUTE__FAKE__DIRTY_RATE_MIB", "20".into()),
            ("NOVELLA_CONDUCTOR__MAX_CONCURRENT_LIVE_MIGRATIONS", "4".into()),
        ],
        ..Settings::default()
    }
}

/// Which processes die.
#[derive(Clone, Copy)]
enum Victim {
    Everything,
    Api,
    Schedulers,
    Conductors,
    /// The host that builds, or the source of the migration.
    Source,
    Destination,
}

impl Victim {
    fn names(self, source: &str, destination: &str) -> Vec<String> {
        let names: Vec<&str> = match self {
            Self::Everything => vec!["up"],
            Self::Api => vec!["api-1"],
            Self::Schedulers => vec!["scheduler-1", "scheduler-2"],
            Self::Conductors => vec!["conductor-1", "conductor-2"],
            Self::Source => vec![source],
            Self::Destination => vec![destination],
        };
        names.into_iter().map(ToOwned::to_owned).collect()
    }
}

/// Kills them all and starts them again.
async fn kill_and_restart(cloud: &mut Cloud, names: &[String]) {
    for name in names {
        cloud.process(name).kill();
    }
    for name in names {
        cloud.process(name).restart();
    }
    cloud.wait_until_ready().await;
}

/// Every server of the list comes to rest, ACTIVE or ERROR, and can still be deleted; the claims add up throughout.
async fn assert_settled(cloud: &Cloud, client: &Client, servers: &[String]) {
    for id in servers {
        let settled = client.wait_until_settled(id).await;
        let status = settled["status"].as_str().unwrap();
        assert!(matches!(status, "ACTIVE" | "ERROR"), "{settled}");
    }
    wait_for("the end of every migration", async || {
        let list = client.get("/os-migrations").await;
        list["migrations"]
            .as_array()
            .unwrap()
            .iter()
            .all(|migration| matches!(migration["status"].as_str().unwrap(), "completed" | "cancelled" | "error"))
    })
    .await;
    cloud.assert_claims_add_up().await;
    cloud.assert_ports_add_up().await;
    for id in servers {
        client.delete(id).await;
    }
    for id in servers {
        client.wait_until_gone(id).await;
    }
    cloud.assert_claims_add_up().await;
    cloud.assert_ports_add_up().await;
}

async fn in_the_middle_of_builds(mut cloud: Cloud, victim: Victim) {
    let client = cloud.client().await;
    let mut servers = Vec::new();
    for number in 0..6 {
        servers.push(client.create(&format!("build-{number}"), json!({})).await);
    }
    // The first may be through by now.
    let last = servers[5].clone();
    client.wait_for_task(&last, "spawning").await;
    let source = client.host_of(&last).await;
    let names = victim.names(&source, &source);
    // Some more, so that each service has work in every stage when it dies.
    for number in 6..9 {
        servers.push(client.create(&format!("build-{number}"), json!({})).await);
    }
    kill_and_restart(&mut cloud, &names).await;
    assert_settled(&cloud, &client, &servers).await;
}

async fn in_the_middle_of_a_live_migration(mut cloud: Cloud, victim: Victim) {
    let client = cloud.client().await;
    let id = client.create("moving", json!({})).await;
    client.wait_for_status(&id, "ACTIVE").await;
    let source = client.host_of(&id).await;
    let destination = ["host-1", "host-2", "host-3"].into_iter().find(|host| *host != source).unwrap();
    client.live_migrate(&id, Some(destination)).await;
    wait_for("a live migration that copies", async || {
        let list = client.get(&format!("/servers/{id}/migrations")).await;
        list["migrations"]
            .as_array()
            .unwrap()
            .iter()
            .any(|migration| migration["status"] == "running" && migration["memory_processed_bytes"].as_i64() > Some(0))
    })
    .await;
    kill_and_restart(&mut cloud, &victim.names(&source, destination)).await;
    let settled = client.wait_for_status(&id, "ACTIVE").await;
    let host = settled["OS-EXT-SRV-ATTR:host"].as_str().unwrap().to_owned();
    assert!(host == source || host == destination, "{settled}");
    // It can be moved again, wherever it is: nothing of the broken move is left in its way.
    wait_for("the end of the first migration", async || {
        client.get(&format!("/servers/{id}/migrations")).await["migrations"].as_array().unwrap().is_empty()
    })
    .await;
    client.live_migrate(&id, None).await;
    let again = client.wait_for_status(&id, "ACTIVE").await;
    assert_ne!(again["OS-EXT-SRV-ATTR:host"], host.as_str());
    assert_settled(&cloud, &client, &[id]).await;
}

mod embedded {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn everything_killed_in_the_middle_of_builds() {
        in_the_middle_of_builds(Cloud::embedded(slow()).await, Victim::Everything).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn everything_killed_in_the_middle_of_a_live_migration() {
        in_the_middle_of_a_live_migration(Cloud::embedded(slow()).await, Victim::Everything).await;
    }
}

mod on_rabbitmq_and_postgres {
    use super::*;

    macro_rules! killed {
        ($($name:ident: $victim:ident in $what:ident),* $(,)?) => {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                $what(Cloud::apart(slow()).await, Victim::$victim).await;
            })*
        };
    }

    killed! {
        the_api_killed_in_the_middle_of_builds: Api in in_the_middle_of_builds,
        the_schedulers_killed_in_the_middle_of_builds: Schedulers in in_the_middle_of_builds,
        the_conductors_killed_in_the_middle_of_builds: Conductors in in_the_middle_of_builds,
        the_host_killed_in_the_middle_of_builds: Source in in_the_middle_of_builds,
        the_api_killed_in_the_middle_of_a_live_migration: Api in in_the_middle_of_a_live_migration,
        the_schedulers_killed_in_the_middle_of_a_live_migration: Schedulers in in_the_middle_of_a_live_migration,
        the_conductors_killed_in_the_middle_of_a_live_migration: Conductors in in_the_middle_of_a_live_migration,
        the_source_killed_in_the_middle_of_a_live_migration: Source in in_the_middle_of_a_live_migration,
        the_destination_killed_in_the_middle_of_a_live_migration: Destination in in_the_middle_of_a_live_migration,
    }
}
