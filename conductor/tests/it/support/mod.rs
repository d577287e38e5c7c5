//! A cloud whose hosts are scripted: a database of the test's own, a bus in this process, real conductors and, where a
//! test needs one, a real scheduler.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;
use novella_common::networks::Networks;
use novella_common::{
    RequestContext,
    config::{DatabaseConfig, SecretUrl, ServiceConfig},
    db::{Database, actions, allocations, compute_nodes, instances, migrations, services},
    ids::{InstanceUuid, MigrationUuid, TaskId},
    lifecycle::{Action, PowerState, TaskState, VmState},
    models::{
        ActionEvent, Binary, ComputeNode, Fault, Instance, InstanceAction, Migration, MigrationKind, MigrationStatus,
        RequestSpec, Resources,
    },
    service::{ServiceIdentity, Shutdown},
    sql,
};
use novella_compute::rpcapi::{ComputeClient, OperationId};
use novella_conductor::{ConductorConfig, ConductorService, rpcapi::ConductorClient};
pub use novella_fakes::instance as idle;
use novella_fakes::{FailingNetworks, FakeHosts, inventory};
use novella_messaging::{Transport, TransportOptions};
use novella_neighbours::NetworksHere;
use novella_network::{NetworkConfig, Networking};
use novella_scheduler::{SchedulerConfig, SchedulerService};
pub use novella_testing::On;

pub struct Cloud {
    pub database: Database,
    pub transport: Transport,
    pub hosts: Arc<FakeHosts>,
    pub networks: Arc<FailingNetworks>,
    pub config: ConductorConfig,
    pub service_config: ServiceConfig,
    conductors: Mutex<Vec<Conductor>>,
    scheduler: Mutex<Option<SchedulerService>>,
    // Last, so that it is dropped after everything that uses it.
    _database: novella_testing::Database,
}

pub struct Conductor {
    pub service: ConductorService,
    shutdown: Shutdown,
}

impl Conductor {
    /// Ends at once, wherever it is, as a process does that is killed: what it owned stays its own in the rows.
    pub async fn crash(self) {
        self.shutdown.request();
        drop(self.service);
    }
}

async fn connect(url: &str) -> Database {
    let config = DatabaseConfig { url: SecretUrl::new(url), ..DatabaseConfig::default() };
    Database::connect(&config).await.unwrap()
}

async fn prepare(url: String) {
    let database = connect(&url).await;
    database.migrate().await.unwrap();
    database.close().await;
}

impl Cloud {
    pub async fn new(on: On) -> Self {
        let own = novella_testing::Database::prepared(on, prepare).await;
        let database = connect(own.url()).await;
        let transport = Transport::connect("memory://", TransportOptions::default()).await.unwrap();
        let networks = FailingNetworks::new(networks(&database));
        let hosts = Arc::new(FakeHosts::new(&transport));
        Self {
            database,
            transport,
            hosts,
            networks,
            config: ConductorConfig {
                takeover_interval: Duration::from_millis(50),
                auto_approve: true,
                call_retry_interval: Duration::from_millis(20),
                ..ConductorConfig::default()
            },
            service_config: ServiceConfig::default(),
            conductors: Mutex::default(),
            scheduler: Mutex::default(),
            _database: own,
        }
    }

    /// A conductor. One that is started under the name of another one takes its place: what that one owned is orphaned.
    pub async fn conductor(&self, name: &str) -> Conductor {
        self.conductor_with(name, self.config.clone(), false).await
    }

    pub async fn conductor_with(&self, name: &str, config: ConductorConfig, bus_was_empty: bool) -> Conductor {
        let shutdown = Shutdown::new();
        let service = ConductorService::start(
            self.database.clone(),
            self.transport.clone(),
            self.networks.clone(),
            ServiceIdentity::new(Binary::Conductor, name),
            config,
            self.service_config.clone(),
            bus_was_empty,
            &shutdown,
        )
        .await
        .unwrap();
        Conductor { service, shutdown }
    }

    /// A conductor that runs until the end of the test.
    pub async fn start_conductor(&self) {
        let conductor = self.conductor("conductor-1").await;
        self.conductors.lock().unwrap().push(conductor);
    }

    pub async fn start_scheduler(&self) {
        let service = SchedulerService::start(
            self.database.clone(),
            self.transport.clone(),
            self.networks.clone(),
            ServiceIdentity::new(Binary::Scheduler, "scheduler-1"),
            SchedulerConfig::default(),
            self.service_config.clone(),
            &Shutdown::new(),
        )
        .await
        .unwrap();
        *self.scheduler.lock().unwrap() = Some(service);
    }

