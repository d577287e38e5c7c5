//! Cold migration between two hosts, driven step by step as a conductor drives it.

use novella_common::{
    ids::InstanceUuid,
    lifecycle::{PowerState, TaskState, VmState},
    reports::MigrationOutcome,
};
use novella_compute::rpcapi::MigrationSpec;

use crate::{
    cloud::{ctx, instant},
    pair::{Pair, paced},
};

/// Up to the copy.
async fn begin(pair: &Pair, instance: InstanceUuid) -> MigrationSpec {
    let migration = pair.here.begin_migration_as(instance, TaskState::ResizeMigrating, "dest");
    let data = pair.here.migration("dest").prep_resize(&ctx(), migration.clone()).await.unwrap();
    pair.here.migration("source").resize_instance(&ctx(), migration.clone(), data).await.unwrap();
    migration
}

/// The disks are there, and the guest is made of them.
async fn finish(pair: &Pair, migration: &MigrationSpec) {
    let instance = migration.spec.uuid;
    assert_eq!(pair.outcome(instance).await, MigrationOutcome::Switched);
    pair.here.edit(instance, |row| {
        row.host = "dest".into();
        row.report_seq = 0;
    });
    for _ in 0..2 {
        // It may be delivered twice.
        pair.here.migration("dest").finish_resize(&ctx(), migration.clone()).await.unwrap();
    }
    pair.here.edit(instance, |row| (row.task, row.vm_state) = (None, VmState::Resized));
}

async fn console(pair: &Pair, host: &str, instance: InstanceUuid) -> String {
    pair.here.compute(host).get_console_output(&ctx(), instance, None).await.unwrap()
}

#[tokio::test]
async fn a_server_is_on_its_destination_and_only_there_when_it_is_confirmed() {
    let pair = Pair::start(instant()).await;
    let instance = pair.here.built("source", &[]).await;
    let migration = begin(&pair, instance).await;
    finish(&pair, &migration).await;
    assert_eq!(console(&pair, "dest", instance).await.matches("booted").count(), 2);
    // Reconciling leaves both as they are.
    pair.here.try_reconcile("dest").await.unwrap();
    assert!(pair.here.held_instances("source").await.contains(&instance));
    for _ in 0..2 {
        pair.here.migration("source").confirm_resize(&ctx(), migration.clone()).await.unwrap();
    }
    assert!(pair.here.held_instances("source").await.is_empty());
    pair.here.edit(instance, |row| row.vm_state = VmState::Active);
    pair.stops_on("dest", instance).await;
}

#[tokio::test]
async fn a_server_runs_on_its_source_again_when_it_is_reverted() {
    let pair = Pair::start(instant()).await;
    let instance = pair.here.built("source", &[]).await;
    let migration = begin(&pair, instance).await;
    finish(&pair, &migration).await;
    revert(&pair, &migration).await;
    pair.here.edit(instance, |row| row.vm_state = VmState::Active);
    assert!(pair.here.held_instances("dest").await.is_empty());
    assert_eq!(console(&pair, "source", instance).await.matches("booted").count(), 2);
    pair.stops_on("source", instance).await;
}

async fn revert(pair: &Pair, migration: &MigrationSpec) {
    for _ in 0..2 {
        pair.here.migration("dest").revert_resize(&ctx(), migration.clone()).await.unwrap();
    }
    pair.here.edit(migration.spec.uuid, |row| {
        row.host = "source".into();
        row.report_seq = 0;
        row.task = None;
    });
    for _ in 0..2 {
        pair.here.migration("source").finish_revert_resize(&ctx(), migration.clone()).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_was_stopped_stays_stopped() {
    let pair = Pair::start(instant()).await;
    let instance = pair.here.built("source", &[]).await;
    pair.stops_on("source", instance).await;
    let migration = begin(&pair, instance).await;
    finish(&pair, &migration).await;
    assert_eq!(console(&pair, "dest", instance).await.matches("booted").count(), 1);
    let row = pair.here.row(instance);
    assert_eq!(row.power_state, PowerState::Shutdown);
}

#[tokio::test]
async fn a_source_that_is_restarted_while_it_moves_the_disks_says_so_and_has_the_server_again() {
    // A gibibyte of disk at 64 MiB/s.
    let mut config = paced();
    (config.fake.shared_storage, config.fake.disk_used_mib) = (false, 1024);
    let pair = Pair::start(config.clone()).await;
    let instance = pair.here.built("source", &[("fake:bandwidth_mib", "64")]).await;
    let migration = begin(&pair, instance).await;
    let copied = |row: &crate::cloud::Row| row.progress.iter().any(|progress| progress.disk_processed > 0);
    pair.here.until(instance, "moves", copied).await;
    let pair = pair.restart_source(config).await;
    let outcome = pair.outcome(instance).await;
    assert!(matches!(&outcome, MigrationOutcome::Failed { message } if message.contains("restarted")), "{outcome:?}");
    revert(&pair, &migration).await;
    assert!(pair.here.held_instances("dest").await.is_empty());
    pair.stops_on("source", instance).await;
}
