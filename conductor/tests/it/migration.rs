//! Cold migrations from end to end, with scripted hosts; and every long task when its conductor dies.

use std::time::Duration;

use novella_common::{
    db::{allocations, instances::edits},
    ids::InstanceUuid,
    lifecycle::{Action, TaskState, VmState},
    models::{EventResult, Migration, MigrationKind, MigrationStatus},
};
use novella_conductor::tasks::step::{Worker, steps};
use novella_fakes::Copying;

use crate::support::{Cloud, big};

async fn two_hosts(cloud: &Cloud) -> InstanceUuid {
    cloud.start_host("source", big()).await;
    cloud.start_host("dest", big()).await;
    cloud.start_scheduler().await;
    cloud.active("source").await
}

async fn moved(cloud: &Cloud, uuid: InstanceUuid) -> Migration {
    let migration = cloud.begin_task(MigrationKind::Migration, uuid, None).await;
    cloud.cast(&migration).await;
    cloud.until_status(&migration, MigrationStatus::Finished).await
}

on_both! {
    async fn a_server_moves_and_stays_when_it_is_confirmed(cloud: Cloud) {
        let uuid = two_hosts(&cloud).await;
        cloud.start_conductor().await;
        let migration = moved(&cloud, uuid).await;
        assert_eq!((migration.destination.as_deref(), migration.owner), (Some("dest"), None));
        let instance = cloud.until_idle(uuid).await;
        assert_eq!((instance.vm_state, instance.host.as_deref()), (VmState::Resized, Some("dest")));
        assert_eq!(cloud.claims(&["source", "dest"]).await, [1, 1], "both until it is confirmed");
        let (_, events) = cloud.action(uuid, &migration.request_id).await;
        let mut names: Vec<_> = events.iter().map(|event| event.event.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, [
            "compute_finish_resize", "compute_prep_resize", "compute_resize_instance", "conductor_migrate_server",
        ]);
        assert!(events.iter().all(|event| event.result == Some(EventResult::Success)), "{events:?}");

        cloud.end_finished(&migration, Action::ConfirmResize).await;
        let migration = cloud.until_status(&migration, MigrationStatus::Confirmed).await;
        cloud.assert_settled(uuid).await;
        assert_eq!(cloud.instance(uuid).await.vm_state, VmState::Active);
        assert_eq!(cloud.claims(&["source", "dest"]).await, [0, 1]);
        let (_, events) = cloud.action(uuid, &migration.request_id).await;
        assert_eq!(events[0].event, "compute_confirm_resize");
        let called: Vec<_> = cloud.hosts.log().into_iter().filter(|(_, method)| method.contains("resize")).collect();
        let expected = [
            ("dest", "prep_resize"), ("source", "resize_instance"), ("dest", "finish_resize"), ("source", "confirm_resize"),
        ];
        assert_eq!(called, expected.map(|(host, method)| (host.to_owned(), method)));
        cloud.stop().await;
    }

    async fn a_server_comes_back_when_it_is_reverted(cloud: Cloud) {
        let uuid = two_hosts(&cloud).await;
        cloud.start_conductor().await;
        let migration = moved(&cloud, uuid).await;
        cloud.end_finished(&migration, Action::RevertResize).await;
        cloud.until_status(&migration, MigrationStatus::Reverted).await;
        cloud.assert_settled(uuid).await;
        let instance = cloud.instance(uuid).await;
        assert_eq!((instance.vm_state, instance.host.as_deref()), (VmState::Active, Some("source")));
        assert_eq!(cloud.claims(&["source", "dest"]).await, [1, 0]);
        cloud.stop().await;
    }

    async fn a_failure_in_any_step_brings_the_server_back_to_its_source(cloud: Cloud) {
        let uuid = two_hosts(&cloud).await;
        cloud.start_conductor().await;
        for (host, method) in [("dest", "finish_resize"), ("source", ""), ("dest", "prep_resize")] {
            if method.is_empty() {
                cloud.hosts.copy_by(Copying::Fail);
            } else {
                cloud.hosts.copy_by(Copying::Switch);
                cloud.hosts.fail(host, method);
            }
            let migration = cloud.begin_task(MigrationKind::Migration, uuid, None).await;
            cloud.cast(&migration).await;
            cloud.until_status(&migration, MigrationStatus::Error).await;
            cloud.assert_settled(uuid).await;
            let instance = cloud.instance(uuid).await;
            assert_eq!((instance.vm_state, instance.host.as_deref()), (VmState::Active, Some("source")), "{method}");
            assert_eq!(cloud.claims(&["source", "dest"]).await, [1, 0]);
            let (action, events) = cloud.action(uuid, &migration.request_id).await;
            assert_eq!(action.message.as_deref(), Some("Error"));
            assert!(events.iter().all(|event| event.finish_time.is_some()), "{events:?}");
        }
        cloud.stop().await;
    }

    async fn a_moved_server_that_is_deleted_leaves_nothing_on_either_host(cloud: Cloud) {
        let uuid = two_hosts(&cloud).await;
        cloud.start_conductor().await;
        let migration = moved(&cloud, uuid).await;
        cloud.delete(uuid, "dest").await;
        cloud.until(uuid, |instance| instance.deleted_at.is_some()).await;
        cloud.until_status(&migration, MigrationStatus::Confirmed).await;
        cloud.hosts.called("confirm_resize", 1).await;
        assert_eq!(cloud.claims(&["source", "dest"]).await, [0, 0]);
        cloud.stop().await;
    }

    async fn a_moved_server_that_an_administrator_gives_another_state_stays_where_it_is(cloud: Cloud) {
        let uuid = two_hosts(&cloud).await;
        cloud.start_conductor().await;
        let migration = moved(&cloud, uuid).await;
        {
            let row = cloud.instance(uuid).await;
            let mut transaction = cloud.database.begin().await.unwrap();
            assert!(edits::reset_state(&mut transaction, &row, VmState::Active).await.unwrap());
            // A task that ends late asks for a claim that is the server's.
            allocations::release(&mut transaction, uuid, "dest").await.unwrap();
            transaction.commit().await.unwrap();
        }
        cloud.until_status(&migration, MigrationStatus::Confirmed).await;
        cloud.assert_settled(uuid).await;
        let instance = cloud.instance(uuid).await;
        assert_eq!((instance.vm_state, instance.host.as_deref()), (VmState::Active, Some("dest")));
        assert_eq!(cloud.claims(&["source", "dest"]).await, [0, 1]);
        cloud.stop().await;
    }

    async fn a_server_given_another_state_while_its_disks_move_is_on_its_source_again(cloud: Cloud) {
        let mut cloud = cloud;
        // Nobody notices before the source's report comes.
        cloud.config.takeover_interval = Duration::from_secs(3600);
        let uuid = two_hosts(&cloud).await;
        cloud.start_conductor().await;
        cloud.hosts.copy_by(Copying::Hold);
        let migration = cloud.begin_task(MigrationKind::Migration, uuid, None).await;
        cloud.cast(&migration).await;
        cloud.hosts.called("resize_instance", 1).await;
        cloud.until_status(&migration, MigrationStatus::Migrating).await;
        cloud.reset_state(uuid).await;
        cloud.hosts.finish_copy(uuid).await;
        cloud.until_status(&migration, MigrationStatus::Error).await;
        cloud.assert_settled(uuid).await;
        let instance = cloud.instance(uuid).await;
        assert_eq!((instance.vm_state, instance.host.as_deref()), (VmState::Active, Some("source")));
        cloud.stop().await;
    }

    async fn a_moved_server_is_confirmed_by_itself_after_the_window(cloud: Cloud) {
        let mut cloud = cloud;
        cloud.config.resize_confirm_window = Duration::from_millis(1);
        let uuid = two_hosts(&cloud).await;
        cloud.start_conductor().await;
        let migration = cloud.begin_task(MigrationKind::Migration, uuid, None).await;
        cloud.cast(&migration).await;
        cloud.until_status(&migration, MigrationStatus::Confirmed).await;
        cloud.assert_settled(uuid).await;
        assert_eq!(cloud.claims(&["source", "dest"]).await, [0, 1]);
        cloud.stop().await;
    }

    async fn a_source_that_goes_down_with_the_disks_has_the_server_again_when_it_is_back(cloud: Cloud) {
        let uuid = two_hosts(&cloud).await;
        cloud.start_conductor().await;
        cloud.hosts.copy_by(Copying::Hold);
        let migration = cloud.begin_task(MigrationKind::Migration, uuid, None).await;
        cloud.cast(&migration).await;
        cloud.hosts.called("resize_instance", 1).await;
        cloud.until_status(&migration, MigrationStatus::Migrating).await;
        cloud.silence("source").await;
        cloud.until_status(&migration, MigrationStatus::Reverting).await;
        cloud.hosts.called("revert_resize", 1).await;
        assert_eq!(cloud.instance(uuid).await.task_state, Some(TaskState::ResizeMigrating));
        cloud.write_host("source", big()).await;
        cloud.until_status(&migration, MigrationStatus::Error).await;
        cloud.assert_settled(uuid).await;
        assert_eq!(cloud.claims(&["source", "dest"]).await, [1, 0]);
        cloud.stop().await;
    }

    // The list of steps says where a conductor can die: in each call of a host, forward and undoing.
    async fn a_conductor_that_dies_at_any_step_of_any_task_is_replaced(cloud: Cloud) {
        two_hosts(&cloud).await;
        for kind in MigrationKind::ALL {
            for step in steps(*kind).iter().filter(|step| step.worker != Worker::Conductor) {
                let uuid = cloud.active("source").await;
                let undoing = step.status == MigrationStatus::Reverting;
                cloud.hosts.copy_by(if undoing { Copying::Fail } else { Copying::Switch });
                cloud.hosts.hang(step.name);
                let before = cloud.hosts.calls(step.name);
                let conductor = cloud.conductor("conductor-1").await;
                let migration = cloud.begin_task(*kind, uuid, Some("dest")).await;
                cloud.cast(&migration).await;
                if step.status == MigrationStatus::Confirming {
                    cloud.until_status(&migration, MigrationStatus::Finished).await;
                    cloud.end_finished(&migration, Action::ConfirmResize).await;
                }
                cloud.hosts.called(step.name, before + 1).await;
                conductor.crash().await;
                let conductor = cloud.conductor("conductor-1").await;
                if step.worker == Worker::SourceAlone {
                    // The source hangs with its copy; what it had begun goes on when it is told so.
                    cloud.hosts.finish_copy(uuid).await;
                }
                if *kind == MigrationKind::Migration && !undoing && step.status != MigrationStatus::Confirming {
                    cloud.until_status(&migration, MigrationStatus::Finished).await;
                    cloud.end_finished(&migration, Action::RevertResize).await;
                }
                cloud.until_final(&migration).await;
                cloud.assert_settled(uuid).await;
                conductor.service.stop().await;
            }
        }
        cloud.stop().await;
    }
}
