//! A cloud without conductors: a database of the test's own, a bus in this process, and hosts that do as they are told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use novella_common::networks::Networks;
use novella_common::{
    RequestContext,
    config::{DatabaseConfig, SecretUrl, ServiceConfig},
    db::{Database, actions, allocations, compute_nodes, instances, server_groups, services, table},
    ids::{Incarnation, InstanceUuid, TaskId},
    lifecycle::{TaskState, VmState},
    models::{
        Binary, ComputeNode, Flavor, GroupPolicy, Instance, InstanceAction, Inventory, RequestSpec, RequestedNetworks,
        RequestedVif, Resources, ServerGroup,
    },
    service::{ServiceIdentity, Shutdown},
};
use novella_compute::rpcapi::BuildRequest;
use novella_fakes::{Building, FailingNetworks, FakeHosts, inventory};
use novella_messaging::{Transport, TransportOptions};
use novella_neighbours::NetworksHere;
use novella_network::{NetworkConfig, Networking};
use novella_scheduler::{SchedulerConfig, SchedulerService, rpcapi::SchedulerClient};
pub use novella_testing::{On, on_both};

pub struct Cloud {
    pub database: Database,
    pub transport: Transport,
    pub shutdown: Shutdown,
    pub client: SchedulerClient,
    schedulers: Mutex<Vec<SchedulerService>>,
    pub hosts: Arc<FakeHosts>,
    pub networks: Arc<FailingNetworks>,
    // Last, so that it is dropped after everything that uses it.
    _database: novella_testing::Database,
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
        let (client, hosts) = (SchedulerClient::new(&transport), Arc::new(FakeHosts::new(&transport)));
        Self {
            database,
            transport,
            shutdown: Shutdown::new(),
            client,
            schedulers: Mutex::default(),
            hosts,
            networks,
            _database: own,
        }
    }

    pub async fn start_scheduler(&self, name: &str, config: SchedulerConfig) {
        let service = SchedulerService::start(
            self.database.clone(),
            self.transport.clone(),
            self.networks.clone(),
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
    pub async fn start_host(&self, name: &str, resources: Resources, building: Building) -> Host {
        self.write_host(name, "nova", resources).await;
        self.hosts.build_by(name, building);
        self.hosts.start(name).await;
        Host { name: name.to_owned(), hosts: Arc::clone(&self.hosts) }
    }

    pub async fn write_host(&self, name: &str, zone: &str, resources: Resources) {
        let inventory = Inventory { availability_zone: zone.into(), ..inventory(name, resources) };
        let mut connection = self.database.write().await.unwrap();
        services::heartbeat(&mut connection, Binary::Compute, name, zone, Incarnation::random()).await.unwrap();
        compute_nodes::upsert(&mut connection, name, &inventory).await.unwrap();
    }

    /// Writes a server that waits for a host, as the API does, without casting it.
    pub async fn write_instance(&self, spec: RequestSpec) -> InstanceUuid {
        let new = Instance { has_ports: !spec.networks.is_none(), ..instance(size(1, 512, 1)) };
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
        self.hosts.stop().await;
        self.transport.close().await;
        self.database.close().await;
    }
}

/// One of the hosts.
pub struct Host {
    name: String,
    hosts: Arc<FakeHosts>,
}

impl Host {
    /// The builds that it has accepted.
    pub fn builds(&self) -> Vec<BuildRequest> {
        self.hosts.builds(&self.name)
    }

    /// How many builds it was offered.
    pub fn calls(&self) -> usize {
        let offered = |(host, method): &(String, &str)| *host == self.name && *method == "build_and_run_instance";
        self.hosts.log().iter().filter(|call| offered(call)).count()
    }
}

pub fn size(vcpus: i64, memory_mb: i64, disk_gb: i64) -> Resources {
    Resources { vcpus, memory_mb, disk_gb }
}

/// An instance of this size that waits for a host.
pub fn instance(resources: Resources) -> Instance {
    let instance = novella_fakes::instance();
    let Resources { vcpus, memory_mb, disk_gb } = resources;
    Instance {
        flavor: Flavor { vcpus, memory_mb, disk_gb, ..instance.flavor.clone() },
        vm_state: VmState::Building,
        task_state: Some(TaskState::Scheduling),
        task_id: Some(TaskId::random()),
        task_request_id: Some(format!("req-{}", instance.uuid)),
        ..instance
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

/// A server's interface on the network that a new cloud has.
pub fn on_private() -> RequestedVif {
    RequestedVif { network_id: "ca11ab1e-0000-4000-8000-000000000002".into(), ..RequestedVif::default() }
}

/// What is asked for with these interfaces.
pub fn with_interfaces(vifs: Vec<RequestedVif>) -> RequestSpec {
    let networks = RequestedNetworks { vifs, security_groups: Vec::new() };
    RequestSpec { networks, ..RequestSpec::default() }
}

/// The Networking component on the same database.
pub fn networks(database: &Database) -> Arc<dyn Networks> {
    Arc::new(NetworksHere::new(Networking::new(database.clone(), NetworkConfig::default())))
}
