//! A conductor with rows in memory, one for each instance, which a test reads and writes as it likes.
//!
//! It writes reports down as a conductor does, by the same rules, and answers a hello by reconciling the host. It moves
//! nothing on by itself: what a task would do is the test's. `tests/it/conductors.rs` holds it to what a real one does.

use std::{
    collections::{HashMap, HashSet},
    fmt::Debug,
    sync::{Arc, Mutex},
    time::Duration,
};

use novella_common::{
    RequestContext,
    ids::{HostIdentity, InstanceUuid, MigrationUuid, TaskId},
    lifecycle::{PowerState, TaskState, VmState},
    models::{ActionEvent, Instance, InstanceSpec, MigrationProgress},
    reports::{self, Fact, InstanceReport, MigrationOutcome, OperationProgress, Report},
};
use novella_compute::rpcapi::{
    BuildRequest, ComputeClient, ComputeControlClient, ComputeLiveMigrationClient, ComputeMigrationClient,
    DesiredInstance, MigrationSpec, OperationId, Reconciliation, control_server,
};
use novella_messaging::{Transport, TransportOptions};
use tokio::sync::watch;

use crate::instance;

/// How long a test waits for what must come. Only a test that fails ever waits so long.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What is written down of an instance.
#[derive(Clone, Debug)]
pub struct Row {
    pub spec: InstanceSpec,
    pub host: String,
    pub vm_state: VmState,
    pub power_state: PowerState,
    pub task: Option<(TaskState, TaskId)>,
    pub request_id: Option<String>,
    pub report_seq: i64,
    /// Every report that was applied.
    pub applied: Vec<InstanceReport>,
    /// The last event of each task that has one.
    pub events: HashMap<TaskId, ActionEvent>,
    pub failure: Option<(String, bool)>,
    pub gone: bool,
    pub migration: Option<(MigrationUuid, MigrationProgress, MigrationOutcome)>,
    pub progress: Vec<MigrationProgress>,
}

#[derive(Default)]
struct State {
    rows: HashMap<InstanceUuid, Row>,
    /// The numbers of all reports that have come, applied or not, by host.
    received: HashMap<String, Vec<i64>>,
    /// Hosts that are not reconciled, however loud they say hello.
    ignored: HashSet<String>,
    hellos: HashMap<String, usize>,
    /// What each host is beside its name, as it said last.
    identities: HashMap<String, Option<HostIdentity>>,
    beats: HashMap<String, usize>,
}

/// The conductor, and the bus that it is on. Clones share it.
#[derive(Clone)]
pub struct FakeConductor {
    pub transport: Transport,
    state: Arc<Mutex<State>>,
    changed: watch::Sender<()>,
}

pub fn ctx() -> RequestContext {
    RequestContext::internal()
}

/// A small server with this metadata.
pub fn server(metadata: &[(&str, &str)]) -> InstanceSpec {
    let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let (name, hostname) = ("web".into(), "web".into());
    Instance { name, hostname, metadata, ..instance() }.spec()
}

impl FakeConductor {
    /// On a bus of its own, in this process.
    pub async fn new() -> Self {
        Self::on(Transport::connect("memory://", TransportOptions::default()).await.unwrap()).await
    }

    /// On this bus.
    pub async fn on(transport: Transport) -> Self {
        let conductor = Self { transport, state: Arc::default(), changed: watch::channel(()).0 };
        let mut listener = reports::listener(&conductor.transport).start().await.unwrap();
        let receives = conductor.clone();
        tokio::spawn(async move {
            while let Some(batch) = listener.next_batch(100).await {
                for notification in batch.notifications() {
                    let report: Report = serde_json::from_value(notification.payload.clone()).unwrap();
                    assert_eq!(notification.event_type, report.event_type());
                    receives.receive(report);
                }
                batch.ack().await;
            }
        });
        conductor
    }

    pub fn compute(&self, host: &str) -> ComputeClient {
        ComputeClient::new(&self.transport).server(host)
    }

    pub fn live_migration(&self, host: &str) -> ComputeLiveMigrationClient {
        ComputeLiveMigrationClient::new(&self.transport).server(host)
    }

    pub fn migration(&self, host: &str) -> ComputeMigrationClient {
        ComputeMigrationClient::new(&self.transport).server(host)
    }

    pub fn ignore(&self, host: &str, ignore: bool) {
        let mut state = self.state.lock().unwrap();
        if ignore {
            state.ignored.insert(host.into())
        } else {
            state.ignored.remove(host)
        };
    }

    /// Writes down a row.
    pub fn write(&self, spec: &InstanceSpec, host: &str, vm_state: VmState, task: Option<(TaskState, TaskId)>) {
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
        self.state.lock().unwrap().rows.insert(spec.uuid, row);
    }

    pub fn edit(&self, instance: InstanceUuid, edit: impl FnOnce(&mut Row)) {
        edit(self.state.lock().unwrap().rows.get_mut(&instance).unwrap());
        self.changed.send_replace(());
    }

    /// Deletes the server in its row, as if its host had been away.
    pub fn delete(&self, instance: InstanceUuid) {
        self.edit(instance, |row| row.gone = true);
    }

    pub fn row(&self, instance: InstanceUuid) -> Row {
        self.state.lock().unwrap().rows[&instance].clone()
    }

