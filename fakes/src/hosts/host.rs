//! What a host does with each call.

use std::sync::Arc;

use novella_common::{
    RequestContext,
    ids::{InstanceUuid, MigrationUuid},
    lifecycle::{Action, PowerState, VmState},
    models::Vif,
    reports::{Fact, InstanceReport, MigrationOutcome, OperationProgress},
};
use novella_compute::rpcapi::{
    ActionArguments, BuildRequest, Compute, ComputeControl, ComputeError, ComputeLiveMigration, ComputeMigration,
    Diagnostics, MigrateData, MigrationSpec, OperationId, Reconciliation,
};

use super::{Building, Copying, FakeHosts};

/// One host.
pub(super) struct Host {
    pub(super) name: String,
    pub(super) hosts: Arc<FakeHosts>,
}

impl Host {
    /// Writes the call down, and does what the script says of it.
    async fn called(&self, method: &'static str) -> Result<(), ComputeError> {
        let (fails, hangs) = {
            let mut state = self.hosts.state();
            state.log.push((self.name.clone(), method));
            let hangs = state.silent.contains(&self.name) || state.hangs.take_if(|hangs| *hangs == method).is_some();
            (state.fails.contains(&(self.name.clone(), method)), hangs)
        };
        self.hosts.called.notify_waiters();
        if hangs {
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
        let how = self.hosts.state().building.get(&self.name).cloned().unwrap_or_default();
        match &how {
            Building::Refuse => {
                let (host, reason) = (self.name.clone(), "full".into());
                return Err(ComputeError::ComputeResourcesUnavailable { host, reason });
            }
            Building::Panic => panic!("the host's handler breaks"),
            Building::After(work) => work(build.clone()).await,
            Building::Accept | Building::Succeed | Building::FailReschedulable => {}
        }
        self.hosts.state().builds.entry(self.name.clone()).or_default().push(build.clone());
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
            _ => return Ok(()),
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
        self.hosts.report(&self.name, Fact::Instance(report)).await;
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
        self.hosts.state().guests.remove(&operation.instance);
        let report = InstanceReport {
            instance: operation.instance,
            seq: self.hosts.seq(),
            task_id: Some(operation.task_id),
            request_id: None,
            power_state: PowerState::NoState,
            progress: OperationProgress::Gone,
            event: None,
        };
        self.hosts.report(&self.name, Fact::Instance(report)).await;
        Ok(())
    }

    async fn get_diagnostics(&self, _: RequestContext, _: InstanceUuid) -> Result<Diagnostics, ComputeError> {
        self.called("get_diagnostics").await?;
        Ok(Diagnostics {
            power_state: PowerState::Running,
            hypervisor: "fake".into(),
            uptime_seconds: Some(0),
            cpu_time_ns: vec![0],
            memory_mb: 512,
            disks: 1,
            nics: 0,
        })
    }

    only_written_down! {
        get_console_output(InstanceUuid, Option<usize>) -> String;
        get_host_uptime() -> String;
        attach_interface(InstanceUuid, Vif) -> ();
        detach_interface(InstanceUuid, String) -> ();
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
        self.hosts.state().prepared.insert((self.name.clone(), migration.spec.uuid));
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
            let mut state = self.hosts.state();
            let how = state.how_to_copy;
            let here = state.guests.get(&instance).is_some_and(|hosts| hosts.contains(&self.name));
            let copies = here && state.copying.insert(instance, (migration.clone(), how)).is_none();
            copies.then_some(how)
        };
        if copies == Some(Copying::Hold) {
            // Before the call is written down: a test that waits for it may end the copy at once.
            self.hosts.report_copied(&migration, MigrationOutcome::Running).await;
        }
        self.called("live_migration").await?;
        match copies {
            Some(Copying::Switch) => self.hosts.switch(instance).await,
            Some(Copying::SwitchSilently) => {
                self.hosts.state().copying.remove(&instance);
                self.hosts.move_guest(&migration);
            }
            Some(Copying::Fail) => {
                self.hosts.state().copying.remove(&instance);
                let outcome = MigrationOutcome::Failed { message: "the guest is too busy".into() };
                self.hosts.report_copied(&migration, outcome).await;
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
        let copying = self.hosts.state().copying.remove(&instance);
        self.called("live_migration_abort").await?;
        if let Some((migration, _)) = copying {
            self.hosts.report_copied(&migration, MigrationOutcome::Cancelled).await;
        }
        Ok(())
    }

    async fn post_live_migration_at_destination(
        &self,
        _: RequestContext,
        migration: MigrationSpec,
    ) -> Result<(), ComputeError> {
        self.called("post_live_migration_at_destination").await?;
        self.hosts.state().prepared.remove(&(self.name.clone(), migration.spec.uuid));
        Ok(())
    }

    async fn rollback_live_migration_at_destination(
        &self,
        _: RequestContext,
        migration: MigrationSpec,
    ) -> Result<(), ComputeError> {
        self.called("rollback_live_migration_at_destination").await?;
        let mut state = self.hosts.state();
        let instance = migration.spec.uuid;
        if state.guests.get(&instance).is_some_and(|hosts| hosts.contains(&self.name)) {
            return Err(ComputeError::GuestRunsHere { instance, host: self.name.clone() });
        }
        state.prepared.remove(&(self.name.clone(), instance));
        Ok(())
    }

    async fn rollback_live_migration(
        &self,
        _: RequestContext,
        migration: MigrationSpec,
        confirmed: bool,
    ) -> Result<(), ComputeError> {
        self.called("rollback_live_migration").await?;
        if !confirmed && self.hosts.state().held.contains(&migration.spec.uuid) {
            return Err(ComputeError::GuestHeld { instance: migration.spec.uuid, host: self.name.clone() });
        }
        self.hosts.state().copying.remove(&migration.spec.uuid);
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
        self.hosts.state().prepared.insert((self.name.clone(), migration.spec.uuid));
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
            let mut state = self.hosts.state();
            let how = state.how_to_copy;
            // Powered off: it runs nowhere.
            let here = state.guests.get_mut(&instance).is_some_and(|hosts| hosts.remove(&self.name));
            let copies = here && state.copying.insert(instance, (migration.clone(), how)).is_none();
            copies.then_some(how)
        };
        self.called("resize_instance").await?;
        match copies {
            Some(Copying::Switch) => self.hosts.finish_copy(instance).await,
            Some(Copying::Fail) => {
                self.hosts.state().copying.remove(&instance);
                let outcome = MigrationOutcome::Failed { message: "the disk is full".into() };
                self.hosts.report_copied(&migration, outcome).await;
            }
            Some(Copying::Hold | Copying::SwitchSilently) | None => {}
        }
        Ok(())
    }

    async fn finish_resize(&self, _: RequestContext, migration: MigrationSpec) -> Result<(), ComputeError> {
        self.called("finish_resize").await?;
        let mut state = self.hosts.state();
        state.prepared.remove(&(self.name.clone(), migration.spec.uuid));
        if migration.runs() {
            state.guests.entry(migration.spec.uuid).or_default().insert(self.name.clone());
        }
        Ok(())
    }

    async fn revert_resize(&self, _: RequestContext, migration: MigrationSpec) -> Result<(), ComputeError> {
        self.called("revert_resize").await?;
        let mut state = self.hosts.state();
        state.prepared.remove(&(self.name.clone(), migration.spec.uuid));
        state.guests.entry(migration.spec.uuid).or_default().remove(&self.name);
        Ok(())
    }

    async fn finish_revert_resize(&self, _: RequestContext, migration: MigrationSpec) -> Result<(), ComputeError> {
        self.called("finish_revert_resize").await?;
        let mut state = self.hosts.state();
        state.copying.remove(&migration.spec.uuid);
        let guests = state.guests.entry(migration.spec.uuid).or_default();
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
        let mut state = self.hosts.state();
        let mut instances: Vec<InstanceUuid> = state
            .guests
            .iter()
            .filter(|(_, hosts)| hosts.contains(&self.name))
            .map(|(instance, _)| *instance)
            .collect();
        instances.extend(state.prepared.iter().filter(|(host, _)| *host == self.name).map(|(_, held)| *held));
        instances.extend(state.extra_instances.get(&self.name).into_iter().flatten());
        state.listed.insert(self.name.clone(), instances.iter().copied().collect());
        Ok(instances)
    }

    async fn reconcile(&self, _: RequestContext, reconciliation: Reconciliation) -> Result<(), ComputeError> {
        {
            let mut state = self.hosts.state();
            let listed = state.listed.remove(&self.name).unwrap_or_default();
            for instance in reconciliation.remove.iter().filter(|instance| listed.contains(instance)) {
                if let Some(hosts) = state.guests.get_mut(instance) {
                    hosts.remove(&self.name);
                }
                state.prepared.remove(&(self.name.clone(), *instance));
            }
            state.reconciliations.entry(self.name.clone()).or_default().push(reconciliation);
        }
        self.called("reconcile").await
    }
}
