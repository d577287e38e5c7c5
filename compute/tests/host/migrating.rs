//! Live migration between two hosts, driven step by step as a conductor drives it.

use std::time::Duration;

use novella_common::{
    ids::InstanceUuid,
    lifecycle::{PowerState, TaskState, VmState},
    reports::MigrationOutcome,
};
use novella_compute::{
    ComputeConfig, ComputeService, Stores,
    rpcapi::{ComputeError, LiveMigration, MigrateData},
    virt::fake::FakeConfig,
};
use novella_messaging::CallError;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::cloud::{Cloud, Row, ctx, instant, server};

/// A guest that dirties its memory faster than it is copied.
const RESTLESS: &[(&str, &str)] = &[
    ("fake:dirty_rate_mib", "4096"),
    ("fake:bandwidth_mib", "256"),
];

/// A guest that stands still for four seconds while it switches.
const SLOW_SWITCH: &[(&str, &str)] = &[
    ("fake:max_downtime_seconds", "3600"),
    ("fake:bandwidth_mib", "128"),
];

/// Two hosts with files of their own, as on two machines.
struct Pair {
    here: Cloud,
    there: Cloud,
    source: ComputeService,
    destination: ComputeService,
}

impl Pair {
    async fn start(config: ComputeConfig) -> Self {
        let here = Cloud::new().await;
        let there = here.on(Stores::ephemeral().unwrap());
        let source = here.start("source", config.clone()).await;
        let destination = there.start("dest", config).await;
        Self {
            here,
            there,
            source,
            destination,
        }
    }

    /// The checks and the preparation.
    async fn prepare(&self, instance: InstanceUuid) -> (LiveMigration, MigrateData) {
        let migration = self.here.ask_migration(instance, "dest");
        let data = self.checked(&migration).await;
        let data = self
            .here
            .compute("dest")
            .pre_live_migration(&ctx(), migration.clone(), data)
            .await
            .unwrap();
        (migration, data)
    }

    async fn checked(&self, migration: &LiveMigration) -> MigrateData {
        let destination = self.here.compute("dest");
        let data = destination
            .check_can_live_migrate_destination(&ctx(), migration.clone())
            .await
            .unwrap();
        self.here
            .compute("source")
            .check_can_live_migrate_source(&ctx(), migration.clone(), data)
            .await
            .unwrap()
    }

    async fn begin(&self, instance: InstanceUuid) -> LiveMigration {
        let (migration, data) = self.prepare(instance).await;
        self.here
            .compute("source")
            .live_migration(&ctx(), migration.clone(), data)
            .await
            .unwrap();
        migration
    }

    async fn copying(&self, instance: InstanceUuid) {
        let copied = |row: &Row| {
            row.progress
                .iter()
                .any(|progress| progress.memory_processed > 0)
        };
        self.here.until(instance, "copies", copied).await;
    }

    async fn outcome(&self, instance: InstanceUuid) -> MigrationOutcome {
        let over = |row: &Row| !matches!(row.migration, Some((_, _, MigrationOutcome::Running)));
        self.here
            .until(instance, "the migration is over", over)
            .await
            .migration
            .unwrap()
            .2
    }

    /// What a conductor does after the switch.
    async fn complete(&self, migration: &LiveMigration) {
        self.here.edit(migration.spec.uuid, |row| {
            row.host = "dest".into();
            row.report_seq = 0;
        });
        for _ in 0..2 {
            // Each may be delivered twice.
            let destination = self.here.compute("dest");
            destination
                .post_live_migration_at_destination(&ctx(), migration.clone())
                .await
                .unwrap();
            self.here
                .compute("source")
                .post_live_migration(&ctx(), migration.clone())
                .await
                .unwrap();
        }
        self.here.edit(migration.spec.uuid, |row| row.task = None);
    }

    /// What a conductor does after a failure. Says whether it had switched after all.
    async fn undo(&self, migration: &LiveMigration) -> bool {
        let destination = self.here.compute("dest");
        match destination
            .rollback_live_migration_at_destination(&ctx(), migration.clone())
            .await
        {
            Ok(()) => {
                self.here
                    .compute("source")
                    .rollback_live_migration(&ctx(), migration.clone())
                    .await
                    .unwrap();
                self.here.edit(migration.spec.uuid, |row| row.task = None);
                false
            }
            Err(CallError::Remote(ComputeError::GuestRunsHere { .. })) => true,
            Err(error) => panic!("{error}"),
        }
    }

