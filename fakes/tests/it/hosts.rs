//! What compute hosts do with calls, fake ones and real ones alike.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use novella_common::{
    ids::{InstanceUuid, MigrationUuid, TaskId},
    lifecycle::{Action, VmState},
    models::{Binary, InstanceSpec},
    reports::{self, Fact, MigrationOutcome, OperationProgress, Report},
    service::{ServiceIdentity, Shutdown},
};
use novella_compute::{
    ComputeConfig, ComputeService, Stores,
    rpcapi::{
        ActionArguments, BuildRequest, ComputeClient, ComputeControlClient, ComputeError, ComputeLiveMigrationClient,
        ComputeMigrationClient, MigrationSpec, OperationId, Reconciliation,
    },
    virt::fake::FakeConfig,
};
use novella_fakes::{FakeHosts, ctx, server};
use novella_messaging::{CallError, Transport, TransportOptions};
use novella_testing::within;
use tokio::sync::watch;

const SOURCE: &str = "source";
const DEST: &str = "dest";

/// Two hosts, and all that they have reported.
struct World {
    transport: Transport,
    reports: Arc<Mutex<Vec<Report>>>,
    changed: watch::Sender<()>,
    _fakes: Option<Arc<FakeHosts>>,
    _real: Vec<ComputeService>,
}

impl World {
    async fn empty() -> Self {
        let transport = Transport::connect("memory://", TransportOptions::default()).await.unwrap();
        let mut listener = reports::listener(&transport).start().await.unwrap();
        let (reports, changed) = (Arc::<Mutex<Vec<Report>>>::default(), watch::channel(()).0);
        let (all, tell, bus) = (Arc::clone(&reports), changed.clone(), transport.clone());
        tokio::spawn(async move {
            while let Some(batch) = listener.next_batch(100).await {
                for notification in batch.notifications() {
                    let report: Report = serde_json::from_value(notification.payload.clone()).unwrap();
                    if let Fact::Hello(_) = report.fact {
                        // A host begins to work when it is reconciled; there is nothing that it should have.
                        let control = ComputeControlClient::new(&bus).server(&report.host);
                        tokio::spawn(async move { control.reconcile(&ctx(), Reconciliation::default()).await });
                    }
                    all.lock().unwrap().push(report);
                }
                batch.ack().await;
                tell.send_replace(());
            }
        });
        Self { transport, reports, changed, _fakes: None, _real: Vec::new() }
    }

    async fn fake() -> Self {
        let world = Self::empty().await;
        let hosts = Arc::new(FakeHosts::new(&world.transport));
        hosts.start(SOURCE).await;
        hosts.start(DEST).await;
        Self { _fakes: Some(hosts), ..world }
    }

    async fn real() -> Self {
        let mut world = Self::empty().await;
        let config = ComputeConfig { fake: FakeConfig::instant(), ..ComputeConfig::default() };
        for host in [SOURCE, DEST] {
            let service = ComputeService::start(
                &world.transport,
                ServiceIdentity::new(Binary::Compute, host),
                config.clone(),
                Arc::new(Stores::ephemeral().unwrap()),
                Duration::from_secs(10),
                Shutdown::new(),
            );
            let service = service.await.unwrap();
            assert!(within(service.ready()).await);
            world._real.push(service);
        }
        world
    }

    fn live(&self, host: &str) -> ComputeLiveMigrationClient {
        ComputeLiveMigrationClient::new(&self.transport).server(host)
    }

    fn cold(&self, host: &str) -> ComputeMigrationClient {
        ComputeMigrationClient::new(&self.transport).server(host)
    }

    /// Whether the host says that it holds the instance.
    async fn holds(&self, host: &str, instance: InstanceUuid) -> bool {
        let control = ComputeControlClient::new(&self.transport).server(host);
        control.list_instances(&ctx()).await.unwrap().contains(&instance)
    }

    /// Waits until the host no longer says that it holds the instance.
    async fn lets_go(&self, host: &str, instance: InstanceUuid) {
        novella_testing::eventually(async || match self.holds(host, instance).await {
            true => Err("still there"),
            false => Ok(()),
        })
        .await;
    }

    /// Waits for a report.
    async fn reported<T>(&self, wanted: impl Fn(&Report) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        within(async {
            loop {
                changed.borrow_and_update();
                if let Some(found) = self.reports.lock().unwrap().iter().find_map(&wanted) {
                    return found;
                }
                changed.changed().await.unwrap();
            }
        })
        .await
    }