    /// A host that is up, with its rows and a scripted server behind it.
    pub async fn start_host(&self, name: &str, resources: Resources) {
        self.write_host(name, resources).await;
        self.hosts.start(name).await;
    }

    /// A host's rows, as after its hello.
    pub async fn write_host(&self, name: &str, resources: Resources) {
        let mut connection = self.database.write().await.unwrap();
        let (incarnation, inventory) = (self.hosts.incarnation(name), inventory(name, resources));
        services::heartbeat(&mut connection, Binary::Compute, name, "nova", incarnation).await.unwrap();
        compute_nodes::upsert(&mut connection, name, &inventory).await.unwrap();
    }

    /// A host of which nothing is heard any more, though reports come through.
    pub async fn silence(&self, host: &str) {
        self.last_heard(host, Timestamp::UNIX_EPOCH).await;
        self.listened_until(Timestamp::now()).await;
    }

    /// A host that was last heard then.
    pub async fn last_heard(&self, host: &str, at: Timestamp) {
        let mut connection = self.database.write().await.unwrap();
        sql!("UPDATE services SET last_seen = " (at) " WHERE host = " (host)).execute(&mut connection).await.unwrap();
    }

    /// Reports have come through for years, until then.
    pub async fn listened_until(&self, until: Timestamp) {
        let mut connection = self.database.write().await.unwrap();
        sql!("UPDATE listening SET since = " (Timestamp::UNIX_EPOCH) ", until = " (until))
            .execute(&mut connection)
            .await
            .unwrap();
    }

    /// An operator declares a host down.
    pub async fn fence(&self, host: &str) {
        let mut connection = self.database.write().await.unwrap();
        let service = services::find(&mut connection, Binary::Compute, host).await.unwrap().unwrap();
        let down = services::ServiceChange { forced_down: Some(true), ..services::ServiceChange::default() };
        assert!(services::update(&mut connection, &service.uuid, &down).await.unwrap());
    }

    /// Writes an instance with its claim, as if it had come there the usual way, and its action.
    pub async fn write(&self, instance: &Instance) {
        let mut transaction = self.database.begin().await.unwrap();
        instances::insert(&mut transaction, std::slice::from_ref(instance), &RequestSpec::default()).await.unwrap();
        if let Some(host) = &instance.host {
            sql!("UPDATE instances SET availability_zone = 'nova' WHERE uuid = "(instance.uuid))
                .execute(&mut transaction)
                .await
                .unwrap();
            let resources = instance.flavor.resources();
            assert!(allocations::claim(&mut transaction, instance.uuid, host, resources).await.unwrap());
            self.hosts.hold(host, instance.uuid);
        }
        if let Some(request_id) = &instance.task_request_id {
            let action = InstanceAction {
                instance: instance.uuid,
                request_id: request_id.clone(),
                action: "some-action".into(),
                user_id: None,
                project_id: None,
                start_time: instance.created_at,
                updated_at: instance.created_at,
                message: None,
            };
            actions::start(&mut transaction, &[action]).await.unwrap();
        }
        transaction.commit().await.unwrap();
    }

    /// An active instance on `host`, with nothing under way.
    pub async fn active(&self, host: &str) -> InstanceUuid {
        let instance =
            Instance { vm_state: VmState::Active, power_state: PowerState::Running, host: Some(host.into()), ..idle() };
        self.write(&instance).await;
        instance.uuid
    }

    /// Begins a live migration as the API does, without casting it.
    pub async fn begin_migration(&self, uuid: InstanceUuid, to: Option<&str>) -> Migration {
        self.begin_task(MigrationKind::LiveMigration, uuid, to).await
    }

    /// Begins a long task as the API does, without casting it.
    pub async fn begin_task(&self, kind: MigrationKind, uuid: InstanceUuid, to: Option<&str>) -> Migration {
        let action = match kind {
            MigrationKind::LiveMigration => Action::LiveMigrate,
            MigrationKind::Migration => Action::Migrate,
        }
        .transition();
        let instance = self.instance(uuid).await;
        let (migration, task_id) = (MigrationUuid::random(), TaskId::random());
        let request_id = format!("req-{migration}");
        let mut transaction = self.database.begin().await.unwrap();
        assert!(
            instances::begin_task(&mut transaction, &instance, action.first_task(), task_id, &request_id)
                .await
                .unwrap()
        );
        let new = migrations::NewMigration {
            uuid: migration,
            instance: uuid,
            task_id,
            kind,
            source: instance.host.clone().unwrap(),
            requested_destination: to.map(ToOwned::to_owned),
            forced: false,
            block_migration: None,
            request_id: request_id.clone(),
            user_id: None,
            project_id: None,
        };
        migrations::insert(&mut transaction, &new).await.unwrap();
        let now = Timestamp::now();
        let row = InstanceAction {
            instance: uuid,
            request_id,
            action: action.instance_action.into(),
            user_id: None,
            project_id: None,
            start_time: now,
            updated_at: now,
            message: None,
        };
        actions::start(&mut transaction, &[row]).await.unwrap();
        transaction.commit().await.unwrap();
        self.migration(migration).await
    }

