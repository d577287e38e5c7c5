//! The schema: released files stay as they are, and a database of an earlier version is brought up to date with all that
//! is in it.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use jiff::Timestamp;
use novella_common::{
    config::{DatabaseConfig, SecretUrl},
    db::{
        Database, DbError, Json, actions, allocations, compute_nodes, flavors, instances,
        list::{Condition, List},
        migrations, quotas, services,
    },
    ids::InstanceUuid,
    lifecycle::{TaskState, VmState},
    models::{Binary, EventResult, Instance, MigrationStatus},
    sql,
};
use sha2::{Digest, Sha384};
use sqlx::{AssertSqlSafe, Connection as _, SqlSafeStr, migrate::Migrator};

/// The SHA-384 of each file that has been on the main branch, as the databases made with it remember it. A new file is
/// added here; a line that is here never changes.
const RELEASED: &[(&str, &str)] = &[
    (
        "postgres/0001_initial.sql",
        "ee2a569aed942bd4361ecaa56dafbc65c89ea7edf8663b8b2248d04024e2632bcffe94102a8fb2961f87b90ddef83094",
    ),
    (
        "sqlite/0001_initial.sql",
        "e9a0f7665c9361801ed19b73bd4550dc5805490ddb8fa916a158f38cb69391f52a6769460476088b9eff74090c87e4bd",
    ),
    (
        "postgres/0002_types.sql",
        "d28f7fd3ddad7bf0aaa58a0895002824f99a9e6b61d3d4440c18ddf9852db3efdd1f5cab5a640f195f01a5043a40d130",
    ),
    (
        "sqlite/0002_types.sql",
        "f6f3237045b26b4b42f9a60496c753d36cd70a6606556b306b402c5ae7ee5abad7cba4f85c0b001cb6735feae9fcdbdb",
    ),
    (
        "postgres/0003_keypairs_tags_locks.sql",
        "f4439ba5a9749e931021c8ec5e4e7b52e8e103aa3ceb0d9cf28e6c137448769f9b144ccbd5552fdf580d892ee3d7c68c",
    ),
    (
        "sqlite/0003_keypairs_tags_locks.sql",
        "59b5110c88b86ff58dd1ece54a92a6bbad8898c1b8c0a721bb58e055867efeac615053f421e3e325745d3826591b249e",
    ),
    (
        "postgres/0004_server_groups.sql",
        "f1f4b16f5f90bb4fe377a5f06d00e275a3951a8821fe0fe48568a7533ea217c8cb20eb0bdacfa248e668fcc198e72b2a",
    ),
    (
        "sqlite/0004_server_groups.sql",
        "e5655eb75c8ecf042137a42e2e4e41847768d5e553670555b1f490ef791f52df158e2e8c76502a708df193adeb4606e8",
    ),
    (
        "postgres/0005_listening.sql",
        "d7072b8fa8ad8f59a84a53e2ee0e97012f5cf255ef970ea0325e33b0008de2a779c121f0a6880d3eb5a3bfe822821828",
    ),
    (
        "sqlite/0005_listening.sql",
        "08ab1daa6307bcef254f14b7f886f4b1de93f24c75328330fc1fd68bc37576b267ea6ba7ca26d8e3e8573b9da80dabe6",
    ),
    (
        "postgres/0006_access_and_disk_config.sql",
        "2e12b631245e586b16b56ae67634fac1310cd833b5675b651757dfdb8d34b5769cea53f60d8ac7a202cc6a0c97c9cae7",
    ),
    (
        "sqlite/0006_access_and_disk_config.sql",
        "73b5d9a9692b44ad866a076b81902a1b7e1b7545849c64107b5fc561bffc28a1e6a3d0ee8173c2f5be43ea1fec4e84e0",
    ),
    (
        "postgres/0007_hosts_and_requests.sql",
        "fb3dab67b7c02055c8b7e64aa48570fa73ba8be51f24c3157cec295b3d2f6d95f22e405339b71ddf49d1c5edb673a140",
    ),
    (
        "sqlite/0007_hosts_and_requests.sql",
        "4d46f5d93817cc0a913dda482636557737bc1376e2851da0d695f032f8af94b3230f2ea878fcd0bf1bc92120b7f43de4",
    ),
    (
        "postgres/0008_quotas.sql",
        "70012c643207bdeb5cd5b843c95452a1d8a72bdcfde0f06d4eeb3dfd884c55ae730b23e8c521c420c059ff6a30bc8e3f",
    ),
    (
        "sqlite/0008_quotas.sql",
        "b54f50d9f4f51732db3aca886b8ef5b249b30bd22ff5224e87bcbc9030407df1bdbf74a8b240ccb66dff784285e2e519",
    ),
    (
        "postgres/0010_identity.sql",
        "148471f283c2d62815029ef62882f97fee0ec1109be1bb1b8c9727cc44794f1eba1a7b0350245d98d89b8eb4985b98dd",
    ),
    (
        "sqlite/0010_identity.sql",
        "1a28239907ec435c6dabcfa2903c687377925232324203cfc0efa34732c3e400ffd6c5b944cae53394af9886e3fb61f1",
    ),
    (
        "postgres/0011_host_approval.sql",
        "5ac639bb1f238ca4358e13b08c5f4c85335bda5188a76e5d67c51eb22bf17bae469fcde75c3d258a79ed200cd7b6f8fc",
    ),
    (
        "sqlite/0011_host_approval.sql",
        "3b0495ec6e93d510cdbb501028428fa73c22f3f26825d7a5e0287cf9677340f7a89d497d010f86c4fbdac47fee1ce126",
    ),
    (
        "postgres/0012_fixed_ips.sql",
        "229d800be15334ce26afa8c68b642e40cd1a49546b34fd8d3dfa3dc9593fdedb6007b30aa98c965d61711dd04cb9f550",
    ),
    (
        "sqlite/0012_fixed_ips.sql",
        "30c5022b142a29ba742bbf5bc15a17c6acc50cc562c923c42beb2578335ca8de4fc5b714e595163edf86fddfaf7fcadb",
    ),
    (
        "postgres/0013_failed_logins.sql",
        "d98161765a87fa9c8a934423625141feb1ef6a28f5fa9de77f12a37240a4d26bd817167897295ce906fcc5cb53ad592f",
    ),
    (
        "sqlite/0013_failed_logins.sql",
        "2d2608956f8ebb7577c170cdbb8de21aacc1d91d67fecb057edc6c6d684eccf680b01edce84a34561039dd4b8441641c",
    ),
    (
        "postgres/0014_aggregates.sql",
        "96c8e59b804c68ee11c0001bb3d7489c6e96a2418e97237850297c28637fd5bd434c11bea31fa1fa8557dab1b6382d48",
    ),
    (
        "sqlite/0014_aggregates.sql",
        "aa1097cb55f5d65e675267edfd3fb385c3d1e61df4449c0862997309026d8931770b68c04a5b449d39ba8759703336b0",
    ),
    (
        "postgres/0016_images.sql",
        "b3eda5a347b689e8a14fae3b39753902968c6467c9b46d6fa65f470578fe100de9b585d7141ae9fe5eef4fcb5ee65679",
    ),
    (
        "sqlite/0016_images.sql",
        "c3b22530cac71a2392037a2c7989f5e540e770a8c5c9ce55d90b9445997252fdc3b313f9c839ea13e2e39899be8320a6",
    ),
    (
        "postgres/0017_network.sql",
        "e38efd401e42d36d48e17bbaf91dd1fbd3a82c0e3820d0627cdbddd1618643f8a7ed022890f48015489d9df169246a0a",
    ),
    (
        "sqlite/0017_network.sql",
        "174f2717d4be41a0a3f394d74dead4bb5ef8da018a521ed78cd412cc12a136867c425ab11c4482c1ec57f69dd5dee60d",
    ),
    (
        "postgres/0018_soft_delete.sql",
        "a70f1164add129c4d3a1447a3b1410a0bf3d4eb946a1aab51aa18aa64e44bd4ba2e969e61b5fe244b3af8b69d6ccb00f",
    ),
    (
        "sqlite/0018_soft_delete.sql",
        "26440187b9a312bb7eb00ace042370c3b4bbbdfea94b436b8c06a42cc48bea893d4e901aeb7ebb3c3b44c8019050e0da",
    ),
    (
        "postgres/0021_requests.sql",
        "2518c043615b87ec55ecd3110dfaeb39dd2b82b6b5c68bc2c82b4eb23b27511c39d4a51f75ad9927a8294d8afeece7d5",
    ),
    (
        "sqlite/0021_requests.sql",
        "2518c043615b87ec55ecd3110dfaeb39dd2b82b6b5c68bc2c82b4eb23b27511c39d4a51f75ad9927a8294d8afeece7d5",
    ),
    (
        "postgres/0022_ports_of_instances.sql",
        "172e087af750e7c790a62c6f450cf3ba5a83f458c820d57efff1bb6115d38168b5552c4d2808b7955947bb96698bed0e",
    ),
    (
        "sqlite/0022_ports_of_instances.sql",
        "59d9fe3164d102311a0385d7e9db29acde77ee4448d6284ed2deda855a483bfbefad3effacf0785934e9a5661c74c8c9",
    ),
    (
        "postgres/0023_image_stores.sql",
        "9b787b040d83848a98c36ee825a2b6b504b6ebfc5b9eb06086fa4db5925cfc23a367d776d5ec338f2ec96680f0c970af",
    ),
    (
        "sqlite/0023_image_stores.sql",
        "830625da168f5b3782f652c045e47d9f331f77d9b836f40c373ff02e1f34f49a8ed2f7c82e0feb2140199fcf45860950",
    ),
    (
        "postgres/0024_request_spans.sql",
        "283e1d72c1bdae7c2349417575a43d5096c901eb2dd0c1d3ddb4eaee3ab490e11d77a1a383c7a01b487ea6d0a5f6b5cb",
    ),
    (
        "sqlite/0024_request_spans.sql",
        "d33a7f9b2a3a9e8abfad514fcfdd6fe4730d99117c6e23f7aee372b798bd74a8e362ae0885ab7fe1785117f77cbc7574",
    ),
    (
        "postgres/0025_instances_by_host.sql",
        "e9dc5ce71f0a5323aa5f4b9f88108be75f59c47bb1622e9c5ec999276053f9ef177b0268f97161708321e9cdf96bac56",
    ),
    (
        "sqlite/0025_instances_by_host.sql",
        "e9dc5ce71f0a5323aa5f4b9f88108be75f59c47bb1622e9c5ec999276053f9ef177b0268f97161708321e9cdf96bac56",
    ),
];

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations"))
}