    /// Stops the guest on a host, which works only where it runs.
    async fn stops_on(&self, host: &str, instance: InstanceUuid) {
        let stop = self.here.ask(instance, TaskState::PoweringOff);
        self.here
            .compute(host)
            .stop_instance(&ctx(), stop)
            .await
            .unwrap();
        let row = self
            .here
            .until(instance, "has been stopped", |row| row.task.is_none())
            .await;
        assert_eq!((row.vm_state, row.failure), (VmState::Stopped, None));
    }

    async fn restart_source(self, config: ComputeConfig) -> Self {
        drop(self.source);
        let source = self.here.start("source", config).await;
        Self { source, ..self }
    }

    async fn restart_destination(self, config: ComputeConfig) -> Self {
        drop(self.destination);
        let destination = self.there.start("dest", config).await;
        Self {
            destination,
            ..self
        }
    }
}

/// Half a second for the first round.
fn paced() -> ComputeConfig {
    let fake = FakeConfig {
        bandwidth_mib: 1024,
        dirty_rate_mib: 256,
        max_downtime: Duration::from_millis(50),
        progress_interval: Duration::from_millis(20),
        ..FakeConfig::instant()
    };
    ComputeConfig { fake, ..instant() }
}

#[tokio::test]
async fn a_guest_moves_while_it_runs_and_its_progress_is_seen() {
    let pair = Pair::start(paced()).await;
    let instance = pair.here.built("source", &[]).await;
    let migration = pair.begin(instance).await;
    assert_eq!(pair.outcome(instance).await, MigrationOutcome::Switched);
    pair.complete(&migration).await;

    let row = pair.here.row(instance);
    assert!(row.progress.len() > 3, "{:?}", row.progress);
    assert!(
        row.progress
            .is_sorted_by_key(|progress| progress.memory_processed)
    );
    let last = row.progress.last().unwrap();
    assert_eq!(
        (last.memory_total, last.memory_remaining, last.disk_total),
        (512 << 20, 0, 0)
    );
    assert!(
        last.memory_processed > last.memory_total,
        "what was dirtied is copied again"
    );
    assert!(pair.here.holdings("source").await.is_empty());
    let console = pair
        .here
        .compute("dest")
        .get_console_output(&ctx(), instance, None)
        .await
        .unwrap();
    assert!(
        console.contains("booted") && console.contains("migrated"),
        "{console}"
    );
    pair.stops_on("dest", instance).await;
}

#[tokio::test]
async fn a_guest_can_go_back_to_where_it_came_from() {
    let pair = Pair::start(instant()).await;
    let instance = pair.here.built("source", &[]).await;
    let away = pair.begin(instance).await;
    assert_eq!(pair.outcome(instance).await, MigrationOutcome::Switched);
    pair.complete(&away).await;

    let back = pair.here.ask_migration(instance, "source");
    let (here, there) = (pair.here.compute("dest"), pair.here.compute("source"));
    let data = there
        .check_can_live_migrate_destination(&ctx(), back.clone())
        .await
        .unwrap();
    let data = here
        .check_can_live_migrate_source(&ctx(), back.clone(), data)
        .await
        .unwrap();
    let data = there
        .pre_live_migration(&ctx(), back.clone(), data)
        .await
        .unwrap();
    here.live_migration(&ctx(), back.clone(), data)
        .await
        .unwrap();
    assert_eq!(pair.outcome(instance).await, MigrationOutcome::Switched);
    there
        .post_live_migration_at_destination(&ctx(), back.clone())
        .await
        .unwrap();
    here.post_live_migration(&ctx(), back).await.unwrap();
    // Messages of the first migration that come late change nothing.
    assert!(
        there
            .post_live_migration(&ctx(), away.clone())
            .await
            .is_err()
    );
    there
        .rollback_live_migration(&ctx(), away.clone())
        .await
        .unwrap();
    here.rollback_live_migration_at_destination(&ctx(), away)
        .await
        .unwrap();
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
    let pause = pair.here.ask(instance, TaskState::Pausing);
    pair.here
        .compute("source")
        .pause_instance(&ctx(), pause)
        .await
        .unwrap();
    pair.here
        .until(instance, "is paused", |row| row.vm_state == VmState::Paused)
        .await;
    let migration = pair.begin(instance).await;
    assert_eq!(pair.outcome(instance).await, MigrationOutcome::Switched);
    pair.complete(&migration).await;
    pair.here.reconcile("dest").await;
    assert_eq!(pair.here.row(instance).vm_state, VmState::Paused);
    assert_eq!(pair.here.row(instance).power_state, PowerState::Paused);
}

