//! A cloud without conductors: a database of the test's own, a bus in this process, and hosts that do as they are told.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use novella_common::{
    RequestContext,
    config::{DatabaseConfig, SecretUrl, ServiceConfig},
    db::{Database, actions, allocations, compute_nodes, instances, server_groups, services, table},
    ids::{Incarnation, InstanceUuid, TaskId},
    lifecycle::{Action, PowerState, TaskState, VmState},
    models::{
        AllocationRatios, Binary, ComputeNode, Flavor, GroupPolicy, Instance, InstanceAction, Inventory, RequestSpec,
        Resources, ServerGroup,
    },
    service::{ServiceIdentity, Shutdown},
};
use novella_compute::rpcapi::{ActionArguments, BuildRequest, Compute, ComputeEndpoint, ComputeError, OperationId};
use novella_messaging::{RpcServer, Target, Transport, TransportOptions};
use novella_scheduler::{SchedulerConfig, SchedulerService, rpcapi::SchedulerClient};
pub use novella_testing::On;

/// Each behaviour on both databases.
macro_rules! on_both {
    ($($(#[$attribute:meta])* async fn $name:ident($cloud:ident: Cloud) $body:block)*) => {
        $(async fn $name($cloud: Cloud) $body)*
        mod on_sqlite {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread")] $(#[$attribute])* async fn $name() {
                super::$name(Cloud::new($crate::support::On::Sqlite).await).await;
            })*
        }
        mod on_postgres {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread")] $(#[$attribute])* async fn $name() {
                super::$name(Cloud::new($crate::support::On::Postgres).await).await;
            })*
        }
    };
}

pub(crate) use on_both;

pub struct Cloud {
    pub database: Database,
    pub transport: Transport,
    pub shutdown: Shutdown,
    pub client: SchedulerClient,
    schedulers: Mutex<Vec<SchedulerService>>,
    hosts: Mutex<Vec<RpcServer>>,
    // Last, so that it is dropped after everything that uses it.
    _database: novella_testing::Database,
}

/// What a host does with a build.
#[derive(Clone)]
pub enum Behaviour {
    Accept,
    Refuse,
    Panic,
    /// Runs this, then accepts.
    First(Arc<dyn Fn(BuildRequest) -> futures::BoxFuture + Send + Sync>),
}

pub mod futures {
    pub type BoxFuture = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;
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
        let client = SchedulerClient::new(&transport);
        Self {
            database,
            transport,
            shutdown: Shutdown::new(),
            client,
            schedulers: Mutex::default(),
            hosts: Mutex::default(),
            _database: own,
        }
    }

    pub async fn start_scheduler(&self, name: &str, config: SchedulerConfig) {
        let service = SchedulerService::start(
            self.database.clone(),
            self.transport.clone(),
            ServiceIdentity::new(Binary::Scheduler, name),
            config,
            ServiceConfig::default(),
            &self.shutdown,
        )
        .await
        .unwrap();
        self.schedulers.lock().unwrap().push(service);
    }

    /// A host that is up, with its row and a server behind it.
    pub async fn start_host(&self, name: &str, resources: Resources, behaviour: Behaviour) -> Host {
        self.write_host(name, "nova", resources).await;
        let stub = Arc::new(StubHost { behaviour, builds: Mutex::default(), calls: AtomicUsize::new(0) });
        let server = RpcServer::builder(&self.transport, Target::new("compute").server(name))
            .endpoint(ComputeEndpoint::new(Arc::clone(&stub)))
            .concurrency(64)
            .start()
            .await
            .unwrap();
        self.hosts.lock().unwrap().push(server);
        Host { stub }
    }

    pub async fn write_host(&self, name: &str, zone: &str, resources: Resources) {
        let inventory = Inventory {
            total: resources,
            reserved: Resources::default(),
            ratios: AllocationRatios { cpu: 1.0, ram: 1.0, disk: 1.0 },
            hypervisor_type: "fake".into(),
            hypervisor_version: 1,
            hypervisor_hostname: name.into(),
            host_ip: "127.0.0.1".into(),
            cpu_info: serde_json::json!({}),
            availability_zone: zone.into(),
        };
        let mut connection = self.database.write().await.unwrap();
        services::heartbeat(&mut connection, Binary::Compute, name, zone, Incarnation::random()).await.unwrap();
        compute_nodes::upsert(&mut connection, name, &inventory).await.unwrap();
    }

    /// Writes a server that waits for a host, as the API does, without casting it.
    pub async fn write_instance(&self, spec: RequestSpec) -> InstanceUuid {
        let new = instance(size(1, 512, 1));
        let mut transaction = self.database.begin().await.unwrap();
        instances::insert(&mut transaction, std::slice::from_ref(&new), &spec).await.unwrap();
        actions::start(&mut transaction, &[action(&new)]).await.unwrap();
        transaction.commit().await.unwrap();
        new.uuid
    }

    /// Writes a group and as many waiting instances in it.
    pub async fn write_group(&self, policy: GroupPolicy, per_host: Option<i64>, members: usize) -> Vec<InstanceUuid> {
        let group = ServerGroup {
            id: 0,
            uuid: uuid::Uuid::new_v4(),
            project_id: "project".into(),
            user_id: "user".into(),
            name: "group".into(),
            policy,
            max_server_per_host: per_host,
        };
        let hints = [("group".to_owned(), group.uuid.to_string().into())].into();
        let spec = RequestSpec { hints, ..RequestSpec::default() };
        let mut all = Vec::new();
        for _ in 0..members {
            all.push(self.write_instance(spec.clone()).await);
        }
        let mut transaction = self.database.begin().await.unwrap();
        table::insert(&mut transaction, &group).await.unwrap();
        server_groups::join(&mut transaction, group.uuid, &all).await.unwrap();
        transaction.commit().await.unwrap();
        all
    }

    /// Has them built, all at once, and says where each is; those without a host are left out.
    pub async fn placed(&self, all: &[InstanceUuid]) -> Vec<String> {
        for uuid in all {
            self.build(*uuid).await;
        }
        let mut hosts = Vec::new();
        for uuid in all {
            hosts.extend(self.settled(*uuid).await.host);
        }
        hosts.sort_unstable();
        hosts
    }

    pub async fn build(&self, instance: InstanceUuid) {
        self.client.build_instance(&RequestContext::internal(), instance).await.unwrap();
    }

    pub async fn instance(&self, uuid: InstanceUuid) -> Instance {
        let mut connection = self.database.read().await.unwrap();
        instances::get_with_deleted(&mut connection, uuid).await.unwrap().unwrap()
    }

    pub async fn nodes(&self) -> BTreeMap<String, ComputeNode> {
        let mut connection = self.database.read().await.unwrap();
        let nodes = compute_nodes::list(&mut connection).await.unwrap();
        nodes.into_iter().map(|node| (node.host.clone(), node)).collect()
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

    /// Waits until the instance is settled: on a host that has accepted, or in ERROR.
    pub async fn settled(&self, uuid: InstanceUuid) -> Instance {
        self.until(uuid, |instance| {
            instance.vm_state == VmState::Error || (instance.host.is_some() && instance.owner.is_none())
        })
        .await
    }

    pub async fn assert_sums(&self) {
        let mut connection = self.database.read().await.unwrap();
        assert_eq!(allocations::discrepancies(&mut connection).await.unwrap(), Vec::<String>::new());
    }

    pub async fn stop(self) {
        let schedulers = std::mem::take(&mut *self.schedulers.lock().unwrap());
        for scheduler in schedulers {
            scheduler.stop().await;
        }
        let hosts = std::mem::take(&mut *self.hosts.lock().unwrap());
        for host in hosts {
            host.stop(Duration::ZERO).await;
        }
        self.transport.close().await;
        self.database.close().await;
    }
}

