//! Live migration between two hosts, driven step by step as a conductor drives it.

use novella_common::{
    lifecycle::{Action, PowerState, TaskState, VmState},
    reports::MigrationOutcome,
};
use novella_compute::{
    ComputeConfig,
    rpcapi::{ComputeError, MigrateData, MigrationSpec},
    virt::fake::FakeConfig,
};
use novella_messaging::CallError;

use crate::{
    cloud::{ctx, instant, server},
    pair::{Pair, RESTLESS, paced},
};

#[tokio::test]
async fn a_guest_moves_while_it_runs_and_its_progress_is_seen() {
    let pair = Pair::start(paced()).await;
    let instance = pair.here.built("source", &[]).await;
    let migration = pair.begin(instance).await;
    assert_eq!(pair.outcome(instance).await, MigrationOutcome::Switched);
    pair.complete(&migration).await;

    let row = pair.here.row(instance);
    assert!(row.progress.len() > 3, "{:?}", row.progress);
    assert!(row.progress.is_sorted_by_key(|progress| progress.memory_processed));
    let last = row.progress.last().unwrap();
    assert_eq!((last.memory_total, last.memory_remaining, last.disk_total), (512 << 20, 0, 0));
    assert!(last.memory_processed > last.memory_total, "what was dirtied is copied again");
    assert!(pair.here.held_instances("source").await.is_empty());
    let console = pair.here.compute("dest").get_console_output(&ctx(), instance, None).await.unwrap();
    assert!(console.contains("booted") && console.contains("migrated"), "{console}");
    pair.stops_on("dest", instance).await;
}

#[tokio::test]
async fn a_guest_can_go_back_to_where_it_came_from() {
    let pair = Pair::start(instant()).await;
    let instance = pair.here.built("source", &[]).await;
    let away = pair.begin(instance).await;
    assert_eq!(pair.outcome(instance).await, MigrationOutcome::Switched);
    pair.complete(&away).await;

    let back = pair.here.begin_migration(instance, "source");
    let (here, there) = (pair.here.live_migration("dest"), pair.here.live_migration("source"));
    let data = there.check_can_live_migrate_destination(&ctx(), back.clone()).await.unwrap();
    let data = here.check_can_live_migrate_source(&ctx(), back.clone(), data).await.unwrap();
    let data = there.pre_live_migration(&ctx(), back.clone(), data).await.unwrap();
    here.live_migration(&ctx(), back.clone(), data).await.unwrap();
    assert_eq!(pair.outcome(instance).await, MigrationOutcome::Switched);
    there.post_live_migration_at_destination(&ctx(), back.clone()).await.unwrap();
    here.post_live_migration(&ctx(), back).await.unwrap();
    // Messages of the first migration that come late change nothing.
    assert!(there.post_live_migration(&ctx(), away.clone()).await.is_err());
    there.rollback_live_migration(&ctx(), away.clone(), true).await.unwrap();
    here.rollback_live_migration_at_destination(&ctx(), away).await.unwrap();
    pair.here.edit(instance, |row| {
        row.host = "source".into();
        row.report_seq = 0;
    });
    pair.stops_on("source", instance).await;
}

#[tokio::test]
async fn a_paused_guest_arrives_paused() {
    let pair = Pair::start(instant()).await;
    let instance = pair.here.built("source", &[]).await;
    let pause = pair.here.begin(instance, TaskState::Pausing);
    pair.here.compute("source").perform_action(&ctx(), pause, Action::Pause, Default::default()).await.unwrap();
    pair.here.until(instance, "is paused", |row| row.vm_state == VmState::Paused).await;
    let migration = pair.begin(instance).await;
    assert_eq!(pair.outcome(instance).await, MigrationOutcome::Switched);
    pair.complete(&migration).await;
    pair.here.reconcile("dest").await;
    assert_eq!(pair.here.row(instance).vm_state, VmState::Paused);
    assert_eq!(pair.here.row(instance).power_state, PowerState::Paused);
}

#[tokio::test]
async fn hosts_without_shared_storage_copy_the_disks_too() {
    let fake = FakeConfig { shared_storage: false, ..paced().fake };
    let pair = Pair::start(ComputeConfig { fake, ..instant() }).await;
    let instance = pair.here.built("source", &[]).await;
    pair.begin(instance).await;
    assert_eq!(pair.outcome(instance).await, MigrationOutcome::Switched);
    let last = *pair.here.row(instance).progress.last().unwrap();
    assert_eq!((last.disk_total, last.disk_processed, last.disk_remaining), (512 << 20, 512 << 20, 0));
}

#[tokio::test]
async fn a_migration_that_never_converges_can_be_aborted() {
    let pair = Pair::start(paced()).await;
    let instance = pair.here.built("source", RESTLESS).await;
    let migration = pair.begin(instance).await;
    pair.copying(instance).await;
    pair.here.live_migration("source").live_migration_abort(&ctx(), instance, migration.migration).await.unwrap();
    assert_eq!(pair.outcome(instance).await, MigrationOutcome::Cancelled);
    assert!(!pair.undo(&migration).await);
    assert!(pair.here.held_instances("dest").await.is_empty());
    pair.stops_on("source", instance).await;
}

#[tokio::test]
async fn an_abort_that_overtakes_the_start_counts() {
    let pair = Pair::start(paced()).await;
    let instance = pair.here.built("source", RESTLESS).await;
    let (migration, data) = pair.prepare(instance).await;
    let source = pair.here.live_migration("source");
    source.live_migration_abort(&ctx(), instance, migration.migration).await.unwrap();
    // The host has taken it when it answers a call that was sent after it.
    pair.here.compute("source").get_host_uptime(&ctx()).await.unwrap();
    source.live_migration(&ctx(), migration.clone(), data).await.unwrap();
    assert_eq!(pair.outcome(instance).await, MigrationOutcome::Cancelled);
}

