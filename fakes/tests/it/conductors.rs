//! What a conductor does with reports, the fake one and the real one alike.

use std::{sync::Arc, time::Duration};

use novella_common::{
    config::{DatabaseConfig, SecretUrl, ServiceConfig},
    db::{Database, allocations, compute_nodes, instances, services},
    ids::{InstanceUuid, TaskId},
    lifecycle::{PowerState, TaskState, VmState},
    models::{Binary, Instance, RequestSpec, Resources},
    reports::{Fact, InstanceReport, OperationProgress},
    service::{ServiceIdentity, Shutdown},
    sql,
};
use novella_conductor::{ConductorConfig, ConductorService};
use novella_fakes::{FakeConductor, FakeHosts, instance, inventory};
use novella_messaging::{Transport, TransportOptions};
use novella_neighbours::NetworksHere;
use novella_network::{NetworkConfig, Networking};
use novella_testing::{On, eventually};

const HOST: &str = "host-1";

/// Rows that a test writes and a conductor changes.
enum Rows {
    InMemory(FakeConductor),
    InDatabase { database: Database, _conductor: Box<ConductorService>, _own: novella_testing::Database },
}

/// A conductor with its rows, and a host.
struct World {
    hosts: Arc<FakeHosts>,
    rows: Rows,
}

/// What a row says: state, task, and the number of the last report.
type Shown = (VmState, Option<TaskState>, i64);

impl World {
    async fn fake() -> Self {
        let conductor = FakeConductor::new().await;
        let hosts = Arc::new(FakeHosts::new(&conductor.transport));
        hosts.start(HOST).await;
        Self { hosts, rows: Rows::InMemory(conductor) }
    }

    async fn real() -> Self {
        let transport = Transport::connect("memory://", TransportOptions::default()).await.unwrap();
        let hosts = Arc::new(FakeHosts::new(&transport));
        hosts.start(HOST).await;
        let own = novella_testing::Database::prepared(On::Sqlite, async |url: String| {
            let config = DatabaseConfig { url: SecretUrl::new(&url), ..DatabaseConfig::default() };
            let database = Database::connect(&config).await.unwrap();
            database.migrate().await.unwrap();
            database.close().await;
        })
        .await;
        let config = DatabaseConfig { url: SecretUrl::new(own.url()), ..DatabaseConfig::default() };
        let database = Database::connect(&config).await.unwrap();
        {
            let mut connection = database.write().await.unwrap();
            let size = Resources { vcpus: 8, memory_mb: 8192, disk_gb: 80 };
            services::heartbeat(&mut connection, Binary::Compute, HOST, "nova", hosts.incarnation(HOST)).await.unwrap();
            compute_nodes::upsert(&mut connection, HOST, &inventory(HOST, size)).await.unwrap();
        }
        let conductor = ConductorService::start(
            database.clone(),
            transport,
            Arc::new(NetworksHere::new(Networking::new(database.clone(), NetworkConfig::default()))),
            ServiceIdentity::new(Binary::Conductor, "conductor-1"),
            ConductorConfig { takeover_interval: Duration::from_secs(3600), ..ConductorConfig::default() },
            ServiceConfig::default(),
            false,
            &Shutdown::new(),
        )
        .await
        .unwrap();
        Self { hosts, rows: Rows::InDatabase { database, _conductor: Box::new(conductor), _own: own } }
    }

    /// A server on the host with an operation under way.
    async fn stopping(&self) -> (InstanceUuid, TaskId) {
        let task = TaskId::random();
        let row = Instance {
            host: Some(HOST.into()),
            power_state: PowerState::Running,
            task_state: Some(TaskState::PoweringOff),
            task_id: Some(task),
            task_request_id: Some("req-1".into()),
            ..instance()
        };
        match &self.rows {
            Rows::InMemory(conductor) => {
                conductor.write(&row.spec(), HOST, VmState::Active, Some((TaskState::PoweringOff, task)));
            }
            Rows::InDatabase { database, .. } => {
                let mut transaction = database.begin().await.unwrap();
                instances::insert(&mut transaction, std::slice::from_ref(&row), &RequestSpec::default()).await.unwrap();
                let resources = row.flavor.resources();
                assert!(allocations::claim(&mut transaction, row.uuid, HOST, resources).await.unwrap());
                transaction.commit().await.unwrap();
            }
        }
        (row.uuid, task)
    }

    async fn shown(&self, instance: InstanceUuid) -> Shown {
        match &self.rows {
            Rows::InMemory(conductor) => {
                let row = conductor.row(instance);
                (row.vm_state, row.task.map(|(state, _)| state), row.report_seq)
            }
            Rows::InDatabase { database, .. } => {
                let mut connection = database.read().await.unwrap();
                let row = instances::get(&mut connection, instance).await.unwrap().unwrap();
                (row.vm_state, row.task_state, row.report_seq)
            }
        }
    }