#[test]
fn a_released_file_never_changes_and_each_has_its_twin() {
    let mut files: Vec<String> = Vec::new();
    for kind in ["postgres", "sqlite"] {
        for entry in std::fs::read_dir(folder().join(kind)).unwrap() {
            files.push(format!("{kind}/{}", entry.unwrap().file_name().to_str().unwrap()));
        }
    }
    for (file, released) in RELEASED {
        let sum = Sha384::digest(std::fs::read(folder().join(file)).unwrap());
        let sum = sum.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        });
        assert_eq!(sum, *released, "{file} has been released: a change of the schema is a new pair of files");
    }
    for file in &files {
        assert!(RELEASED.iter().any(|(released, _)| released == file), "{file} is missing in the list above");
        let (kind, name) = file.split_once('/').unwrap();
        let twin = if kind == "sqlite" { "postgres" } else { "sqlite" };
        assert!(files.contains(&format!("{twin}/{name}")), "{file} has no twin in {twin}/");
    }
}

/// Makes a database as the first version did, with a row in each table.
async fn as_the_first_version_left_it(url: &str) {
    let rows = include_str!("first_version.sql");
    let first = |kind: &str| std::fs::read_to_string(folder().join(kind).join("0001_initial.sql")).unwrap();
    let migrator = |text: String| {
        let text = AssertSqlSafe(text).into_sql_str();
        let kind = sqlx::migrate::MigrationType::Simple;
        Migrator::with_migrations(vec![sqlx::migrate::Migration::new(1, "initial".into(), kind, text, false)])
    };
    if url.starts_with("sqlite") {
        let mut connection = sqlx::SqliteConnection::connect(&format!("{url}?mode=rwc")).await.unwrap();
        migrator(first("sqlite")).run(&mut connection).await.unwrap();
        sqlx::raw_sql(rows).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    } else {
        let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
        migrator(first("postgres")).run(&mut connection).await.unwrap();
        sqlx::raw_sql(rows).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

async fn a_database_of_the_first_version_is_brought_up_to_date(url: &str) {
    as_the_first_version_left_it(url).await;
    let config = DatabaseConfig { url: SecretUrl::new(url), ..DatabaseConfig::default() };
    let database = Database::connect(&config).await.unwrap();
    assert!(matches!(database.check_schema().await, Err(DbError::SchemaOutOfDate)));
    database.migrate().await.unwrap();
    database.check_schema().await.unwrap();
    database.migrate().await.unwrap();

    let mut connection = database.read().await.unwrap();
    let time = Timestamp::from_microsecond(1_700_000_000_123_457).unwrap();
    let uuid: InstanceUuid = "11111111-1111-4111-8111-111111111111".parse().unwrap();

    let of_flavor = List::<Instance>::all().filter(Condition::equal("(flavor ->> 'id')", "42"));
    let found = of_flavor.page(&mut connection).await.unwrap().unwrap();
    assert_eq!(found.len(), 1);
    let instance = &found[0];
    assert_eq!((instance.uuid, instance.created_at, instance.launched_at), (uuid, time, Some(time)));
    assert_eq!((instance.vm_state, instance.task_state), (VmState::Active, Some(TaskState::Migrating)));
    assert_eq!((instance.config_drive, instance.flavor.vcpus), (true, 1));
    assert_eq!(instance.metadata, BTreeMap::from([("k".into(), "v \u{e4}".into())]));
    let in_use = quotas::servers_in_use(&mut connection, &instance.project_id, &instance.user_id).await.unwrap();
    let flavor = (instance.flavor.vcpus, instance.flavor.memory_mb);
    assert_eq!((in_use.0.instances, (in_use.0.cores, in_use.0.ram), in_use.1), (1, flavor, in_use.0));
    let spec = instances::request_spec(&mut connection, uuid).await.unwrap().unwrap();
    assert_eq!(spec.excluded_hosts, ["host-9"]);
    let faults = instances::faults(&mut connection, &[uuid]).await.unwrap();
    assert_eq!((faults[0].1.code, faults[0].1.created_at), (500, time));

    let (action, events) = actions::get(&mut connection, uuid, "req-1").await.unwrap().unwrap();
    assert_eq!((action.action.as_str(), action.start_time), ("live-migration", time));
    assert_eq!((events[0].result, events[0].finish_time), (Some(EventResult::Success), Some(time)));
    let migration = &migrations::under_way(&mut connection, None).await.unwrap()[0];
    assert_eq!((migration.instance, migration.status), (uuid, MigrationStatus::Running));
    assert_eq!((migration.block_migration, migration.abort_requested), (Some(false), true));
    let data = migrations::transitions::migrate_data(&mut connection, migration.uuid).await.unwrap().unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&data).unwrap(), serde_json::json!({"a": [1, "b"]}));

    let service = services::find(&mut connection, Binary::Compute, "host-1").await.unwrap().unwrap();
    assert_eq!((service.disabled, service.forced_down, service.last_seen), (true, false, time));
    let node = compute_nodes::get(&mut connection, "host-1").await.unwrap().unwrap();
    assert_eq!((node.inventory.hypervisor_type.as_str(), node.used.vcpus), ("fake", 1));
    assert_eq!(allocations::all(&mut connection).await.unwrap(), [(uuid.to_string(), "host-1".to_owned())]);
    assert_eq!(allocations::discrepancies(&mut connection).await.unwrap(), Vec::<String>::new());

    let flavor = flavors::get(&mut connection, "42").await.unwrap().unwrap();
    assert_eq!((flavor.is_public, flavor.extra_specs.len()), (false, 1));
    let (created_at, Json(properties)): (Timestamp, Json<BTreeMap<String, String>>) =
        sql!("SELECT created_at, properties FROM images WHERE id = 'image-1'")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert_eq!((created_at, properties.len()), (time, 1));
    // A role that was a name has an id of its own, and all that was is in the one domain. Tokens are asked for again.
    let (project, parent, role, user): (String, String, String, String) = sql!(
        "SELECT p.name, p.parent_id, r.name, u.name FROM role_assignments a JOIN projects p ON p.id = a.project_id \
         JOIN roles r ON r.id = a.role_id JOIN users u ON u.id = a.user_id WHERE u.domain_id = 'default'"
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!([project.as_str(), &parent, &role, &user], ["demo", "default", "member", "demo"]);
    let implied: Vec<String> = sql!(
        "SELECT implied.name FROM implied_roles i JOIN roles prior ON prior.id = i.prior_role_id \
         JOIN roles implied ON implied.id = i.implied_role_id ORDER BY implied.name"
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(implied, ["manager", "member", "reader"]);

    // New numbers go on after the old ones.
    drop(connection);
    let mut connection = database.write().await.unwrap();
    instances::add_fault(&mut connection, uuid, &faults[0].1).await.unwrap();
    let ids: Vec<i64> = sql!("SELECT id FROM instance_faults ORDER BY id").fetch_all(&mut connection).await.unwrap();
    assert_eq!(ids, [1, 2]);
}

async fn a_database_of_a_later_version_is_refused_with_a_sentence(url: &str) {
    let config = DatabaseConfig { url: SecretUrl::new(url), ..DatabaseConfig::default() };
    let database = Database::connect(&config).await.unwrap();
    database.migrate().await.unwrap();
    let mut later = sql!("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) ");
    later.push("VALUES (9999, 'later', ").push_for("1, x'00'", "TRUE, '\\x00'").push(", 0)");
    later.execute(&mut database.write().await.unwrap()).await.unwrap();
    let refused = database.migrate().await.unwrap_err().to_string();
    assert!(refused.contains("a later version of Novella"), "{refused}");
}

mod on_sqlite {
    #[tokio::test(flavor = "multi_thread")]
    async fn a_database_of_the_first_version_is_brought_up_to_date() {
        let file = novella_testing::Database::sqlite();
        super::a_database_of_the_first_version_is_brought_up_to_date(file.url()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_database_of_a_later_version_is_refused_with_a_sentence() {
        let file = novella_testing::Database::sqlite();
        super::a_database_of_a_later_version_is_refused_with_a_sentence(file.url()).await;
    }
}

mod on_postgres {
    use novella_common::{
        config::{DatabaseConfig, SecretUrl},
        db::Database,
        sql,
    };

    #[tokio::test(flavor = "multi_thread")]
    async fn a_database_of_the_first_version_is_brought_up_to_date() {
        let server = novella_testing::Database::postgres().await;
        super::a_database_of_the_first_version_is_brought_up_to_date(server.url()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_database_of_a_later_version_is_refused_with_a_sentence() {
        let server = novella_testing::Database::postgres().await;
        super::a_database_of_a_later_version_is_refused_with_a_sentence(server.url()).await;
    }

    /// So that lists are in the same order on both databases, and the pages' markers as exact.
    #[tokio::test(flavor = "multi_thread")]
    async fn every_text_is_compared_by_its_bytes() {
        let server = novella_testing::Database::postgres().await;
        let config = DatabaseConfig { url: SecretUrl::new(server.url()), ..DatabaseConfig::default() };
        let database = Database::connect(&config).await.unwrap();
        database.migrate().await.unwrap();
        let others: Vec<(String, String)> = sql!(
            "SELECT table_name::text, column_name::text FROM information_schema.columns \
             WHERE table_schema = current_schema() AND data_type = 'text' AND table_name <> '_sqlx_migrations' \
             AND collation_name IS DISTINCT FROM 'C'"
        )
        .fetch_all(&mut database.read().await.unwrap())
        .await
        .unwrap();
        assert_eq!(others, [], "text columns without COLLATE \"C\"");
    }
}
