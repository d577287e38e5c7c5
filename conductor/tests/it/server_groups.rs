//! Server groups: a policy holds when servers move, too.

use novella_common::{
    db::{server_groups, table},
    models::{GroupPolicy, MigrationKind, MigrationStatus, ServerGroup},
};
use uuid::Uuid;

use crate::support::{Cloud, big};

on_both! {
    async fn two_servers_of_an_anti_affinity_group_do_not_move_to_one_host(cloud: Cloud) {
        for host in ["a", "b", "c"] {
            cloud.start_host(host, big()).await;
        }
        cloud.start_scheduler().await;
        let servers = [cloud.active("a").await, cloud.active("b").await];
        let group = ServerGroup {
            id: 0,
            uuid: Uuid::new_v4(),
            project_id: "project".into(),
            user_id: "user".into(),
            name: "group".into(),
            policy: GroupPolicy::AntiAffinity,
            max_server_per_host: None,
        };
        let mut transaction = cloud.database.begin().await.unwrap();
        table::insert(&mut transaction, &group).await.unwrap();
        server_groups::join(&mut transaction, group.uuid, &servers).await.unwrap();
        transaction.commit().await.unwrap();

        // No hint in what was asked for, so the scheduler knows of no group: what the conductor claims must hold.
        cloud.start_conductor().await;
        let mut migrations = Vec::new();
        for server in servers {
            migrations.push(cloud.begin_task(MigrationKind::LiveMigration, server, Some("c")).await);
        }
        for migration in &migrations {
            cloud.cast(migration).await;
        }
        let mut ends = Vec::new();
        for migration in &migrations {
            ends.push(cloud.until_final(migration).await.status);
        }
        ends.sort_unstable_by_key(|status| status.as_str());
        assert_eq!(ends, [MigrationStatus::Completed, MigrationStatus::Error]);
        assert_eq!(cloud.claims(&["c"]).await, [1]);
        for server in servers {
            cloud.assert_settled(server).await;
        }
        cloud.stop().await;
    }
}
