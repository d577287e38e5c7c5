//! Work that nobody does any more is found, and done.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use novella_common::{
    db::{allocations, services},
    ids::{Incarnation, InstanceUuid},
    lifecycle::{Keeper, TaskState, VmState},
    models::{Binary, Instance, MigrationStatus},
    sql,
};
use novella_conductor::ConductorConfig;
use novella_fakes::Copying;

use crate::support::{Cloud, big, building, idle, size, waiting};

/// Rows as they are a day later.
async fn a_day_later(cloud: &Cloud) {
    let mut connection = cloud.database.write().await.unwrap();
    let yesterday = Timestamp::now() - SignedDuration::from_hours(24);
    for mut statement in [
        sql!("UPDATE instances SET updated_at = "(yesterday)),
        sql!("UPDATE migrations SET updated_at = "(yesterday)),
        sql!("UPDATE allocations SET created_at = "(yesterday)),
    ] {
        statement.execute(&mut connection).await.unwrap();
    }
}

on_both! {
    async fn a_build_whose_scheduler_died_before_it_chose_a_host_is_scheduled_by_another_one(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        let orphan = Instance { owner: Some(Incarnation::random()), ..waiting() };
        cloud.write(&orphan).await;
        cloud.start_scheduler().await;
        cloud.start_conductor().await;
        assert_eq!(cloud.until_idle(orphan.uuid).await.vm_state, VmState::Active);
        cloud.stop().await;
    }

    async fn a_build_whose_scheduler_died_after_that_is_settled_with_its_host(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        let orphan = Instance { owner: Some(Incarnation::random()), ..building("host-1") };
        cloud.write(&orphan).await;
        cloud.start_conductor().await;
        cloud.hosts.called("reconcile", 1).await;
        let row = cloud.until(orphan.uuid, |row| row.owner.is_none()).await;
        assert_eq!((row.task_id, row.host.as_deref()), (orphan.task_id, Some("host-1")));
        let told = cloud.hosts.reconciliations("host-1").remove(0);
        assert_eq!(told.desired[0].task, Some((TaskState::Scheduling, orphan.task_id.unwrap())));
        cloud.stop().await;
    }

    async fn a_server_that_was_put_aside_long_ago_is_deleted_by_its_host(cloud: Cloud) {
        let mut cloud = cloud;
        cloud.service_config.reclaim_instance_interval = Duration::from_secs(3600);
        cloud.start_host("host-1", big()).await;
        let (old, young) = (cloud.active("host-1").await, cloud.active("host-1").await);
        for (uuid, hours) in [(old, 2), (young, 0)] {
            let at = Timestamp::now() - SignedDuration::from_hours(hours);
            let mut connection = cloud.database.write().await.unwrap();
            sql!(
                "UPDATE instances SET vm_state = " (VmState::SoftDeleted) ", soft_deleted_at = " (at) " WHERE uuid = " (uuid)
            )
            .execute(&mut connection)
            .await
            .unwrap();
        }
        cloud.start_conductor().await;
        let row = cloud.until(old, |row| row.task_state == Some(TaskState::Deleting)).await;
        let (_, events) = cloud.action(old, row.task_request_id.as_deref().unwrap()).await;
        assert_eq!(events.len(), 0, "its host writes them");
        let asked = (TaskState::Deleting, row.task_id.unwrap());
        let told = || cloud.hosts.reconciliations("host-1").into_iter().flat_map(|told| told.desired);
        let mut times = 1;
        while !told().any(|desired| desired.task == Some(asked)) {
            cloud.hosts.called("reconcile", times).await;
            times += 1;
        }
        assert_eq!(cloud.instance(young).await.task_state, None);
        cloud.stop().await;
    }

    async fn what_a_living_scheduler_works_on_is_left_to_it(cloud: Cloud) {
        let owner = Incarnation::random();
        {
            let mut connection = cloud.database.write().await.unwrap();
            services::heartbeat(&mut connection, Binary::Scheduler, "s1", "internal", owner).await.unwrap();
        }
        let held = Instance { owner: Some(owner), ..waiting() };
        cloud.write(&held).await;
        let orphan = Instance { owner: Some(Incarnation::random()), ..waiting() };
        cloud.write(&orphan).await;
        cloud.start_conductor().await;
        cloud.until(orphan.uuid, |row| row.owner.is_none()).await;
        assert_eq!(cloud.instance(held.uuid).await.owner, Some(owner));
        cloud.stop().await;
    }

    async fn a_build_that_has_waited_too_long_is_cast_again_and_a_young_one_is_not(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        let old = waiting();
        cloud.write(&old).await;
        a_day_later(&cloud).await;
        let young = waiting();
        cloud.write(&young).await;
        cloud.start_scheduler().await;
        cloud.start_conductor().await;
        assert_eq!(cloud.until_idle(old.uuid).await.vm_state, VmState::Active);
        assert_eq!(cloud.instance(young.uuid).await.attempts, 0);
        cloud.stop().await;
    }

    async fn after_the_bus_was_lost_all_that_waited_is_cast_again_at_once(cloud: Cloud) {
        cloud.start_host("host-1", size(100, 100_000, 100)).await;
        cloud.start_host("host-2", size(100, 100_000, 100)).await;
        let mut builds: Vec<InstanceUuid> = Vec::new();
        for _ in 0..20 {
            let new = waiting();
            cloud.write(&new).await;
            builds.push(new.uuid);
        }
        let moves = cloud.active("host-1").await;
        let accepted = cloud.begin_migration(moves, Some("host-2")).await;
        let conductor = cloud.conductor_with("conductor-1", cloud.config.clone(), true).await;
        // The scheduler comes later than the conductor, and all is well nevertheless.
        tokio::time::sleep(Duration::from_millis(100)).await;
        cloud.start_scheduler().await;
        for uuid in builds {
            assert_eq!(cloud.until_idle(uuid).await.vm_state, VmState::Active);
        }
        cloud.until_status(&accepted, MigrationStatus::Completed).await;
        cloud.assert_settled(moves).await;
        conductor.service.stop().await;
        cloud.stop().await;
    }

    async fn after_the_bus_was_lost_a_source_is_told_again_to_copy_and_to_give_up(cloud: Cloud) {
        cloud.start_host("source", big()).await;
        cloud.start_host("dest", big()).await;
        cloud.start_scheduler().await;
        let uuid = cloud.active("source").await;
        cloud.hosts.copy_by(Copying::Hold);
        let conductor = cloud.conductor("conductor-1").await;
        let migration = cloud.migrate(uuid, None).await;
        cloud.until_status(&migration, MigrationStatus::Running).await;
        cloud.hosts.called("live_migration", 1).await;
        conductor.crash().await;
        {
            // The abort was asked for, and its message is lost.
            let mut connection = cloud.database.write().await.unwrap();
            novella_common::db::migrations::request_abort(&mut connection, migration.uuid).await.unwrap();
        }
        let conductor = cloud.conductor_with("conductor-1", cloud.config.clone(), true).await;
        cloud.hosts.called("live_migration", 2).await;
        cloud.until_status(&migration, MigrationStatus::Cancelled).await;
        cloud.assert_settled(uuid).await;
        conductor.service.stop().await;
        cloud.stop().await;
    }

    // What made it its own was written down, and the answer to that was lost.
    async fn a_conductor_drives_on_what_it_does_not_know_to_be_its_own(cloud: Cloud) {
        cloud.start_host("source", big()).await;
        cloud.start_host("dest", big()).await;
        cloud.start_scheduler().await;
        let uuid = cloud.active("source").await;
        let conductor = cloud.conductor("conductor-1").await;
        let migration = cloud.begin_migration(uuid, None).await;
        let mut connection = cloud.database.write().await.unwrap();
        let me = services::find(&mut connection, Binary::Conductor, "conductor-1").await.unwrap().unwrap().incarnation;
        sql!("UPDATE migrations SET owner = " (me) " WHERE uuid = " (migration.uuid))
            .execute(&mut connection)
            .await
            .unwrap();
        drop(connection);
        cloud.until_status(&migration, MigrationStatus::Completed).await;
        cloud.assert_settled(uuid).await;
        conductor.service.stop().await;
        cloud.stop().await;
    }

    async fn a_source_that_reports_nothing_of_a_migration_is_told_again(cloud: Cloud) {
        cloud.start_host("source", big()).await;
        cloud.start_host("dest", big()).await;
        cloud.start_scheduler().await;
        let uuid = cloud.active("source").await;
        cloud.hosts.copy_by(Copying::Hold);
        cloud.start_conductor().await;
        let migration = cloud.migrate(uuid, None).await;
        cloud.hosts.called("live_migration", 1).await;
        cloud.until_owner_is_gone(&migration).await;
        // What it has still reported may come after this.
        while cloud.hosts.calls("live_migration") < 2 {
            a_day_later(&cloud).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // The message of an abort is lost.
        let mut connection = cloud.database.write().await.unwrap();
        novella_common::db::migrations::request_abort(&mut connection, migration.uuid).await.unwrap();
        drop(connection);
        cloud.until_status(&migration, MigrationStatus::Cancelled).await;
        cloud.assert_settled(uuid).await;
        cloud.stop().await;
    }

    async fn an_operation_of_a_long_task_that_is_not_there_is_ended_with_a_fault(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        let mut lost = Vec::new();
        for state in TaskState::kept_by(Keeper::LongTask) {
            let uuid = cloud.active("host-1").await;
            cloud.begin(uuid, state).await;
            lost.push(uuid);
        }
        a_day_later(&cloud).await;
        cloud.start_conductor().await;
        for uuid in lost {
            assert_eq!(cloud.until_idle(uuid).await.vm_state, VmState::Active);
            assert!(cloud.fault(uuid).await.unwrap().message.contains("was lost"));
        }
        cloud.stop().await;
    }

    async fn a_migration_that_was_never_cast_is_found_by_its_age(cloud: Cloud) {
        cloud.start_host("source", big()).await;
        cloud.start_host("dest", big()).await;
        cloud.start_scheduler().await;
        let uuid = cloud.active("source").await;
        let migration = cloud.begin_migration(uuid, None).await;
        a_day_later(&cloud).await;
        cloud.start_conductor().await;
        cloud.until_status(&migration, MigrationStatus::Completed).await;
        cloud.assert_settled(uuid).await;
        cloud.stop().await;
    }

    async fn a_conductor_that_stops_gives_its_migrations_to_another_one_without_a_wait(cloud: Cloud) {
        cloud.start_host("source", big()).await;
        cloud.start_host("dest", big()).await;
        cloud.start_scheduler().await;
        let uuid = cloud.active("source").await;
        cloud.hosts.hang("pre_live_migration");
        let first = cloud.conductor("conductor-1").await;
        let migration = cloud.migrate(uuid, None).await;
        cloud.hosts.called("pre_live_migration", 1).await;
        // Of another name: the first one still counts as up.
        let second = cloud.conductor("conductor-2").await;
        first.service.stop().await;
        cloud.until_status(&migration, MigrationStatus::Completed).await;
        cloud.assert_settled(uuid).await;
        second.service.stop().await;
        cloud.stop().await;
    }

    async fn a_build_on_a_host_that_went_down_goes_to_another_one(cloud: Cloud) {
        cloud.start_host("dead", big()).await;
        cloud.start_host("alive", big()).await;
        let new = building("dead");
        cloud.write(&new).await;
        a_day_later(&cloud).await;
        cloud.silence("dead").await;
        cloud.start_scheduler().await;
        cloud.start_conductor().await;
        let row = cloud.until_idle(new.uuid).await;
        assert_eq!((row.vm_state, row.host.as_deref()), (VmState::Active, Some("alive")));
        assert_eq!(cloud.claims(&["dead", "alive"]).await, [0, 1]);
        cloud.stop().await;
    }

    async fn nobody_is_judged_by_a_silence_in_which_no_conductor_could_hear_them(cloud: Cloud) {
        cloud.start_host("silent", big()).await;
        let (build, deletion) = (building("silent"), cloud.active("silent").await);
        cloud.write(&build).await;
        cloud.begin(deletion, TaskState::Deleting).await;
        a_day_later(&cloud).await;
        // The bus, or all conductors, went away soon after the host was last heard.
        let last_heard = Timestamp::now() - SignedDuration::from_mins(10);
        cloud.last_heard("silent", last_heard).await;
        cloud.listened_until(last_heard + SignedDuration::from_secs(5)).await;
        cloud.start_conductor().await;
        // What lost its owner is found by the same search, at its begin: when it is found again, a whole one was made.
        for _ in 0..2 {
            let orphan = Instance { owner: Some(Incarnation::random()), ..building("silent") };
            cloud.write(&orphan).await;
            cloud.until(orphan.uuid, |row| row.owner.is_none()).await;
        }
        assert_eq!(cloud.instance(build.uuid).await.host.as_deref(), Some("silent"));
        assert_eq!(cloud.instance(deletion).await.task_state, Some(TaskState::Deleting));

        // Had they listened all the time, the host would be down.
        cloud.listened_until(Timestamp::now()).await;
        // A search that began before that may take the host for one that is up, and its deletion for one just looked at.
        while cloud.instance(deletion).await.deleted_at.is_none() {
            a_day_later(&cloud).await;
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        cloud.stop().await;
    }

    async fn a_deletion_on_a_host_that_is_down_is_finished_without_it(cloud: Cloud) {
        cloud.start_host("dead", big()).await;
        cloud.start_host("alive", big()).await;
        let on_dead = cloud.active("dead").await;
        let on_alive = cloud.active("alive").await;
        cloud.begin(on_dead, TaskState::Deleting).await;
        cloud.begin(on_alive, TaskState::Deleting).await;
        a_day_later(&cloud).await;
        cloud.silence("dead").await;
        cloud.start_conductor().await;
        let row = cloud.until(on_dead, |row| row.deleted_at.is_some()).await;
        assert_eq!((row.vm_state, row.task_state), (VmState::Deleted, None));
        assert_eq!(cloud.instance(on_alive).await.task_state, Some(TaskState::Deleting));
        assert_eq!(cloud.claims(&["dead", "alive"]).await, [0, 1]);
        // What it still holds goes when it is back.
        cloud.hosts.hello("dead", big()).await;
        while cloud.hosts.reconciliations("dead").is_empty() {
            let so_far = cloud.hosts.calls("reconcile");
            cloud.hosts.called("reconcile", so_far + 1).await;
        }
        assert_eq!(cloud.hosts.reconciliations("dead").remove(0).remove, [on_dead]);
        cloud.stop().await;
    }

    async fn a_claim_without_a_reason_is_given_back_and_one_with_a_reason_is_not(cloud: Cloud) {
        cloud.start_host("host-1", big()).await;
        cloud.start_host("host-2", big()).await;
        let runs = cloud.active("host-1").await;
        let gone = idle();
        {
            let mut transaction = cloud.database.begin().await.unwrap();
            for host in ["host-1", "host-2"] {
                assert!(allocations::claim(&mut transaction, gone.uuid, host, big()).await.is_ok());
                let resources = size(1, 512, 1);
                assert!(allocations::claim(&mut transaction, runs, host, resources).await.unwrap() || host == "host-2");
            }
            transaction.commit().await.unwrap();
        }
        a_day_later(&cloud).await;
        cloud.start_conductor().await;
        for _ in 0..3000 {
            if cloud.claims(&["host-1", "host-2"]).await == [1, 0] {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(cloud.claims(&["host-1", "host-2"]).await, [1, 0]);
        cloud.assert_settled(runs).await;
        cloud.stop().await;
    }

    async fn every_host_that_is_up_is_reconciled_again_and_again_by_one_of_the_conductors(cloud: Cloud) {
        for host in ["host-1", "host-2", "host-3"] {
            cloud.start_host(host, big()).await;
        }
        let config = ConductorConfig { reconcile_interval: Duration::from_millis(100), ..cloud.config.clone() };
        let first = cloud.conductor_with("conductor-1", config.clone(), false).await;
        let second = cloud.conductor_with("conductor-2", config, false).await;
        for host in ["host-1", "host-2", "host-3"] {
            while cloud.hosts.reconciliations(host).len() < 3 {
                let so_far = cloud.hosts.calls("reconcile");
                cloud.hosts.called("reconcile", so_far + 1).await;
            }
        }
        first.service.stop().await;
        second.service.stop().await;
        cloud.stop().await;
    }
}
