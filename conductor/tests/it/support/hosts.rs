//! Hosts that play their part by a script.

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
    ids::{Incarnation, InstanceUuid, MigrationUuid},
    lifecycle::{Action, PowerState, VmState},
    models::{AllocationRatios, Inventory, MigrationProgress, Resources},
    reports::{Fact, Hello, InstanceReport, MigrationOutcome, MigrationReport, OperationProgress, Report, TOPIC},
};
use novella_compute::rpcapi::{
    ActionArguments, BuildRequest, Compute, ComputeControl, ComputeControlEndpoint, ComputeEndpoint, ComputeError,
    ComputeLiveMigration, ComputeLiveMigrationEndpoint, ComputeMigration, ComputeMigrationEndpoint, MigrateData,
    MigrationSpec, OperationId, Reconciliation,
};
use novella_messaging::{Notifier, RpcServer, Target, Transport};
use tokio::sync::Notify;

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Building {
    /// Builds and says so.
    #[default]
    Succeed,
    /// Accepts, then fails where another host might succeed.
    FailReschedulable,
}

#[derive(Default)]
struct Stage {
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
    reconciliations: BTreeMap<String, Vec<Reconciliation>>,
    extra_instances: BTreeMap<String, Vec<InstanceUuid>>,
    how_to_copy: Copying,
    building: BTreeMap<String, Building>,
    incarnations: HashMap<String, Incarnation>,
}

pub struct Hosts {
    transport: Transport,
    stage: Mutex<Stage>,
    servers: Mutex<HashMap<String, Vec<RpcServer>>>,
    seq: AtomicI64,
    called: Notify,
}

