//! A stand-in for the conductor and its rows: applies reports as a conductor does, and reconciles hosts.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Debug,
    sync::{Arc, Mutex},
    time::Duration,
};

use novella_common::{
    RequestContext,
    ids::{InstanceUuid, MigrationUuid, TaskId},
    lifecycle::{PowerState, TaskState, VmState},
    models::{ActionEvent, Binary, Flavor, InstanceSpec, MigrationProgress},
    reports::{Fact, InstanceReport, MigrationOutcome, OperationProgress, Report, TOPIC},
    service::{ServiceIdentity, Shutdown},
};
use novella_compute::{
    ComputeConfig, ComputeService, Stores,
    rpcapi::{
        BuildRequest, ComputeClient, ComputeControlClient, ComputeLiveMigrationClient, ComputeMigrationClient,
        DesiredInstance, MigrationSpec, OperationId, Reconciliation,
    },
    virt::fake::FakeConfig,
};
use novella_messaging::{NotificationListener, Transport, TransportOptions};
use tokio::sync::watch;

/// How long a test waits for what must come. Only a test that fails ever waits so long.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What the stand-in has written down of an instance.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) spec: InstanceSpec,
    pub(crate) host: String,
    pub(crate) vm_state: VmState,
    pub(crate) power_state: PowerState,
    pub(crate) task: Option<(TaskState, TaskId)>,
    pub(crate) request_id: Option<String>,
    pub(crate) report_seq: i64,
    /// Every report that was applied.
    pub(crate) applied: Vec<InstanceReport>,
    /// The last event of each task that has one.
    pub(crate) events: HashMap<TaskId, ActionEvent>,
    pub(crate) failure: Option<(String, bool)>,
    pub(crate) gone: bool,
    pub(crate) migration: Option<(MigrationUuid, MigrationProgress, MigrationOutcome)>,
    pub(crate) progress: Vec<MigrationProgress>,
}

#[derive(Default)]
struct Books {
    rows: HashMap<InstanceUuid, Row>,
    /// The numbers of all reports that have come, applied or not, by host.
    heard: HashMap<String, Vec<i64>>,
    /// Hosts that are not reconciled, however loud they say hello.
    ignored: HashSet<String>,
    hellos: HashMap<String, usize>,
    beats: HashMap<String, usize>,
}

/// A bus, the rows, and the files of one machine's hosts.
#[derive(Clone)]
pub(crate) struct Cloud {
    pub(crate) transport: Transport,
    pub(crate) stores: Arc<Stores>,
    /// Between two heartbeats.
    pub(crate) beat: Duration,
    books: Arc<Mutex<Books>>,
    changed: watch::Sender<()>,
}

/// A configuration without delays.
pub(crate) fn instant() -> ComputeConfig {
    ComputeConfig { fake: FakeConfig::instant(), lost_build_after: Duration::from_millis(10), ..Default::default() }
}

pub(crate) fn ctx() -> RequestContext {
    RequestContext::internal()
}

/// A small server with this metadata.
pub(crate) fn server(metadata: &[(&str, &str)]) -> InstanceSpec {
    let metadata: BTreeMap<String, String> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let flavor = Flavor {
        id: "1".into(),
        name: "m1.tiny".into(),
        vcpus: 1,
        memory_mb: 512,
        disk_gb: 1,
        ephemeral_gb: 0,
        swap_mb: 0,
        is_public: true,
        description: None,
        extra_specs: BTreeMap::new(),
    };
    InstanceSpec {
        uuid: InstanceUuid::random(),
        name: "web".into(),
        hostname: "web".into(),
        project_id: "demo".into(),
        user_id: "demo".into(),
        image_ref: None,
        flavor,
        metadata,
        user_data: None,
        config_drive: false,
    }
}

impl Cloud {
    pub(crate) async fn new() -> Self {
        Self::with(Stores::ephemeral().unwrap()).await
    }

    pub(crate) async fn with(stores: Stores) -> Self {
        let transport = Transport::connect("memory://", TransportOptions::default()).await.unwrap();
        let cloud = Self {
            transport,
            stores: Arc::new(stores),
            beat: Duration::from_secs(10),
            books: Arc::default(),
            changed: watch::channel(()).0,
        };
        let mut listener = NotificationListener::builder(&cloud.transport, TOPIC).start().await.unwrap();
        // It must not keep the files open.
        let conductor = cloud.on(Stores::ephemeral().unwrap());
        tokio::spawn(async move {
            while let Some(batch) = listener.next_batch(100).await {
                for notification in batch.notifications() {
                    let report: Report = serde_json::from_value(notification.payload.clone()).unwrap();
                    assert_eq!(notification.event_type, report.event_type());
                    conductor.hear(report);
                }
                batch.ack().await;
            }
        });
        cloud
    }

    /// The same rows and bus with other files: a host that starts on them has lost its own.
    pub(crate) fn on(&self, stores: Stores) -> Self {
        Self { stores: Arc::new(stores), ..self.clone() }
    }