    /// Writes another host into the row.
    async fn moves(&self, instance: InstanceUuid, host: &str) {
        match &self.rows {
            Rows::InMemory(conductor) => conductor.edit(instance, |row| row.host = host.into()),
            Rows::InDatabase { database, .. } => {
                let mut connection = database.write().await.unwrap();
                let mut moves = sql!("UPDATE instances SET host = " (host) " WHERE uuid = " (instance));
                assert!(moves.execute_one(&mut connection).await.unwrap());
            }
        }
    }

    async fn report(&self, host: &str, instance: InstanceUuid, task: TaskId, seq: i64, progress: OperationProgress) {
        let report = InstanceReport {
            instance,
            seq,
            task_id: Some(task),
            request_id: None,
            power_state: PowerState::Shutdown,
            progress,
            event: None,
        };
        self.hosts.report(host, Fact::Instance(report)).await;
    }

    async fn until(&self, instance: InstanceUuid, wanted: Shown) {
        eventually(async || match self.shown(instance).await {
            shown if shown == wanted => Ok(()),
            shown => Err(shown),
        })
        .await;
    }

    /// Waits until all that was reported so far is written down, as what is reported after it is.
    async fn caught_up(&self) {
        let (marker, task) = self.stopping().await;
        self.report(HOST, marker, task, 1_000, done(VmState::Stopped)).await;
        self.until(marker, (VmState::Stopped, None, 1_000)).await;
    }
}

fn done(vm_state: VmState) -> OperationProgress {
    OperationProgress::Done { vm_state }
}

macro_rules! on_fake_and_real {
    ($(async fn $name:ident($world:ident: World) $body:block)*) => {
        $(async fn $name($world: World) $body)*
        mod fake {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $name() {
                super::$name(World::fake().await).await;
            })*
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
    async fn the_end_of_an_operation_is_written_down(world: World) {
        let (instance, task) = world.stopping().await;
        world.report(HOST, instance, task, 7, done(VmState::Stopped)).await;
        world.until(instance, (VmState::Stopped, None, 7)).await;
    }

    async fn what_left_the_server_as_it_was_ends_its_task_only(world: World) {
        let (instance, task) = world.stopping().await;
        world.report(HOST, instance, task, 7, OperationProgress::Unchanged).await;
        world.until(instance, (VmState::Active, None, 7)).await;
    }

    async fn a_failure_puts_the_server_where_the_host_says(world: World) {
        let (instance, task) = world.stopping().await;
        let failed = |vm_state| OperationProgress::Failed {
            vm_state, message: "the hypervisor does not answer".into(), details: None, reschedule: false,
        };
        world.report(HOST, instance, task, 7, failed(Some(VmState::Error))).await;
        world.until(instance, (VmState::Error, None, 7)).await;
        let (instance, task) = world.stopping().await;
        world.report(HOST, instance, task, 8, failed(None)).await;
        world.until(instance, (VmState::Active, None, 8)).await;
    }

    async fn a_report_that_comes_late_or_twice_changes_nothing(world: World) {
        let (instance, task) = world.stopping().await;
        let doing = OperationProgress::Doing { task_state: TaskState::PoweringOff };
        world.report(HOST, instance, task, 7, doing.clone()).await;
        world.until(instance, (VmState::Active, Some(TaskState::PoweringOff), 7)).await;
        world.report(HOST, instance, task, 6, done(VmState::Stopped)).await;
        world.report(HOST, instance, task, 7, done(VmState::Stopped)).await;
        world.caught_up().await;
        assert_eq!(world.shown(instance).await, (VmState::Active, Some(TaskState::PoweringOff), 7));
    }

    async fn a_report_of_another_operation_or_host_changes_nothing(world: World) {
        let (instance, task) = world.stopping().await;
        world.report(HOST, instance, TaskId::random(), 7, done(VmState::Stopped)).await;
        world.report("host-2", instance, task, 8, done(VmState::Stopped)).await;
        world.caught_up().await;
        assert_eq!(world.shown(instance).await, (VmState::Active, Some(TaskState::PoweringOff), 0));
    }

    async fn a_hello_is_answered_with_what_should_be_there_and_what_should_not(world: World) {
        let (instance, task) = world.stopping().await;
        let ((elsewhere, _), unknown) = (world.stopping().await, InstanceUuid::random());
        world.moves(elsewhere, "host-2").await;
        for held in [instance, elsewhere, unknown] {
            world.hosts.hold(HOST, held);
        }
        world.hosts.hello(HOST, Resources { vcpus: 8, memory_mb: 8192, disk_gb: 80 }).await;
        let reconciliation = eventually(async || world.hosts.reconciliations(HOST).pop().ok_or("not reconciled")).await;
        assert_eq!(reconciliation.remove, [elsewhere], "what no row knows is left alone");
        let desired: Vec<_> =
            reconciliation.desired.iter().map(|desired| (desired.spec.uuid, desired.vm_state, desired.task)).collect();
        assert_eq!(desired, [(instance, VmState::Active, Some((TaskState::PoweringOff, task)))]);
        assert_eq!((world.hosts.guests(elsewhere).len(), world.hosts.guests(unknown).len()), (0, 1));
    }
}