#[tokio::test]
async fn hosts_without_shared_storage_copy_the_disks_too() {
    let fake = FakeConfig {
        shared_storage: false,
        ..paced().fake
    };
    let pair = Pair::start(ComputeConfig { fake, ..instant() }).await;
    let instance = pair.here.built("source", &[]).await;
    pair.begin(instance).await;
    assert_eq!(pair.outcome(instance).await, MigrationOutcome::Switched);
    let last = *pair.here.row(instance).progress.last().unwrap();
    assert_eq!(
        (last.disk_total, last.disk_processed, last.disk_remaining),
        (512 << 20, 512 << 20, 0)
    );
}

#[tokio::test]
async fn a_migration_that_never_converges_can_be_aborted() {
    let pair = Pair::start(paced()).await;
    let instance = pair.here.built("source", RESTLESS).await;
    let migration = pair.begin(instance).await;
    pair.copying(instance).await;
    pair.here
        .compute("source")
        .live_migration_abort(&ctx(), instance, migration.migration)
        .await
        .unwrap();
    assert_eq!(pair.outcome(instance).await, MigrationOutcome::Cancelled);
    assert!(!pair.undo(&migration).await);
    assert!(pair.here.holdings("dest").await.is_empty());
    pair.stops_on("source", instance).await;
}

#[tokio::test]
async fn an_abort_that_overtakes_the_start_counts() {
    let pair = Pair::start(paced()).await;
    let instance = pair.here.built("source", RESTLESS).await;
    let (migration, data) = pair.prepare(instance).await;
    let source = pair.here.compute("source");
    source
        .live_migration_abort(&ctx(), instance, migration.migration)
        .await
        .unwrap();
    // The host has taken it when it answers a call that was sent after it.
    source.get_host_uptime(&ctx()).await.unwrap();
    source
        .live_migration(&ctx(), migration.clone(), data)
        .await
        .unwrap();
    assert_eq!(pair.outcome(instance).await, MigrationOutcome::Cancelled);
}

#[tokio::test]
async fn a_start_that_comes_after_the_undoing_copies_nothing() {
    let pair = Pair::start(paced()).await;
    let instance = pair.here.built("source", &[]).await;
    let (migration, data) = pair.prepare(instance).await;
    assert!(!pair.undo(&migration).await);
    let source = pair.here.compute("source");
    source
        .live_migration(&ctx(), migration, data)
        .await
        .unwrap();
    pair.stops_on("source", instance).await;
}

#[tokio::test]
async fn a_migration_that_never_converges_can_be_forced_to_complete() {
    let pair = Pair::start(paced()).await;
    let instance = pair.here.built("source", RESTLESS).await;
    let migration = pair.begin(instance).await;
    pair.copying(instance).await;
    let source = pair.here.compute("source");
    source
        .live_migration_force_complete(&ctx(), instance, migration.migration)
        .await
        .unwrap();
    assert_eq!(pair.outcome(instance).await, MigrationOutcome::Switched);
    pair.complete(&migration).await;
    pair.stops_on("dest", instance).await;
}

#[tokio::test]
async fn a_migration_that_fails_on_the_way_leaves_the_guest_where_it_was_and_can_be_tried_again() {
    let pair = Pair::start(paced()).await;
    let instance = pair
        .here
        .built("source", &[("fake:fail_migration_at", "50")])
        .await;
    for _ in 0..2 {
        let migration = pair.begin(instance).await;
        let MigrationOutcome::Failed { message } = pair.outcome(instance).await else {
            panic!("it must fail")
        };
        assert!(message.contains("50 percent"), "{message}");
        assert!(!pair.undo(&migration).await);
    }
    pair.stops_on("source", instance).await;
}

#[tokio::test]
async fn a_destination_that_cannot_prepare_keeps_nothing() {
    let pair = Pair::start(instant()).await;
    let instance = pair
        .here
        .built("source", &[("fake:fail_pre_migration", "dest")])
        .await;
    let migration = pair.here.ask_migration(instance, "dest");
    let data = pair.checked(&migration).await;
    let refused = pair
        .here
        .compute("dest")
        .pre_live_migration(&ctx(), migration.clone(), data)
        .await;
    assert!(
        matches!(refused, Err(CallError::Remote(ComputeError::Failed { .. }))),
        "{refused:?}"
    );
    assert!(pair.here.holdings("dest").await.is_empty());
}