    /// Begins a live migration and casts it.
    pub async fn migrate(&self, uuid: InstanceUuid, to: Option<&str>) -> Migration {
        let migration = self.begin_migration(uuid, to).await;
        self.cast(&migration).await;
        migration
    }

    pub async fn cast(&self, migration: &Migration) {
        let (client, ctx) = (ConductorClient::new(&self.transport), RequestContext::internal());
        match migration.kind {
            MigrationKind::LiveMigration => client.live_migrate_instance(&ctx, migration.uuid).await.unwrap(),
            MigrationKind::Migration => client.migrate_server(&ctx, migration.uuid).await.unwrap(),
        }
    }

    /// Confirms or reverts a migration that waits for it, as the API does.
    pub async fn end_finished(&self, migration: &Migration, action: Action) {
        let (instance, task_id) = (self.instance(migration.instance).await, TaskId::random());
        let request_id = format!("req-{task_id}");
        let to = match action {
            Action::ConfirmResize => MigrationStatus::Confirming,
            _ => MigrationStatus::Reverting,
        };
        let task_state = action.transition().first_task();
        let mut transaction = self.database.begin().await.unwrap();
        assert!(instances::begin_task(&mut transaction, &instance, task_state, task_id, &request_id).await.unwrap());
        let ended = migrations::transitions::end_finished(&mut transaction, migration.uuid, to, task_id, &request_id);
        assert!(ended.await.unwrap());
        let now = Timestamp::now();
        let row = InstanceAction {
            instance: migration.instance,
            request_id,
            action: action.transition().instance_action.into(),
            user_id: None,
            project_id: None,
            start_time: now,
            updated_at: now,
            message: None,
        };
        actions::start(&mut transaction, &[row]).await.unwrap();
        transaction.commit().await.unwrap();
        let (client, ctx) = (ConductorClient::new(&self.transport), RequestContext::internal());
        match action {
            Action::ConfirmResize => client.confirm_resize(&ctx, migration.uuid).await.unwrap(),
            _ => client.revert_resize(&ctx, migration.uuid).await.unwrap(),
        }
    }

    /// Deletes a server on its host, as the API does.
    pub async fn delete(&self, uuid: InstanceUuid, host: &str) {
        let task_id = self.begin(uuid, TaskState::Deleting).await;
        let operation = OperationId { instance: uuid, task_id };
        let host = ComputeClient::new(&self.transport).server(host);
        host.perform_action(&RequestContext::internal(), operation, Action::Delete, Default::default()).await.unwrap();
    }

    /// Asks for an abort as the API does.
    /// Gives a server the state `active`, as an administrator does.
    pub async fn reset_state(&self, uuid: InstanceUuid) {
        let row = self.instance(uuid).await;
        let mut connection = self.database.write().await.unwrap();
        assert!(instances::edits::reset_state(&mut connection, &row, VmState::Active).await.unwrap());
    }

    pub async fn abort(&self, migration: &Migration) {
        {
            let mut connection = self.database.write().await.unwrap();
            migrations::request_abort(&mut connection, migration.uuid).await.unwrap();
        }
        let client = ConductorClient::new(&self.transport);
        client.abort_live_migration(&RequestContext::internal(), migration.uuid).await.unwrap();
    }

    pub async fn begin(&self, uuid: InstanceUuid, task_state: TaskState) -> TaskId {
        let instance = self.instance(uuid).await;
        let task_id = TaskId::random();
        let mut connection = self.database.write().await.unwrap();
        let request_id = format!("req-{task_id}");
        assert!(instances::begin_task(&mut connection, &instance, task_state, task_id, &request_id).await.unwrap());
        task_id
    }

    pub async fn instance(&self, uuid: InstanceUuid) -> Instance {
        let mut connection = self.database.read().await.unwrap();
        instances::get_with_deleted(&mut connection, uuid).await.unwrap().unwrap()
    }

    pub async fn migration(&self, uuid: MigrationUuid) -> Migration {
        let mut connection = self.database.read().await.unwrap();
        migrations::get(&mut connection, uuid).await.unwrap().unwrap()
    }

    pub async fn fault(&self, uuid: InstanceUuid) -> Option<Fault> {
        let mut connection = self.database.read().await.unwrap();
        instances::faults(&mut connection, &[uuid]).await.unwrap().pop().map(|(_, fault)| fault)
    }