pub struct Host {
    pub stub: Arc<StubHost>,
}

impl Host {
    pub fn builds(&self) -> Vec<BuildRequest> {
        self.stub.builds.lock().unwrap().clone()
    }

    pub fn calls(&self) -> usize {
        self.stub.calls.load(Ordering::SeqCst)
    }
}

pub fn size(vcpus: i64, memory_mb: i64, disk_gb: i64) -> Resources {
    Resources { vcpus, memory_mb, disk_gb }
}

pub fn instance(resources: Resources) -> Instance {
    let uuid = InstanceUuid::random();
    let now = Timestamp::now();
    Instance {
        uuid,
        project_id: "project".into(),
        user_id: "user".into(),
        name: "vm".into(),
        description: None,
        hostname: "vm".into(),
        image_ref: None,
        flavor: Flavor {
            id: "1".into(),
            name: "small".into(),
            vcpus: resources.vcpus,
            memory_mb: resources.memory_mb,
            disk_gb: resources.disk_gb,
            ephemeral_gb: 0,
            swap_mb: 0,
            is_public: true,
            description: None,
            extra_specs: BTreeMap::new(),
        },
        metadata: BTreeMap::new(),
        requested_zone: None,
        user_data: None,
        key_name: None,
        config_drive: false,
        reservation_id: "r-1".into(),
        launch_index: 0,
        host: None,
        availability_zone: None,
        vm_state: VmState::Building,
        task_state: Some(TaskState::Scheduling),
        power_state: PowerState::NoState,
        task_id: Some(TaskId::random()),
        task_request_id: Some(format!("req-{uuid}")),
        owner: None,
        report_seq: 0,
        attempts: 0,
        created_at: now,
        updated_at: now,
        launched_at: None,
        terminated_at: None,
        deleted_at: None,
        locked_by: None,
        locked_reason: None,
    }
}

fn action(instance: &Instance) -> InstanceAction {
    InstanceAction {
        instance: instance.uuid,
        request_id: instance.task_request_id.clone().unwrap(),
        action: "create".into(),
        user_id: None,
        project_id: None,
        start_time: instance.created_at,
        updated_at: instance.created_at,
        message: None,
    }
}

pub struct StubHost {
    behaviour: Behaviour,
    builds: Mutex<Vec<BuildRequest>>,
    calls: AtomicUsize,
}

macro_rules! not_asked {
    ($($name:ident($($argument:ty),*) -> $result:ty;)*) => {
        $(async fn $name(&self, _: RequestContext, $(_: $argument),*) -> Result<$result, ComputeError> {
            Err(ComputeError::Failed { message: concat!("no test asks for ", stringify!($name)).into() })
        })*
    };
}

impl Compute for StubHost {
    async fn build_and_run_instance(&self, _: RequestContext, build: BuildRequest) -> Result<(), ComputeError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        match &self.behaviour {
            Behaviour::Accept => {}
            Behaviour::Refuse => {
                return Err(ComputeError::ComputeResourcesUnavailable { host: "h".into(), reason: "full".into() });
            }
            Behaviour::Panic => panic!("the host's handler breaks"),
            Behaviour::First(work) => work(build.clone()).await,
        }
        self.builds.lock().unwrap().push(build);
        Ok(())
    }

    not_asked! {
        perform_action(OperationId, Action, ActionArguments) -> ();
        get_console_output(InstanceUuid, Option<usize>) -> String;
        get_host_uptime() -> String;
    }
}
