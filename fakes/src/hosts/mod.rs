//! Compute hosts of which a test says what they do with each call.
//!
//! They keep where each guest runs, what is prepared and what is copied, and refuse what a real host refuses by that; a
//! test lets single methods fail, hang, or hold a copy. `tests/it/hosts.rs` holds them to what real hosts do.

mod host;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use novella_common::{
    RequestContext,
    ids::{HostIdentity, Incarnation, InstanceUuid},
    models::{AllocationRatios, Inventory, MigrationProgress, Resources},
    reports::{self, Fact, Hello, MigrationOutcome, MigrationReport, Report},
};
use novella_compute::rpcapi::{
    BuildRequest, ComputeControlEndpoint, ComputeEndpoint, ComputeLiveMigrationEndpoint, ComputeMigrationEndpoint,
    MigrationSpec, Reconciliation,
};
use novella_messaging::{RpcServer, Target, Transport};
use tokio::sync::Notify;

use self::host::Host;

/// What a source does when it is told to copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Copying {
    /// Switches the guest and says so.
    #[default]
    Switch,
    /// Fails and says so.
    Fail,
    /// Copies until it is told otherwise.
    Hold,
    /// Switches the guest and says nothing.
    SwitchSilently,
}

/// What a host does with a build.
#[derive(Clone, Default)]
pub enum Building {
    /// Builds and says so.
    #[default]
    Succeed,
    /// Accepts, then fails where another host might succeed.
    FailReschedulable,
    /// Accepts and says no more.
    Accept,
    /// Refuses: it has no room.
    Refuse,
    /// Its handler panics.
    Panic,
    /// Runs this, then accepts and says no more.
    After(Arc<dyn Fn(BuildRequest) -> BoxFuture + Send + Sync>),
}

