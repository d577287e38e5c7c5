//! Live migrations from end to end, with scripted hosts.

use std::time::Duration;

use novella_common::{
    db::instances,
    ids::{InstanceUuid, TaskId},
    lifecycle::{Action, TaskState, VmState},
    models::{EventResult, Instance, MigrationKind, MigrationStatus},
    sql,
};
use novella_conductor::tasks::step::{Worker, steps};
use novella_fakes::Copying;

use crate::support::{Cloud, big, idle, size};

/// A cloud of two hosts with one active instance on the first, a scheduler, and no conductor yet.
async fn two_hosts(cloud: &Cloud) -> InstanceUuid {
    cloud.start_host("source", big()).await;
    cloud.start_host("dest", big()).await;
    cloud.start_scheduler().await;
    cloud.active("source").await
}

on_both! {
    async fn a_guest_moves_and_its_claim_with_it(cloud: Cloud) {
        let uuid = two_hosts(&cloud).await;
        cloud.start_conductor().await;
        let migration = cloud.migrate(uuid, None).await;
        let migration = cloud.until_status(&migration, MigrationStatus::Completed).await;
        assert_eq!(migration.destination.as_deref(), Some("dest"));
        assert_eq!((migration.owner, migration.error), (None, None));
        assert_eq!(migration.progress.memory_total, 512);
        let instance = cloud.instance(uuid).await;
        assert_eq!(instance.host.as_deref(), Some("dest"));
        assert_eq!((instance.vm_state, instance.task_state), (VmState::Active, None));
        assert_eq!(cloud.claims(&["source", "dest"]).await, [0, 1]);
        cloud.assert_settled(uuid).await;
        let called: Vec<_> = cloud.hosts.log().into_iter().filter(|(_, method)| method.contains("live_mig")).collect();
        let expected: Vec<(String, &str)> = [
            ("dest", "check_can_live_migrate_destination"),
            ("source", "check_can_live_migrate_source"),
            ("dest", "pre_live_migration"),
            ("source", "live_migration"),
            ("dest", "post_live_migration_at_destination"),
            ("source", "post_live_migration"),
        ]
        .into_iter()
        .map(|(host, method)| (host.to_owned(), method))
        .collect();
        assert_eq!(called, expected);

        let (action, events) = cloud.action(uuid, &migration.request_id).await;
        assert_eq!(action.message, None);
        let mut names: Vec<_> = events.iter().map(|event| event.event.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, [
            "compute__post_live_migration",
            "compute_check_can_live_migrate_destination",
            "compute_check_can_live_migrate_source",
            "compute_live_migration",
            "compute_post_live_migration_at_destination",
            "compute_pre_live_migration",
            "conductor_live_migrate_instance",
        ]);
        assert!(events.iter().all(|event| event.result == Some(EventResult::Success)), "{events:?}");
        cloud.stop().await;
    }

    async fn a_forced_destination_is_claimed_without_asking_a_scheduler(cloud: Cloud) {
        cloud.start_host("source", big()).await;
        cloud.start_host("dest", big()).await;
        let uuid = cloud.active("source").await;
        cloud.start_conductor().await;
        let migration = cloud.begin_migration(uuid, Some("dest")).await;
        sql!("UPDATE migrations SET forced = "(true)).execute(&mut cloud.database.write().await.unwrap()).await.unwrap();
        cloud.cast(&migration).await;
        cloud.until_status(&migration, MigrationStatus::Completed).await;
        assert_eq!(cloud.instance(uuid).await.host.as_deref(), Some("dest"));
        assert_eq!(cloud.claims(&["source", "dest"]).await, [0, 1]);
        cloud.assert_settled(uuid).await;
        cloud.stop().await;
    }

    async fn a_paused_guest_stays_paused(cloud: Cloud) {
        two_hosts(&cloud).await;
        let paused = Instance { vm_state: VmState::Paused, host: Some("source".into()), ..idle() };
        cloud.write(&paused).await;
        cloud.start_conductor().await;
        let migration = cloud.migrate(paused.uuid, Some("dest")).await;
        cloud.until_status(&migration, MigrationStatus::Completed).await;
        assert_eq!(cloud.instance(paused.uuid).await.vm_state, VmState::Paused);
        cloud.assert_settled(paused.uuid).await;
        cloud.stop().await;
    }

    async fn a_failure_before_the_copy_leaves_everything_as_it_was(cloud: Cloud) {
        let uuid = two_hosts(&cloud).await;
        cloud.start_conductor().await;
        let steps = [
            ("dest", "check_can_live_migrate_destination", false),
            ("source", "check_can_live_migrate_source", false),
            ("dest", "pre_live_migration", true),
        ];
        // From the last to the first, so that each is reached.
        for (host, method, undone) in steps.into_iter().rev() {
            cloud.hosts.fail(host, method);
            let before = cloud.hosts.calls("rollback_live_migration_at_destination");
            let migration = cloud.migrate(uuid, None).await;
            let migration = cloud.until_status(&migration, MigrationStatus::Error).await;
            assert!(migration.error.as_ref().unwrap().contains(method), "{migration:?}");
            cloud.assert_settled(uuid).await;
            assert_eq!(cloud.claims(&["source", "dest"]).await, [1, 0]);
            assert!(!cloud.hosts.is_prepared("dest", uuid));
            let after = cloud.hosts.calls("rollback_live_migration_at_destination");
            assert_eq!(after - before, usize::from(undone), "{method}");
            let instance = cloud.instance(uuid).await;
            assert_eq!((instance.vm_state, instance.host.as_deref()), (VmState::Active, Some("source")));
            let (action, events) = cloud.action(uuid, &migration.request_id).await;
            assert_eq!(action.message.as_deref(), Some("Error"));
            assert!(events.iter().all(|event| event.finish_time.is_some()), "{events:?}");
        }
        cloud.stop().await;
    }

    async fn a_copy_that_fails_is_undone_first_at_the_destination(cloud: Cloud) {
        let uuid = two_hosts(&cloud).await;
        cloud.start_conductor().await;
        cloud.hosts.copy_by(Copying::Fail);
        let migration = cloud.migrate(uuid, None).await;
        let migration = cloud.until_status(&migration, MigrationStatus::Error).await;
        assert_eq!(migration.error.as_deref(), Some("the guest is too busy"));
        cloud.assert_settled(uuid).await;
        assert_eq!(cloud.claims(&["source", "dest"]).await, [1, 0]);
        assert!(!cloud.hosts.is_prepared("dest", uuid));
        let undone: Vec<_> = cloud.hosts.log().into_iter().filter(|(_, method)| method.contains("rollback")).collect();
        assert_eq!(undone, [
            ("dest".to_owned(), "rollback_live_migration_at_destination"),
            ("source".to_owned(), "rollback_live_migration"),
        ]);
        cloud.stop().await;
    }

    async fn a_failure_after_the_switch_does_not_bring_the_guest_back(cloud: Cloud) {
        let uuid = two_hosts(&cloud).await;
        cloud.start_conductor().await;
        cloud.hosts.fail("dest", "post_live_migration_at_destination");
        cloud.hosts.fail("source", "post_live_migration");
        let migration = cloud.migrate(uuid, None).await;
        let migration = cloud.until_status(&migration, MigrationStatus::Completed).await;
        cloud.assert_settled(uuid).await;
        assert_eq!(cloud.instance(uuid).await.host.as_deref(), Some("dest"));
        let (_, events) = cloud.action(uuid, &migration.request_id).await;
        let failed = events.iter().filter(|event| event.result == Some(EventResult::Error)).count();
        assert_eq!(failed, 2, "{events:?}");
        cloud.stop().await;
    }

    async fn a_destination_that_refuses_is_left_for_another_one_unless_it_was_named(cloud: Cloud) {
        let uuid = two_hosts(&cloud).await;
        cloud.start_host("bigger", size(100, 100_000, 100)).await;
        cloud.start_conductor().await;
        cloud.hosts.fail("bigger", "check_can_live_migrate_destination");
        let migration = cloud.migrate(uuid, Some("bigger")).await;
        cloud.until_status(&migration, MigrationStatus::Error).await;
        cloud.assert_settled(uuid).await;
        let migration = cloud.migrate(uuid, None).await;
        let migration = cloud.until_status(&migration, MigrationStatus::Completed).await;
        assert_eq!(migration.destination.as_deref(), Some("dest"));
        assert_eq!(cloud.hosts.calls("check_can_live_migrate_destination"), 3);
        assert_eq!(cloud.claims(&["source", "dest", "bigger"]).await, [0, 1, 0]);
        cloud.assert_settled(uuid).await;
        cloud.stop().await;
    }

    async fn without_a_destination_with_room_the_migration_fails_and_the_guest_stays(cloud: Cloud) {
        cloud.start_host("source", big()).await;
        cloud.start_host("full", size(0, 0, 0)).await;
        cloud.start_scheduler().await;
        let uuid = cloud.active("source").await;
        cloud.start_conductor().await;
        for to in [None, Some("full"), Some("unheard-of"), Some("source")] {
            let migration = cloud.migrate(uuid, to).await;
            let migration = cloud.until_status(&migration, MigrationStatus::Error).await;
            assert!(migration.error.unwrap().starts_with("No valid host was found."));
            cloud.assert_settled(uuid).await;
            let (action, _) = cloud.action(uuid, &migration.request_id).await;
            assert_eq!(action.message.as_deref(), Some("Error"));
        }
        assert_eq!(cloud.fault(uuid).await, None);
        cloud.stop().await;
    }

    async fn only_as_many_leave_a_host_at_once_as_may_and_the_oldest_first(cloud: Cloud) {
        let mut all = vec![two_hosts(&cloud).await];
        for _ in 0..3 {
            all.push(cloud.active("source").await);
        }
        let other = cloud.active("dest").await;
        cloud.hosts.copy_by(Copying::Hold);
        cloud.start_conductor().await;
        // Others stand by: the limit is the host's, not the conductor's.
        let second = cloud.conductor("conductor-2").await;
        let mut migrations = Vec::new();
        for uuid in &all {
            let migration = cloud.migrate(*uuid, None).await;
            if migrations.is_empty() {
                cloud.until_status(&migration, MigrationStatus::Running).await;
            } else {
                cloud.until_status(&migration, MigrationStatus::Queued).await;
            }
            migrations.push(migration);
        }
        // Another source has places of its own.
        let reschedule = cloud.migrate(other, Some("source")).await;
        cloud.until_status(&reschedule, MigrationStatus::Running).await;
        for (index, migration) in migrations.iter().enumerate() {
            cloud.until_status(migration, MigrationStatus::Running).await;
            for later in &migrations[index + 1..] {
                assert_eq!(cloud.migration(later.uuid).await.status, MigrationStatus::Queued);
            }
            cloud.hosts.called("live_migration", index + 2).await;
            cloud.hosts.switch(all[index]).await;
            cloud.until_status(migration, MigrationStatus::Completed).await;
        }
        for uuid in &all {
            cloud.assert_settled(*uuid).await;
        }
        second.service.stop().await;
        cloud.stop().await;
    }

    async fn an_abort_while_it_waits_or_copies_leaves_the_guest_where_it_was(cloud: Cloud) {
        let first = two_hosts(&cloud).await;
        let second = cloud.active("source").await;
        cloud.hosts.copy_by(Copying::Hold);
        cloud.start_conductor().await;
        let copies = cloud.migrate(first, None).await;
        cloud.until_status(&copies, MigrationStatus::Running).await;
        cloud.hosts.called("live_migration", 1).await;
        let waits = cloud.migrate(second, None).await;
        cloud.until_status(&waits, MigrationStatus::Queued).await;
        for (migration, uuid) in [(&waits, second), (&copies, first)] {
            cloud.abort(migration).await;
            let row = cloud.until_status(migration, MigrationStatus::Cancelled).await;
            assert_eq!(row.error, None);
            cloud.assert_settled(uuid).await;
            assert!(!cloud.hosts.is_prepared("dest", uuid));
            let (action, _) = cloud.action(uuid, &migration.request_id).await;
            assert_eq!(action.message, None);
        }
        assert_eq!(cloud.claims(&["source", "dest"]).await, [2, 0]);
        cloud.stop().await;
    }

    async fn an_abort_before_a_conductor_has_taken_it_up_cancels_it(cloud: Cloud) {
        let uuid = two_hosts(&cloud).await;
        let migration = cloud.begin_migration(uuid, None).await;
        cloud.start_conductor().await;
        cloud.abort(&migration).await;
        cloud.until_status(&migration, MigrationStatus::Cancelled).await;
        // The cast that comes later finds it ended.
        cloud.cast(&migration).await;
        cloud.assert_settled(uuid).await;
        assert_eq!(cloud.hosts.calls("check_can_live_migrate_destination"), 0);
        cloud.stop().await;
    }

    async fn an_abort_during_any_call_of_the_preparation_cancels_it(cloud: Cloud) {
        let uuid = two_hosts(&cloud).await;
        for method in
            ["check_can_live_migrate_destination", "check_can_live_migrate_source", "pre_live_migration"]
        {
            // The call hangs, the abort is asked for, and a conductor that takes over finds both.
            cloud.hosts.hang(method);
            let before = cloud.hosts.calls(method);
            let conductor = cloud.conductor("conductor-1").await;
            let migration = cloud.migrate(uuid, None).await;
            cloud.hosts.called(method, before + 1).await;
            cloud.abort(&migration).await;
            conductor.crash().await;
            let conductor = cloud.conductor("conductor-1").await;
            cloud.until_status(&migration, MigrationStatus::Cancelled).await;
            cloud.assert_settled(uuid).await;
            assert!(!cloud.hosts.is_prepared("dest", uuid));
            assert_eq!(cloud.claims(&["source", "dest"]).await, [1, 0]);
            conductor.service.stop().await;
        }
        cloud.stop().await;
    }

    async fn an_abort_after_the_switch_comes_too_late(cloud: Cloud) {
        let uuid = two_hosts(&cloud).await;
        cloud.hosts.hang("post_live_migration");
        let conductor = cloud.conductor("conductor-1").await;
        let migration = cloud.migrate(uuid, None).await;
        cloud.hosts.called("post_live_migration", 1).await;
        cloud.abort(&migration).await;
        conductor.crash().await;
        cloud.start_conductor().await;
        cloud.until_status(&migration, MigrationStatus::Completed).await;
        cloud.assert_settled(uuid).await;
        assert_eq!(cloud.instance(uuid).await.host.as_deref(), Some("dest"));
        cloud.stop().await;
    }

    async fn a_conductor_that_dies_in_any_step_is_replaced_and_the_guest_arrives(cloud: Cloud) {
        let mut uuid = two_hosts(&cloud).await;
        // The task's own list says where a conductor can die: in each call of a host that leads forward.
        let steps = steps(MigrationKind::LiveMigration);
        for step in steps.iter().filter(|step| step.worker != Worker::Conductor && step.status != MigrationStatus::Reverting) {
            let method = step.name;
            cloud.hosts.hang(method);
            let before = cloud.hosts.calls(method);
            let conductor = cloud.conductor("conductor-1").await;
            let migration = cloud.migrate(uuid, Some("dest")).await;
            cloud.hosts.called(method, before + 1).await;
            conductor.crash().await;
            let conductor = cloud.conductor("conductor-1").await;
            if method == "live_migration" {
                // The source hangs with its copy; what it had begun goes on when it is told so.
                cloud.hosts.switch(uuid).await;
            }
            cloud.until_status(&migration, MigrationStatus::Completed).await;
            cloud.assert_settled(uuid).await;
            assert_eq!(cloud.instance(uuid).await.host.as_deref(), Some("dest"), "{method}");
            conductor.service.stop().await;
            uuid = cloud.active("source").await;
        }
        cloud.stop().await;
    }

    async fn a_conductor_that_dies_while_it_undoes_is_replaced_and_the_guest_stays(cloud: Cloud) {
        let uuid = two_hosts(&cloud).await;
        cloud.hosts.copy_by(Copying::Fail);
        for method in ["rollback_live_migration_at_destination", "rollback_live_migration"] {
            cloud.hosts.hang(method);
            let before = cloud.hosts.calls(method);
            let conductor = cloud.conductor("conductor-1").await;
            let migration = cloud.migrate(uuid, None).await;
            cloud.hosts.called(method, before + 1).await;
            conductor.crash().await;
            let conductor = cloud.conductor("conductor-1").await;
            cloud.until_status(&migration, MigrationStatus::Error).await;
            cloud.assert_settled(uuid).await;
            assert_eq!(cloud.claims(&["source", "dest"]).await, [1, 0]);
            conductor.service.stop().await;
        }
        cloud.stop().await;
    }

    async fn a_conductor_that_dies_again_and_again_at_any_moment_leaves_nothing_undone(cloud: Cloud) {
        two_hosts(&cloud).await;
        for round in 0..12 {
            cloud.hosts.copy_by(if round % 2 == 0 { Copying::Switch } else { Copying::Fail });
            let uuid = cloud.active("source").await;
            let migration = cloud.begin_migration(uuid, Some("dest")).await;
            // Later in each life, so that every step is somebody's last.
            for life in 0..40 {
                let conductor = cloud.conductor("conductor-1").await;
                if life == 0 {
                    cloud.cast(&migration).await;
                }
                tokio::time::sleep(Duration::from_millis(3 + (life * 7 + round) % 23)).await;
                conductor.crash().await;
                if cloud.migration(migration.uuid).await.status.is_final() {
                    break;
                }
            }
            let conductor = cloud.conductor("conductor-1").await;
            let ended = cloud.until_final(&migration).await;
            cloud.assert_settled(uuid).await;
            let at = cloud.instance(uuid).await.host.unwrap();
            assert_eq!(at == "dest", ended.status == MigrationStatus::Completed, "{ended:?}");
            assert!(!cloud.hosts.is_prepared("dest", uuid), "{:?}", cloud.hosts.log());
            conductor.service.stop().await;
        }
        cloud.stop().await;
    }

    async fn when_the_source_goes_down_the_destination_decides(cloud: Cloud) {
        let stays = two_hosts(&cloud).await;
        let moves = cloud.active("source").await;
        cloud.start_conductor().await;
        for (uuid, copying, end) in [
            (stays, Copying::Hold, MigrationStatus::Error),
            (moves, Copying::SwitchSilently, MigrationStatus::Completed),
        ] {
            cloud.hosts.copy_by(copying);
            let before = cloud.hosts.calls("live_migration");
            let migration = cloud.migrate(uuid, None).await;
            cloud.hosts.called("live_migration", before + 1).await;
            cloud.until_status(&migration, MigrationStatus::Running).await;
            cloud.silence("source").await;
            cloud.until_status(&migration, end).await;
            cloud.assert_settled(uuid).await;
            cloud.write_host("source", big()).await;
        }
        assert_eq!(cloud.claims(&["source", "dest"]).await, [1, 1]);
        cloud.stop().await;
    }

    async fn while_neither_host_answers_nothing_is_decided(cloud: Cloud) {
        let uuid = two_hosts(&cloud).await;
        cloud.start_conductor().await;
        cloud.hosts.copy_by(Copying::SwitchSilently);
        cloud.hosts.fail("dest", "rollback_live_migration_at_destination");
        let migration = cloud.migrate(uuid, None).await;
        cloud.hosts.called("live_migration", 1).await;
        cloud.until_status(&migration, MigrationStatus::Running).await;
        cloud.silence("source").await;
        cloud.hosts.called("rollback_live_migration_at_destination", 3).await;
        assert_eq!(cloud.migration(migration.uuid).await.status, MigrationStatus::Running);
        assert_eq!(cloud.claims(&["source", "dest"]).await, [1, 1]);
        cloud.stop().await;
    }

    async fn a_guest_that_may_run_on_a_destination_that_is_down_is_not_let_go_on_its_source(cloud: Cloud) {
        cloud.start_host("source", big()).await;
        cloud.start_host("dest", big()).await;
        cloud.start_scheduler().await;
        cloud.start_conductor().await;
        for (switched, fenced, end) in [
            (true, false, MigrationStatus::Completed),
            (false, false, MigrationStatus::Error),
            (false, true, MigrationStatus::Error),
        ] {
            let uuid = cloud.active("source").await;
            cloud.hosts.copy_by(Copying::Hold);
            let copies = cloud.hosts.calls("live_migration");
            let migration = cloud.migrate(uuid, Some("dest")).await;
            cloud.hosts.called("live_migration", copies + 1).await;
            cloud.until_status(&migration, MigrationStatus::Running).await;
            cloud.hosts.fail("dest", "rollback_live_migration_at_destination");
            cloud.silence("dest").await;
            let asked = cloud.hosts.calls("rollback_live_migration");
            cloud.hosts.lose_sight(uuid, switched).await;
            // The source is asked again and again, and keeps the guest still.
            cloud.hosts.called("rollback_live_migration", asked + 2).await;
            assert_eq!(cloud.migration(migration.uuid).await.status, MigrationStatus::Reverting);
            if fenced {
                cloud.fence("dest").await;
            } else {
                cloud.hosts.mend("dest", "rollback_live_migration_at_destination");
            }
            cloud.until_status(&migration, end).await;
            cloud.assert_settled(uuid).await;
            cloud.write_host("dest", big()).await;
        }
        cloud.stop().await;
    }

    async fn a_server_given_another_state_while_it_moves_is_where_its_guest_is(cloud: Cloud) {
        let mut cloud = cloud;
        // Nobody notices before the source's report comes.
        cloud.config.takeover_interval = Duration::from_secs(3600);
        let uuid = two_hosts(&cloud).await;
        cloud.start_conductor().await;
        cloud.hosts.copy_by(Copying::Hold);
        let migration = cloud.migrate(uuid, None).await;
        cloud.hosts.called("live_migration", 1).await;
        cloud.until_status(&migration, MigrationStatus::Running).await;
        cloud.reset_state(uuid).await;
        cloud.hosts.switch(uuid).await;
        cloud.until_status(&migration, MigrationStatus::Completed).await;
        cloud.assert_settled(uuid).await;
        let instance = cloud.instance(uuid).await;
        assert_eq!((instance.vm_state, instance.host.as_deref()), (VmState::Active, Some("dest")));
        assert!(!cloud.hosts.is_prepared("dest", uuid));
        cloud.stop().await;
    }

    async fn a_source_that_holds_a_guest_is_not_told_that_its_server_rests(cloud: Cloud) {
        let uuid = two_hosts(&cloud).await;
        cloud.start_conductor().await;
        cloud.hosts.copy_by(Copying::Hold);
        let migration = cloud.migrate(uuid, Some("dest")).await;
        cloud.hosts.called("live_migration", 1).await;
        cloud.until_status(&migration, MigrationStatus::Running).await;
        cloud.hosts.fail("dest", "rollback_live_migration_at_destination");
        cloud.silence("dest").await;
        cloud.hosts.lose_sight(uuid, true).await;
        cloud.until_status(&migration, MigrationStatus::Reverting).await;
        cloud.reset_state(uuid).await;
        let before = cloud.hosts.reconciliations("source").len();
        cloud.hosts.hello("source", big()).await;
        while cloud.hosts.reconciliations("source").len() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for reconciliation in cloud.hosts.reconciliations("source").split_off(before) {
            assert!(reconciliation.desired.iter().all(|desired| desired.spec.uuid != uuid), "{reconciliation:?}");
        }
        cloud.hosts.mend("dest", "rollback_live_migration_at_destination");
        cloud.until_status(&migration, MigrationStatus::Completed).await;
        cloud.assert_settled(uuid).await;
        assert_eq!(cloud.instance(uuid).await.host.as_deref(), Some("dest"));
        cloud.stop().await;
    }

    async fn a_server_deleted_while_it_moves_leaves_no_claim_and_no_guest(cloud: Cloud) {
        let uuid = two_hosts(&cloud).await;
        cloud.start_conductor().await;
        cloud.hosts.copy_by(Copying::Hold);
        let migration = cloud.migrate(uuid, None).await;
        cloud.until_status(&migration, MigrationStatus::Running).await;
        cloud.hosts.called("live_migration", 1).await;
        let task_id = cloud.begin(uuid, TaskState::Deleting).await;
        let compute = novella_compute::rpcapi::ComputeClient::new(&cloud.transport).server("source");
        let operation = novella_compute::rpcapi::OperationId { instance: uuid, task_id };
        compute.perform_action(&novella_common::RequestContext::internal(), operation, Action::Delete, Default::default()).await.unwrap();
        cloud.until(uuid, |instance| instance.deleted_at.is_some()).await;
        let migration = cloud.until_status(&migration, MigrationStatus::Error).await;
        assert_eq!(migration.error.as_deref(), Some("The server was deleted meanwhile."));
        assert_eq!(cloud.claims(&["source", "dest"]).await, [0, 0]);
        assert!(!cloud.hosts.is_prepared("dest", uuid));
        assert_eq!(cloud.hosts.guests(uuid), Vec::<String>::new());
        cloud.stop().await;
    }

    async fn a_migration_whose_instance_has_another_operation_changes_nothing(cloud: Cloud) {
        let uuid = two_hosts(&cloud).await;
        let migration = cloud.begin_migration(uuid, None).await;
        {
            let mut connection = cloud.database.write().await.unwrap();
            assert!(instances::end_task(&mut connection, uuid, migration.task_id, None).await.unwrap());
        }
        let other: TaskId = cloud.begin(uuid, TaskState::PoweringOff).await;
        cloud.start_conductor().await;
        cloud.cast(&migration).await;
        cloud.until_status(&migration, MigrationStatus::Error).await;
        assert_eq!(cloud.instance(uuid).await.task_id, Some(other));
        assert_eq!(cloud.claims(&["source", "dest"]).await, [1, 0]);
        cloud.stop().await;
    }
}