#[tokio::test]
async fn a_destination_refuses_early_what_it_cannot_take() {
    let pair = Pair::start(instant()).await;
    let instance = pair.here.built("source", &[]).await;
    let mut migration = pair.here.ask_migration(instance, "dest");
    let destination = pair.here.compute("dest");
    migration.spec.flavor.memory_mb = 1 << 40;
    let too_big = destination
        .check_can_live_migrate_destination(&ctx(), migration.clone())
        .await;
    assert!(matches!(
        too_big,
        Err(CallError::Remote(
            ComputeError::ComputeResourcesUnavailable { .. }
        ))
    ));
    let same_host = pair
        .here
        .compute("source")
        .check_can_live_migrate_destination(&ctx(), migration.clone())
        .await;
    assert!(matches!(
        same_host,
        Err(CallError::Remote(
            ComputeError::MigrationPreCheckError { .. }
        ))
    ));
    let elsewhere = LiveMigration {
        spec: server(&[]),
        ..migration
    };
    let data = MigrateData(
        serde_json::json!({ "driver": "QEMU", "shared_storage": true, "block_migration": false }),
    );
    let other = pair
        .here
        .compute("source")
        .check_can_live_migrate_source(&ctx(), elsewhere, data)
        .await;
    assert!(matches!(
        other,
        Err(CallError::Remote(
            ComputeError::MigrationPreCheckError { .. }
        ))
    ));
}

#[tokio::test]
async fn only_who_knows_the_secret_is_let_in() {
    let pair = Pair::start(instant()).await;
    let instance = pair.here.built("source", &[]).await;
    let (migration, mut data) = pair.prepare(instance).await;
    data.0["door"]["secret"] = "0".into();
    pair.here
        .compute("source")
        .live_migration(&ctx(), migration.clone(), data)
        .await
        .unwrap();
    let MigrationOutcome::Failed { message } = pair.outcome(instance).await else {
        panic!("it must fail")
    };
    assert!(message.contains("does not expect"), "{message}");
    assert!(!pair.undo(&migration).await);
    pair.stops_on("source", instance).await;
}

#[tokio::test]
async fn a_second_delivery_copies_nothing_and_repeats_the_end() {
    let pair = Pair::start(instant()).await;
    let instance = pair.here.built("source", &[]).await;
    let (migration, data) = pair.prepare(instance).await;
    let source = pair.here.compute("source");
    source
        .live_migration(&ctx(), migration.clone(), data.clone())
        .await
        .unwrap();
    assert_eq!(pair.outcome(instance).await, MigrationOutcome::Switched);
    pair.here.edit(instance, |row| {
        row.report_seq = 0;
        row.migration.as_mut().unwrap().2 = MigrationOutcome::Running;
    });
    source
        .live_migration(&ctx(), migration.clone(), data)
        .await
        .unwrap();
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
    let delete = pair.here.ask(instance, TaskState::Deleting);
    pair.here
        .compute("source")
        .terminate_instance(&ctx(), delete)
        .await
        .unwrap();
    pair.here.until(instance, "is gone", |row| row.gone).await;
    pair.here.reconcile("dest").await;
    assert!(pair.here.holdings("dest").await.is_empty());
}

#[tokio::test]
async fn a_source_that_dies_while_it_copies_keeps_the_guest() {
    let pair = Pair::start(paced()).await;
    let instance = pair.here.built("source", RESTLESS).await;
    let migration = pair.begin(instance).await;
    pair.copying(instance).await;
    let pair = pair.restart_source(paced()).await;
    let MigrationOutcome::Failed { message } = pair.outcome(instance).await else {
        panic!("it must fail")
    };
    assert!(message.contains("restarted"), "{message}");
    assert!(!pair.undo(&migration).await);
    pair.stops_on("source", instance).await;
}

#[tokio::test]
async fn a_destination_that_dies_while_it_is_copied_to_leaves_the_guest_at_the_source() {
    let pair = Pair::start(paced()).await;
    let instance = pair.here.built("source", RESTLESS).await;
    let migration = pair.begin(instance).await;
    pair.copying(instance).await;
    let pair = pair.restart_destination(paced()).await;
    assert!(matches!(
        pair.outcome(instance).await,
        MigrationOutcome::Failed { .. }
    ));
    assert!(!pair.undo(&migration).await);
    assert!(pair.here.holdings("dest").await.is_empty());
    pair.stops_on("source", instance).await;
}

/// Waits until the guest stands still at the source.
async fn switching(pair: &Pair, instance: InstanceUuid) {
    let copied = |row: &Row| !row.progress.is_empty();
    pair.here
        .until(instance, "is about to switch", copied)
        .await;
    // The stillness is four seconds long; there is no event to wait for on the way into it.
    tokio::time::sleep(Duration::from_millis(300)).await;
}