/// What [`Building::After`] runs.
pub type BoxFuture = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Default)]
struct State {
    /// Where the guests are.
    guests: HashMap<InstanceUuid, BTreeSet<String>>,
    /// What hosts hold of migrations to them.
    prepared: BTreeSet<(String, InstanceUuid)>,
    copying: HashMap<InstanceUuid, (MigrationSpec, Copying)>,
    /// Guests that their source holds, since they may run on the destination.
    held: BTreeSet<InstanceUuid>,
    log: Vec<(String, &'static str)>,
    fails: BTreeSet<(String, &'static str)>,
    hangs: Option<&'static str>,
    silent: BTreeSet<String>,
    reconciliations: BTreeMap<String, Vec<Reconciliation>>,
    /// What each host has last said that it holds: only that may be removed.
    listed: BTreeMap<String, BTreeSet<InstanceUuid>>,
    extra_instances: BTreeMap<String, Vec<InstanceUuid>>,
    how_to_copy: Copying,
    building: BTreeMap<String, Building>,
    builds: BTreeMap<String, Vec<BuildRequest>>,
    incarnations: HashMap<String, Incarnation>,
}

/// The hosts of one bus.
pub struct FakeHosts {
    transport: Transport,
    state: Mutex<State>,
    servers: Mutex<HashMap<String, Vec<RpcServer>>>,
    seq: AtomicI64,
    called: Notify,
}

impl FakeHosts {
    pub fn new(transport: &Transport) -> Self {
        Self {
            transport: transport.clone(),
            state: Mutex::default(),
            servers: Mutex::default(),
            seq: AtomicI64::new(1),
            called: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub async fn start(self: &Arc<Self>, name: &str) {
        let host = Arc::new(Host { name: name.to_owned(), hosts: Arc::clone(self) });
        let compute = RpcServer::builder(&self.transport, Target::new("compute").server(name))
            .endpoint(ComputeEndpoint::new(Arc::clone(&host)))
            .endpoint(ComputeLiveMigrationEndpoint::new(Arc::clone(&host)))
            .endpoint(ComputeMigrationEndpoint::new(Arc::clone(&host)))
            .concurrency(64)
            .start()
            .await
            .unwrap();
        let control = RpcServer::builder(&self.transport, Target::new("compute-control").server(name))
            .endpoint(ComputeControlEndpoint::new(host))
            .only_by_name()
            .concurrency(4)
            .start()
            .await
            .unwrap();
        self.servers.lock().unwrap().insert(name.to_owned(), vec![compute, control]);
    }

    /// Ends all of them.
    pub async fn stop(&self) {
        let servers = std::mem::take(&mut *self.servers.lock().unwrap());
        for server in servers.into_values().flatten() {
            server.stop(Duration::ZERO).await;
        }
    }

    pub fn incarnation(&self, host: &str) -> Incarnation {
        *self.state().incarnations.entry(host.to_owned()).or_insert_with(Incarnation::random)
    }

    pub fn hold(&self, host: &str, instance: InstanceUuid) {
        self.state().guests.entry(instance).or_default().insert(host.to_owned());
    }

    /// What the host says that it holds besides its guests.
    pub fn hold_besides(&self, host: &str, instance: InstanceUuid) {
        self.state().extra_instances.entry(host.to_owned()).or_default().push(instance);
    }

    /// Where the guest runs.
    pub fn guests(&self, instance: InstanceUuid) -> Vec<String> {
        self.state().guests.get(&instance).map(|hosts| hosts.iter().cloned().collect()).unwrap_or_default()
    }

    /// The builds that a host has accepted.
    pub fn builds(&self, host: &str) -> Vec<BuildRequest> {
        self.state().builds.get(host).cloned().unwrap_or_default()
    }

    pub fn is_prepared(&self, host: &str, instance: InstanceUuid) -> bool {
        self.state().prepared.contains(&(host.to_owned(), instance))
    }

    pub fn copy_by(&self, how: Copying) {
        self.state().how_to_copy = how;
    }

    pub fn build_by(&self, host: &str, how: Building) {
        self.state().building.insert(host.to_owned(), how);
    }

    /// That method of that host fails from now on.
    pub fn fail(&self, host: &str, method: &'static str) {
        self.state().fails.insert((host.to_owned(), method));
    }

    /// That method of that host works again.
    pub fn mend(&self, host: &str, method: &'static str) {
        self.state().fails.remove(&(host.to_owned(), method));
    }

    /// The next call of that method never ends.
    pub fn hang(&self, method: &'static str) {
        self.state().hangs = Some(method);
    }

    /// That host takes all calls from now on, and answers none.
    pub fn answer_nothing(&self, host: &str) {
        self.state().silent.insert(host.to_owned());
    }

    pub fn log(&self) -> Vec<(String, &'static str)> {
        self.state().log.clone()
    }

    pub fn calls(&self, method: &str) -> usize {
        self.state().log.iter().filter(|(_, called)| *called == method).count()
    }

    /// Waits until that method was called so often.
    pub async fn called(&self, method: &str, times: usize) {
        loop {
            let called = self.called.notified();
            if self.calls(method) >= times {
                return;
            }
            let waited = tokio::time::timeout(Duration::from_secs(30), called).await;
            assert!(waited.is_ok(), "{method} was not called {times} times: {:?}", self.log());
        }
    }

    pub fn reconciliations(&self, host: &str) -> Vec<Reconciliation> {
        self.state().reconciliations.get(host).cloned().unwrap_or_default()
    }

    /// The next number of a report.
    pub fn seq(&self) -> i64 {
        self.seq.fetch_add(1, Ordering::SeqCst)
    }

    pub async fn report(&self, host: &str, fact: Fact) {
        let report = Report { host: host.to_owned(), fact };
        let notifier = reports::notifier(&self.transport, &format!("compute.{host}"));
        notifier.info(&RequestContext::internal(), report.event_type(), &report).await.unwrap();
    }

    pub async fn hello(&self, host: &str, resources: Resources) {
        self.hello_as(host, self.incarnation(host), resources, None).await;
    }

    /// Says hello under a host's name, whoever it is.
    pub async fn hello_as(
        &self,
        host: &str,
        incarnation: Incarnation,
        resources: Resources,
        identity: Option<HostIdentity>,
    ) {
        let hello = Hello { incarnation, inventory: inventory(host, resources), identity };
        self.report(host, Fact::Hello(hello)).await;
    }

    pub async fn report_copied(&self, migration: &MigrationSpec, outcome: MigrationOutcome) {
        let progress = MigrationProgress { memory_total: 512, memory_processed: 512, ..MigrationProgress::default() };
        let report = MigrationReport {
            migration: migration.migration,
            instance: migration.spec.uuid,
            seq: self.seq(),
            task_id: migration.task_id,
            progress,
            outcome,
        };
        self.report(&migration.source, Fact::Migration(report)).await;
    }

    /// The source loses sight of the destination in the middle of the switch, which the destination has seen or not.
    pub async fn lose_sight(&self, instance: InstanceUuid, switched: bool) {
        let (migration, _) = self.state().copying.remove(&instance).expect("a copy under way");
        self.state().held.insert(instance);
        if switched {
            self.move_guest(&migration);
        }
        let outcome = MigrationOutcome::Failed { message: "the destination does not answer".into() };
        self.report_copied(&migration, outcome).await;
    }

    /// Lets a copy that is held switch.
    pub async fn switch(&self, instance: InstanceUuid) {
        let (migration, _) = self.state().copying.remove(&instance).expect("a copy under way");
        self.move_guest(&migration);
        self.report_copied(&migration, MigrationOutcome::Switched).await;
    }

    /// Lets whatever is copied arrive: a guest that runs switches, disks are there.
    pub async fn finish_copy(&self, instance: InstanceUuid) {
        let runs = self.state().guests.get(&instance).is_some_and(|hosts| !hosts.is_empty());
        if runs {
            return self.switch(instance).await;
        }
        let (migration, _) = self.state().copying.remove(&instance).expect("a copy under way");
        self.report_copied(&migration, MigrationOutcome::Switched).await;
    }

    fn move_guest(&self, migration: &MigrationSpec) {
        let mut state = self.state();
        let hosts = state.guests.entry(migration.spec.uuid).or_default();
        hosts.remove(&migration.source);
        hosts.insert(migration.destination.clone());
    }
}

pub fn inventory(host: &str, resources: Resources) -> Inventory {
    Inventory {
        total: resources,
        reserved: Resources::default(),
        ratios: AllocationRatios { cpu: 1.0, ram: 1.0, disk: 1.0 },
        hypervisor_type: "scripted".into(),
        hypervisor_version: 1,
        hypervisor_hostname: host.into(),
        host_ip: "127.0.0.1".into(),
        cpu_info: serde_json::json!({}),
        availability_zone: "nova".into(),
    }
}