    /// Waits until an operation has ended, and says how.
    async fn ended(&self, host: &str, instance: InstanceUuid, task: TaskId) -> OperationProgress {
        self.reported(|report| match &report.fact {
            Fact::Instance(fact) if fact.instance == instance && report.host == host && fact.task_id == Some(task) => {
                (!matches!(fact.progress, OperationProgress::Doing { .. })).then(|| fact.progress.clone())
            }
            _ => None,
        })
        .await
    }

    /// Waits until the source says what became of its copy.
    async fn copied(&self, migration: &MigrationSpec) -> MigrationOutcome {
        self.reported(|report| match &report.fact {
            Fact::Migration(fact) if fact.migration == migration.migration && report.host == SOURCE => {
                (fact.outcome != MigrationOutcome::Running).then(|| fact.outcome.clone())
            }
            _ => None,
        })
        .await
    }

    /// A server that the source has built.
    async fn built(&self) -> InstanceSpec {
        let (spec, task_id) = (server(&[]), TaskId::random());
        let compute = ComputeClient::new(&self.transport).server(SOURCE);
        compute.build_and_run_instance(&ctx(), BuildRequest { spec: spec.clone(), task_id }).await.unwrap();
        let end = self.ended(SOURCE, spec.uuid, task_id).await;
        assert_eq!(end, OperationProgress::Done { vm_state: VmState::Active });
        spec
    }

    fn migration(spec: &InstanceSpec) -> MigrationSpec {
        MigrationSpec {
            migration: MigrationUuid::random(),
            task_id: TaskId::random(),
            spec: spec.clone(),
            vm_state: VmState::Active,
            source: SOURCE.into(),
            destination: DEST.into(),
            block_migration: None,
        }
    }

    /// A live migration up to the switch.
    async fn switched(&self, migration: &MigrationSpec) {
        let data = self.live(DEST).check_can_live_migrate_destination(&ctx(), migration.clone()).await.unwrap();
        let data = self.live(SOURCE).check_can_live_migrate_source(&ctx(), migration.clone(), data).await.unwrap();
        let data = self.live(DEST).pre_live_migration(&ctx(), migration.clone(), data).await.unwrap();
        self.live(SOURCE).live_migration(&ctx(), migration.clone(), data).await.unwrap();
        assert_eq!(self.copied(migration).await, MigrationOutcome::Switched);
    }

    /// A cold migration up to the moment at which a user confirms or reverts it.
    async fn resized(&self, migration: &MigrationSpec) {
        let data = self.cold(DEST).prep_resize(&ctx(), migration.clone()).await.unwrap();
        self.cold(SOURCE).resize_instance(&ctx(), migration.clone(), data).await.unwrap();
        assert_eq!(self.copied(migration).await, MigrationOutcome::Switched);
        self.cold(DEST).finish_resize(&ctx(), migration.clone()).await.unwrap();
        assert!(self.holds(DEST, migration.spec.uuid).await);
    }
}

macro_rules! on_fake_and_real {
    ($(async fn $name:ident($world:ident: World) $body:block)*) => {
        $(async fn $name($world: World) $body)*
        mod fake {
            use super::*;
            $(#[tokio::test] async fn $name() { super::$name(World::fake().await).await; })*
        }
        mod real {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $name() {
                super::$name(World::real().await).await;
            })*
        }
    };
}