    pub async fn action(&self, uuid: InstanceUuid, request_id: &str) -> (InstanceAction, Vec<ActionEvent>) {
        let mut connection = self.database.read().await.unwrap();
        actions::get(&mut connection, uuid, request_id).await.unwrap().unwrap()
    }

    pub async fn nodes(&self) -> BTreeMap<String, ComputeNode> {
        let mut connection = self.database.read().await.unwrap();
        let nodes = compute_nodes::list(&mut connection).await.unwrap();
        nodes.into_iter().map(|node| (node.host.clone(), node)).collect()
    }

    /// How many instances hold a claim on each of the hosts.
    pub async fn claims(&self, hosts: &[&str]) -> Vec<i64> {
        let nodes = self.nodes().await;
        hosts.iter().map(|host| nodes[*host].instances).collect()
    }

    /// Waits until the instance is as wanted. The database is asked again and again: nobody tells of a change.
    pub async fn until(&self, uuid: InstanceUuid, wanted: impl Fn(&Instance) -> bool) -> Instance {
        for _ in 0..3000 {
            let instance = self.instance(uuid).await;
            if wanted(&instance) {
                return instance;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not as wanted after 30 s: {:?}", self.instance(uuid).await);
    }

    pub async fn until_idle(&self, uuid: InstanceUuid) -> Instance {
        self.until(uuid, |instance| instance.task_state.is_none()).await
    }

    pub async fn until_status(&self, migration: &Migration, status: MigrationStatus) -> Migration {
        for _ in 0..3000 {
            let row = self.migration(migration.uuid).await;
            if row.status == status {
                return row;
            }
            assert!(!row.status.is_final(), "ended otherwise: {row:?}; {:?}", self.hosts.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not {status:?} after 30 s: {:?}; {:?}", self.migration(migration.uuid).await, self.hosts.log());
    }

    /// Waits until a migration is its source's.
    pub async fn until_owner_is_gone(&self, migration: &Migration) {
        for _ in 0..3000 {
            if self.migration(migration.uuid).await.owner.is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("still owned after 30 s: {:?}", self.migration(migration.uuid).await);
    }

    pub async fn until_final(&self, migration: &Migration) -> Migration {
        for _ in 0..3000 {
            let row = self.migration(migration.uuid).await;
            if row.status.is_final() {
                return row;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not ended after 30 s: {:?}; {:?}", self.migration(migration.uuid).await, self.hosts.log());
    }

    /// Sums and claims fit, and the instance is exactly where its row says, idle, with one claim there.
    pub async fn assert_settled(&self, uuid: InstanceUuid) {
        let instance = self.until_idle(uuid).await;
        assert_eq!((instance.task_id, instance.owner), (None, None));
        let host = instance.host.unwrap();
        let mut connection = self.database.read().await.unwrap();
        assert_eq!(allocations::discrepancies(&mut connection).await.unwrap(), Vec::<String>::new());
        let rows: Vec<String> =
            sql!("SELECT host FROM allocations WHERE instance_uuid = "(uuid)).fetch_all(&mut connection).await.unwrap();
        assert_eq!(rows, vec![host.clone()]);
        assert_eq!(self.hosts.guests(uuid), vec![host], "{:?}", self.hosts.log());
    }

    pub async fn stop(self) {
        let conductors = std::mem::take(&mut *self.conductors.lock().unwrap());
        for conductor in conductors {
            conductor.service.stop().await;
        }
        let scheduler = self.scheduler.lock().unwrap().take();
        if let Some(scheduler) = scheduler {
            scheduler.stop().await;
        }
        self.transport.close().await;
        self.database.close().await;
    }
}

pub fn size(vcpus: i64, memory_mb: i64, disk_gb: i64) -> Resources {
    Resources { vcpus, memory_mb, disk_gb }
}

/// Room for sixteen.
pub fn big() -> Resources {
    size(16, 16 * 512, 16)
}

/// An instance that waits for a host.
pub fn waiting() -> Instance {
    let instance = idle();
    Instance {
        vm_state: VmState::Building,
        task_state: Some(TaskState::Scheduling),
        task_id: Some(TaskId::random()),
        task_request_id: Some(format!("req-{}", instance.uuid)),
        ..instance
    }
}

/// An instance that `host` builds.
pub fn building(host: &str) -> Instance {
    Instance { host: Some(host.into()), attempts: 1, ..waiting() }
}

/// The Networking component on the same database.
pub fn networks(database: &Database) -> Arc<dyn Networks> {
    Arc::new(NetworksHere::new(Networking::new(database.clone(), NetworkConfig::default())))
}
