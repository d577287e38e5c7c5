//! Live migration, as far as the API goes: written down and handed over, shown, hurried, aborted.

use novella_common::{db::migrations as rows, ids::InstanceUuid, lifecycle::TaskState, models::Migration, sql};
use serde_json::{Value, json};

use crate::support::{Client, Cloud};

const SERVERS: &str = "/compute/v2.1/servers";

fn live_migrate(host: Option<&str>) -> Value {
    json!({"os-migrateLive": {"host": host, "block_migration": "auto"}})
}

async fn only_migration(cloud: &Cloud) -> Migration {
    let mut connection = cloud.database.read().await.unwrap();
    let mut all = rows::under_way(&mut connection, None).await.unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// A server of demo's that is being migrated from host-1, with its migration in this status.
pub(crate) async fn migrating(cloud: &Cloud, admin: &Client<'_>, status: &'static str) -> (InstanceUuid, Migration) {
    cloud.start_host("host-1").await;
    let demo = cloud.demo().await;
    let uuid = cloud.active_server(&demo, "s", "host-1").await;
    assert_eq!(admin.at("2.34").action(uuid, &live_migrate(None)).await.status, 202);
    cloud
        .execute(sql!(
            "UPDATE migrations SET status = " (status)
            ", destination = 'host-2', memory_total = 100, memory_remaining = 40"
        ))
        .await;
    (uuid, only_migration(cloud).await)
}

on_both! {
    async fn a_live_migration_is_written_down_and_handed_to_a_conductor(cloud: Cloud) {
        cloud.start_host("host-1").await;
        cloud.write_host("host-2", "nova").await;
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        let answer = admin.at("2.34").action(uuid, &live_migrate(Some("host-2"))).await;
        assert_eq!(answer.status, 202, "{:?}", answer.body);

        let migration = only_migration(&cloud).await;
        let instance = cloud.instance(uuid).await.unwrap();
        assert_eq!((instance.task_state, instance.task_id), (Some(TaskState::Migrating), Some(migration.task_id)));
        assert_eq!(migration.requested_destination.as_deref(), Some("host-2"));
        assert_eq!((migration.source.as_str(), migration.block_migration), ("host-1", None));
        assert!(!migration.forced);
        let casts = cloud.casts(2).await;
        assert_eq!((casts[1].to.as_str(), casts[1].method.as_str()), ("conductor", "live_migrate_instance"));
        assert_eq!(casts[1].arguments, json!({"migration": migration.uuid}));
        assert_eq!(demo.get(&format!("{SERVERS}/{uuid}")).await.body["server"]["status"], "MIGRATING");
    }

    async fn an_administrator_may_force_a_live_migration_to_a_host(cloud: Cloud) {
        cloud.start_host("host-1").await;
        cloud.write_host("host-2", "nova").await;
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        let mut body = live_migrate(Some("host-2"));
        // Without it the host is held against the scheduler's filters, from 2.30 on.
        body["os-migrateLive"]["force"] = json!("True");
        assert_eq!(admin.at("2.67").action(uuid, &body).await.status, 202);
        let migration = only_migration(&cloud).await;
        assert_eq!((migration.forced, migration.requested_destination.as_deref()), (true, Some("host-2")));
    }

    async fn until_2_33_the_answer_waits_for_the_checks(cloud: Cloud) {
        cloud.start_host("host-1").await;
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        for (version, status, error, expected) in [
            ("2.33", "error", Some("No valid host was found."), 400),
            ("2.25", "error", None, 400),
            ("2.33", "running", None, 202),
            ("2.33", "cancelled", None, 202),
            ("2.34", "accepted", None, 202),
        ] {
            let uuid = cloud.active_server(&demo, "s", "host-1").await;
            let before = cloud.taken.lock().unwrap().len();
            let at = admin.at(version);
            let body = live_migrate(None);
            // As a conductor writes it, once it has been told.
            let conductor = async {
                cloud.casts(before + 1).await;
                cloud.execute(sql!("UPDATE migrations SET status = " (status) ", error = " (error)
                    " WHERE instance_uuid = " (uuid))).await;
            };
            let (answer, ()) = tokio::join!(at.action(uuid, &body), conductor);
            assert_eq!(answer.status, expected, "{version} {status}: {:?}", answer.body);
            if let Some(error) = error {
                assert_eq!(answer.message(), error);
            }
        }
    }

    async fn what_leads_nowhere_is_refused_at_once(cloud: Cloud) {
        cloud.start_host("host-1").await;
        cloud.write_host("host-2", "nova").await;
        cloud.force_down("host-2").await;
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        for (host, text) in [
            ("host-9", "Compute host host-9 could not be found.".to_owned()),
            ("host-1", format!("Unable to migrate instance ({uuid}) to current host (host-1).")),
            ("host-2", "Compute service of host-2 is unavailable at this time.".to_owned()),
        ] {
            let answer = admin.at("2.25").action(uuid, &live_migrate(Some(host))).await;
            assert_eq!((answer.status, answer.message()), (400, text.as_str()));
        }
        assert_eq!(demo.at("2.25").action(uuid, &live_migrate(None)).await.status, 403);
        cloud.place(uuid, "host-1", "stopped", 4).await;
        assert_eq!(admin.at("2.25").action(uuid, &live_migrate(None)).await.status, 409);
        let building = cloud.new_server(&demo, "new").await;
        assert_eq!(admin.at("2.25").action(building, &live_migrate(None)).await.status, 409);
    }

    async fn a_migration_under_way_is_shown_with_its_progress(cloud: Cloud) {
        let admin = cloud.admin().await;
        let (uuid, migration) = migrating(&cloud, &admin, "running").await;
        let path = format!("{SERVERS}/{uuid}/migrations");
        assert_eq!(admin.at("2.22").get(&path).await.status, 404);
        let list = admin.at("2.23").get(&path).await;
        insta::assert_json_snapshot!("server_migrations_at_2.23", list.body, {
            ".migrations[].id" => "[id]", ".migrations[].server_uuid" => "[id]",
            ".migrations[].created_at" => "[time]", ".migrations[].updated_at" => "[time]",
        });
        let one = admin.at("2.23").get(&format!("{path}/{}", migration.id)).await;
        assert_eq!(one.body["migration"], list.body["migrations"][0]);
        for id in ["0", "x", "99999999999999999999"] {
            assert_eq!(admin.at("2.23").get(&format!("{path}/{id}")).await.status, 404);
        }
        cloud.execute(sql!("UPDATE migrations SET status = 'completed'")).await;
        assert_eq!(admin.at("2.23").get(&path).await.body, json!({"migrations": []}));
        assert_eq!(admin.at("2.23").get(&format!("{path}/{}", migration.id)).await.status, 404);
    }

    async fn all_migrations_are_listed_for_administrators(cloud: Cloud) {
        let admin = cloud.admin().await;
        let (uuid, _) = migrating(&cloud, &admin, "running").await;
        let path = "/compute/v2.1/os-migrations";
        for version in ["2.1", "2.23"] {
            insta::assert_json_snapshot!(format!("migrations_at_{version}"), admin.at(version).get(path).await.body, {
                ".migrations[].id" => "[id]", ".migrations[].instance_uuid" => "[id]",
                ".migrations[].created_at" => "[time]", ".migrations[].updated_at" => "[time]",
                ".migrations[].links[].href" => "[href]",
            });
        }
        let count = async |query: &str| {
            admin.get(&format!("{path}?{query}")).await.body["migrations"].as_array().unwrap().len()
        };
        for (query, expected) in [
            (format!("instance_uuid={uuid}"), 1), ("instance_uuid=nonsense".into(), 0), ("status=running".into(), 1),
            ("status=completed".into(), 0), ("host=host-2".into(), 1), ("source_compute=host-2".into(), 0),
            ("migration_type=live-migration".into(), 1), ("hidden=0".into(), 1),
        ] {
            assert_eq!(count(&query).await, expected, "{query}");
        }
        assert_eq!(cloud.demo().await.get(path).await.status, 403);
    }

    async fn an_abort_is_written_down_and_told_to_a_conductor(cloud: Cloud) {
        let admin = cloud.admin().await;
        let (uuid, migration) = migrating(&cloud, &admin, "running").await;
        let path = format!("{SERVERS}/{uuid}/migrations/{}", migration.id);
        assert_eq!(admin.at("2.23").delete(&path).await.status, 404);
        let answer = admin.at("2.24").delete(&path).await;
        assert_eq!((answer.status, answer.body), (202, Value::Null));
        assert!(only_migration(&cloud).await.abort_requested);
        let casts = cloud.casts(3).await;
        assert_eq!((casts[2].to.as_str(), casts[2].method.as_str()), ("conductor", "abort_live_migration"));
        assert_eq!(admin.at("2.24").delete(&format!("{SERVERS}/{uuid}/migrations/0")).await.status, 404);
    }

    async fn an_abort_in_the_wrong_state_says_which(cloud: Cloud) {
        let admin = cloud.admin().await;
        let (uuid, migration) = migrating(&cloud, &admin, "queued").await;
        let path = format!("{SERVERS}/{uuid}/migrations/{}", migration.id);
        let answer = admin.at("2.24").delete(&path).await;
        assert_eq!((answer.status, answer.message().contains("is queued")), (400, true), "{:?}", answer.body);
        cloud.place(uuid, "host-2", "active", 1).await;
        assert_eq!(admin.at("2.24").delete(&path).await.status, 409);
        assert!(!only_migration(&cloud).await.abort_requested);
    }

    async fn a_migration_can_be_hurried_on_its_source(cloud: Cloud) {
        let admin = cloud.admin().await;
        let (uuid, migration) = migrating(&cloud, &admin, "running").await;
        let path = format!("{SERVERS}/{uuid}/migrations/{}/action", migration.id);
        let body = json!({"force_complete": null});
        assert_eq!(admin.at("2.21").post(&path, &body).await.status, 404);
        assert_eq!(admin.at("2.22").post(&path, &body).await.status, 202);
        let casts = cloud.casts(3).await;
        assert_eq!((casts[2].to.as_str(), casts[2].method.as_str()), ("compute.host-1", "live_migration_force_complete"));
        assert_eq!(admin.at("2.22").post(&path, &json!({"force_complete": {}})).await.status, 400);
        assert_eq!(admin.at("2.22").post(&path, &json!({"hurry": null})).await.status, 400);
        cloud.execute(sql!("UPDATE migrations SET status = 'preparing'")).await;
        assert_eq!(admin.at("2.22").post(&path, &body).await.status, 400);
    }

    async fn without_a_conductor_a_migration_waits_for_one(cloud: Cloud) {
        let cloud = Cloud::with_only_a_scheduler(cloud.on).await;
        cloud.start_host("host-1").await;
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let uuid = cloud.active_server(&demo, "s", "host-1").await;
        assert_eq!(admin.at("2.25").action(uuid, &live_migrate(None)).await.status, 202);
        assert_eq!(cloud.states(uuid).await.1, Some(TaskState::Migrating));
        let mut connection = cloud.database.read().await.unwrap();
        assert_eq!(rows::under_way(&mut connection, None).await.unwrap().len(), 1);
    }
}
