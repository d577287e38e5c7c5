//! Two hosts, and what a conductor does with them to move a guest.

use std::time::Duration;

use novella_common::{
    ids::InstanceUuid,
    lifecycle::{Action, TaskState, VmState},
    reports::MigrationOutcome,
};
use novella_compute::{
    ComputeConfig, ComputeService, Stores,
    rpcapi::{ComputeError, MigrateData, MigrationSpec},
    virt::fake::FakeConfig,
};
use novella_messaging::CallError;

use crate::cloud::{Cloud, Row, ctx, instant};

/// A guest that dirties its memory faster than it is copied.
pub(crate) const RESTLESS: &[(&str, &str)] = &[("fake:dirty_rate_mib", "4096"), ("fake:bandwidth_mib", "256")];

/// A guest that stands still for four seconds while it switches.
pub(crate) const SLOW_SWITCH: &[(&str, &str)] = &[("fake:max_downtime_seconds", "3600"), ("fake:bandwidth_mib", "128")];

/// Two hosts with files of their own, as on two machines.
pub(crate) struct Pair {
    pub(crate) here: Cloud,
    pub(crate) there: Cloud,
    pub(crate) source: ComputeService,
    pub(crate) destination: ComputeService,
}

impl Pair {
    pub(crate) async fn start(config: ComputeConfig) -> Self {
        let here = Cloud::new().await;
        let there = here.on(Stores::ephemeral().unwrap());
        let source = here.start("source", config.clone()).await;
        let destination = there.start("dest", config).await;
        Self { here, there, source, destination }
    }

    /// The checks and the preparation.
    pub(crate) async fn prepare(&self, instance: InstanceUuid) -> (MigrationSpec, MigrateData) {
        let migration = self.here.begin_migration(instance, "dest");
        let data = self.checked(&migration).await;
        let data = self.here.live_migration("dest").pre_live_migration(&ctx(), migration.clone(), data).await.unwrap();
        (migration, data)
    }

    pub(crate) async fn checked(&self, migration: &MigrationSpec) -> MigrateData {
        let destination = self.here.live_migration("dest");
        let data = destination.check_can_live_migrate_destination(&ctx(), migration.clone()).await.unwrap();
        self.here.live_migration("source").check_can_live_migrate_source(&ctx(), migration.clone(), data).await.unwrap()
    }

    pub(crate) async fn begin(&self, instance: InstanceUuid) -> MigrationSpec {
        let (migration, data) = self.prepare(instance).await;
        self.here.live_migration("source").live_migration(&ctx(), migration.clone(), data).await.unwrap();
        migration
    }

    pub(crate) async fn copying(&self, instance: InstanceUuid) {
        let copied = |row: &Row| row.progress.iter().any(|progress| progress.memory_processed > 0);
        self.here.until(instance, "copies", copied).await;
    }

    pub(crate) async fn outcome(&self, instance: InstanceUuid) -> MigrationOutcome {
        let over = |row: &Row| !matches!(row.migration, Some((_, _, MigrationOutcome::Running)));
        self.here.until(instance, "the migration is over", over).await.migration.unwrap().2
    }

    /// What a conductor does after the switch.
    pub(crate) async fn complete(&self, migration: &MigrationSpec) {
        self.here.edit(migration.spec.uuid, |row| {
            row.host = "dest".into();
            row.report_seq = 0;
        });
        for _ in 0..2 {
            // Each may be delivered twice.
            let destination = self.here.live_migration("dest");
            destination.post_live_migration_at_destination(&ctx(), migration.clone()).await.unwrap();
            self.here.live_migration("source").post_live_migration(&ctx(), migration.clone()).await.unwrap();
        }
        self.here.edit(migration.spec.uuid, |row| row.task = None);
    }

    /// What a conductor does after a failure. Says whether it had switched after all.
    pub(crate) async fn undo(&self, migration: &MigrationSpec) -> bool {
        let destination = self.here.live_migration("dest");
        match destination.rollback_live_migration_at_destination(&ctx(), migration.clone()).await {
            Ok(()) => {
                self.here
                    .live_migration("source")
                    .rollback_live_migration(&ctx(), migration.clone(), true)
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
    pub(crate) async fn stops_on(&self, host: &str, instance: InstanceUuid) {
        let stop = self.here.begin(instance, TaskState::PoweringOff);
        self.here.compute(host).perform_action(&ctx(), stop, Action::Stop, Default::default()).await.unwrap();
        let row = self.here.until(instance, "has been stopped", |row| row.task.is_none()).await;
        assert_eq!((row.vm_state, row.failure), (VmState::Stopped, None));
    }

    pub(crate) async fn restart_source(self, config: ComputeConfig) -> Self {
        drop(self.source);
        let source = self.here.start("source", config).await;
        Self { source, ..self }
    }

    pub(crate) async fn restart_destination(self, config: ComputeConfig) -> Self {
        drop(self.destination);
        let destination = self.there.start("dest", config).await;
        Self { destination, ..self }
    }
}

/// Half a second for the first round.
pub(crate) fn paced() -> ComputeConfig {
    let fake = FakeConfig {
        bandwidth_mib: 1024,
        dirty_rate_mib: 256,
        max_downtime: Duration::from_millis(50),
        progress_interval: Duration::from_millis(20),
        ..FakeConfig::instant()
    };
    ComputeConfig { fake, ..instant() }
}