    /// The numbers of all reports about instances that have come from a host.
    pub fn received(&self, host: &str) -> Vec<i64> {
        self.state.lock().unwrap().received.get(host).cloned().unwrap_or_default()
    }

    pub fn hellos(&self, host: &str) -> usize {
        self.state.lock().unwrap().hellos.get(host).copied().unwrap_or_default()
    }

    pub fn beats(&self, host: &str) -> usize {
        self.state.lock().unwrap().beats.get(host).copied().unwrap_or_default()
    }

    /// Writes the row of a new server and sends its build.
    pub async fn build(&self, host: &str, spec: &InstanceSpec) -> TaskId {
        let task_id = TaskId::random();
        self.write(spec, host, VmState::Building, Some((TaskState::Scheduling, task_id)));
        self.compute(host).build_and_run_instance(&ctx(), BuildRequest { spec: spec.clone(), task_id }).await.unwrap();
        task_id
    }

    /// A server that has been built.
    pub async fn built(&self, host: &str, metadata: &[(&str, &str)]) -> InstanceUuid {
        let spec = server(metadata);
        self.build(host, &spec).await;
        self.until(spec.uuid, "is active", |row| row.vm_state == VmState::Active && row.task.is_none()).await;
        spec.uuid
    }

    /// Writes a new operation into the row.
    pub fn begin(&self, instance: InstanceUuid, task_state: TaskState) -> OperationId {
        let task_id = TaskId::random();
        self.edit(instance, |row| row.task = Some((task_state, task_id)));
        OperationId { instance, task_id }
    }

    /// Writes a live migration into the row.
    pub fn begin_migration(&self, instance: InstanceUuid, destination: &str) -> MigrationSpec {
        self.begin_migration_as(instance, TaskState::Migrating, destination)
    }

    /// Writes a migration into the row, with this task.
    pub fn begin_migration_as(
        &self,
        instance: InstanceUuid,
        task_state: TaskState,
        destination: &str,
    ) -> MigrationSpec {
        let OperationId { task_id, .. } = self.begin(instance, task_state);
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
    pub async fn until(&self, instance: InstanceUuid, what: &str, wanted: impl Fn(&Row) -> bool) -> Row {
        let found = || self.state.lock().unwrap().rows.get(&instance).filter(|row| wanted(row)).cloned();
        self.when(what, found, || format!("{:#?}", self.row(instance))).await
    }

    /// Waits until anything is as wanted.
    pub async fn when<T>(&self, what: &str, wanted: impl Fn() -> Option<T>, instead: impl Fn() -> String) -> T {
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

    fn receive(&self, report: Report) {
        {
            let mut state = self.state.lock().unwrap();
            match &report.fact {
                Fact::Hello(hello) => {
                    state.identities.insert(report.host.clone(), hello.identity);
                    *state.hellos.entry(report.host.clone()).or_default() += 1;
                    if !state.ignored.contains(&report.host) {
                        let conductor = self.clone();
                        let host = report.host.clone();
                        // A host that has died since it said hello does not answer.
                        tokio::spawn(async move { drop(conductor.try_reconcile(&host).await) });
                    }
                }
                Fact::Alive { .. } => *state.beats.entry(report.host.clone()).or_default() += 1,
                Fact::Goodbye { .. } | Fact::Echo => {}
                Fact::Instance(fact) => {
                    state.received.entry(report.host.clone()).or_default().push(fact.seq);
                    if let Some(row) = state.rows.get_mut(&fact.instance) {
                        apply(row, &report.host, fact);
                    }
                }
                Fact::Migration(fact) => {
                    state.received.entry(report.host.clone()).or_default().push(fact.seq);
                    if let Some(row) = state.rows.get_mut(&fact.instance)
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

    fn control(&self, host: &str) -> ComputeControlClient {
        let identity = self.state.lock().unwrap().identities.get(host).copied().flatten();
        ComputeControlClient::new(&self.transport).server(control_server(host, identity))
    }

    pub async fn try_reconcile(&self, host: &str) -> Result<(), impl Debug + use<>> {
        let control = self.control(host);
        let held = match control.list_instances(&ctx()).await {
            Ok(held) => held,
            Err(error) => return Err(error),
        };
        let reconciliation = {
            let state = self.state.lock().unwrap();
            let mine = |row: &&Row| row.host == host && !row.gone;
            let incoming = |instance: &InstanceUuid| {
                state
                    .rows
                    .get(instance)
                    .is_some_and(|row| row.task.is_some_and(|(task, _)| task == TaskState::Migrating))
            };
            Reconciliation {
                desired: state.rows.values().filter(mine).map(desired).collect(),
                // What no row has ever known is left alone: the database may be an old copy.
                remove: held
                    .into_iter()
                    .filter(|instance| state.rows.get(instance).is_some_and(|row| !mine(&row)))
                    .filter(|instance| !incoming(instance))
                    .collect(),
                incarnation: None,
            }
        };
        control.reconcile(&ctx(), reconciliation).await
    }

    pub async fn reconcile(&self, host: &str) {
        self.try_reconcile(host).await.unwrap();
    }

    pub async fn held_instances(&self, host: &str) -> HashSet<InstanceUuid> {
        let control = self.control(host);
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