    /// The same rows and bus with this directory's files, as soon as their last user has let go of them.
    pub(crate) async fn reopened(self, path: &std::path::Path) -> Self {
        let without_files = self.on(Stores::ephemeral().unwrap());
        drop(self);
        loop {
            match Stores::open(path) {
                Ok(stores) => return without_files.on(stores),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Starts a host and waits until it works.
    pub(crate) async fn start(&self, host: &str, config: ComputeConfig) -> ComputeService {
        let service = self.start_only(host, config, &Shutdown::new()).await;
        assert!(service.ready().await);
        service
    }

    pub(crate) async fn start_only(&self, host: &str, config: ComputeConfig, shutdown: &Shutdown) -> ComputeService {
        let identity = ServiceIdentity::new(Binary::Compute, host);
        ComputeService::start(&self.transport, identity, config, self.stores.clone(), self.beat, shutdown.clone())
            .await
            .unwrap()
    }

    pub(crate) fn compute(&self, host: &str) -> ComputeClient {
        ComputeClient::new(&self.transport).server(host)
    }

    pub(crate) fn live_migration(&self, host: &str) -> ComputeLiveMigrationClient {
        ComputeLiveMigrationClient::new(&self.transport).server(host)
    }

    pub(crate) fn migration(&self, host: &str) -> ComputeMigrationClient {
        ComputeMigrationClient::new(&self.transport).server(host)
    }

    pub(crate) fn ignore(&self, host: &str, ignore: bool) {
        let mut books = self.books.lock().unwrap();
        if ignore {
            books.ignored.insert(host.into())
        } else {
            books.ignored.remove(host)
        };
    }

    /// Writes down a row.
    pub(crate) fn write(&self, spec: &InstanceSpec, host: &str, vm_state: VmState, task: Option<(TaskState, TaskId)>) {
        let row = Row {
            spec: spec.clone(),
            host: host.into(),
            vm_state,
            power_state: PowerState::NoState,
            task,
            request_id: Some("req-1".into()),
            report_seq: 0,
            applied: Vec::new(),
            events: HashMap::new(),
            failure: None,
            gone: false,
            migration: None,
            progress: Vec::new(),
        };
        self.books.lock().unwrap().rows.insert(spec.uuid, row);
    }

    pub(crate) fn edit(&self, instance: InstanceUuid, edit: impl FnOnce(&mut Row)) {
        edit(self.books.lock().unwrap().rows.get_mut(&instance).unwrap());
        self.changed.send_replace(());
    }

    pub(crate) fn erase(&self, instance: InstanceUuid) {
        self.books.lock().unwrap().rows.remove(&instance);
    }

    pub(crate) fn row(&self, instance: InstanceUuid) -> Row {
        self.books.lock().unwrap().rows[&instance].clone()
    }

    /// The numbers of all reports about instances that have come from a host.
    pub(crate) fn heard(&self, host: &str) -> Vec<i64> {
        self.books.lock().unwrap().heard.get(host).cloned().unwrap_or_default()
    }

    pub(crate) fn hellos(&self, host: &str) -> usize {
        self.books.lock().unwrap().hellos.get(host).copied().unwrap_or_default()
    }

    pub(crate) fn beats(&self, host: &str) -> usize {
        self.books.lock().unwrap().beats.get(host).copied().unwrap_or_default()
    }

    /// Writes the row of a new server and sends its build.
    pub(crate) async fn build(&self, host: &str, spec: &InstanceSpec) -> TaskId {
        let task_id = TaskId::random();
        self.write(spec, host, VmState::Building, Some((TaskState::Scheduling, task_id)));
        self.compute(host).build_and_run_instance(&ctx(), BuildRequest { spec: spec.clone(), task_id }).await.unwrap();
        task_id
    }

    /// A server that has been built.
    pub(crate) async fn built(&self, host: &str, metadata: &[(&str, &str)]) -> InstanceUuid {
        let spec = server(metadata);
        self.build(host, &spec).await;
        self.until(spec.uuid, "is active", |row| row.vm_state == VmState::Active && row.task.is_none()).await;
        spec.uuid
    }

    /// Writes a new operation into the row.
    pub(crate) fn ask(&self, instance: InstanceUuid, task_state: TaskState) -> OperationId {
        let task_id = TaskId::random();
        self.edit(instance, |row| row.task = Some((task_state, task_id)));
        OperationId { instance, task_id }
    }

    /// Writes a live migration into the row.
    pub(crate) fn ask_migration(&self, instance: InstanceUuid, destination: &str) -> MigrationSpec {
        self.ask_migration_as(instance, TaskState::Migrating, destination)
    }

    /// Writes a migration into the row, with this task.
    pub(crate) fn ask_migration_as(
        &self,
        instance: InstanceUuid,
        task_state: TaskState,
        destination: &str,
    ) -> MigrationSpec {
        let OperationId { task_id, .. } = self.ask(instance, task_state);
        let migration = MigrationUuid::random();
        self.edit(instance, |row| {
            row.migration = Some((migration, MigrationProgress::default(), MigrationOutcome::Running));
            row.progress.clear();
        });
        let row = self.row(instance);
        MigrationSpec {
            migration,
            task_id,
            spec: row.spec,
            vm_state: row.vm_state,
            source: row.host,
            destination: destination.into(),
            block_migration: None,
        }
    }

    /// Waits until a row is as wanted.
    pub(crate) async fn until(&self, instance: InstanceUuid, what: &str, wanted: impl Fn(&Row) -> bool) -> Row {
        let found = || self.books.lock().unwrap().rows.get(&instance).filter(|row| wanted(row)).cloned();
        self.when(what, found, || format!("{:#?}", self.row(instance))).await
    }

    /// Waits until anything is as wanted.
    pub(crate) async fn when<T>(&self, what: &str, wanted: impl Fn() -> Option<T>, instead: impl Fn() -> String) -> T {
        let mut changed = self.changed.subscribe();
        let wait = async {
            loop {
                changed.borrow_and_update();
                if let Some(found) = wanted() {
                    return found;
                }
                changed.changed().await.unwrap();
            }
        };
        tokio::time::timeout(TIMEOUT, wait).await.unwrap_or_else(|_| panic!("waited for: {what}; found {}", instead()))
    }

    fn hear(&self, report: Report) {
        {
            let mut books = self.books.lock().unwrap();
            match &report.fact {
                Fact::Hello(_) => {
                    *books.hellos.entry(report.host.clone()).or_default() += 1;
                    if !books.ignored.contains(&report.host) {
                        let cloud = self.clone();
                        let host = report.host.clone();
                        // A host that has died since it said hello does not answer.
                        tokio::spawn(async move { drop(cloud.try_reconcile(&host).await) });
                    }
                }
                Fact::Alive { .. } => *books.beats.entry(report.host.clone()).or_default() += 1,
                Fact::Instance(fact) => {
                    books.heard.entry(report.host.clone()).or_default().push(fact.seq);
                    if let Some(row) = books.rows.get_mut(&fact.instance) {
                        apply(row, &report.host, fact);
                    }
                }
                Fact::Migration(fact) => {
                    books.heard.entry(report.host.clone()).or_default().push(fact.seq);
                    if let Some(row) = books.rows.get_mut(&fact.instance)
                        && row.host == report.host
                        && fact.seq > row.report_seq
                        && row.task.map(|(_, task)| task) == Some(fact.task_id)
                    {
                        row.report_seq = fact.seq;
                        row.progress.push(fact.progress);
                        row.migration = Some((fact.migration, fact.progress, fact.outcome.clone()));
                    }
                }
            }
        }
        self.changed.send_replace(());
    }

    pub(crate) async fn try_reconcile(&self, host: &str) -> Result<(), impl Debug + use<>> {
        let control = ComputeControlClient::new(&self.transport).server(host);
        let held = match control.list_instances(&ctx()).await {
            Ok(held) => held,
            Err(error) => return Err(error),
        };
        let reconciliation = {
            let books = self.books.lock().unwrap();
            let mine = |row: &&Row| row.host == host && !row.gone;
            let incoming = |instance: &InstanceUuid| {
                books
                    .rows
                    .get(instance)
                    .is_some_and(|row| row.task.is_some_and(|(state, _)| state == TaskState::Migrating))
            };
            Reconciliation {
                desired: books.rows.values().filter(mine).map(desired).collect(),
                remove: held
                    .into_iter()
                    .filter(|instance| !books.rows.get(instance).as_ref().is_some_and(mine))
                    .filter(|instance| !incoming(instance))
                    .collect(),
            }
        };
        control.reconcile(&ctx(), reconciliation).await
    }

    pub(crate) async fn reconcile(&self, host: &str) {
        self.try_reconcile(host).await.unwrap();
    }

    pub(crate) async fn held_instances(&self, host: &str) -> HashSet<InstanceUuid> {
        let control = ComputeControlClient::new(&self.transport).server(host);
        control.list_instances(&ctx()).await.unwrap().into_iter().collect()
    }
}

fn desired(row: &Row) -> DesiredInstance {
    DesiredInstance {
        spec: row.spec.clone(),
        vm_state: row.vm_state,
        power_state: row.power_state,
        task: row.task,
        request_id: row.request_id.clone(),
        report_seq: row.report_seq,
    }
}

fn apply(row: &mut Row, host: &str, report: &InstanceReport) {
    if row.host != host || report.seq <= row.report_seq || row.task.map(|(_, task)| task) != report.task_id {
        return;
    }
    row.report_seq = report.seq;
    row.power_state = report.power_state;
    row.applied.push(report.clone());
    if let (Some(task), Some(event)) = (report.task_id, &report.event) {
        row.events.insert(task, event.clone());
    }
    match &report.progress {
        OperationProgress::Doing { task_state } => row.task = report.task_id.map(|task| (*task_state, task)),
        OperationProgress::Done { vm_state } => {
            row.vm_state = *vm_state;
            row.task = None;
        }
        OperationProgress::Unchanged => row.task = None,
        OperationProgress::Failed { vm_state, message, reschedule, .. } => {
            row.vm_state = vm_state.unwrap_or(row.vm_state);
            row.failure = Some((message.clone(), *reschedule));
            row.task = None;
        }
        OperationProgress::Gone => {
            row.gone = true;
            row.task = None;
        }
    }
}