#[tokio::test]
async fn a_source_that_dies_while_the_guest_switches_holds_it_until_the_destination_was_asked() {
    let pair = Pair::start(instant()).await;
    let instance = pair.here.built("source", SLOW_SWITCH).await;
    let migration = pair.begin(instance).await;
    switching(&pair, instance).await;
    let pair = pair.restart_source(instant()).await;
    let MigrationOutcome::Failed { message } = pair.outcome(instance).await else {
        panic!("it must fail")
    };
    assert!(message.contains("switched"), "{message}");
    // Held: not even a person can make it run here before the conductor has asked the destination.
    let start = novella_compute::rpcapi::Operation {
        instance,
        task_id: novella_common::ids::TaskId::random(),
    };
    pair.here.edit(instance, |row| {
        row.task = Some((TaskState::PoweringOn, start.task_id))
    });
    pair.here
        .compute("source")
        .start_instance(&ctx(), start)
        .await
        .unwrap();
    let row = pair
        .here
        .until(instance, "was refused", |row| row.failure.is_some())
        .await;
    assert!(row.failure.unwrap().0.contains("being moved"));
    pair.here.edit(instance, |row| row.failure = None);

    assert!(!pair.undo(&migration).await);
    pair.stops_on("source", instance).await;
}

#[tokio::test]
async fn a_destination_that_dies_while_the_guest_stands_still_leaves_it_at_the_source() {
    let pair = Pair::start(instant()).await;
    let instance = pair.here.built("source", SLOW_SWITCH).await;
    let migration = pair.begin(instance).await;
    switching(&pair, instance).await;
    let pair = pair.restart_destination(instant()).await;
    assert!(matches!(
        pair.outcome(instance).await,
        MigrationOutcome::Failed { .. }
    ));
    assert!(!pair.undo(&migration).await);
    pair.stops_on("source", instance).await;
}

#[tokio::test]
async fn a_held_guest_runs_on_when_its_host_learns_that_the_migration_was_undone_without_it() {
    let pair = Pair::start(instant()).await;
    let instance = pair.here.built("source", SLOW_SWITCH).await;
    let migration = pair.begin(instance).await;
    switching(&pair, instance).await;
    let Pair {
        here,
        there,
        source,
        destination,
    } = pair;
    drop(source);
    here.compute("dest")
        .rollback_live_migration_at_destination(&ctx(), migration)
        .await
        .unwrap();
    here.edit(instance, |row| row.task = None);
    let source = here.start("source", instant()).await;
    here.reconcile("source").await;
    assert_eq!(here.row(instance).vm_state, VmState::Active);
    Pair {
        here,
        there,
        source,
        destination,
    }
    .stops_on("source", instance)
    .await;
}

#[tokio::test]
async fn a_guest_whose_switch_was_not_heard_of_at_the_source_goes_on_at_the_destination() {
    let pair = Pair::start(instant()).await;
    let instance = pair.here.built("source", &[]).await;
    let (migration, mut data) = pair.prepare(instance).await;
    let door = data.0["door"]["address"].as_str().unwrap().to_owned();
    data.0["door"]["address"] = deaf_proxy(door).await.into();
    pair.here
        .compute("source")
        .live_migration(&ctx(), migration.clone(), data)
        .await
        .unwrap();
    let MigrationOutcome::Failed { message } = pair.outcome(instance).await else {
        panic!("it must fail")
    };
    assert!(message.contains("did not answer the switch"), "{message}");
    assert!(pair.undo(&migration).await, "the destination runs it");
    pair.complete(&migration).await;
    assert!(pair.here.holdings("source").await.is_empty());
    pair.stops_on("dest", instance).await;
}

/// Passes everything on, up to the answer to the switch, which it swallows together with the connection.
async fn deaf_proxy(to: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut source, _) = listener.accept().await.unwrap();
        let mut destination = TcpStream::connect(to).await.unwrap();
        while let Some(frame) = frame(&mut source).await {
            destination.write_all(&frame).await.unwrap();
            let answer = self::frame(&mut destination).await.unwrap();
            if String::from_utf8_lossy(&frame).contains("Switch") {
                return;
            }
            source.write_all(&answer).await.unwrap();
        }
    });
    address
}

async fn frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let length = stream.read_u32().await.ok()?;
    let mut frame = length.to_be_bytes().to_vec();
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body).await.ok()?;
    frame.extend(body);
    Some(frame)
}