#[tokio::test]
async fn a_start_that_comes_after_the_undoing_copies_nothing() {
    let pair = Pair::start(paced()).await;
    let instance = pair.here.built("source", &[]).await;
    let (migration, data) = pair.prepare(instance).await;
    assert!(!pair.undo(&migration).await);
    let source = pair.here.live_migration("source");
    source.live_migration(&ctx(), migration, data).await.unwrap();
    pair.stops_on("source", instance).await;
}

#[tokio::test]
async fn a_migration_that_never_converges_can_be_forced_to_complete() {
    let pair = Pair::start(paced()).await;
    let instance = pair.here.built("source", RESTLESS).await;
    let migration = pair.begin(instance).await;
    pair.copying(instance).await;
    let source = pair.here.live_migration("source");
    source.live_migration_force_complete(&ctx(), instance, migration.migration).await.unwrap();
    assert_eq!(pair.outcome(instance).await, MigrationOutcome::Switched);
    pair.complete(&migration).await;
    pair.stops_on("dest", instance).await;
}

#[tokio::test]
async fn a_migration_that_fails_on_the_way_leaves_the_guest_where_it_was_and_can_be_tried_again() {
    let pair = Pair::start(paced()).await;
    let instance = pair.here.built("source", &[("fake:fail_migration_at", "50")]).await;
    for _ in 0..2 {
        let migration = pair.begin(instance).await;
        let MigrationOutcome::Failed { message } = pair.outcome(instance).await else { panic!("it must fail") };
        assert!(message.contains("50 percent"), "{message}");
        assert!(!pair.undo(&migration).await);
    }
    pair.stops_on("source", instance).await;
}

#[tokio::test]
async fn a_destination_that_cannot_prepare_keeps_nothing() {
    let pair = Pair::start(instant()).await;
    let instance = pair.here.built("source", &[("fake:fail_pre_migration", "dest")]).await;
    let migration = pair.here.begin_migration(instance, "dest");
    let data = pair.checked(&migration).await;
    let refused = pair.here.live_migration("dest").pre_live_migration(&ctx(), migration.clone(), data).await;
    assert!(matches!(refused, Err(CallError::Remote(ComputeError::Failed { .. }))), "{refused:?}");
    assert!(pair.here.held_instances("dest").await.is_empty());
}

#[tokio::test]
async fn a_destination_refuses_early_what_it_cannot_take() {
    let pair = Pair::start(instant()).await;
    let instance = pair.here.built("source", &[]).await;
    let mut migration = pair.here.begin_migration(instance, "dest");
    let destination = pair.here.live_migration("dest");
    migration.spec.flavor.memory_mb = 1 << 40;
    let too_big = destination.check_can_live_migrate_destination(&ctx(), migration.clone()).await;
    assert!(matches!(too_big, Err(CallError::Remote(ComputeError::ComputeResourcesUnavailable { .. }))));
    let same_host =
        pair.here.live_migration("source").check_can_live_migrate_destination(&ctx(), migration.clone()).await;
    assert!(matches!(same_host, Err(CallError::Remote(ComputeError::MigrationPreCheckError { .. }))));
    let reschedule = MigrationSpec { spec: server(&[]), ..migration };
    let data = MigrateData(serde_json::json!({ "driver": "QEMU", "shared_storage": true, "block_migration": false }));
    let other = pair.here.live_migration("source").check_can_live_migrate_source(&ctx(), reschedule, data).await;
    assert!(matches!(other, Err(CallError::Remote(ComputeError::MigrationPreCheckError { .. }))));
}

#[tokio::test]
async fn only_who_knows_the_secret_is_let_in() {
    let pair = Pair::start(instant()).await;
    let instance = pair.here.built("source", &[]).await;
    let (migration, mut data) = pair.prepare(instance).await;
    data.0["incoming"]["secret"] = "0".into();
    pair.here.live_migration("source").live_migration(&ctx(), migration.clone(), data).await.unwrap();
    let MigrationOutcome::Failed { message } = pair.outcome(instance).await else { panic!("it must fail") };
    assert!(message.contains("does not expect"), "{message}");
    assert!(!pair.undo(&migration).await);
    pair.stops_on("source", instance).await;
}

#[tokio::test]
async fn a_second_delivery_copies_nothing_and_repeats_the_end() {
    let pair = Pair::start(instant()).await;
    let instance = pair.here.built("source", &[]).await;
    let (migration, data) = pair.prepare(instance).await;
    let source = pair.here.live_migration("source");
    source.live_migration(&ctx(), migration.clone(), data.clone()).await.unwrap();
    assert_eq!(pair.outcome(instance).await, MigrationOutcome::Switched);
    pair.here.edit(instance, |row| {
        row.report_seq = 0;
        row.migration.as_mut().unwrap().2 = MigrationOutcome::Running;
    });
    source.live_migration(&ctx(), migration.clone(), data).await.unwrap();
    assert_eq!(pair.outcome(instance).await, MigrationOutcome::Switched);
    pair.complete(&migration).await;
    pair.stops_on("dest", instance).await;
}

#[tokio::test]
async fn a_delete_while_the_guest_is_copied_ends_both() {
    let pair = Pair::start(paced()).await;
    let instance = pair.here.built("source", RESTLESS).await;
    pair.begin(instance).await;
    pair.copying(instance).await;
    let delete = pair.here.begin(instance, TaskState::Deleting);
    pair.here.compute("source").perform_action(&ctx(), delete, Action::Delete, Default::default()).await.unwrap();
    pair.here.until(instance, "is gone", |row| row.gone).await;
    pair.here.reconcile("dest").await;
    assert!(pair.here.held_instances("dest").await.is_empty());
}