impl Hosts {
    pub fn new(transport: &Transport) -> Self {
        Self {
            transport: transport.clone(),
            stage: Mutex::default(),
            servers: Mutex::default(),
            seq: AtomicI64::new(1),
            called: Notify::new(),
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap()
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
            .concurrency(4)
            .start()
            .await
            .unwrap();
        self.servers.lock().unwrap().insert(name.to_owned(), vec![compute, control]);
    }

    pub fn incarnation(&self, host: &str) -> Incarnation {
        *self.stage().incarnations.entry(host.to_owned()).or_insert_with(Incarnation::random)
    }

    pub fn hold(&self, host: &str, instance: InstanceUuid) {
        self.stage().guests.entry(instance).or_default().insert(host.to_owned());
    }

    /// What the host says that it holds besides its guests.
    pub fn hold_besides(&self, host: &str, instance: InstanceUuid) {
        self.stage().extra_instances.entry(host.to_owned()).or_default().push(instance);
    }

    /// Where the guest runs.
    pub fn guests(&self, instance: InstanceUuid) -> Vec<String> {
        self.stage().guests.get(&instance).map(|hosts| hosts.iter().cloned().collect()).unwrap_or_default()
    }

    pub fn is_prepared(&self, host: &str, instance: InstanceUuid) -> bool {
        self.stage().prepared.contains(&(host.to_owned(), instance))
    }

    pub fn copy_by(&self, how: Copying) {
        self.stage().how_to_copy = how;
    }

    pub fn build_by(&self, host: &str, how: Building) {
        self.stage().building.insert(host.to_owned(), how);
    }

    /// That method of that host fails from now on.
    pub fn fail(&self, host: &str, method: &'static str) {
        self.stage().fails.insert((host.to_owned(), method));
    }

    /// That method of that host works again.
    pub fn mend(&self, host: &str, method: &'static str) {
        self.stage().fails.remove(&(host.to_owned(), method));
    }

    /// The next call of that method never ends.
    pub fn hang(&self, method: &'static str) {
        self.stage().hangs = Some(method);
    }

    pub fn log(&self) -> Vec<(String, &'static str)> {
        self.stage().log.clone()
    }

    pub fn calls(&self, method: &str) -> usize {
        self.stage().log.iter().filter(|(_, called)| *called == method).count()
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
        self.stage().reconciliations.get(host).cloned().unwrap_or_default()
    }

    /// The next number of a report.
    pub fn seq(&self) -> i64 {
        self.seq.fetch_add(1, Ordering::SeqCst)
    }

    pub async fn say(&self, host: &str, fact: Fact) {
        let report = Report { host: host.to_owned(), fact };
        let notifier = Notifier::new(&self.transport, TOPIC, &format!("compute.{host}"));
        notifier.info(&RequestContext::internal(), report.event_type(), &report).await.unwrap();
    }

    pub async fn hello(&self, host: &str, resources: Resources) {
        let hello = Hello { incarnation: self.incarnation(host), inventory: inventory(host, resources) };
        self.say(host, Fact::Hello(hello)).await;
    }

    pub async fn say_copied(&self, migration: &MigrationSpec, outcome: MigrationOutcome) {
        let progress = MigrationProgress { memory_total: 512, memory_processed: 512, ..MigrationProgress::default() };
        let report = MigrationReport {
            migration: migration.migration,
            instance: migration.spec.uuid,
            seq: self.seq(),
            task_id: migration.task_id,
            progress,
            outcome,
        };
        self.say(&migration.source, Fact::Migration(report)).await;
    }

    /// The source loses sight of the destination in the middle of the switch, which the destination has seen or not.
    pub async fn lose_sight(&self, instance: InstanceUuid, switched: bool) {
        let (migration, _) = self.stage().copying.remove(&instance).expect("a copy under way");
        self.stage().held.insert(instance);
        if switched {
            self.move_guest(&migration);
        }
        let outcome = MigrationOutcome::Failed { message: "the destination does not answer".into() };
        self.say_copied(&migration, outcome).await;
    }

    /// Lets a copy that is held switch.
    pub async fn switch(&self, instance: InstanceUuid) {
        let (migration, _) = self.stage().copying.remove(&instance).expect("a copy under way");
        self.move_guest(&migration);
        self.say_copied(&migration, MigrationOutcome::Switched).await;
    }

    /// Lets whatever is copied arrive: a guest that runs switches, disks are there.
    pub async fn finish_copy(&self, instance: InstanceUuid) {
        let runs = self.stage().guests.get(&instance).is_some_and(|hosts| !hosts.is_empty());
        if runs {
            return self.switch(instance).await;
        }
        let (migration, _) = self.stage().copying.remove(&instance).expect("a copy under way");
        self.say_copied(&migration, MigrationOutcome::Switched).await;
    }

    fn move_guest(&self, migration: &MigrationSpec) {
        let mut stage = self.stage();
        let hosts = stage.guests.entry(migration.spec.uuid).or_default();
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

struct Host {
    name: String,
    hosts: Arc<Hosts>,
}

impl Host {
    /// Writes the call down, and does what the script says of it.
    async fn called(&self, method: &'static str) -> Result<(), ComputeError> {
        let (fails, hangs) = {
            let mut stage = self.hosts.stage();
            stage.log.push((self.name.clone(), method));
            (stage.fails.contains(&(self.name.clone(), method)), stage.hangs.take_if(|hangs| *hangs == method))
        };
        self.hosts.called.notify_waiters();
        if hangs.is_some() {
            std::future::pending::<()>().await;
        }
        match fails {
            true => Err(ComputeError::Failed { message: format!("{method} fails on {}", self.name) }),
            false => Ok(()),
        }
    }
}

macro_rules! only_written_down {
    ($($name:ident($($argument:ty),*) -> $result:ty;)*) => {
        $(async fn $name(&self, _: RequestContext, $(_: $argument),*) -> Result<$result, ComputeError> {
            self.called(stringify!($name)).await?;
            Ok(Default::default())
        })*
    };
}

impl Compute for Host {
    async fn build_and_run_instance(&self, _: RequestContext, build: BuildRequest) -> Result<(), ComputeError> {
        self.called("build_and_run_instance").await?;
        let how = self.hosts.stage().building.get(&self.name).copied().unwrap_or_default();
        let progress = match how {
            Building::Succeed => {
                self.hosts.hold(&self.name, build.spec.uuid);
                OperationProgress::Done { vm_state: VmState::Active }
            }
            Building::FailReschedulable => OperationProgress::Failed {
                vm_state: Some(VmState::Error),
                message: "Build of the instance aborted.".into(),
                details: Some("no disk".into()),
                reschedule: true,
            },
        };
        let report = InstanceReport {
            instance: build.spec.uuid,
            seq: self.hosts.seq(),
            task_id: Some(build.task_id),
            request_id: None,
            power_state: PowerState::Running,
            progress,
            event: None,
        };
        self.hosts.say(&self.name, Fact::Instance(report)).await;
        Ok(())
    }

    async fn perform_action(
        &self,
        _: RequestContext,
        operation: OperationId,
        action: Action,
        _: ActionArguments,
    ) -> Result<(), ComputeError> {
        self.called(action.transition().method()).await?;
        if action != Action::Delete {
            return Ok(());
        }
        self.hosts.stage().guests.remove(&operation.instance);
        let report = InstanceReport {
            instance: operation.instance,
            seq: self.hosts.seq(),
            task_id: Some(operation.task_id),
            request_id: None,
            power_state: PowerState::NoState,
            progress: OperationProgress::Gone,
            event: None,
        };
        self.hosts.say(&self.name, Fact::Instance(report)).await;
        Ok(())
    }

    only_written_down! {
        get_console_output(InstanceUuid, Option<usize>) -> String;
        get_host_uptime() -> String;
    }
}

impl ComputeLiveMigration for Host {
    async fn pre_live_migration(
        &self,
        _: RequestContext,
        migration: MigrationSpec,
        data: MigrateData,
    ) -> Result<MigrateData, ComputeError> {
        // Even a preparation that fails may leave something.
        self.hosts.stage().prepared.insert((self.name.clone(), migration.spec.uuid));
        self.called("pre_live_migration").await?;
        Ok(MigrateData(serde_json::json!({ "port": 1, "checked": data.0 })))
    }

    async fn live_migration(
        &self,
        _: RequestContext,
        migration: MigrationSpec,
        data: MigrateData,
    ) -> Result<(), ComputeError> {
        assert_eq!(data.0["port"], 1, "what the destination has said must come here");
        let instance = migration.spec.uuid;
        let copies = {
            let mut stage = self.hosts.stage();
            let how = stage.how_to_copy;
            let here = stage.guests.get(&instance).is_some_and(|hosts| hosts.contains(&self.name));
            let copies = here && stage.copying.insert(instance, (migration.clone(), how)).is_none();
            copies.then_some(how)
        };
        if copies == Some(Copying::Hold) {
            // Before the call is written down: a test that waits for it may end the copy at once.
            self.hosts.say_copied(&migration, MigrationOutcome::Running).await;
        }
        self.called("live_migration").await?;
        match copies {
            Some(Copying::Switch) => self.hosts.switch(instance).await,
            Some(Copying::SwitchSilently) => {
                self.hosts.stage().copying.remove(&instance);
                self.hosts.move_guest(&migration);
            }
            Some(Copying::Fail) => {
                self.hosts.stage().copying.remove(&instance);
                let outcome = MigrationOutcome::Failed { message: "the guest is too busy".into() };
                self.hosts.say_copied(&migration, outcome).await;
            }
            Some(Copying::Hold) | None => {}
        }
        Ok(())
    }

    async fn live_migration_abort(
        &self,
        _: RequestContext,
        instance: InstanceUuid,
        _: MigrationUuid,
    ) -> Result<(), ComputeError> {
        let copying = self.hosts.stage().copying.remove(&instance);
        self.called("live_migration_abort").await?;
        if let Some((migration, _)) = copying {
            self.hosts.say_copied(&migration, MigrationOutcome::Cancelled).await;
        }
        Ok(())
    }

    async fn post_live_migration_at_destination(
        &self,
        _: RequestContext,
        migration: MigrationSpec,
    ) -> Result<(), ComputeError> {
        self.called("post_live_migration_at_destination").await?;
        self.hosts.stage().prepared.remove(&(self.name.clone(), migration.spec.uuid));
        Ok(())
    }

    async fn rollback_live_migration_at_destination(
        &self,
        _: RequestContext,
        migration: MigrationSpec,
    ) -> Result<(), ComputeError> {
        self.called("rollback_live_migration_at_destination").await?;
        let mut stage = self.hosts.stage();
        let instance = migration.spec.uuid;
        if stage.guests.get(&instance).is_some_and(|hosts| hosts.contains(&self.name)) {
            return Err(ComputeError::GuestRunsHere { instance, host: self.name.clone() });
        }
        stage.prepared.remove(&(self.name.clone(), instance));
        Ok(())
    }

    async fn rollback_live_migration(
        &self,
        _: RequestContext,
        migration: MigrationSpec,
        confirmed: bool,
    ) -> Result<(), ComputeError> {
        self.called("rollback_live_migration").await?;
        if !confirmed && self.hosts.stage().held.contains(&migration.spec.uuid) {
            return Err(ComputeError::GuestHeld { instance: migration.spec.uuid, host: self.name.clone() });
        }
        self.hosts.stage().copying.remove(&migration.spec.uuid);
        Ok(())
    }

    only_written_down! {
        check_can_live_migrate_destination(MigrationSpec) -> MigrateData;
        check_can_live_migrate_source(MigrationSpec, MigrateData) -> MigrateData;
        live_migration_force_complete(InstanceUuid, MigrationUuid) -> ();
        post_live_migration(MigrationSpec) -> ();
    }
}

impl ComputeMigration for Host {
    async fn prep_resize(&self, _: RequestContext, migration: MigrationSpec) -> Result<MigrateData, ComputeError> {
        self.hosts.stage().prepared.insert((self.name.clone(), migration.spec.uuid));
        self.called("prep_resize").await?;
        Ok(MigrateData(serde_json::json!({ "port": 2 })))
    }

    async fn resize_instance(
        &self,
        _: RequestContext,
        migration: MigrationSpec,
        data: MigrateData,
    ) -> Result<(), ComputeError> {
        assert_eq!(data.0["port"], 2, "what the destination has said must come here");
        let instance = migration.spec.uuid;
        let copies = {
            let mut stage = self.hosts.stage();
            let how = stage.how_to_copy;
            // Powered off: it runs nowhere.
            let here = stage.guests.get_mut(&instance).is_some_and(|hosts| hosts.remove(&self.name));
            let copies = here && stage.copying.insert(instance, (migration.clone(), how)).is_none();
            copies.then_some(how)
        };
        self.called("resize_instance").await?;
        match copies {
            Some(Copying::Switch) => self.hosts.finish_copy(instance).await,
            Some(Copying::Fail) => {
                self.hosts.stage().copying.remove(&instance);
                let outcome = MigrationOutcome::Failed { message: "the disk is full".into() };
                self.hosts.say_copied(&migration, outcome).await;
            }
            Some(Copying::Hold | Copying::SwitchSilently) | None => {}
        }
        Ok(())
    }

    async fn finish_resize(&self, _: RequestContext, migration: MigrationSpec) -> Result<(), ComputeError> {
        self.called("finish_resize").await?;
        let mut stage = self.hosts.stage();
        stage.prepared.remove(&(self.name.clone(), migration.spec.uuid));
        if migration.runs() {
            stage.guests.entry(migration.spec.uuid).or_default().insert(self.name.clone());
        }
        Ok(())
    }

    async fn revert_resize(&self, _: RequestContext, migration: MigrationSpec) -> Result<(), ComputeError> {
        self.called("revert_resize").await?;
        let mut stage = self.hosts.stage();
        stage.prepared.remove(&(self.name.clone(), migration.spec.uuid));
        stage.guests.entry(migration.spec.uuid).or_default().remove(&self.name);
        Ok(())
    }

    async fn finish_revert_resize(&self, _: RequestContext, migration: MigrationSpec) -> Result<(), ComputeError> {
        self.called("finish_revert_resize").await?;
        let mut stage = self.hosts.stage();
        stage.copying.remove(&migration.spec.uuid);
        let guests = stage.guests.entry(migration.spec.uuid).or_default();
        assert!(!guests.contains(&migration.destination), "undone at the destination first");
        if migration.runs() {
            guests.insert(self.name.clone());
        }
        Ok(())
    }

    only_written_down! {
        confirm_resize(MigrationSpec) -> ();
    }
}

impl ComputeControl for Host {
    async fn list_instances(&self, _: RequestContext) -> Result<Vec<InstanceUuid>, ComputeError> {
        self.called("list_instances").await?;
        let stage = self.hosts.stage();
        let mut instances: Vec<InstanceUuid> = stage
            .guests
            .iter()
            .filter(|(_, hosts)| hosts.contains(&self.name))
            .map(|(instance, _)| *instance)
            .collect();
        instances.extend(stage.prepared.iter().filter(|(host, _)| *host == self.name).map(|(_, held)| *held));
        instances.extend(stage.extra_instances.get(&self.name).into_iter().flatten());
        Ok(instances)
    }

    async fn reconcile(&self, _: RequestContext, reconciliation: Reconciliation) -> Result<(), ComputeError> {
        {
            let mut stage = self.hosts.stage();
            for instance in &reconciliation.remove {
                if let Some(hosts) = stage.guests.get_mut(instance) {
                    hosts.remove(&self.name);
                }
                stage.prepared.remove(&(self.name.clone(), *instance));
            }
            stage.reconciliations.entry(self.name.clone()).or_default().push(reconciliation);
        }
        self.called("reconcile").await
    }
}