on_fake_and_real! {
    async fn a_build_is_reported_under_its_attempt_and_held(world: World) {
        let spec = world.built().await;
        assert!(world.holds(SOURCE, spec.uuid).await);
        assert!(!world.holds(DEST, spec.uuid).await);
    }

    async fn the_numbers_of_a_hosts_reports_rise(world: World) {
        let spec = world.built().await;
        let task_id = TaskId::random();
        let compute = ComputeClient::new(&world.transport).server(SOURCE);
        let operation = OperationId { instance: spec.uuid, task_id };
        compute.perform_action(&ctx(), operation, Action::Delete, ActionArguments::default()).await.unwrap();
        world.ended(SOURCE, spec.uuid, task_id).await;
        let numbers: Vec<i64> = world.reports.lock().unwrap().iter().filter_map(|report| match &report.fact {
            Fact::Instance(fact) if fact.instance == spec.uuid => Some(fact.seq),
            _ => None,
        }).collect();
        assert!(numbers.len() > 1 && numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    }

    async fn a_deleted_server_is_reported_gone_and_forgotten_when_the_host_is_reconciled(world: World) {
        let spec = world.built().await;
        let operation = OperationId { instance: spec.uuid, task_id: TaskId::random() };
        let compute = ComputeClient::new(&world.transport).server(SOURCE);
        compute.perform_action(&ctx(), operation, Action::Delete, ActionArguments::default()).await.unwrap();
        assert_eq!(world.ended(SOURCE, spec.uuid, operation.task_id).await, OperationProgress::Gone);
        // Until then a real host remembers it, to answer when it is asked once more.
        let control = ComputeControlClient::new(&world.transport).server(SOURCE);
        control.list_instances(&ctx()).await.unwrap();
        let remove = Reconciliation { desired: Vec::new(), remove: vec![spec.uuid], incarnation: None };
        control.reconcile(&ctx(), remove).await.unwrap();
        world.lets_go(SOURCE, spec.uuid).await;
    }

    async fn a_live_migration_ends_on_the_destination_alone(world: World) {
        let migration = World::migration(&world.built().await);
        let instance = migration.spec.uuid;
        world.switched(&migration).await;
        for _ in 0..2 {
            // Each may be delivered twice.
            world.live(DEST).post_live_migration_at_destination(&ctx(), migration.clone()).await.unwrap();
            world.live(SOURCE).post_live_migration(&ctx(), migration.clone()).await.unwrap();
        }
        assert!(world.holds(DEST, instance).await && !world.holds(SOURCE, instance).await);
    }

    async fn what_has_switched_is_not_rolled_back(world: World) {
        let migration = World::migration(&world.built().await);
        world.switched(&migration).await;
        let refused = world.live(DEST).rollback_live_migration_at_destination(&ctx(), migration.clone()).await;
        let expected = ComputeError::GuestRunsHere { instance: migration.spec.uuid, host: DEST.into() };
        assert!(matches!(&refused, Err(CallError::Remote(error)) if *error == expected), "{refused:?}");
    }

    async fn a_rollback_before_the_copy_leaves_nothing_at_the_destination(world: World) {
        let migration = World::migration(&world.built().await);
        let data = world.live(DEST).check_can_live_migrate_destination(&ctx(), migration.clone()).await.unwrap();
        world.live(DEST).pre_live_migration(&ctx(), migration.clone(), data).await.unwrap();
        assert!(world.holds(DEST, migration.spec.uuid).await);
        for _ in 0..2 {
            world.live(DEST).rollback_live_migration_at_destination(&ctx(), migration.clone()).await.unwrap();
        }
        assert!(!world.holds(DEST, migration.spec.uuid).await && world.holds(SOURCE, migration.spec.uuid).await);
    }

    async fn a_confirmed_cold_migration_leaves_nothing_at_the_source(world: World) {
        let migration = World::migration(&world.built().await);
        world.resized(&migration).await;
        world.cold(SOURCE).confirm_resize(&ctx(), migration.clone()).await.unwrap();
        assert!(world.holds(DEST, migration.spec.uuid).await && !world.holds(SOURCE, migration.spec.uuid).await);
    }

    async fn a_reverted_cold_migration_ends_at_the_source_alone(world: World) {
        let migration = World::migration(&world.built().await);
        world.resized(&migration).await;
        world.cold(DEST).revert_resize(&ctx(), migration.clone()).await.unwrap();
        world.cold(SOURCE).finish_revert_resize(&ctx(), migration.clone()).await.unwrap();
        assert!(world.holds(SOURCE, migration.spec.uuid).await && !world.holds(DEST, migration.spec.uuid).await);
    }

    async fn reconciling_removes_what_was_listed_before_and_nothing_else(world: World) {
        let spec = world.built().await;
        let control = ComputeControlClient::new(&world.transport).server(SOURCE);
        let remove = Reconciliation { desired: Vec::new(), remove: vec![spec.uuid], incarnation: None };
        control.reconcile(&ctx(), remove.clone()).await.unwrap();
        assert!(world.holds(SOURCE, spec.uuid).await, "it may have come since");
        control.reconcile(&ctx(), remove).await.unwrap();
        world.lets_go(SOURCE, spec.uuid).await;
    }
}
